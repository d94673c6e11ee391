//! One piece of work at one certificate: a call or none, kept before anything else is done.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use crate::acme::Settings;
use crate::acme::calls::{self, Made};
use crate::acme::client::Client;
use crate::acme::key::Key;
use crate::acme::record::{Kept, Pem, Record};
use crate::acme::shelf::{Found, Shelf, ShelfError};
use crate::model::key::ObjectKey;
use crate::model::managed::{Failure, FailureKind, Outcome, Txt};
use crate::model::object::{Age, Meta, Spec};
use crate::model::time::Timestamp;
use crate::observe::Seen;
use crate::plan::issuance::scheduler::{Entry, Task};
use crate::plan::issuance::{Call, Next, abandon, adopted, after, begin};
use crate::store::Store;

/// What it is done with.
pub(super) struct Job<S> {
    pub(super) shelf: Shelf<S>,
    pub(super) settings: Arc<Settings>,
    pub(super) client: Arc<Client>,
    pub(super) clock: fn() -> Timestamp,
    /// When it was found to be due.
    pub(super) now: Timestamp,
}

/// What came of it.
#[derive(Debug)]
pub(super) struct Worked {
    pub(super) key: ObjectKey,
    pub(super) end: End,
    /// What the CA was asked, and what came of it.
    pub(super) called: Option<(&'static str, &'static str)>,
    /// The CA is to be left alone until then.
    pub(super) quiet: Option<Timestamp>,
    /// The account is to be opened anew: it is gone, or the CA has moved.
    pub(super) reopen: Option<Reopen>,
}

/// What is to be done about the account.
#[derive(Debug)]
pub(super) struct Reopen {
    /// With which it was asked.
    pub(super) client: Arc<Client>,
    /// The CA does not know it any more.
    pub(super) is_gone: bool,
}

/// What is kept now.
#[derive(Debug)]
pub(super) enum End {
    /// Nothing that anybody needs to be told of changed.
    Same(Kept, Option<Box<str>>),
    Kept(Kept, Option<Box<str>>),
    Unsaved(Unsaved),
    Gone,
    /// What is stored cannot be used, and is left alone.
    Unusable(Box<str>),
}

/// What is kept, and could not be stored.
#[derive(Debug)]
pub(super) struct Unsaved {
    pub(super) kept: Kept,
    pub(super) revision: Option<Box<str>>,
    /// What is stored, as far as is known.
    pub(super) before: Box<Kept>,
    pub(super) why: String,
}

impl<S: Store> Job<S> {
    pub(super) async fn run(self, key: ObjectKey, entry: Entry<Kept>, task: Task<Kept>) -> Worked {
        let mut worked = Worked {
            key,
            end: End::Gone,
            called: None,
            quiet: None,
            reopen: None,
        };
        let Entry { kept, revision, .. } = entry;
        let next = match task {
            Task::Save(before) => {
                worked.end = self.store(kept, before, revision).await;
                return worked;
            }
            Task::Do(next) => next,
        };
        let mut changed = kept.clone();
        match next {
            Next::Wait(_) | Next::Barrier => {}
            Next::Begin => self.begin(&mut changed),
            Next::Abandon => {
                tracing::info!("{}: its order is given up", worked.key);
                changed.managed = abandon(&kept.managed, self.now);
            }
            Next::Forget => {
                worked.end = self.forget(kept, revision).await;
                return worked;
            }
            Next::Call(call) => self.call(&call, &mut changed, &mut worked).await,
        }
        if changed.managed.order.is_none() {
            changed.next_key = None;
        }
        worked.end = if is_same(&kept, &changed) {
            End::Same(changed, revision)
        } else {
            self.store(changed, Box::new(kept), revision).await
        };
        worked
    }

    fn begin(&self, kept: &mut Kept) {
        kept.managed = begin(&kept.managed, &self.settings.directory, self.now);
        match Key::generate() {
            Ok(key) => kept.next_key = Some(Pem(key.pem().into())),
            Err(error) => {
                let failed = Outcome::Failed(Failure {
                    kind: FailureKind::Refused,
                    not_before: None,
                    message: error.to_string().into(),
                });
                kept.managed = after(&kept.managed, failed, self.now, 0);
            }
        }
    }

    async fn call(&self, call: &Call, kept: &mut Kept, worked: &mut Worked) {
        let made = calls::make(&self.client, &self.settings, kept, call, self.clock);
        let made = timeout(LONGEST, made).await;
        let now = (self.clock)();
        let Made {
            outcome,
            issued,
            is_gone,
        } = made.unwrap_or_else(|_| calls::too_long(call, LONGEST));
        worked.called = Some((call.as_str(), outcome.as_str()));
        let moved = match &outcome {
            Outcome::Failed(failure) | Outcome::NotRevoked(failure) => {
                worked.quiet = quiet(failure, now);
                failure.kind == FailureKind::Gone && matches!(call, Call::Place { .. })
            }
            Outcome::Placed(_)
            | Outcome::Order(_)
            | Outcome::Proofs { .. }
            | Outcome::Validating
            | Outcome::Certificate { .. }
            | Outcome::Renewal { .. }
            | Outcome::Revoked
            | Outcome::Txt { .. } => false,
        };
        if is_gone || moved {
            worked.reopen = Some(Reopen {
                client: Arc::clone(&self.client),
                is_gone,
            });
        }
        let in_vain = not_removed(&outcome);
        let leftovers = kept.managed.leftovers.len();
        kept.managed = after(&kept.managed, outcome, now, chance());
        if let Some((text, why)) = in_vain.filter(|_| kept.managed.leftovers.len() < leftovers) {
            tracing::warn!(
                "{}: its record {text} is left in the DNS: {why}",
                worked.key
            );
        }
        if let Some((pair, bundle)) = issued {
            kept.pair = Some(pair);
            kept.bundle = Some(bundle);
        }
    }

    /// Stores what is kept now. What somebody else did to it meanwhile is looked at: it may be no
    /// more than a label, or our own that was answered too late.
    async fn store(&self, kept: Kept, before: Box<Kept>, mut revision: Option<Box<str>>) -> End {
        let unsaved = |kept, revision, before, error: ShelfError| {
            End::Unsaved(Unsaved {
                kept,
                revision,
                before,
                why: error.to_string(),
            })
        };
        let record = Record::Certificate(Box::new(kept.clone()));
        let name = record.name();
        for _ in 0..ROUNDS {
            match self.shelf.put(&record, revision.as_deref()).await {
                Ok(revision) => return End::Kept(kept, Some(revision)),
                Err(ShelfError::Conflict) => {}
                Err(error @ ShelfError::Failed(_)) => {
                    return unsaved(kept, revision, before, error);
                }
            }
            match self.shelf.one(&name).await {
                Ok(Found::Record(Record::Certificate(found), now)) => {
                    if *found == kept {
                        return End::Kept(kept, Some(now));
                    }
                    if *found != *before {
                        let place = self.shelf.place(&name);
                        tracing::warn!("{place} was changed by somebody else, which counts");
                        return End::Kept(adopted_from(*found, (self.clock)()), Some(now));
                    }
                    revision = Some(now);
                }
                Ok(Found::Nothing) => revision = None,
                Ok(Found::Record(Record::Account(_), _) | Found::Unusable) => {
                    return End::Unusable(name);
                }
                Err(error) => return unsaved(kept, revision, before, error),
            }
        }
        unsaved(kept, revision, before, ShelfError::Conflict)
    }

    /// What cannot be removed now is looked at again later.
    async fn forget(&self, kept: Kept, revision: Option<Box<str>>) -> End {
        let name = Record::Certificate(Box::new(kept.clone())).name();
        let Some(known) = &revision else {
            return End::Gone;
        };
        let failed = match self.shelf.remove(&name, known).await {
            Ok(()) => return End::Gone,
            Err(ShelfError::Conflict) => match self.shelf.one(&name).await {
                Ok(Found::Record(Record::Certificate(found), now)) => {
                    return End::Kept(adopted_from(*found, (self.clock)()), Some(now));
                }
                Ok(Found::Record(Record::Account(_), _) | Found::Unusable) => {
                    return End::Unusable(name);
                }
                Ok(Found::Nothing) => return End::Gone,
                Err(error) => error,
            },
            Err(error) => error,
        };
        End::Unsaved(Unsaved {
            before: Box::new(kept.clone()),
            kept,
            revision,
            why: failed.to_string(),
        })
    }
}

/// What is kept, as whoever did not begin it has to take it.
pub(super) fn adopted_from(kept: Kept, now: Timestamp) -> Kept {
    let managed = adopted(&kept.managed, now);
    Kept {
        next_key: kept.next_key.filter(|_| managed.order.is_some()),
        managed,
        ..kept
    }
}

/// A certificate as an object.
pub(super) fn seen(key: &ObjectKey, kept: &Kept, revision: &str) -> Seen {
    let meta = Meta {
        uid: key.name.clone(),
        resource_version: revision.into(),
        age: Age {
            created: kept.created,
            rank: key.name.clone(),
        },
    };
    Seen {
        key: key.clone(),
        meta,
        spec: Ok(Spec::Managed(Box::new(kept.managed.clone()))),
        bundle: kept.bundle.clone(),
    }
}

/// Whether nothing else differs than when the CA is asked again.
fn is_same(before: &Kept, after: &Kept) -> bool {
    let mut before = before.clone();
    if let (Some(before), Some(after)) = (&mut before.managed.order, &after.managed.order) {
        before.not_before = after.not_before;
    }
    if let (Some(before), Some(after)) = (&mut before.managed.issued, &after.managed.issued) {
        before.renewal.ask = after.renewal.ask;
    }
    let records = before.managed.records.iter_mut();
    for (before, after) in records.zip(&after.managed.records) {
        before.not_before = after.not_before;
    }
    before == *after
}

/// What a record says that could not be removed, and why.
fn not_removed(outcome: &Outcome) -> Option<(Box<str>, Box<str>)> {
    if let Outcome::Txt {
        text,
        came: Txt::NotRemoved(why),
    } = outcome
    {
        return Some((text.clone(), why.clone()));
    }
    None
}

/// For how long nothing at all is asked. What a CA says of when to come back may be about one name
/// alone, and is obeyed there.
fn quiet(failure: &Failure, now: Timestamp) -> Option<Timestamp> {
    let least = now.later(QUIET);
    match failure.kind {
        FailureKind::RateLimited => {
            let said = failure.not_before.unwrap_or(least);
            Some(said.clamp(least, now.later(LONGEST_QUIET)))
        }
        FailureKind::Unavailable | FailureKind::Unknown => Some(least),
        FailureKind::Refused | FailureKind::AlreadyReplaced | FailureKind::Gone => None,
    }
}

fn chance() -> u64 {
    let mut bytes = [0; 8];
    // Without chance, as soon as the CA suggests.
    let _without: Result<(), _> = getrandom::fill(&mut bytes);
    u64::from_ne_bytes(bytes)
}

/// Of a call with all its requests.
const LONGEST: Duration = Duration::from_secs(120);
/// Whoever changes a record does not do so all the time.
const ROUNDS: u32 = 3;
/// In milliseconds.
const QUIET: i64 = 2_000;
const LONGEST_QUIET: i64 = 60_000;
