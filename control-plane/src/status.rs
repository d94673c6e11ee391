//! What users are told of their objects: a log line always, and a Kubernetes Event on the
//! object where it has one.
//!
//! Written on transitions only. A start that finds everything as it was tells nothing. Log
//! lines are written by who makes the change; Events go at the pace that the API server is
//! meant to bear, what owners wait for first, and wait for as long as that takes.

mod bucket;
mod notice;
mod waiting;
mod writer;

use std::sync::Arc;

use kube::Client;

use crate::model::key::{ObjectKey, Origin};
use crate::project::standing::StandingChange;
use crate::status::notice::{Notice, notices};
use crate::status::waiting::Waiting;
use crate::status::writer::Writer;

/// The engine's end: never waits, and loses nothing.
#[derive(Debug)]
pub struct Teller {
    waiting: Arc<Waiting>,
}

impl Teller {
    /// Says a change in the log, and has an Event written of it.
    pub fn tell(&self, change: StandingChange) {
        for notice in notices(change.before.as_ref(), change.after.as_ref()) {
            log(&change.key, &notice);
        }
        if change.key.origin == Origin::Kubernetes {
            self.waiting.add(change);
        }
    }
}

impl Drop for Teller {
    fn drop(&mut self) {
        self.waiting.end();
    }
}

/// Writes Events, one after the other.
#[derive(Debug)]
pub struct Status {
    waiting: Arc<Waiting>,
}

impl Status {
    /// Both ends.
    pub fn new() -> (Teller, Self) {
        let waiting = Arc::new(Waiting::default());
        let teller = Teller {
            waiting: waiting.clone(),
        };
        (teller, Self { waiting })
    }

    /// Runs until the engine is gone. Without a client nothing is written to Kubernetes.
    pub async fn run(self, client: Option<Client>) {
        match client {
            Some(client) => Writer::new(client).run(&self.waiting).await,
            None => self.waiting.run_out().await,
        }
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
