//! Sockets of the process before, until a listener wants them.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    net::{SocketAddr, TcpListener},
    os::fd::OwnedFd,
    rc::Rc,
};

use socket2::Socket;
use tokio::sync::Notify;
use tracing::{info, warn};

/// Sockets by address.
pub(super) type Sockets = BTreeMap<SocketAddr, Vec<TcpListener>>;

/// What a predecessor has handed over, by address. A clone is the same.
#[derive(Clone, Debug, Default)]
pub struct Inherited(Rc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    sockets: RefCell<Sockets>,
    /// Addresses that another process has, and perhaps the predecessor since.
    wanted: RefCell<BTreeSet<SocketAddr>>,
    asked: Notify,
}

impl Inherited {
    /// The sockets of an address, if there are any.
    pub fn take(&self, address: SocketAddr) -> Option<Vec<TcpListener>> {
        self.0.sockets.borrow_mut().remove(&address)
    }

    /// Asks for the sockets of an address once more: they may have been opened meanwhile.
    pub fn want(&self, address: SocketAddr) {
        self.0.wanted.borrow_mut().insert(address);
        self.0.asked.notify_one();
    }

    /// Lets go of what no listener wants.
    pub fn leave(&self) {
        for address in self.0.sockets.take().into_keys() {
            info!(%address, "not taken over: no listener wants it");
        }
    }

    /// How many addresses nobody has taken.
    #[cfg(test)]
    pub(super) fn holds(&self) -> usize {
        self.0.sockets.borrow().len()
    }

    /// Waits until somebody wants more.
    pub(super) async fn asked(&self) {
        self.0.asked.notified().await;
    }

    /// All that was handed over at first.
    pub(super) fn put(&self, taken: Sockets) {
        *self.0.sockets.borrow_mut() = taken;
    }

    /// Of what was handed over once more, what was wanted.
    pub(super) fn put_wanted(&self, taken: Vec<OwnedFd>) {
        let wanted = self.0.wanted.take();
        let taken = by_address(taken).into_iter();
        let wanted = taken.filter(|(address, _)| wanted.contains(address));
        self.0.sockets.borrow_mut().extend(wanted);
    }
}

/// Only what accepts connections.
pub(super) fn by_address(taken: Vec<OwnedFd>) -> Sockets {
    let mut sockets = Sockets::new();
    for fd in taken {
        let socket = Socket::from(fd);
        let address = socket.local_addr().ok();
        match (address.and_then(|a| a.as_socket()), socket.is_listener()) {
            (Some(address), Ok(true)) => sockets.entry(address).or_default().push(socket.into()),
            _ => warn!("something was handed over that is no listening socket"),
        }
    }
    sockets
}
