//! What is said over the socket: the successor says which protocol it speaks, and the predecessor
//! sends its sockets, some at a time, each time after it was asked.
//!
//! Apart from both sides, because the kernel joins what is written in a row: that nothing is sent
//! before it is asked for keeps each message's descriptors with its byte.

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

/// Asks for the next sockets, in the protocol's first version.
const NEXT: u8 = 1;

/// Sockets in one message. The kernel takes 253.
const AT_ONCE: usize = 128;

/// Sockets in all: more than 64 listeners of 64 threads.
const MOST: usize = 4096;

/// Gives all sockets to whoever asks for them.
pub(super) async fn give(stream: &UnixStream, sockets: &[TcpListener]) -> io::Result<()> {
    let mut left = sockets.chunks(AT_ONCE);
    loop {
        let (asked, _) = receive(stream).await?;
        if asked != NEXT {
            return Err(invalid("it asks for something that is not known here"));
        }
        let chunk = left.next().unwrap_or_default();
        // The length of a chunk is at most AT_ONCE.
        let count = u8::try_from(chunk.len()).map_err(io::Error::other)?;
        send(stream, count, chunk).await?;
        if count == 0 {
            return Ok(());
        }
    }
}

/// Takes all sockets.
pub(super) async fn take(stream: &UnixStream) -> io::Result<Vec<OwnedFd>> {
    let mut all = Vec::new();
    while all.len() < MOST {
        send(stream, NEXT, &[]).await?;
        let (count, taken) = receive(stream).await?;
        if usize::from(count) != taken.len() {
            return Err(invalid("it sent less than it said"));
        }
        if taken.is_empty() {
            return Ok(all);
        }
        all.extend(taken);
    }
    Err(invalid("it sends more sockets than any proxy has"))
}

async fn send(stream: &UnixStream, byte: u8, sockets: &[TcpListener]) -> io::Result<()> {
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

async fn receive(stream: &UnixStream) -> io::Result<(u8, Vec<OwnedFd>)> {
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

fn invalid(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}
