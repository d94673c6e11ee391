//! For how long a client is waited for in a handshake.
//!
//! Apart from what it is waited for: each step of a handshake has a share of one time.

use std::task::{Context, Poll, ready};

use super::failure::Failure;
use crate::alarm::Alarm;
use crate::message::Client;
use crate::metrics::Handshake;

/// For how long a client is waited for.
pub(super) struct Patience<'a> {
    client: &'a Client,
    alarm: Alarm,
    /// The proxy or the listener is to end, and the time is that of a last request.
    last: bool,
}

impl<'a> Patience<'a> {
    pub(super) fn new(client: &'a Client) -> Self {
        let alarm = client.thread.alarms.alarm();
        alarm.set(client.thread.limits.client.handshake);
        Self {
            client,
            alarm,
            last: false,
        }
    }

    pub(super) fn poll<T>(&mut self, cx: &Context<'_>) -> Poll<Result<T, Failure>> {
        if self.client.is_leaving() && !std::mem::replace(&mut self.last, true) {
            let limits = &self.client.thread.limits.client;
            self.alarm.set(limits.last_request.min(limits.handshake));
        }
        ready!(self.alarm.poll(cx));
        Poll::Ready(Err(Handshake::TimedOut.into()))
    }
}
