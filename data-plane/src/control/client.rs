//! The stream's client: connects, says hello, and answers each transfer.
//!
//! Apart from what applies transfers, because streams come and go and what is held stays.

use std::sync::Arc;

use roadstead_proto::v1::{self, proxy_message::Message};
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::{Duration, Instant, sleep, timeout},
};
use tonic::{Status, Streaming};
use tracing::{info, warn};

use super::{
    Calls, Connector, Metrics,
    applier::Order,
    backoff::{Backoff, chance},
    connect::Connection,
};
use crate::report::{Identity, Report};
use crate::snapshot::{Assembly, CAPABILITIES, Limits, Refusal, Step, Transfer, Version};

/// The task that holds the stream.
#[derive(Debug)]
pub struct Client {
    identity: Identity,
    connector: Connector,
    orders: mpsc::Sender<Order>,
    report: watch::Receiver<Report>,
    accepted: watch::Receiver<Option<Arc<str>>>,
    calls: watch::Sender<Option<Calls>>,
    metrics: Metrics,
}

/// Why a stream ended.
#[derive(Debug, thiserror::Error)]
enum End {
    #[error("the control plane closed the stream")]
    Closed,
    #[error("{0}")]
    Failed(#[from] Box<Status>),
    #[error("a transfer was refused: {0}")]
    Refused(Refusal),
    #[error("this proxy is ending")]
    Ending,
}

impl Client {
    /// A client that has what it gets applied by whoever receives `orders` and says so in `report`.
    /// The lineage in `accepted` may replace the one that is held. While a stream is open, `calls`
    /// has what the control plane is asked by beside it.
    pub fn new(
        identity: Identity,
        connector: Connector,
        orders: mpsc::Sender<Order>,
        report: watch::Receiver<Report>,
        accepted: watch::Receiver<Option<Arc<str>>>,
        calls: watch::Sender<Option<Calls>>,
        metrics: Metrics,
    ) -> Self {
        Self {
            identity,
            connector,
            orders,
            report,
            accepted,
            calls,
            metrics,
        }
    }

    /// Streams for as long as someone applies. Returns when nobody does any more.
    pub async fn run(mut self) {
        let mut backoff = Backoff::new();
        let mut failing = false;
        while !self.orders.is_closed() {
            let Some(connected) = Box::pin(self.connector.connect(self.hello())).await else {
                // No address: what was kept is served.
                return self.orders.closed().await;
            };
            let started = Instant::now();
            match connected {
                Ok(connection) => {
                    let (address, shown) = (connection.address.clone(), connection.shown.clone());
                    info!(%address, "control plane connected");
                    failing = false;
                    self.metrics.connected();
                    let end = self.follow(connection).await;
                    self.metrics.disconnected();
                    if started.elapsed() > STEADY {
                        backoff.reset();
                        self.connector.arrived();
                    }
                    if let End::Failed(status) = &end {
                        if self.connector.redirect(status) {
                            info!(%address, "another replica of the control plane leads: connecting to it");
                            continue;
                        }
                        shown
                            .iter()
                            .for_each(|shown| self.connector.ended(shown, status));
                    }
                    warn!(%address, "control plane lost: {end}; serving on by the version that is live");
                }
                Err(error) => {
                    self.metrics.connect_failed();
                    if !failing {
                        warn!("control plane not reached: {error}; trying on");
                    }
                    failing = true;
                }
            }
            tokio::select! {
                () = sleep(backoff.pause(chance())) => {}
                // What was refused may be let in now.
                Ok(()) = self.accepted.changed() => {}
                () = self.orders.closed() => {}
            }
        }
    }

    fn hello(&self) -> v1::ProxyMessage {
        let report = self.report.borrow();
        message(Message::Hello(v1::Hello {
            proxy: self.identity.proxy.clone(),
            boot_id: self.identity.boot_id.clone(),
            held: report.version.as_ref().map(Version::to_proto),
            digest: Some(report.digest.to_proto()),
            capabilities: CAPABILITIES.iter().map(|&name| name.to_owned()).collect(),
            binary_version: env!("CARGO_PKG_VERSION").to_owned(),
        }))
    }

    /// Follows a stream to its end.
    async fn follow(&mut self, connection: Connection) -> End {
        let Connection {
            address: _,
            shown: _,
            mut messages,
            answers,
            calls,
        } = connection;
        self.calls.send_replace(Some(calls));
        // What the hello said is known.
        self.report.mark_unchanged();
        let end = self.answer_all(&mut messages, &answers).await;
        self.calls.send_replace(None);
        // So that the last answer is sent before the stream is reset.
        drop(answers);
        let rest = async { while let Ok(Some(_)) = messages.message().await {} };
        let _: Result<(), _> = timeout(LINGER, rest).await;
        end
    }

    async fn answer_all(
        &mut self,
        messages: &mut Streaming<v1::TransferMessage>,
        answers: &mpsc::Sender<v1::ProxyMessage>,
    ) -> End {
        let mut assembly =
            Assembly::new(Limits::default()).accepting(self.accepted.borrow_and_update().clone());
        let mut mismatches = 0;
        // Before its first transfer the control plane does not know what an Ack would be of.
        let mut acknowledged = false;
        loop {
            let (answer, refused) = tokio::select! {
                message = messages.message() => match message {
                    Ok(Some(message)) => match self.take(message, &mut assembly).await {
                        Taken::More => continue,
                        Taken::Live => {
                            mismatches = 0;
                            acknowledged = true;
                            (self.ack(None), None)
                        }
                        Taken::Refused(refusal) => {
                            (self.nack(assembly.offered(), &refusal), Some(refusal))
                        }
                        Taken::Ending => return End::Ending,
                    },
                    Ok(None) => return End::Closed,
                    Err(status) => return End::Failed(status.into()),
                },
                // A listener could be opened at last, another fault came or went, or all that is
                // held was counted.
                changed = self.report.changed(), if acknowledged => match changed {
                    Ok(()) => {
                        let digest = self.report.borrow().digest.to_proto();
                        (self.ack(Some(digest)), None)
                    }
                    Err(_) => return End::Ending,
                },
            };
            if answers.send(answer).await.is_err() {
                return End::Closed;
            }
            match refused {
                None => {}
                // The next transfer repairs what differs.
                Some(Refusal::DigestMismatch) if mismatches < REPAIRS => mismatches += 1,
                Some(refusal) => return End::Refused(refusal),
            }
        }
    }

    async fn take(&mut self, message: v1::TransferMessage, assembly: &mut Assembly) -> Taken {
        let held = self.report.borrow().version.clone();
        let refusal = match assembly.take(message, held.as_ref()) {
            Step::More => return Taken::More,
            Step::Complete(transfer) => match self.order(transfer).await {
                Some(Ok(())) => return Taken::Live,
                Some(Err(refusal)) => refusal,
                None => return Taken::Ending,
            },
            Step::Refused(refusal) => refusal,
        };
        self.metrics.refused(&refusal);
        warn!(reason = refusal.reason(), "transfer refused: {refusal}");
        Taken::Refused(refusal)
    }

    /// Has a transfer applied. None if nobody applies any more.
    async fn order(&mut self, transfer: Transfer) -> Option<Result<(), Refusal>> {
        let (answer, answered) = oneshot::channel();
        self.orders.send((transfer, answer)).await.ok()?;
        let result = answered.await.ok()?;
        // What changed is in the answer to the transfer.
        self.report.mark_unchanged();
        Some(result)
    }

    /// Of what is held; with its digest where no transfer is answered.
    fn ack(&self, digest: Option<v1::Digest>) -> v1::ProxyMessage {
        let report = self.report.borrow();
        let faults = report.faults.iter().map(|(key, fault)| v1::Fault {
            resource: Some(key.to_proto()),
            reason: fault.reason.as_str().to_owned(),
            message: fault.message.clone(),
        });
        message(Message::Ack(v1::Ack {
            version: report.version.as_ref().map(Version::to_proto),
            endpoints_revision: report.endpoints_revision,
            faults: faults.collect(),
            digest,
        }))
    }

    fn nack(&self, offered: Option<&v1::Version>, refusal: &Refusal) -> v1::ProxyMessage {
        message(Message::Nack(v1::Nack {
            version: offered.cloned(),
            reason: refusal.reason().to_owned(),
            digest: Some(self.report.borrow().digest.to_proto()),
        }))
    }
}

/// What became of a message.
#[derive(Debug)]
enum Taken {
    More,
    Live,
    Refused(Refusal),
    /// Nobody applies any more.
    Ending,
}

fn message(message: Message) -> v1::ProxyMessage {
    v1::ProxyMessage {
        message: Some(message),
    }
}

/// A stream that lasted so long was a good one: the next attempt is made soon.
const STEADY: Duration = Duration::from_secs(5);

/// Transfers in a row whose digest may differ before the stream is given up.
const REPAIRS: u32 = 3;

/// For the last answer to reach the control plane.
const LINGER: Duration = Duration::from_secs(1);
