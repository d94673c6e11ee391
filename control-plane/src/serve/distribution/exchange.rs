//! Transfers to one proxy, and its answers.
//!
//! What is said is the dialogue's; here are waiting, limits, and who has to hear of it. Nothing is
//! queued: what comes to be while a transfer is on its way is part of the next.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use roadstead_proto::v1::{self, proxy_message::Message};
use tokio::sync::{OwnedSemaphorePermit, mpsc, watch};
use tokio::time::{Instant, sleep_until, timeout, timeout_at};
use tonic::{Status, Streaming};
use tracing::{Instrument as _, Span, info_span};

use crate::observe::Observation;
use crate::presence::{Fault, Report, StreamId};
use crate::serve::distribution::ending::Ending;
use crate::serve::distribution::frame::Frame;
use crate::serve::distribution::hello::Hello;
use crate::serve::distribution::transfer::{Transfer, scope};
use crate::serve::distribution::{Common, acknowledgement};
use crate::snapshot::Version;
use crate::snapshot::dialogue::{Dialogue, Heard};
use crate::snapshot::publication::Publication;
use crate::telemetry::trace;

/// A stream whose proxy said hello.
pub(super) struct Exchange {
    pub(super) common: Arc<Common>,
    pub(super) publications: watch::Receiver<Arc<Publication>>,
    /// Where the engine hears of this proxy, if this replica leads.
    pub(super) reports: Option<mpsc::Sender<Observation>>,
    pub(super) proxy: Arc<str>,
    pub(super) stream: StreamId,
    pub(super) inbound: Streaming<v1::ProxyMessage>,
    pub(super) outbound: mpsc::Sender<Result<Frame, Status>>,
    pub(super) dialogue: Dialogue,
    /// When faults may be told anew without a transfer.
    pub(super) renewable: Instant,
}

/// What a proxy says to a transfer.
enum Answer {
    Ack(Arc<Publication>, Vec<Fault>),
    /// Because of this.
    Nack(String),
}

impl Exchange {
    /// Transfers, one after the other, until the stream ends.
    pub(super) async fn transfers(&mut self, hello: Hello) -> Result<Infallible, Ending> {
        self.dialogue = Dialogue::new(hello.base, hello.held);
        let mut refused = 0;
        loop {
            // ## Idle
            let publication = self.news().await?;
            let (publication, transfer, permit) = self.prepare(publication).await;
            // ## Idle => Waiting
            if let Some((lineage, held)) = self.dialogue.begin(&publication) {
                warn_of_strange_version(&self.proxy, &lineage, held, &publication);
            }
            let span = self.span_of(&publication, &transfer);
            let (answer, after) = self.transfer(&transfer).instrument(span).await?;
            drop(permit);
            match answer {
                // ## Waiting => Idle
                Answer::Ack(publication, faults) => {
                    refused = 0;
                    self.common.metrics.acknowledged(after);
                    self.acknowledge(&publication, faults).await;
                }
                // ## Waiting => Idle, with something to send at once
                Answer::Nack(reason) => {
                    refused += 1;
                    self.common.metrics.refused();
                    let proxy = &*self.proxy;
                    tracing::warn!(proxy, reason, "a proxy could not use a transfer");
                    if refused >= REFUSALS {
                        let times = refused;
                        return Err(Ending::Refused { times, reason });
                    }
                }
            }
        }
    }

    /// A publication that the proxy does not have: at once if it is not known to have the
    /// newest. Meanwhile it may tell that its faults changed.
    async fn news(&mut self) -> Result<Arc<Publication>, Ending> {
        loop {
            tokio::select! {
                newest = newer(&mut self.publications, &self.dialogue) => return newest,
                message = next_after(self.renewable, &mut self.inbound) => {
                    match message? {
                        Some(Message::Ack(ack)) => self.renew(ack).await?,
                        Some(Message::Nack(nack)) => self.dialogue.refuse(&nack)?,
                        Some(Message::Hello(_)) => return Err(SECOND_HELLO),
                        None => {}
                    }
                }
            }
        }
    }

    /// The transfer to the newest publication. A costly one waits for its turn, and is made
    /// of what is newest then.
    async fn prepare(
        &self,
        mut publication: Arc<Publication>,
    ) -> (
        Arc<Publication>,
        Arc<Transfer>,
        Option<OwnedSemaphorePermit>,
    ) {
        let mut permit = None;
        if self.dialogue.extent(&publication).is_costly(&publication) {
            permit = Arc::clone(&self.common.large).acquire_owned().await.ok();
            publication = Arc::clone(&self.publications.borrow());
        }
        let extent = self.dialogue.extent(&publication);
        let transfer = self.common.transfers.get(&publication, &extent).await;
        let metrics = &self.common.metrics;
        metrics.transferred(scope(&extent), transfer.bytes());
        (
            publication,
            Arc::clone(&transfer),
            permit.filter(|_| transfer.is_large()),
        )
    }

    /// From the first byte to the answer, as part of the trace of the change.
    fn span_of(&self, publication: &Publication, transfer: &Transfer) -> Span {
        let Some(parent) = publication.trace_parent() else {
            return Span::none();
        };
        let proxy = &*self.proxy;
        let version = publication.snapshot().version();
        let span = info_span!("transfer", proxy, %version, bytes = transfer.bytes());
        trace::follow(&span, parent);
        span
    }

    /// The proxy's answer, and how long it took from the last byte.
    async fn transfer(&mut self, transfer: &Transfer) -> Result<(Answer, Duration), Ending> {
        self.send(transfer).await?;
        let sent = Instant::now();
        let answer = self.answer().await?;
        Ok((answer, sent.elapsed()))
    }

    async fn send(&self, transfer: &Transfer) -> Result<(), Ending> {
        let after = self.common.patience.send;
        for frame in transfer.frames() {
            match timeout(after, self.outbound.send(Ok(frame.clone()))).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return Err(Ending::Closed),
                Err(_) => {
                    let awaited = "reading of a transfer";
                    return Err(Ending::Timeout { awaited, after });
                }
            }
        }
        Ok(())
    }

    async fn answer(&mut self) -> Result<Answer, Ending> {
        let after = self.common.patience.answer;
        let deadline = Instant::now() + after;
        let mut crossed = false;
        loop {
            let message = timeout_at(deadline, next(&mut self.inbound)).await;
            let awaited = "answer to a transfer";
            match message.map_err(|_| Ending::Timeout { awaited, after })?? {
                Some(Message::Ack(ack)) => match self.dialogue.acknowledge(&ack)? {
                    Heard::Answer(publication) => {
                        return Ok(Answer::Ack(publication, acknowledgement::faults(ack)?));
                    }
                    // It was on its way when the transfer began. More of them are not hurried.
                    heard @ (Heard::Again(_) | Heard::Differently(_)) => {
                        if std::mem::replace(&mut crossed, true) {
                            sleep_until(self.renewable).await;
                        }
                        self.again(heard, ack).await?;
                    }
                },
                Some(Message::Nack(nack)) => {
                    self.dialogue.refuse(&nack)?;
                    return Ok(Answer::Nack(acknowledgement::line(&nack.reason)));
                }
                Some(Message::Hello(_)) => return Err(SECOND_HELLO),
                None => {}
            }
        }
    }

    /// An acknowledgement, and no transfer is on its way.
    async fn renew(&mut self, ack: v1::Ack) -> Result<(), Ending> {
        let heard = self.dialogue.acknowledge(&ack)?;
        self.again(heard, ack).await
    }

    /// What was acknowledged before is acknowledged again, because the faults are others now, or
    /// because the proxy counted what it holds. If that is something else, it is sent what differs.
    async fn again(&mut self, heard: Heard, ack: v1::Ack) -> Result<(), Ending> {
        let (publication, pause) = match heard {
            Heard::Answer(publication) | Heard::Again(publication) => (publication, RENEWAL),
            Heard::Differently(publication) => {
                let (proxy, version) = (&*self.proxy, publication.snapshot().version());
                tracing::warn!(proxy, %version, "a proxy holds something else than it acknowledged: it is sent what differs");
                self.common.metrics.differed();
                (publication, REPAIR)
            }
        };
        self.renewable = Instant::now() + pause;
        let faults = acknowledgement::faults(ack)?;
        self.acknowledge(&publication, faults).await;
        Ok(())
    }

    async fn acknowledge(&self, publication: &Publication, faults: Vec<Fault>) {
        let snapshot = publication.snapshot();
        let (proxy, version) = (&*self.proxy, snapshot.version());
        tracing::debug!(proxy, %version, faults = faults.len(), "a proxy uses this version");
        self.report(Report::Acknowledged {
            proxy: Arc::clone(&self.proxy),
            stream: self.stream,
            version,
            endpoints_revision: snapshot.endpoints_revision(),
            faults,
        })
        .await;
    }

    /// Without an engine there is nobody to tell, and this process is about to end.
    pub(super) async fn report(&self, report: Report) {
        if let Some(reports) = &self.reports {
            let _ = reports.send(Observation::Proxy(report)).await;
        }
    }
}

/// The newest publication, once it is one that the proxy is not known to have.
async fn newer(
    publications: &mut watch::Receiver<Arc<Publication>>,
    dialogue: &Dialogue,
) -> Result<Arc<Publication>, Ending> {
    match publications
        .wait_for(|newest| dialogue.is_news(newest))
        .await
    {
        Ok(newest) => Ok(Arc::clone(&newest)),
        Err(_) => Err(Ending::Stopping),
    }
}

/// The next message; `None` for one of a kind that only later releases know.
pub(super) async fn next(
    inbound: &mut Streaming<v1::ProxyMessage>,
) -> Result<Option<Message>, Ending> {
    match inbound.message().await {
        Ok(Some(message)) => Ok(message.message),
        Ok(None) => Err(Ending::Closed),
        Err(status) => Err(Ending::Broken(status)),
    }
}

async fn next_after(
    time: Instant,
    inbound: &mut Streaming<v1::ProxyMessage>,
) -> Result<Option<Message>, Ending> {
    sleep_until(time).await;
    next(inbound).await
}

/// The proxy decides what it takes; people must know why it may refuse.
fn warn_of_strange_version(proxy: &str, lineage: &str, held: Version, newest: &Publication) {
    let ours = newest.snapshot().version();
    if lineage != &**newest.lineage() {
        let (theirs, ours) = (lineage, &**newest.lineage());
        tracing::error!(
            proxy,
            theirs,
            ours,
            "a proxy holds a version of another installation, and will refuse ours until an \
             operator permits it"
        );
    } else if held > ours {
        tracing::error!(
            proxy,
            %held,
            %ours,
            "a proxy holds a higher version than ours, and will refuse ours: the log was lost or \
             put back, or another leader is at work"
        );
    }
}

const SECOND_HELLO: Ending = Ending::Protocol("a second Hello");
/// A proxy that refuses the same over and over is broken, and its connection may be, too.
const REFUSALS: u32 = 3;
/// How long one that holds something else than it said is not heard, but for answers: to find out
/// what differs, and to send it, costs more than to say so.
const REPAIR: Duration = Duration::from_secs(10);
/// How often faults may be told without a transfer.
const RENEWAL: Duration = Duration::from_millis(200);
