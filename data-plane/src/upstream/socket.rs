//! An open socket to an endpoint, whether a request is under way on it or not.
//!
//! Apart from the connection, which lives for one exchange: thousands of sockets wait in the
//! pools, and what waits is to be a few words in the memory that a request looks at anyway.

use std::{
    io,
    mem::MaybeUninit,
    net::Shutdown,
    rc::{Rc, Weak},
};

use socket2::SockRef;
use tokio::net::TcpStream;

use super::{Permit, Pool};

/// Counts where its permit does.
#[derive(Debug)]
pub(super) struct Socket {
    pub(super) stream: TcpStream,
    /// Gone when the endpoint is: then the socket is not kept.
    pool: Weak<Pool>,
    _permit: Permit,
}

impl Socket {
    pub(super) fn new(stream: TcpStream, pool: &Rc<Pool>, permit: Permit) -> Self {
        Self {
            stream,
            pool: Rc::downgrade(pool),
            _permit: permit,
        }
    }

    /// Lets another request use it.
    pub(super) fn put_back(self) {
        if let Some(pool) = self.pool.upgrade() {
            pool.put(self);
        }
    }

    /// Whether it is open and nothing has come, by what the kernel last told.
    pub(super) fn is_quiet(&self) -> bool {
        // Without a sign that there is something this asks nobody.
        would_block(&self.stream.try_read(&mut [0]))
    }

    /// As `is_quiet`, asking the kernel.
    pub(super) fn is_surely_quiet(&self) -> bool {
        would_block(&SockRef::from(&self.stream).peek(&mut [MaybeUninit::uninit()]))
    }

    /// Ends the connection for whoever reads from it.
    pub(super) fn shut_down(&self) {
        // If it fails, the connection is gone already.
        let _gone = SockRef::from(&self.stream).shutdown(Shutdown::Both);
    }
}

fn would_block<T>(result: &io::Result<T>) -> bool {
    matches!(result, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
}
