//! One attempt to bring a store in line with what is wanted.
//!
//! Nothing is replaced or removed but the revision that was judged, and another is judged anew:
//! so a leader that was deposed undoes nothing of its successor's.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tokio::time::timeout;

use crate::event::recovery::{Kept, Place, RecoveryRecord, encode};
use crate::recovery::entry::{Entry, name, records};
use crate::recovery::{Keeper, MAX_RECORDS, WRITE};
use crate::store::{Draft, MAX_BYTES, Store, StoreError};

/// What an attempt came to.
#[derive(Debug, Default)]
struct Outcome {
    /// For people, by what it is about.
    problems: BTreeSet<String>,
    left_out: usize,
    /// It makes sense to try again soon.
    again: bool,
}

/// The attempt ends here.
struct Halt;

impl<S: Store> Keeper<S> {
    /// Returns whether there is nothing to try again soon.
    pub(super) async fn attempt(&mut self) -> bool {
        let mut outcome = Outcome::default();
        let halted = self.work(&mut outcome).await.is_err();
        self.say(&outcome, halted);
        let origin = self.store.origin();
        if let Some(held) = &self.held {
            self.metrics.stored(origin, records(held));
        }
        if !halted {
            self.metrics.left_out(origin, outcome.left_out);
        }
        !halted && !outcome.again
    }

    async fn work(&mut self, outcome: &mut Outcome) -> Result<(), Halt> {
        let origin = self.store.origin();
        let wanted = self.wanted.borrow_and_update().clone();
        let records: BTreeMap<Box<str>, Arc<RecoveryRecord>> = wanted
            .records(origin)
            .map(|record| (name(&record.key), record.clone()))
            .collect();
        self.metrics.wanted(origin, records.len());
        let mut held = match self.held.take() {
            Some(held) => held,
            None => self.look(outcome).await?,
        };
        let done = self
            .put_in_line(&mut held, &records, wanted.place(), outcome)
            .await;
        self.held = Some(held);
        done
    }

    async fn look(&self, outcome: &mut Outcome) -> Result<BTreeMap<Box<str>, Entry>, Halt> {
        match self.all().await {
            Ok(bodies) => Ok(bodies
                .into_iter()
                .map(|body| (body.name.clone(), self.judge(&body)))
                .collect()),
            Err(error) => {
                let what = format!("the recovery records {}", self.store.whereabouts());
                self.failed(&what, "read", &error, outcome);
                Err(Halt)
            }
        }
    }

    async fn put_in_line(
        &self,
        held: &mut BTreeMap<Box<str>, Entry>,
        records: &BTreeMap<Box<str>, Arc<RecoveryRecord>>,
        place: Place,
        outcome: &mut Outcome,
    ) -> Result<(), Halt> {
        let held_names = held.keys().filter(|name| !records.contains_key(*name));
        let unwanted: Vec<Box<str>> = held_names.cloned().collect();
        for name in unwanted {
            self.remove(held, &name, outcome).await?;
        }
        for (name, record) in records {
            let kept = held.get(name).is_some_and(|entry| match entry {
                Entry::Record {
                    record: known,
                    current,
                    ..
                } => *current && known == record,
                Entry::Untouchable(_) => false,
            });
            if !kept {
                self.put(held, (name, record), place, outcome).await?;
            }
        }
        Ok(())
    }

    async fn put(
        &self,
        held: &mut BTreeMap<Box<str>, Entry>,
        (name, record): (&str, &Arc<RecoveryRecord>),
        place: Place,
        outcome: &mut Outcome,
    ) -> Result<(), Halt> {
        let key = &record.key;
        let what = format!("the recovery record of {key} ({})", self.store.place(name));
        let bytes = match self.bytes(record, place) {
            Ok(bytes) if bytes.len() <= MAX_BYTES => bytes,
            Ok(bytes) => {
                let problem = format!(
                    "is not kept: it has {} bytes, and {MAX_BYTES} are kept at most; until {key} \
                     is mended, a loss of the event log is a loss of what it serves",
                    bytes.len()
                );
                outcome.leave_out(&what, &problem);
                // What was kept before is no longer the last good version.
                return self.remove(held, name, outcome).await;
            }
            // No record is so.
            Err(error) => {
                outcome.leave_out(&what, &format!("is not kept: {error}"));
                return Ok(());
            }
        };
        for _ in 0..ROUNDS {
            let over = match held.get(name) {
                None if records(held) >= MAX_RECORDS => {
                    let problem = format!(
                        "is not kept: there are {MAX_RECORDS} already; until some objects are \
                         mended, a loss of the event log is a loss of what {key} serves"
                    );
                    outcome.leave_out(&what, &problem);
                    return Ok(());
                }
                None => None,
                Some(Entry::Record { revision, .. }) => Some(revision.clone()),
                Some(Entry::Untouchable(why)) => {
                    outcome.leave_out(&what, &format!("cannot be written: what is there {why}"));
                    return Ok(());
                }
            };
            let draft = Draft {
                name,
                about: key.to_string(),
                bytes: bytes.clone(),
            };
            let put = timeout(WRITE, self.store.put(draft, over.as_deref())).await;
            match put.unwrap_or_else(|_| Err(StoreError::silent(WRITE))) {
                Ok(revision) => {
                    let entry = Entry::Record {
                        record: record.clone(),
                        revision,
                        current: true,
                    };
                    held.insert(name.into(), entry);
                    tracing::debug!(object = %key, "its recovery record was written");
                    return Ok(());
                }
                Err(StoreError::Conflict) => self.judge_anew(held, name, &what, outcome).await?,
                Err(error) => return self.failed_one(&what, "written", &error, outcome),
            }
        }
        self.failed_one(&what, "written", &StoreError::Conflict, outcome)
    }

    async fn remove(
        &self,
        held: &mut BTreeMap<Box<str>, Entry>,
        name: &str,
        outcome: &mut Outcome,
    ) -> Result<(), Halt> {
        for _ in 0..ROUNDS {
            let (what, revision) = match held.get(name) {
                None => return Ok(()),
                Some(Entry::Untouchable(why)) => {
                    let place = self.store.place(name);
                    outcome
                        .problems
                        .insert(format!("{place} is left alone: it {why}"));
                    return Ok(());
                }
                Some(Entry::Record {
                    record, revision, ..
                }) => {
                    let place = self.store.place(name);
                    let what = format!("the recovery record of {} ({place})", record.key);
                    (what, revision.clone())
                }
            };
            let remove = timeout(WRITE, self.store.remove(name, &revision)).await;
            match remove.unwrap_or_else(|_| Err(StoreError::silent(WRITE))) {
                Ok(()) => {
                    held.remove(name);
                    tracing::debug!("{what} was removed");
                    return Ok(());
                }
                Err(StoreError::Conflict) => self.judge_anew(held, name, &what, outcome).await?,
                Err(error) => return self.failed_one(&what, "removed", &error, outcome),
            }
        }
        outcome.again = true;
        Ok(())
    }

    /// Looks at a body that is not what it was.
    async fn judge_anew(
        &self,
        held: &mut BTreeMap<Box<str>, Entry>,
        name: &str,
        what: &str,
        outcome: &mut Outcome,
    ) -> Result<(), Halt> {
        let one = timeout(WRITE, self.store.one(name)).await;
        match one.unwrap_or_else(|_| Err(StoreError::silent(WRITE))) {
            Ok(Some(body)) => {
                held.insert(name.into(), self.judge(&body));
            }
            Ok(None) => {
                held.remove(name);
            }
            Err(error) => self.failed_one(what, "read", &error, outcome)?,
        }
        Ok(())
    }

    fn bytes(&self, record: &RecoveryRecord, place: Place) -> Result<Vec<u8>, serde_json::Error> {
        encode(Kept {
            lineage: self.tenure.lineage.as_ref().into(),
            epoch: self.tenure.epoch,
            place,
            record: record.clone(),
        })
    }

    fn failed_one(
        &self,
        what: &str,
        doing: &str,
        error: &StoreError,
        outcome: &mut Outcome,
    ) -> Result<(), Halt> {
        self.failed(what, doing, error, outcome);
        if error.concerns_all() {
            return Err(Halt);
        }
        outcome.again |= matches!(error, StoreError::Conflict);
        Ok(())
    }

    fn failed(&self, what: &str, doing: &str, error: &StoreError, outcome: &mut Outcome) {
        self.metrics.failure(self.store.origin(), error.cause());
        outcome
            .problems
            .insert(format!("{what} cannot be {doing}: {error}"));
    }

    /// Says what is wrong now and was not before.
    fn say(&mut self, outcome: &Outcome, halted: bool) {
        for problem in outcome.problems.difference(&self.said) {
            tracing::error!("{problem}");
        }
        if halted {
            // What comes after was not looked at.
            self.said.extend(outcome.problems.iter().cloned());
        } else {
            if outcome.problems.is_empty() && !self.said.is_empty() {
                let whereabouts = self.store.whereabouts();
                tracing::info!("the recovery records {whereabouts} are what they should be again");
            }
            self.said.clone_from(&outcome.problems);
        }
    }
}

impl Outcome {
    fn leave_out(&mut self, what: &str, problem: &str) {
        self.left_out += 1;
        self.problems.insert(format!("{what} {problem}"));
    }
}

/// How often somebody else may be quicker before the others have their turn.
const ROUNDS: usize = 3;
