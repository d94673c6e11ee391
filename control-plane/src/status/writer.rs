//! Writes Events to the Kubernetes API, at a bounded pace, until they are written.

use std::time::Duration;

use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::api::PostParams;
use kube::{Api, Client};
use tokio::time::{Instant, sleep, timeout};

use crate::backoff;
use crate::clock;
use crate::model::key::{Kind, ObjectKey};
use crate::project::standing::StandingChange;
use crate::state::CONTROLLER;
use crate::status::bucket::Bucket;
use crate::status::notice::{Notice, notices};
use crate::status::waiting::Waiting;

/// The one that writes.
pub(super) struct Writer {
    client: Client,
    bucket: Bucket,
}

impl Writer {
    pub(super) fn new(client: Client) -> Self {
        Self {
            client,
            bucket: Bucket::full(Instant::now()),
        }
    }

    /// Writes what waits, until nothing more comes.
    pub(super) async fn run(mut self, waiting: &Waiting) {
        while let Some(change) = waiting.next().await {
            for notice in notices(change.before.as_ref(), change.after.as_ref()) {
                if self.may_write(&change.key, &notice).await {
                    self.write(waiting, &change, &notice).await;
                }
            }
        }
    }

    /// What its owner waits for waits for its turn. Of news only so much is written as leaves room for
    /// warnings: ten thousand Ingresses that were accepted are no news to anyone.
    async fn may_write(&mut self, key: &ObjectKey, notice: &Notice) -> bool {
        let awaited = notice.is_awaited();
        loop {
            let now = Instant::now();
            if self.bucket.take(now, awaited) {
                return true;
            }
            if !awaited {
                tracing::debug!(object = %key, reason = notice.reason, "no Event: too many at once");
                return false;
            }
            sleep(self.bucket.until_next()).await;
        }
    }

    /// Returns once it is written, refused for good, or not to be written any more.
    async fn write(&self, waiting: &Waiting, change: &StandingChange, notice: &Notice) {
        let standing = change.after.as_ref().or(change.before.as_ref());
        let event = event(
            reference(&change.key, standing.map_or("", |standing| &standing.uid)),
            notice,
        );
        let namespace = event.metadata.namespace.as_deref().unwrap_or_default();
        let events: Api<Event> = Api::namespaced(self.client.clone(), namespace);
        let mut in_a_row = 0;
        while !waiting.is_silent() {
            let params = PostParams::default();
            let error = match timeout(PATIENCE, events.create(&params, &event)).await {
                Ok(Ok(_)) => return,
                Ok(Err(kube::Error::Api(status))) if is_final(status.code, in_a_row) => {
                    tracing::warn!(error = %status, object = %change.key, reason = notice.reason, "the Event could not be written");
                    return;
                }
                Ok(Err(error)) => error.to_string(),
                Err(elapsed) => elapsed.to_string(),
            };
            in_a_row += 1;
            if in_a_row == 1 {
                tracing::warn!(error, object = %change.key, "the Event is not written yet: trying again");
            }
            sleep(backoff::delay(in_a_row)).await;
        }
    }
}

/// Whether asking again is of no use. Of an answer that the server itself is at fault, one
/// namespace's webhook can be the cause: it must not keep all others' Events.
fn is_final(code: u16, in_a_row: u32) -> bool {
    match code {
        // Too many requests; a generated name that was taken.
        409 | 429 => false,
        500.. => in_a_row >= TRIES_OF_AN_ANSWER,
        _ => true,
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

fn reference(key: &ObjectKey, uid: &str) -> ObjectReference {
    let api_version = match key.kind {
        // None is at the API server.
        Kind::Certificate | Kind::TicketSecret => "roadstead.dev",
        Kind::EndpointSlice => "discovery.k8s.io/v1",
        Kind::Ingress | Kind::IngressClass => "networking.k8s.io/v1",
        Kind::Secret | Kind::Service => "v1",
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
/// Longer than any API server that will still answer.
const PATIENCE: Duration = Duration::from_secs(15);
/// About half a minute.
const TRIES_OF_AN_ANSWER: u32 = 8;
