//! What a leader does to obtain certificates: one piece of work at a time, whose answer may come
//! late, or never.

use roadstead_control_plane::acme::barrier::{Barrier, Proxies};
use roadstead_control_plane::engine::Lacking;
use roadstead_control_plane::event::Epoch;
use roadstead_control_plane::model::key::{Kind, ObjectKey, Origin};
use roadstead_control_plane::model::managed::{Failure, FailureKind, Managed, Outcome};
use roadstead_control_plane::model::object::Spec;
use roadstead_control_plane::model::time::Timestamp;
use roadstead_control_plane::observe::Observation;
use roadstead_control_plane::plan::issuance::answering::Answering;
use roadstead_control_plane::plan::issuance::scheduler::{
    Conditions, Entry, Limits, Scheduler, Task,
};
use roadstead_control_plane::plan::issuance::{Call, Next, adopted, after, begin};
use roadstead_tests::campaign::random::Random;

use crate::ca::DIRECTORY;
use crate::kept::{Kept, key, seen};
use crate::ports::shared;
use crate::world::Plant;

/// That of one term.
pub(crate) struct Issuer {
    side: usize,
    epoch: Epoch,
    scheduler: Scheduler<Kept>,
    /// It has read what is kept.
    has_read: bool,
    wanted: Lacking,
    gathering: Timestamp,
    connected: usize,
    /// What the CA did and was not heard of yet.
    asked: Vec<Asked>,
}

struct Asked {
    key: ObjectKey,
    managed: Managed,
    revision: Option<Box<str>>,
    outcome: Outcome,
}

/// What came of a turn, for whoever is there to see.
pub(crate) enum Turn {
    /// This is to be told to the engine.
    Tell(Box<Observation>),
    /// The CA was told to look for the challenges of this certificate.
    Validates(ObjectKey, Box<Managed>),
    Nothing,
}

impl Issuer {
    pub(crate) fn new(side: usize, epoch: Epoch) -> Self {
        Self {
            side,
            epoch,
            scheduler: Scheduler::new(Limits {
                orders: 0,
                same_names: 0,
                settled: 0,
            }),
            has_read: false,
            wanted: Lacking::new(),
            gathering: now().later(GATHERING),
            connected: 0,
            asked: Vec::new(),
        }
    }

    /// Does one thing, if there is any to do.
    pub(crate) fn turn(&mut self, random: &mut Random) -> Turn {
        if !self.has_read {
            return self.read();
        }
        if !self.asked.is_empty() && (self.asked.len() == AT_ONCE || random.one_in(2)) {
            let asked = self.asked.swap_remove(random.index(self.asked.len()));
            return self.hear(asked, random);
        }
        if !self.follow() {
            return Turn::Nothing;
        }
        match self.take() {
            Some((key, entry, Task::Save(before))) => {
                self.store(&key, (entry.kept.0, entry.revision), before.0, random)
            }
            Some((key, entry, Task::Do(Next::Begin))) => {
                let begun = begin(&entry.kept.0, DIRECTORY, now());
                self.store(&key, (begun, entry.revision), entry.kept.0, random)
            }
            Some((key, entry, Task::Do(Next::Call(call)))) => self.ask(key, entry, &call, random),
            Some((key, entry, Task::Do(Next::Forget))) => self.forget(key, &entry),
            Some((key, _, Task::Do(next))) => unreachable!("{key}: {next:?} so soon"),
            None => Turn::Nothing,
        }
    }

    /// Whether nothing is left to be done about what is wanted, and it is known to the engine.
    pub(crate) fn rests(&self, known: impl Fn(&ObjectKey) -> Option<Spec>) -> Result<(), String> {
        for host in &self.wanted {
            let entry = self.scheduler.all().find(|(of, _)| **of == key(host));
            let managed = entry.map(|(_, entry)| &entry.kept.0);
            if managed.is_none_or(|managed| managed.issued.is_none() && managed.trouble.is_none()) {
                return Err(format!("{host} ended without a certificate: {managed:?}"));
            }
        }
        for (key, entry) in self.scheduler.all() {
            let stored = entry.revision.as_ref();
            let stored = stored.map(|_| Spec::Managed(Box::new(entry.kept.0.clone())));
            if known(key) != stored {
                return Err(format!("{key} is kept as {stored:?}, and known otherwise"));
            }
        }
        Ok(())
    }

    /// Reads what is kept, whoever kept it, if nobody has led since.
    fn read(&mut self) -> Turn {
        let records = shared(|shared| shared.records.all().clone());
        if records.values().any(|record| record.epoch > self.epoch) {
            return Turn::Nothing;
        }
        self.has_read = true;
        let listed = records.into_iter().map(|(key, record)| {
            let managed = adopt(record.managed);
            let told = seen(&key, &managed, &record.revision);
            self.scheduler.keep(key, Kept(managed), record.revision);
            told
        });
        Turn::Tell(Box::new(Observation::Listed {
            origin: Origin::Kubernetes,
            kind: Kind::Certificate,
            objects: listed.collect(),
            unreadable: Vec::new(),
        }))
    }

    /// Takes in what is wanted and who is connected; whether anything can be begun.
    fn follow(&mut self) -> bool {
        let now = now();
        let (lacking, connected, holds) = shared(|shared| {
            let side = &shared.sides[self.side];
            let holds = shared.holds_office(self.side);
            (side.lacking.clone(), side.presence.len(), holds)
        });
        if connected < self.connected {
            self.gathering = now.later(GATHERING);
        }
        self.connected = connected;
        self.scheduler.proxies_changed();
        let Some(lacking) = lacking.filter(|_| holds) else {
            return false;
        };
        let before = std::mem::replace(&mut self.wanted, lacking.clone());
        for host in before.clone().relative_complement(lacking.clone()) {
            self.scheduler.want_no_more(&key(&host));
        }
        for host in lacking.relative_complement(before) {
            let new = || Kept(Managed::new(vec![host.clone()]));
            self.scheduler.want(&key(&host), now, new);
        }
        true
    }

    fn take(&mut self) -> Option<(ObjectKey, Entry<Kept>, Task<Kept>)> {
        let now = now();
        let (publication, presence, plant) = shared(|shared| {
            let side = &shared.sides[self.side];
            (
                side.publication.clone(),
                side.presence.clone(),
                shared.plant,
            )
        });
        let gathered = self.gathering <= now;
        let proxies = Proxies::new(&presence, &None);
        let answering = |key: &ObjectKey, kept: &Kept| match gathered {
            _ if plant == Some(Plant::NoBarrier) => Answering::All,
            true => Barrier::of(key, &kept.0, &publication, &proxies).answering(),
            false => Answering::Nobody,
        };
        let conditions = Conditions {
            now,
            ca: DIRECTORY,
            suggests: false,
        };
        self.scheduler.take(&conditions, answering)
    }

    /// Asks the CA, who may not hear of it.
    fn ask(
        &mut self,
        key: ObjectKey,
        entry: Entry<Kept>,
        call: &Call,
        random: &mut Random,
    ) -> Turn {
        let managed = entry.kept.0;
        let outcome = if mishap(random) {
            failed(FailureKind::Unavailable)
        } else {
            shared(|shared| {
                let now = Timestamp(shared.now);
                if let Call::Place { .. } = call
                    && let Some(objection) = shared.ca.objects(&key, now, shared.meddled)
                {
                    shared.breaks(objection);
                }
                shared.ca.ask((&key, &managed), call, now)
            })
        };
        let turn = match outcome == Outcome::Validating {
            true => Turn::Validates(key.clone(), Box::new(managed.clone())),
            false => Turn::Nothing,
        };
        self.asked.push(Asked {
            key,
            managed,
            revision: entry.revision,
            outcome,
        });
        turn
    }

    /// The CA's answer comes, or is lost.
    fn hear(&mut self, asked: Asked, random: &mut Random) -> Turn {
        let outcome = match mishap(random) {
            true => failed(FailureKind::Unknown),
            false => asked.outcome,
        };
        let managed = after(&asked.managed, outcome, now(), random.number());
        self.store(&asked.key, (managed, asked.revision), asked.managed, random)
    }

    /// Keeps it, unless somebody else was there first, which counts; whether that was done may
    /// not be known.
    fn store(
        &mut self,
        key: &ObjectKey,
        (managed, mut revision): (Managed, Option<Box<str>>),
        before: Managed,
        random: &mut Random,
    ) -> Turn {
        let put = |revision: Option<&str>| {
            shared(|shared| {
                let of = (&managed, self.epoch);
                shared.records.put(&mut shared.ca, key, of, revision)
            })
        };
        loop {
            if mishap(random) {
                if random.one_in(2) {
                    put(revision.as_deref());
                }
                let again = now().later(SAVE_AGAIN);
                let (kept, before) = ((Kept(managed), revision), Box::new(Kept(before)));
                self.scheduler.put_unsaved(key, kept, before, again);
                return Turn::Nothing;
            }
            if let Some(revision) = put(revision.as_deref()) {
                return self.keep(key, managed, revision);
            }
            let found = shared(|shared| shared.records.get(key));
            match found {
                Some(found) if found.epoch > self.epoch => {
                    self.scheduler.forget(key);
                    return Turn::Nothing;
                }
                Some(found) if found.managed == managed => {
                    return self.keep(key, managed, found.revision);
                }
                Some(found) if found.managed != before => {
                    return self.keep(key, adopt(found.managed), found.revision);
                }
                found => revision = found.map(|found| found.revision),
            }
        }
    }

    fn forget(&mut self, key: ObjectKey, entry: &Entry<Kept>) -> Turn {
        let revision = entry.revision.as_deref();
        match shared(|shared| shared.records.remove(&key, revision)) {
            Some(found) => self.keep(&key, adopt(found.managed), found.revision),
            None => {
                self.scheduler.put(&key, None);
                Turn::Tell(Box::new(Observation::Deleted(key)))
            }
        }
    }

    fn keep(&mut self, key: &ObjectKey, managed: Managed, revision: Box<str>) -> Turn {
        let told = seen(key, &managed, &revision);
        self.scheduler
            .put(key, Some((Kept(managed), Some(revision))));
        Turn::Tell(Box::new(Observation::Changed(told)))
    }
}

fn adopt(managed: Managed) -> Managed {
    let (now, plant) = shared(|shared| (Timestamp(shared.now), shared.plant));
    match plant {
        Some(Plant::DoubleOrder) => managed,
        _ => adopted(&managed, now),
    }
}

fn failed(kind: FailureKind) -> Outcome {
    Outcome::Failed(Failure {
        kind,
        not_before: None,
        message: "mishap".into(),
    })
}

/// Something goes wrong, unless all is at rest.
fn mishap(random: &mut Random) -> bool {
    random.one_in(30) && !shared(|shared| shared.rests)
}

fn now() -> Timestamp {
    shared(|shared| Timestamp(shared.now))
}

/// Pieces of work.
const AT_ONCE: usize = 4;
/// As the real ones wait, in milliseconds.
const GATHERING: i64 = 5_000;
const SAVE_AGAIN: i64 = 10_000;
