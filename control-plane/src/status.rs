//! What users are told of their objects: a log line always, a Kubernetes Event on the object where
//! it has one, and in the status of an Ingress the addresses where it is reached.
//!
//! Events are written on transitions only. A start that finds everything as it was tells nothing.
//! Log lines are written by who makes the change; Events go at the pace that the API server is
//! meant to bear, what owners wait for first, and wait for as long as that takes. Statuses are
//! written where they differ from what should stand there, at a pace of their own.

mod addresses;
mod board;
mod bucket;
mod ingress;
mod notice;
mod waiting;
mod writer;

use std::collections::BTreeMap;
use std::sync::Arc;

use kube::Client;

use crate::metrics::status::StatusMetrics;
use crate::model::address::Sighting;
use crate::model::key::{ObjectKey, Origin};
use crate::project::standing::{Standing, StandingChange};
use crate::status::board::Board;
use crate::status::notice::{Notice, notices};
use crate::status::waiting::Waiting;
use crate::status::writer::Writer;

pub use addresses::Whereabouts;

/// The engine's end: never waits, and loses nothing.
#[derive(Debug)]
pub struct Teller {
    waiting: Arc<Waiting>,
    board: Arc<Board>,
}

impl Teller {
    /// Says a change in the log, and has an Event written of it, and what status it comes to.
    pub fn tell(&self, change: StandingChange) {
        for notice in notices(change.before.as_ref(), change.after.as_ref()) {
            log(&change.key, &notice);
        }
        self.board.stands(&change.key, change.after.as_ref());
        if change.key.origin == Origin::Kubernetes {
            self.waiting.add(change);
        }
    }

    /// From now on nothing is written on anybody's object: other controllers still run; or it is
    /// again, what changes from now on as Events, statuses wherever they are not as they should be.
    pub fn silence(&self, silent: bool) {
        if self.waiting.silence(silent) {
            tracing::info!(
                "nothing is written on users' objects while beside.controllers names a controller"
            );
        }
        self.board.silence(silent);
    }

    /// All first lists are complete: from here on it is known which Ingresses are served.
    pub fn complete(&self) {
        self.board.complete();
    }
}

impl Drop for Teller {
    fn drop(&mut self) {
        self.waiting.end();
        self.board.end();
    }
}

/// Writes Events, one after the other, and statuses.
#[derive(Debug)]
pub struct Status {
    waiting: Arc<Waiting>,
    board: Arc<Board>,
}

/// How statuses of Ingresses are written.
#[derive(Debug)]
pub struct Publishing {
    pub whereabouts: Whereabouts,
    pub writes_per_second: u32,
    /// Over what another field manager wrote, too.
    pub take_over: bool,
    pub metrics: StatusMetrics,
}

impl Status {
    /// Both ends, for objects that stand so to begin with.
    pub fn new(standings: &BTreeMap<ObjectKey, Standing>) -> (Teller, Self) {
        let waiting = Arc::new(Waiting::default());
        let board = Arc::new(Board::of(standings.iter()));
        let teller = Teller {
            waiting: waiting.clone(),
            board: board.clone(),
        };
        (teller, Self { waiting, board })
    }

    /// Where a watch tells what it sees of the statuses of Ingresses, for who writes them.
    pub fn sightings(&self, take_over: bool) -> impl Fn(Sighting) + Send + Sync + 'static {
        self.board.open(take_over);
        let board = self.board.clone();
        move |sighting| board.see(sighting)
    }

    /// Runs until the engine is gone. Without a client nothing is written to Kubernetes.
    pub async fn run(self, client: Option<Client>, publishing: Option<Publishing>) {
        let Self { waiting, board } = self;
        let Some(client) = client else {
            return waiting.run_out().await;
        };
        let statuses = async {
            let Some(publishing) = publishing else { return };
            let Publishing {
                whereabouts,
                writes_per_second,
                take_over,
                metrics,
            } = publishing;
            let writer =
                ingress::Writer::new(client.clone(), writes_per_second, take_over, metrics);
            let following = async {
                addresses::follow(whereabouts, client.clone(), &board).await;
                std::future::pending::<()>().await;
            };
            tokio::select! {
                () = writer.run(&board) => {}
                () = following => {}
            }
        };
        let events = Writer::new(client.clone()).run(&waiting);
        tokio::join!(Box::pin(events), Box::pin(statuses));
    }
}

/// That an object is used is said where its record is.
fn log(key: &ObjectKey, notice: &Notice) {
    if notice.is_warning() {
        tracing::warn!(object = %key, reason = notice.reason, "{}", notice.note);
    } else if notice.is_regained() {
        tracing::info!(object = %key, reason = notice.reason, "{}", notice.note);
    }
}

#[cfg(test)]
mod tests;
