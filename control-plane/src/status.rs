//! What users are told of their objects: a log line always, and a Kubernetes Event on the
//! object where it has one.
//!
//! Written on transitions only. A start that finds everything as it was tells nothing.

mod bucket;
mod notice;

use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::model::key::{Kind, ObjectKey, Origin};
use crate::project::standing::StandingChange;
use crate::status::bucket::Bucket;
use crate::status::notice::{Notice, notices};

/// The engine's end: never waits.
#[derive(Clone, Debug)]
pub struct Teller {
    changes: mpsc::Sender<StandingChange>,
}

impl Teller {
    /// Passes a change on, or says in the log that it could not.
    pub fn tell(&self, change: StandingChange) {
        if let Err(error) = self.changes.try_send(change) {
            let change = match error {
                mpsc::error::TrySendError::Full(change)
                | mpsc::error::TrySendError::Closed(change) => change,
            };
            tracing::debug!(object = %change.key, "too many changes at once to tell of each");
        }
    }
}

/// Tells of changes, one after the other.
#[derive(Debug)]
pub struct Status {
    changes: mpsc::Receiver<StandingChange>,
    bucket: Bucket,
}

impl Status {
    /// Both ends.
    pub fn new() -> (Teller, Self) {
        let (sender, changes) = mpsc::channel(MAX_WAITING);
        let status = Self {
            changes,
            bucket: Bucket::full(Instant::now()),
        };
        (Teller { changes: sender }, status)
    }

    /// Runs until the engine is gone. Without a client nothing is written to Kubernetes.
    pub async fn run(mut self, client: Option<Client>) {
        let recorder = client.map(|client| {
            let reporter = Reporter {
                controller: "roadstead.dev/ingress-controller".to_owned(),
                instance: None,
            };
            Recorder::new(client, reporter)
        });
        while let Some(change) = self.changes.recv().await {
            for notice in notices(change.before.as_ref(), change.after.as_ref()) {
                log(&change.key, &notice);
                let written = change.key.origin == Origin::Kubernetes;
                if let (Some(recorder), true) = (&recorder, written) {
                    self.write(recorder, &change, &notice).await;
                }
            }
        }
    }

    async fn write(&mut self, recorder: &Recorder, change: &StandingChange, notice: &Notice) {
        if !self.bucket.take(Instant::now(), notice.is_warning()) {
            tracing::debug!(object = %change.key, reason = notice.reason, "no Event: too many at once");
            return;
        }
        let standing = change.after.as_ref().or(change.before.as_ref());
        let reference = reference(&change.key, standing.map_or("", |standing| &standing.uid));
        let event = Event {
            type_: if notice.is_warning() {
                EventType::Warning
            } else {
                EventType::Normal
            },
            reason: notice.reason.to_owned(),
            note: Some(bounded(&notice.note)),
            action: "Route".to_owned(),
            secondary: None,
        };
        if let Err(error) = recorder.publish(&event, &reference).await {
            tracing::warn!(%error, object = %change.key, "the Event could not be written");
        }
    }
}

fn log(key: &ObjectKey, notice: &Notice) {
    if notice.is_warning() {
        tracing::warn!(object = %key, reason = notice.reason, "{}", notice.note);
    } else {
        tracing::info!(object = %key, reason = notice.reason, "{}", notice.note);
    }
}

fn reference(key: &ObjectKey, uid: &str) -> ObjectReference {
    let api_version = match key.kind {
        Kind::EndpointSlice => "discovery.k8s.io/v1",
        Kind::Ingress | Kind::IngressClass => "networking.k8s.io/v1",
        Kind::Service => "v1",
    };
    ObjectReference {
        api_version: Some(api_version.to_owned()),
        kind: Some(key.kind.to_string()),
        name: Some(key.name.to_string()),
        namespace: Some(key.namespace.to_string()).filter(|namespace| !namespace.is_empty()),
        uid: Some(uid.to_owned()),
        ..ObjectReference::default()
    }
}

/// The API takes notes of at most 1 kB.
fn bounded(note: &str) -> String {
    let mut end = note.len().min(MAX_NOTE);
    while !note.is_char_boundary(end) {
        end -= 1;
    }
    note.get(..end).unwrap_or_default().to_owned()
}

const MAX_NOTE: usize = 1000;
/// More changes than this at once are told of by nothing but the log of the engine.
const MAX_WAITING: usize = 4096;
