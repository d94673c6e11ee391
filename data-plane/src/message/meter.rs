//! Follows one request from its head to the last byte of its answer and reports it once.
//!
//! Apart from proxy and codecs, which both know a part of the story: whatever ends a request,
//! even a panic, the report is made when this is dropped.

use std::{net::SocketAddr, rc::Rc, time::Duration};

use http::StatusCode;
use tokio::time::Instant;

use super::{BodyError, Client, Head};
use crate::access_log::{Line, Outcome, Start};
use crate::clock;
use crate::drain::Phase;
use crate::protocol::Protocol;
use crate::reason::Reason;
use crate::snapshot::Version;
use crate::telemetry::{Asked, Ended, RequestSpan};

/// One request's story.
#[derive(Debug)]
pub struct Meter {
    client: Rc<Client>,
    protocol: Protocol,
    began: Instant,
    /// None until the response has begun.
    status: Option<StatusCode>,
    reason: Option<Reason>,
    received: u64,
    sent: u64,
    /// Where the request went last.
    upstream: Option<SocketAddr>,
    line: Option<Box<Line>>,
    span: Option<RequestSpan>,
}

impl Meter {
    /// Begins with a request that was read.
    pub fn begin(client: &Rc<Client>, head: &Head) -> Self {
        Self::new(client, head.protocol, Some(head))
    }

    /// Begins with a request that could not be read.
    pub fn begin_unread(client: &Rc<Client>, protocol: Protocol) -> Self {
        Self::new(client, protocol, None)
    }

    pub fn client(&self) -> &Rc<Client> {
        &self.client
    }

    /// Traces the request, if it is one of those that are drawn.
    pub fn trace(&mut self, head: &mut Head) {
        let Some(traces) = &self.client.thread.traces else {
            return;
        };
        let asked = Asked {
            method: &head.method,
            host: head
                .authority
                .as_str()
                .get(..head.host_len)
                .unwrap_or_default(),
            path: head
                .target
                .as_str()
                .get(..head.path_len)
                .unwrap_or_default(),
            protocol: self.protocol.as_str(),
            listener: &self.client.listener.name,
        };
        let draw = traces.draws.draw();
        self.span = traces.requests.begin(draw, &asked, &mut head.headers);
    }

    /// The version that decides.
    pub fn version(&mut self, version: &Version) {
        if let Some(line) = &mut self.line {
            line.version(version);
        }
        if let Some(span) = &mut self.span {
            span.version(version.to_string());
        }
    }

    /// The rule that decides.
    pub fn route(&mut self, route: &str) {
        if let Some(line) = &mut self.line {
            line.route(route);
        }
        if let Some(span) = &mut self.span {
            span.route(route);
        }
    }

    /// No rule decides: a CA is answered.
    pub fn challenge(&mut self) {
        self.route(CHALLENGE);
        self.client.thread.metrics.challenges.add(1);
    }

    /// Where the request goes; the last time counts.
    pub fn upstream(&mut self, address: SocketAddr) {
        self.upstream = Some(address);
    }

    /// The response begins.
    pub fn status(&mut self, status: StatusCode) {
        self.status = Some(status);
    }

    /// What went wrong; the first word counts.
    pub fn fail(&mut self, reason: Reason) {
        self.reason.get_or_insert(reason);
    }

    /// The request ends before its answer: the client has gone, or what is open is cut.
    pub fn abandon(&mut self) {
        self.fail(match self.client.thread.drain.phase() {
            Phase::Open | Phase::Draining => Reason::ClientGone,
            Phase::Cutting => Reason::Drain,
        });
    }

    /// The body of the answer did not come whole from the upstream.
    pub fn cut(&mut self, error: BodyError) {
        self.fail(match error {
            BodyError::Cut => Reason::UpstreamClosed,
            BodyError::Malformed | BodyError::TooLarge => Reason::UpstreamMalformed,
            BodyError::Stalled => Reason::UpstreamTimeout,
        });
    }

    pub fn received(&mut self, bytes: u64) {
        self.received += bytes;
    }

    pub fn sent(&mut self, bytes: u64) {
        self.sent += bytes;
    }

    fn new(client: &Rc<Client>, protocol: Protocol, head: Option<&Head>) -> Self {
        let thread = &client.thread;
        let began = clock::now();
        let line = if thread.log.is_off() {
            None
        } else {
            let (method, host, path) = head.map_or(("", "", ""), |head| {
                (head.method.as_str(), head.host(), head.path())
            });
            let start = Start {
                time: thread.clock.wall_at(began),
                listener: &client.listener.name,
                client: client.address,
                protocol,
                method,
                host,
                path,
            };
            thread.log.line(&start).map(Box::new)
        };
        Self {
            client: Rc::clone(client),
            protocol,
            began,
            status: None,
            reason: None,
            received: 0,
            sent: 0,
            upstream: None,
            line,
            span: None,
        }
    }

    fn took(&self) -> Duration {
        clock::now().saturating_duration_since(self.began)
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        let took = self.took();
        let status = self.status.map_or(NO_ANSWER, |status| status.as_u16());
        // Nothing comes to its end any more while what is open is cut.
        let cut = self.client.thread.drain.phase() == Phase::Cutting;
        if cut || self.status.is_none() {
            self.abandon();
        }
        let listener = &self.client.listener.metrics;
        listener.request(self.protocol, status);
        listener.duration.record(took);
        listener.received.add(self.received);
        listener.sent.add(self.sent);
        let thread = &self.client.thread;
        if let Some(reason) = self.reason {
            thread.metrics.reason(reason);
        }
        if let Some(span) = self.span.take() {
            span.end(Ended {
                upstream: self.upstream,
                status,
                sent: self.sent,
                reason: self.reason.map(Reason::as_str),
            });
        }
        if let Some(line) = self.line.take() {
            let line = line.finish(Outcome {
                upstream: self.upstream,
                status,
                bytes: self.sent,
                took,
                reason: self.reason,
            });
            thread.log.push(&line, &thread.metrics.log_lines_dropped);
        }
    }
}

/// In log and traces, the route of what a CA asks. No rule's id is so.
const CHALLENGE: &str = "acme-challenge";

/// In log and metrics, the status of a request that ended before any answer: in general because
/// its client went.
const NO_ANSWER: u16 = 499;
