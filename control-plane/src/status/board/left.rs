//! Statuses that are not as they should be and are left so, for a while or until they change.
//!
//! What the API server refuses, what a webhook makes something else of, and what another field
//! manager has would otherwise be tried, or told, without end, and keep the others waiting.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::backoff;
use crate::model::address::{Address, Published};
use crate::model::key::ObjectKey;
use crate::plan::status::Step;
use crate::status::board::Due;

/// How an attempt failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::status) enum Failure {
    /// The server could not; it may in a moment.
    Passing,
    /// The server would not, for a reason that may lie outside of the object: a right.
    Refused,
    /// Not this object as it is.
    Final,
    /// Another field manager was first.
    Taken,
}

/// All that are left.
#[derive(Debug, Default)]
pub(super) struct Left {
    cases: BTreeMap<ObjectKey, Case>,
    /// When some of them are tried again all the same.
    later: BTreeSet<(Instant, ObjectKey)>,
}

/// One, and what was tried.
#[derive(Debug)]
struct Case {
    uid: Arc<str>,
    version: u64,
    addresses: Arc<[Address]>,
    why: Why,
}

#[derive(Debug)]
enum Why {
    /// So often, and when it is tried again.
    Failed { times: u32, until: Option<Instant> },
    /// Its time has come.
    Due { times: u32 },
    /// It was written, and this came of it.
    Altered { into: Arc<[Address]> },
    /// Another field manager has it, which was told. Its name, if it is known yet.
    Taken { by: Option<Box<str>> },
}

impl Left {
    /// Whether this is left: nothing that matters has changed since.
    pub(super) fn covers(&self, due: &Due, published: &Published) -> bool {
        let Some(case) = self.cases.get(&due.key) else {
            return false;
        };
        let same = case.version == published.resource_version;
        let taken = due.step == Step::Taken;
        let unchanged = match &case.why {
            Why::Failed { .. } => same && !taken,
            Why::Due { .. } => false,
            Why::Altered { into } => published.addresses == *into && !taken,
            Why::Taken { by: None } => same || taken,
            Why::Taken { by } => taken && *by == published.others,
        };
        unchanged && case.uid == due.uid && case.addresses == due.addresses
    }

    /// An attempt failed. How often it has, for this object as it is.
    pub(super) fn failed(&mut self, due: &Due, failure: Failure, now: Instant) -> u32 {
        let before = self.remove(&due.key);
        let times = match before {
            Some(Case {
                version,
                why: Why::Due { times },
                ..
            }) if version == due.version => times.saturating_add(1),
            Some(_) | None => 1,
        };
        let why = match failure {
            Failure::Taken => Why::Taken { by: None },
            Failure::Passing | Failure::Refused | Failure::Final => Why::Failed {
                times,
                until: pause(failure, times).map(|pause| now + pause),
            },
        };
        self.leave(due, why);
        times
    }

    /// It was written; this came of it, which is something else.
    pub(super) fn altered(&mut self, due: &Due, into: Arc<[Address]>) {
        self.leave(due, Why::Altered { into });
    }

    /// It is another field manager's, and that is told now.
    pub(super) fn taken(&mut self, due: &Due) {
        let by = due.others.clone();
        self.leave(due, Why::Taken { by });
    }

    /// It is as it should be, or gone.
    pub(super) fn forget(&mut self, key: &ObjectKey) {
        self.remove(key);
    }

    /// There are these and no others.
    pub(super) fn retain(&mut self, keys: &BTreeSet<ObjectKey>) {
        self.cases.retain(|key, _| keys.contains(key));
        self.later.retain(|(_, key)| keys.contains(key));
    }

    /// When the next is to be tried again.
    pub(super) fn next(&self) -> Option<Instant> {
        self.later.first().map(|(at, _)| *at)
    }

    /// One whose time has come.
    pub(super) fn pop(&mut self, now: Instant) -> Option<ObjectKey> {
        self.next().filter(|at| *at <= now)?;
        let (_, key) = self.later.pop_first()?;
        if let Some(case) = self.cases.get_mut(&key)
            && let Why::Failed { times, .. } = case.why
        {
            case.why = Why::Due { times };
        }
        Some(key)
    }

    fn leave(&mut self, due: &Due, why: Why) {
        self.remove(&due.key);
        if let Why::Failed {
            until: Some(until), ..
        } = &why
        {
            self.later.insert((*until, due.key.clone()));
        }
        let case = Case {
            uid: due.uid.clone(),
            version: due.version,
            addresses: due.addresses.clone(),
            why,
        };
        self.cases.insert(due.key.clone(), case);
    }

    fn remove(&mut self, key: &ObjectKey) -> Option<Case> {
        let case = self.cases.remove(key)?;
        if let Why::Failed {
            until: Some(until), ..
        } = case.why
        {
            self.later.remove(&(until, key.clone()));
        }
        Some(case)
    }
}

/// How long it is left after so many failures; none: until it changes.
fn pause(failure: Failure, times: u32) -> Option<Duration> {
    match failure {
        Failure::Passing => Some(backoff::delay(times)),
        Failure::Refused => {
            let doubled = REFUSED.saturating_mul(1 << times.saturating_sub(1).min(16));
            Some(doubled.min(LONGEST))
        }
        Failure::Final | Failure::Taken => None,
    }
}

/// Long enough for a right to be given.
const REFUSED: Duration = Duration::from_secs(30);
const LONGEST: Duration = Duration::from_secs(300);
