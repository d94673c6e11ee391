//! Writes the journal beside everything else, and keeps at it when the disk fails.
//!
//! Apart from the file: here is time, there is none.

use std::time::Duration;

use opentelemetry::metrics::{Counter, Meter};
use tokio::{
    sync::{mpsc, watch},
    task::{JoinError, spawn_blocking},
    time::{Instant, sleep_until},
};
use tracing::{debug, error, info, warn};

use super::{Batch, Journal, JournalError};

/// The task that owns the journal.
#[derive(Debug)]
pub struct Writer {
    batches: mpsc::Receiver<Batch>,
    /// What the file does not have yet.
    pending: Option<Batch>,
    /// When to write again what could not be written, or to sync what was.
    due: Option<Instant>,
    /// Whether a process that takes this one's place keeps the journal.
    apart: watch::Receiver<bool>,
    /// The last write failed; said once.
    failing: bool,
    failures: Counter<u64>,
}

#[derive(Debug)]
enum Work {
    Append(Batch),
    Sync,
    StandApart(bool),
}

impl Writer {
    /// The task, and where to send what it shall write. While `apart`, a process that takes this
    /// one's place keeps the journal.
    pub fn new(meter: &Meter, apart: watch::Receiver<bool>) -> (Self, mpsc::Sender<Batch>) {
        let (sender, batches) = mpsc::channel(CAPACITY);
        let failures = meter
            .u64_counter("roadstead_journal_failures")
            .with_description("Writes of the snapshot's journal that failed")
            .build();
        let writer = Self {
            batches,
            pending: None,
            due: None,
            apart,
            failing: false,
            failures,
        };
        (writer, sender)
    }

    /// Writes until there is no one left who sends.
    pub async fn run(mut self, mut journal: Journal) -> Result<(), JoinError> {
        loop {
            let open = self.wait().await;
            let work = match self.apart.has_changed() {
                Ok(true) => Work::StandApart(*self.apart.borrow_and_update()),
                Ok(false) | Err(_) => self.pending.take().map_or(Work::Sync, Work::Append),
            };
            let (back, work, result) = self.carry_out(journal, work).await?;
            journal = back;
            match (result, work) {
                (Ok(()), Work::Append(_)) => {
                    if self.failing {
                        info!("the journal is written again");
                    }
                    self.failing = false;
                    self.due = Some(Instant::now() + SYNC_AFTER);
                }
                (Ok(()), Work::Sync) => self.due = None,
                (Ok(()), Work::StandApart(apart)) => {
                    debug!(apart, "the journal is kept by a successor");
                    self.due = Some(Instant::now());
                }
                (Err(error @ JournalError::Superseded { .. }), work) => {
                    warn!("{error}; this process keeps what it has apart");
                    journal.stand_apart(true);
                    self.again(work);
                }
                (Err(error), work) => self.retry(&error, work),
            }
            if !open {
                return Ok(());
            }
        }
    }

    /// Waits for something to do. False if there is no one left who sends.
    async fn wait(&mut self) -> bool {
        let due = self.due.unwrap_or_else(Instant::now);
        tokio::select! {
            batch = self.batches.recv() => {
                let open = batch.is_some();
                merge(&mut self.pending, batch);
                open
            }
            () = sleep_until(due), if self.due.is_some() => true,
            Ok(()) = self.apart.changed() => {
                self.apart.mark_changed();
                true
            }
        }
    }

    /// Works beside this thread. Batches that come meanwhile are merged, so that those who
    /// send never wait for the disk.
    async fn carry_out(
        &mut self,
        mut journal: Journal,
        work: Work,
    ) -> Result<(Journal, Work, Result<(), JournalError>), JoinError> {
        let mut writing = spawn_blocking(move || {
            let result = match &work {
                Work::Append(batch) => journal.append(batch),
                Work::Sync => journal.sync(),
                Work::StandApart(apart) => {
                    journal.stand_apart(*apart);
                    Ok(())
                }
            };
            (journal, work, result)
        });
        loop {
            tokio::select! {
                done = &mut writing => return done,
                Some(next) = self.batches.recv() => merge(&mut self.pending, Some(next)),
            }
        }
    }

    fn retry(&mut self, error: &JournalError, work: Work) {
        self.failures.add(1, &[]);
        if !self.failing {
            error!("the journal falls behind: {error}; it is tried again every 5 s");
        }
        self.failing = true;
        self.again(work);
        self.due = Some(Instant::now() + RETRY_AFTER);
    }

    /// What was not done is done next, before what came meanwhile.
    fn again(&mut self, work: Work) {
        self.due = Some(Instant::now());
        if let Work::Append(batch) = work {
            let later = self.pending.replace(batch);
            merge(&mut self.pending, later);
        }
    }
}

fn merge(pending: &mut Option<Batch>, next: Option<Batch>) {
    match (pending, next) {
        (Some(pending), Some(next)) => pending.merge(next),
        (pending @ None, next @ Some(_)) => *pending = next,
        (_, None) => {}
    }
}

/// A version's journal entry may be lost to a power cut for so long; the control plane has it.
const SYNC_AFTER: Duration = Duration::from_secs(1);

const RETRY_AFTER: Duration = Duration::from_secs(5);

const CAPACITY: usize = 16;
