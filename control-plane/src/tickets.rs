//! The secrets of session tickets: from one of them all proxies derive the same keys, so that a
//! session that a client began at one is resumed at any.
//!
//! Proxies derive other keys every few hours. What they derive them from is made anew once a day all
//! the same, and forgotten a day later: whoever steals a secret reads what was said in two days, or in
//! the time for which what is kept could not be written. Made by who leads, and kept where certificates
//! are. Without them each proxy has keys of its own: so nothing waits for this, and what goes wrong here
//! stops nothing.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, watch};
use tokio::time::{sleep, timeout};

use crate::backoff::delay;
use crate::config::Live;
use crate::event::Epoch;
use crate::event::sealed::{OpenError, Sealed, open, seal};
use crate::model::bundle::Bundle;
use crate::model::key::{Kind, ObjectKey, Origin};
use crate::model::object::{Age, Meta, Spec, TicketSecret};
use crate::model::settings::Protocol;
use crate::model::time::Timestamp;
use crate::observe::{Observation, Seen};
use crate::store::{Draft, Store, StoreError};

/// Keeps the secrets of a term.
#[derive(Debug)]
pub struct TicketKeeper<S> {
    store: S,
    lineage: Arc<str>,
    epoch: Epoch,
    clock: fn() -> Timestamp,
}

/// A secret as it is kept.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Kept {
    made: Timestamp,
    /// In base64.
    secret: Box<str>,
}

/// Why there is no new one.
#[derive(Debug, thiserror::Error)]
enum TicketError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the system gives no random bytes")]
    NoChance,
    #[error("it cannot be encoded")]
    Encoding,
}

impl<S: Store> TicketKeeper<S> {
    pub fn new(store: S, lineage: Arc<str>, epoch: Epoch, clock: fn() -> Timestamp) -> Self {
        Self {
            store,
            lineage,
            epoch,
            clock,
        }
    }

    /// Runs until the engine, or who reads the configuration, is gone. Each change of `relist` tells
    /// of all of them anew.
    pub async fn run(
        self,
        mut configured: watch::Receiver<Live>,
        inbox: mpsc::Sender<Observation>,
        mut relist: watch::Receiver<u64>,
    ) {
        let mut in_a_row = 0;
        loop {
            let wanted = has_tickets(&configured.borrow_and_update());
            let attempt = timeout(PATIENCE, self.attempt(wanted)).await;
            let attempt = attempt.unwrap_or_else(|_| Err(StoreError::silent(PATIENCE).into()));
            let wait = match attempt {
                Ok(listed) => {
                    in_a_row = 0;
                    for told in self.elsewhere().chain([listed]) {
                        if inbox.send(told).await.is_err() {
                            return;
                        }
                    }
                    LOOK
                }
                Err(TicketError::Store(StoreError::Conflict)) => delay(1),
                Err(error) => {
                    if in_a_row == 0 {
                        let place = self.store.whereabouts();
                        tracing::warn!(
                            %error,
                            "the secrets of session tickets cannot be kept {place}: proxies go on \
                             with those that they have, or each with its own"
                        );
                    }
                    in_a_row += 1;
                    delay(in_a_row)
                }
            };
            tokio::select! {
                () = inbox.closed() => return,
                changed = configured.changed() => if changed.is_err() {
                    return;
                },
                changed = relist.changed() => if changed.is_err() {
                    return;
                },
                () = sleep(wait) => {}
            }
        }
    }

    /// Where the store was another there are none any more.
    fn elsewhere(&self) -> impl Iterator<Item = Observation> + use<S> {
        let (own, kind) = (self.store.origin(), Kind::TicketSecret);
        let others = Origin::ALL.into_iter();
        let others = others.filter(move |origin| *origin != own && origin.kinds().contains(&kind));
        others.map(move |origin| Observation::Unconfigured { origin, kind })
    }

    /// Makes one if the newest is old, and forgets those that are too old. All that there are then.
    async fn attempt(&self, wanted: bool) -> Result<Observation, TicketError> {
        let now = (self.clock)();
        // What is dated ahead is of a clock that was put back since.
        let counts = |made: Timestamp| made > now.later(-FORGOTTEN) && made <= now.later(DAY);
        let mut objects = Vec::new();
        let mut done_with = Vec::new();
        let mut is_fresh = false;
        for body in self.store.all().await? {
            match open::<Kept>(&body.bytes) {
                Ok(Sealed { content: kept, .. })
                    if wanted && kept.is_whole() && counts(kept.made) =>
                {
                    is_fresh |= kept.made > now.later(-DAY);
                    objects.extend(self.seen(&body.name, &kept, &body.revision));
                }
                // That release goes on with it when it is back.
                Err(OpenError::NewerSchema { .. }) => {}
                Ok(_) | Err(OpenError::Malformed(_)) => done_with.push(body),
            }
        }
        if wanted && !is_fresh {
            let kept = Kept::new(now)?;
            let name = format!("tickets-{:020}", now.0);
            let content = seal(&self.lineage, self.epoch, kept.clone());
            let draft = Draft {
                name: &name,
                about: "session tickets".to_owned(),
                bytes: content.map_err(|_| TicketError::Encoding)?,
            };
            let revision = self.store.put(draft, None).await?;
            tracing::info!("a new secret of session tickets was made");
            objects.extend(self.seen(&name, &kept, &revision));
        }
        for body in done_with {
            if let Err(error) = self.store.remove(&body.name, &body.revision).await {
                let place = self.store.place(&body.name);
                tracing::warn!(%error, "{place} is not needed any more, and cannot be removed");
            }
        }
        Ok(Observation::Listed {
            origin: self.store.origin(),
            kind: Kind::TicketSecret,
            objects,
            unreadable: Vec::new(),
        })
    }

    fn seen(&self, name: &str, kept: &Kept, revision: &str) -> Option<Seen> {
        let secret = STANDARD.decode(kept.secret.as_bytes()).ok()?;
        let bundle = Bundle::of_ticket_secret(secret);
        let spec = TicketSecret {
            bundle: bundle.name(),
        };
        Some(Seen {
            key: ObjectKey {
                name: name.into(),
                ..ObjectKey::before_all(self.store.origin(), Kind::TicketSecret)
            },
            meta: Meta {
                uid: name.into(),
                resource_version: revision.into(),
                age: Age {
                    created: kept.made,
                    rank: name.into(),
                },
            },
            spec: Ok(Spec::TicketSecret(spec)),
            bundle: Some(bundle),
        })
    }
}

impl Kept {
    fn new(made: Timestamp) -> Result<Self, TicketError> {
        let mut secret = [0; LENGTH];
        getrandom::fill(&mut secret).map_err(|_| TicketError::NoChance)?;
        Ok(Self {
            made,
            secret: STANDARD.encode(secret).into(),
        })
    }

    fn is_whole(&self) -> bool {
        let secret = STANDARD.decode(self.secret.as_bytes());
        secret.is_ok_and(|secret| secret.len() == LENGTH)
    }
}

/// Without what must not be seen.
impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kept")
            .field("made", &self.made)
            .finish_non_exhaustive()
    }
}

/// Whether clients of any listener may resume sessions.
fn has_tickets(live: &Live) -> bool {
    let mut listeners = live.settings.listeners.values();
    listeners.any(|listener| listener.protocol == Protocol::Https && listener.tls.session_tickets)
}

/// Bytes of a secret.
const LENGTH: usize = 32;
/// In milliseconds.
const DAY: i64 = 24 * 60 * 60 * 1000;
/// No ticket lives as long as a secret is kept after the next was made.
const FORGOTTEN: i64 = 2 * DAY;
const LOOK: Duration = Duration::from_secs(600);
const PATIENCE: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests;
