//! What users are told of their objects: a log line always, and a Kubernetes Event on the
//! object where it has one.
//!
//! Written on transitions only. A start that finds everything as it was tells nothing.

mod bucket;
mod notice;

use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::api::PostParams;
use kube::{Api, Client};
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::clock;
use crate::model::key::{Kind, ObjectKey, Origin};
use crate::project::standing::StandingChange;
use crate::state::CONTROLLER;
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
        while let Some(change) = self.changes.recv().await {
            for notice in notices(change.before.as_ref(), change.after.as_ref()) {
                log(&change.key, &notice);
                let written = change.key.origin == Origin::Kubernetes;
                if let (Some(client), true) = (&client, written) {
                    self.write(client, &change, &notice).await;
                }
            }
        }
    }

    async fn write(&mut self, client: &Client, change: &StandingChange, notice: &Notice) {
        if !self.bucket.take(Instant::now(), notice.is_warning()) {
            tracing::debug!(object = %change.key, reason = notice.reason, "no Event: too many at once");
            return;
        }
        let standing = change.after.as_ref().or(change.before.as_ref());
        let event = event(
            reference(&change.key, standing.map_or("", |standing| &standing.uid)),
            notice,
        );
        let namespace = event.metadata.namespace.as_deref().unwrap_or_default();
        let events: Api<Event> = Api::namespaced(client.clone(), namespace);
        if let Err(error) = events.create(&PostParams::default(), &event).await {
            tracing::warn!(%error, object = %change.key, "the Event could not be written");
        }
    }
}

/// An Event of its own for each notice. kube's recorder makes one of all that have the same
/// reason, with the note of the first: of two rules that are lost, it tells of one.
fn event(regarding: ObjectReference, notice: &Notice) -> Event {
    let namespace = regarding.namespace.clone();
    let now = jiff::Timestamp::from_millisecond(clock::now().0).unwrap_or_default();
    let kind = if notice.is_warning() {
        "Warning"
    } else {
        "Normal"
    };
    Event {
        metadata: ObjectMeta {
            // The server shortens it as it must.
            generate_name: regarding.name.as_ref().map(|name| format!("{name}-")),
            // Where Events on what is in no namespace are looked for.
            namespace: Some(namespace.unwrap_or_else(|| "default".to_owned())),
            ..ObjectMeta::default()
        },
        action: Some("Route".to_owned()),
        event_time: Some(MicroTime(now)),
        note: Some(bounded(&notice.note)),
        reason: Some(notice.reason.to_owned()),
        regarding: Some(regarding),
        reporting_controller: Some(CONTROLLER.to_owned()),
        reporting_instance: Some(CONTROLLER.to_owned()),
        type_: Some(kind.to_owned()),
        ..Event::default()
    }
}

fn log(key: &ObjectKey, notice: &Notice) {
    if notice.is_warning() {
        tracing::warn!(object = %key, reason = notice.reason, "{}", notice.note);
    } else if notice.is_of_its_own_event() {
        tracing::debug!(object = %key, reason = notice.reason, "{}", notice.note);
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
