//! Tells HTTP/2 with prior knowledge from HTTP/1 by a connection's first bytes.
//!
//! Apart from both: what has been read is handed on, so that an HTTP/1 request costs no
//! second read. On encrypted connections ALPN decides, and the first bytes are only waited for.

use std::{rc::Rc, task::Poll};

use futures::future::poll_fn;

use crate::alarm::Alarm;
use crate::buffers::INPUT;
use crate::h1::{Fill, Input};
use crate::message::{Client, Transport};
use crate::protocol::Agreed;

/// The protocol, and the bytes read so far.
#[derive(Debug)]
pub(super) enum Sniffed {
    H1(Input),
    H2(Input),
}

/// Reads until it is clear which protocol the client speaks; `None` if it goes, says nothing, or
/// does not begin as was agreed.
pub(super) async fn sniff<S: Transport>(
    stream: &mut S,
    agreed: Option<Agreed>,
    alarm: &Alarm,
    client: &Rc<Client>,
) -> Option<Sniffed> {
    let mut last = false;
    alarm.set(client.thread.limits.client.first_byte);
    let mut input = Input::new(&client.thread.buffers);
    let is_h2 = poll_fn(|cx| {
        loop {
            match input.poll_fill(stream, INPUT, cx) {
                Poll::Ready(Ok(Fill::Bytes)) => {
                    if agreed == Some(Agreed::Http1) {
                        return Poll::Ready(Some(false));
                    }
                    let known = input.len().min(PREFACE.len());
                    if input.get(..known) != PREFACE.get(..known) {
                        return Poll::Ready(Some(false));
                    }
                    if known == PREFACE.len() {
                        return Poll::Ready(Some(true));
                    }
                }
                Poll::Ready(Ok(Fill::Closed) | Err(_)) => return Poll::Ready(None),
                Poll::Pending => {
                    if client.is_leaving() && !std::mem::replace(&mut last, true) {
                        alarm.set(client.thread.limits.client.last_request);
                    }
                    return alarm.poll(cx).map(|()| None);
                }
            }
        }
    })
    .await?;
    match (is_h2, agreed) {
        (true, _) => Some(Sniffed::H2(input)),
        (false, None | Some(Agreed::Http1)) => Some(Sniffed::H1(input)),
        (false, Some(Agreed::Http2)) => None,
    }
}

/// What an HTTP/2 client says first.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
