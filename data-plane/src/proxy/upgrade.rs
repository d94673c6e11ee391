//! Joins a client and an upstream that have left HTTP for the WebSocket protocol.
//!
//! Apart from forwarding: from here on there are no messages, only bytes both ways, and the one
//! limit is how long nothing may be said.

use std::{
    io,
    pin::{Pin, pin},
    rc::Rc,
    task::{Context, Poll},
};

use bytes::Bytes;
use futures::future::{Either, poll_fn, select};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf, copy_bidirectional_with_sizes};

use crate::{
    alarm::Alarm,
    message::{Duplex, Meter, Tunnel},
    reason::Reason,
    thread::Thread,
};

/// Copies both ways until both ends have closed, or nothing has come for too long.
pub(super) async fn join(
    thread: &Rc<Thread>,
    (client, early): (Box<dyn Duplex>, Bytes),
    tunnel: Tunnel,
    mut meter: Meter,
) {
    let listener = Rc::clone(&meter.client().listener);
    listener.metrics.tunnels_open.add(1);
    let alarm = thread.alarms.alarm();
    let idle = thread.limits.client.tunnel_idle;
    alarm.set(idle);
    let watch = |stream| Watched {
        stream,
        alarm: &alarm,
        idle,
    };
    let (mut client, mut upstream) = (watch(client), watch(tunnel.stream));
    let copying = pin!(async {
        client.write_all(&tunnel.early).await?;
        upstream.write_all(&early).await?;
        copy_bidirectional_with_sizes(&mut client, &mut upstream, BUFFER, BUFFER).await
    });
    let idling = poll_fn(|cx| alarm.poll(cx));
    match select(copying, idling).await {
        Either::Left((Ok((received, sent)), _)) => {
            meter.received(received + early.len() as u64);
            meter.sent(sent + tunnel.early.len() as u64);
        }
        // Whoever broke the connection is not told apart; both ends see it broken.
        Either::Left((Err(_), _)) => {}
        Either::Right(_) => meter.fail(Reason::ClientTimeout),
    }
    listener.metrics.tunnels_open.add(-1);
}

/// One end, on which every byte that comes puts off the alarm.
struct Watched<'a> {
    stream: Box<dyn Duplex>,
    alarm: &'a Alarm,
    idle: std::time::Duration,
}

impl AsyncRead for Watched<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.stream).poll_read(cx, buffer);
        if read.is_ready() {
            self.alarm.set(self.idle);
        }
        read
    }
}

impl AsyncWrite for Watched<'_> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// Bytes on their way, in each direction.
const BUFFER: usize = 16 * 1024;
