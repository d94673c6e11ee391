//! Tells HTTP/2 with prior knowledge from HTTP/1 by a connection's first bytes.
//!
//! Apart from both: what has been read is handed on, so that an HTTP/1 request costs no
//! second read. On encrypted connections ALPN decides, not this.

use std::{rc::Rc, task::Poll};

use bytes::BytesMut;
use futures::future::poll_fn;
use tokio::task::yield_now;

use super::Transport;
use crate::alarm::Alarm;
use crate::h1::{Fill, poll_fill};
use crate::message::Client;

/// The protocol, and the bytes read so far.
#[derive(Debug)]
pub(super) enum Sniffed {
    H1(BytesMut),
    H2(BytesMut),
}

/// Reads until it is clear which protocol the client speaks; `None` if it goes or says nothing.
pub(super) async fn sniff<S: Transport>(
    stream: &mut S,
    alarm: &Alarm,
    client: &Rc<Client>,
) -> Option<Sniffed> {
    let mut input = BytesMut::new();
    if client.is_leaving() {
        // It was accepted as its listener closed, and may have asked before that: the runtime
        // knows once it has looked at the socket.
        yield_now().await;
    }
    alarm.set(client.thread.limits.client.first_byte);
    poll_fn(|cx| {
        loop {
            match poll_fill(stream, &mut input, ROOM, cx) {
                Poll::Ready(Ok(Fill::Bytes)) => {
                    let known = input.len().min(PREFACE.len());
                    if input.get(..known) != PREFACE.get(..known) {
                        return Poll::Ready(Some(Sniffed::H1(std::mem::take(&mut input))));
                    }
                    if known == PREFACE.len() {
                        return Poll::Ready(Some(Sniffed::H2(std::mem::take(&mut input))));
                    }
                }
                Poll::Ready(Ok(Fill::Closed) | Err(_)) => return Poll::Ready(None),
                Poll::Pending if client.is_leaving() && input.is_empty() => {
                    return Poll::Ready(None);
                }
                Poll::Pending => return alarm.poll(cx).map(|()| None),
            }
        }
    })
    .await
}

/// What an HTTP/2 client says first.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Room for the first read: an ordinary request fits.
const ROOM: usize = 8 * 1024;
