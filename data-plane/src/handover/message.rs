//! What is said over the socket. The successor speaks one byte at a time: that it wants the next
//! sockets, or that it is ready; the predecessor sends sockets, some at a time and each time only
//! when it was asked, and with them how many they are: none after the last.
//!
//! Apart from both sides, because the kernel joins what is written in a row: that nothing is sent
//! before it is asked for keeps each message's descriptors with its byte. A byte that is not known
//! ends the connection, and so all that a later release says must begin with these.

use std::{
    io::{self, IoSlice, IoSliceMut},
    mem::MaybeUninit,
    net::TcpListener,
    os::fd::{AsFd as _, BorrowedFd, OwnedFd},
};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use tokio::{io::Interest, net::UnixStream};

/// Asks for the next sockets.
pub(super) const NEXT: u8 = 1;

/// The successor serves.
pub(super) const READY: u8 = 2;

/// Sockets in one message. The kernel takes 253.
pub(super) const AT_ONCE: usize = 128;

/// Says a byte, with sockets.
pub(super) async fn send(stream: &UnixStream, byte: u8, sockets: &[TcpListener]) -> io::Result<()> {
    let fds: Vec<BorrowedFd<'_>> = sockets.iter().map(|socket| socket.as_fd()).collect();
    let sent = stream.async_io(Interest::WRITABLE, || {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(AT_ONCE))];
        let mut rights = SendAncillaryBuffer::new(&mut space);
        if !fds.is_empty() && !rights.push(SendAncillaryMessage::ScmRights(&fds)) {
            return Err(io::Error::other("too many sockets at once"));
        }
        let bytes = [byte];
        let bytes = IoSlice::new(&bytes);
        Ok(sendmsg(stream, &[bytes], &mut rights, SendFlags::NOSIGNAL)?)
    });
    sent.await.map(drop)
}

/// Waits for a byte, and takes the sockets that come with it.
pub(super) async fn receive(stream: &UnixStream) -> io::Result<(u8, Vec<OwnedFd>)> {
    let received = stream.async_io(Interest::READABLE, || {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(AT_ONCE))];
        let mut rights = RecvAncillaryBuffer::new(&mut space);
        let mut byte = [0];
        let bytes = &mut [IoSliceMut::new(&mut byte)];
        let got = recvmsg(stream, bytes, &mut rights, RecvFlags::CMSG_CLOEXEC)?;
        if got.bytes == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut fds = Vec::new();
        for message in rights.drain() {
            if let RecvAncillaryMessage::ScmRights(some) = message {
                fds.extend(some);
            }
        }
        Ok((byte, fds))
    });
    let ([byte], fds) = received.await?;
    Ok((byte, fds))
}

/// What the other side says is not to be understood.
pub(super) fn invalid(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}
