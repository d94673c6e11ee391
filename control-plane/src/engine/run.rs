//! The engine's loop: when a turn begins, when it is published, and what is done between.

use std::future::ready;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};
use tracing::{Span, field, info_span};

use crate::engine::{Batch, Engine, Log, Outlets};
use crate::observe::Observation;

impl<L: Log, O: Outlets> Engine<L, O> {
    /// Leads until the inbox is closed or the term is over, then stores the endpoints that are
    /// not yet.
    ///
    /// `floor` is the least time between the end of a publication and the next: under a storm
    /// of changes it bounds what proxies are sent, and a lone change never waits for it.
    /// Must run on a thread of its own, because appending blocks.
    pub async fn run(
        &mut self,
        mut inbox: mpsc::Receiver<Observation>,
        floor: Duration,
        over: impl Future<Output = ()>,
    ) {
        tokio::pin!(over);
        let mut published: Option<Instant> = None;
        let mut housekeeping = interval(Duration::from_secs(1));
        housekeeping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut waiting: Option<Observation> = None;
        // That of the newest change, until it is published.
        let mut trace = Span::none();
        let deposed = loop {
            let first = match waiting.take() {
                Some(observation) => Some(observation),
                None => {
                    let due = published.filter(|_| self.has_news()).map(|at| at + floor);
                    tokio::select! {
                        () = &mut over => break true,
                        received = inbox.recv() => match received {
                            Some(observation) => Some(observation),
                            None => break false,
                        },
                        () = until(due) => None,
                        () = ready(()), if self.is_untidy() => None,
                        _ = housekeeping.tick() => {
                            self.housekeep();
                            self.outlets.beat();
                            None
                        }
                    }
                }
            };
            let mut batch = Batch::default();
            if let Some(first) = first {
                waiting = fill(&mut batch, first, &mut inbox);
            }
            let began = Instant::now();
            let turns = !batch.is_empty();
            if turns {
                let span = span_of(&batch);
                span.in_scope(|| self.turn(batch));
                span.record("seq", self.fold().state().seq().0);
                if self.has_news() {
                    trace = span;
                }
            }
            let floor_passed = published.is_none_or(|at| began >= at + floor);
            if floor_passed && self.has_news() {
                std::mem::replace(&mut trace, Span::none()).in_scope(|| self.publish());
                published = Some(Instant::now());
            }
            if turns {
                self.outlets.turned(began.elapsed());
            }
            if self.is_untidy() {
                // One step for each turn, so that neither waits for all of the other.
                self.tidy();
            }
        };
        if !deposed {
            self.record_acknowledged();
        }
        self.write_behind();
    }
}

/// The trace of a change begins with the turn that takes it in. What proxies report is no
/// change, and a thousand of them answer each.
fn span_of(batch: &Batch) -> Span {
    if batch.is_of_proxies() {
        return Span::none();
    }
    info_span!("turn", observations = batch.len(), seq = field::Empty)
}

/// Takes what has arrived, up to the first observation that has to wait.
fn fill(
    batch: &mut Batch,
    first: Observation,
    inbox: &mut mpsc::Receiver<Observation>,
) -> Option<Observation> {
    let mut next = Some(first);
    while let Some(observation) = next {
        let waiting = batch.add(observation);
        if waiting.is_some() {
            return waiting;
        }
        next = inbox.try_recv().ok();
    }
    None
}

async fn until(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due).await,
        None => std::future::pending().await,
    }
}
