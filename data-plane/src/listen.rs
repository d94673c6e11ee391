//! Opens the ports of listeners: one socket for each traffic thread.
//!
//! Apart from accepting, and called by the control thread alone: whether a port can be had is
//! known before any thread hears of it.

use std::{
    io,
    net::{SocketAddr, TcpListener},
};

use socket2::{Domain, Protocol, Socket, Type};

/// Why a port cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    #[error("listen on {0}: another process has the port")]
    InUse(SocketAddr),
    #[error("listen on {0}: not an address of this machine")]
    NotAvailable(SocketAddr),
    #[error("listen on {0}: this process may not open the port")]
    Forbidden(SocketAddr),
    #[error("listen on {0}: {1}")]
    Failed(SocketAddr, io::Error),
}

/// Opens `address` once for each of `threads`; the kernel shares connections out among them.
pub fn listen(address: SocketAddr, threads: usize) -> Result<Vec<TcpListener>, ListenError> {
    let failed = |error| ListenError::new(address, error);
    // Sockets that share a port would share it with another process of the same user too. One
    // that does not share shows whether the port is free; it is closed before the others open.
    drop(open(address, false).map_err(failed)?);
    let mut sockets: Vec<TcpListener> = Vec::with_capacity(threads);
    for _ in 0..threads {
        // Port 0 means any: the first socket finds one, the others follow.
        let address = match sockets.first() {
            Some(first) => first.local_addr().map_err(failed)?,
            None => address,
        };
        sockets.push(open(address, true).map_err(failed)?);
    }
    Ok(sockets)
}

/// Opens as many beside sockets that another process has, too, that each of `threads` has one.
/// The kernel shares a port among processes of one user only.
pub fn join(
    mut sockets: Vec<TcpListener>,
    address: SocketAddr,
    threads: usize,
) -> Result<Vec<TcpListener>, ListenError> {
    while sockets.len() < threads {
        sockets.push(open(address, true).map_err(|error| ListenError::new(address, error))?);
    }
    Ok(sockets)
}

fn open(address: SocketAddr, shared: bool) -> io::Result<TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    if address.ip().is_ipv6() {
        // "::" takes both families; another address has only one anyway.
        socket.set_only_v6(!address.ip().is_unspecified())?;
    }
    // What is left of closed connections must not keep the port.
    socket.set_reuse_address(true)?;
    if shared {
        socket.set_reuse_port(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    if shared {
        socket.listen(BACKLOG.into())?;
    }
    Ok(socket.into())
}

impl ListenError {
    fn new(address: SocketAddr, error: io::Error) -> Self {
        #[expect(
            clippy::wildcard_enum_match_arm,
            reason = "a list of the standard library's that grows; what is not known is told as it is"
        )]
        match error.kind() {
            io::ErrorKind::AddrInUse => Self::InUse(address),
            io::ErrorKind::AddrNotAvailable => Self::NotAvailable(address),
            io::ErrorKind::PermissionDenied => Self::Forbidden(address),
            _ => Self::Failed(address, error),
        }
    }
}

/// Connections that wait to be accepted; the kernel has a limit of its own.
pub const BACKLOG: u16 = 4096;

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use super::*;

    fn any_port() -> SocketAddr {
        "127.0.0.1:0".parse().unwrap()
    }

    #[test]
    fn every_thread_gets_a_socket_of_the_same_port() {
        let sockets = listen(any_port(), 3).unwrap();
        let ports: Vec<_> = sockets
            .iter()
            .map(|socket| socket.local_addr().unwrap().port())
            .collect();
        assert_eq!(ports.len(), 3);
        assert!(ports.iter().all(|port| *port == ports[0]));
        TcpStream::connect(sockets[0].local_addr().unwrap()).unwrap();
    }

    #[test]
    fn a_port_that_somebody_has_is_refused_even_if_they_would_share_it() {
        let theirs = listen(any_port(), 1).unwrap();
        let address = theirs[0].local_addr().unwrap();
        let refused = listen(address, 2).unwrap_err();
        assert!(matches!(refused, ListenError::InUse(_)), "{refused}");
        drop(theirs);
        listen(address, 2).unwrap();
    }

    #[test]
    fn the_reason_is_told_apart() {
        let elsewhere = listen("203.0.113.1:0".parse().unwrap(), 1).unwrap_err();
        assert!(
            matches!(elsewhere, ListenError::NotAvailable(_)),
            "{elsewhere}"
        );
    }

    #[test]
    fn the_unspecified_ipv6_address_takes_both_families() {
        let sockets = listen("[::]:0".parse().unwrap(), 1).unwrap();
        let port = sockets[0].local_addr().unwrap().port();
        TcpStream::connect(("127.0.0.1", port)).unwrap();
        TcpStream::connect(("::1", port)).unwrap();
    }
}
