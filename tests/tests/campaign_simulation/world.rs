//! The world around the replicas, and what befalls it, drawn from a seed.

#[path = "certificates.rs"]
mod certificates;
#[path = "proxies.rs"]
mod proxies;
#[path = "rest.rs"]
mod rest;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use roadstead_control_plane::event::{Epoch, Event};
use roadstead_control_plane::lease::Found;
use roadstead_control_plane::model::key::{ObjectKey, Origin};
use roadstead_control_plane::observe::{Observation, Seen};
use roadstead_tests::campaign::random::Random;

use crate::objects::{KINDS, NAMES, STAYING, key, seen};
use crate::ports::{Shared, Side, shared};
use crate::replica::{Process, holder, time};
use crate::stream::Proxy;

/// A bug that is built in on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Plant {
    /// What is published is not yet on the disk.
    PublishBeforeFlush,
    /// A leader writes on when its term is over.
    NoFence,
    /// What was deleted while nobody led is not missed in the list.
    LostDelete,
    /// A proxy does not look whether a version is lower than its own.
    LowerVersion,
    /// A transfer of what changed does not say what is gone.
    LostRemoval,
    /// A leader does not look at what a proxy says that it holds.
    NoComparison,
    /// Who takes over an order that was being placed places it.
    DoubleOrder,
    /// A CA is told to look before the proxies answer it.
    NoBarrier,
}

impl Plant {
    pub(crate) const ALL: [Self; 8] = [
        Self::PublishBeforeFlush,
        Self::NoFence,
        Self::LostDelete,
        Self::LowerVersion,
        Self::LostRemoval,
        Self::NoComparison,
        Self::DoubleOrder,
        Self::NoBarrier,
    ];
}

/// What a schedule came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Figures {
    pub(crate) terms: usize,
    pub(crate) versions: usize,
    pub(crate) certificates: usize,
}

pub(crate) struct World {
    random: Random,
    plant: Option<Plant>,
    /// By name: which of that name it is, and its version.
    objects: BTreeMap<u64, (u64, u64)>,
    /// Names, in the order of their changes.
    changes: Vec<u64>,
    versions: u64,
    lease: Option<Found>,
    revision: u64,
    /// The last term, as the Secret of the installation tells it.
    begun: Epoch,
    processes: Vec<Option<Process>>,
    proxies: Vec<Proxy>,
    /// How many streams there were.
    streams: u64,
}

impl World {
    /// Plays the schedule of a seed, then lets everything come to rest, and says what was not
    /// kept.
    pub(crate) fn play(seed: u64, plant: Option<Plant>) -> Result<Figures, String> {
        shared(|shared| {
            *shared = Shared {
                plant,
                now: 1_000_000,
                ..Shared::default()
            };
            shared.sides.resize_with(REPLICAS, Side::default);
        });
        let mut world = Self {
            random: Random::new(seed),
            plant,
            objects: BTreeMap::new(),
            changes: Vec::new(),
            versions: 0,
            lease: None,
            revision: 0,
            begun: Epoch(0),
            processes: (0..REPLICAS)
                .map(|side| Some(Process::start(side)))
                .collect(),
            proxies: (0..PROXIES)
                .map(|number| Proxy::new(format!("proxy-{number}"), plant))
                .collect(),
            streams: 0,
        };
        for _ in 0..STEPS {
            let passed = world.millis(400);
            shared(|shared| shared.now += passed);
            world.step();
            kept()?;
        }
        world.rest()?;
        Ok(world.figures())
    }

    fn step(&mut self) {
        let side = self.random.index(REPLICAS);
        match self.random.below(1000) {
            0..2 => self.found(),
            2..120 => self.edit(),
            120..480 => self.lease_of(side),
            480..640 => self.watch(side),
            640..760 => self.publish(side),
            760..860 => self.follow(side),
            860..910 => self.stream(),
            910..950 => self.issue(side),
            950..965 => self.kill(side),
            965..985 => self.start(side),
            985..992 => {
                let until = now() + self.millis(40_000);
                if let Some(process) = &mut self.processes[side] {
                    process.stopped_until = until;
                }
            }
            992..995 => {
                let durable = self.random.one_in(2);
                shared(|shared| shared.sides[side].dies = Some(durable));
            }
            995..998 => self.housekeep(side),
            _ => self.meddle(),
        }
        self.bury();
    }

    /// A user makes, changes or deletes an object.
    fn edit(&mut self) {
        let name = self.random.below(NAMES);
        self.versions += 1;
        if self.objects.contains_key(&name) && self.random.one_in(3) {
            self.objects.remove(&name);
        } else {
            let version = self.versions;
            let object = self.objects.entry(name).or_insert((version, version));
            object.1 = version;
        }
        self.changes.push(name);
    }

    /// A user makes what is never touched again.
    fn found(&mut self) {
        for name in STAYING {
            if !self.objects.contains_key(&name) {
                self.versions += 1;
                self.objects.insert(name, (self.versions, self.versions));
                self.changes.push(name);
            }
        }
    }

    /// A replica looks at the Lease, takes or renews it.
    fn lease_of(&mut self, side: usize) {
        let (lost, unheard) = (self.mishap(12), self.mishap(12));
        let found = self.lease.clone();
        let Some(process) = self.running(side) else {
            return;
        };
        let asked = now();
        let office = shared(|shared| shared.sides[side].office);
        if let Some((_, until)) = office
            && asked >= until
            && shared(|shared| shared.plant) != Some(Plant::NoFence)
        {
            process.step_down(side);
            return;
        }
        if asked < process.due || lost {
            return;
        }
        process.due = asked + RETRY;
        let Some((epoch, _)) = office else {
            process.sight.look(found.clone(), time(asked));
            if !process.sight.is_free(&holder(side), time(asked)) {
                return;
            }
            let held = found.map_or(Epoch(0), |found| found.epoch);
            let floor = process.place().epoch.max(process.floor);
            let epoch = Epoch(held.max(floor).0 + 1);
            self.write_lease(side, epoch);
            if unheard {
                return;
            }
            let begun = self.begun;
            self.begun = begun.max(epoch);
            if let Some(process) = self.running(side) {
                if begun < epoch {
                    process.lead(side, epoch, asked + RENEW_WITHIN);
                } else {
                    process.floor = begun;
                }
            }
            return;
        };
        let ours = found.as_ref().and_then(|found| found.holder.as_ref()) == Some(&holder(side));
        if !ours || found.is_some_and(|found| found.epoch != epoch) {
            process.step_down(side);
            return;
        }
        self.write_lease(side, epoch);
        if !unheard {
            shared(|shared| shared.sides[side].office = Some((epoch, asked + RENEW_WITHIN)));
        }
    }

    fn write_lease(&mut self, side: usize, epoch: Epoch) {
        self.revision += 1;
        self.lease = Some(Found {
            holder: Some(holder(side)),
            epoch,
            duration: time(DURATION),
            transitions: 0,
            acquired: None,
            metadata: Arc::default(),
            revision: self.revision.to_string().into(),
        });
        shared(|shared| shared.claimed = shared.claimed.max(epoch));
    }

    /// What can wait is done. Who follows has nothing of its own to append.
    fn housekeep(&mut self, side: usize) {
        if leads(side)
            && let Some(process) = self.running(side)
        {
            process.engine.housekeep();
            process.engine.tidy();
        }
    }

    /// Somebody deletes the Lease, or gives it to somebody who does not exist.
    fn meddle(&mut self) {
        shared(|shared| shared.meddled = true);
        self.revision += 1;
        let revision = self.revision.to_string().into();
        self.lease = self
            .lease
            .take()
            .filter(|_| self.revision.is_multiple_of(2));
        if let Some(found) = &mut self.lease {
            found.holder = Some(holder(99));
            found.revision = revision;
        }
    }

    /// The API server tells a leader what there is, or what changed.
    fn watch(&mut self, side: usize) {
        if !leads(side) {
            return;
        }
        let dropped = self.mishap(15);
        let (objects, changes) = (self.objects.clone(), self.changes.clone());
        let lost = self.plant == Some(Plant::LostDelete);
        let Some(process) = self.running(side) else {
            return;
        };
        if dropped {
            process.watched = None;
        }
        match process.watched {
            None => {
                let mut listed: Vec<Seen> =
                    objects.iter().map(|(name, o)| seen(*name, *o)).collect();
                if lost {
                    // What is not there any more is told of as if it were.
                    let known = process.engine.fold().state().objects();
                    let there: BTreeSet<ObjectKey> =
                        listed.iter().map(|seen| seen.key.clone()).collect();
                    let gone = known.filter(|(key, _)| !there.contains(*key));
                    let gone = gone.filter_map(|(key, held)| {
                        let good = held.good.as_ref()?;
                        Some(Seen {
                            key: key.clone(),
                            meta: good.meta.clone(),
                            spec: Ok(good.spec.clone()),
                            bundle: None,
                        })
                    });
                    listed.extend(gone);
                }
                for kind in KINDS {
                    let objects = listed.iter().filter(|seen| seen.key.kind == kind);
                    process.see(Observation::Listed {
                        origin: Origin::Kubernetes,
                        kind,
                        objects: objects.cloned().collect(),
                        unreadable: Vec::new(),
                    });
                }
                process.watched = Some(changes.len());
            }
            Some(seen_up_to) => {
                let Some(name) = changes.get(seen_up_to) else {
                    return;
                };
                process.watched = Some(seen_up_to + 1);
                process.see(match objects.get(name) {
                    Some(object) => Observation::Changed(seen(*name, *object)),
                    None => Observation::Deleted(key(*name)),
                });
            }
        }
    }

    fn publish(&mut self, side: usize) {
        if leads(side)
            && let Some(process) = self.running(side)
        {
            process.engine.publish();
        }
        // What a planted bug left for later.
        shared(|shared| {
            let disk = &mut shared.sides[side].disk;
            let late = std::mem::take(&mut disk.volatile);
            disk.records.extend(late);
        });
    }

    /// A replica that does not lead gets some of the log of whoever the Lease names.
    fn follow(&mut self, side: usize) {
        let most = self.random.index(8) + 1;
        if leads(side) {
            return;
        }
        let found = self.lease.clone();
        let Some(of) = self.running(side).and_then(|process| {
            process.sight.look(found, time(now()));
            let leader = process.sight.leader(&holder(side), time(now()))?;
            leader.parse::<usize>().ok()
        }) else {
            return;
        };
        let from = self.running_at(of).map(|of| (of.place(), of.slices()));
        let Some((from, slices)) = from else {
            return;
        };
        if let Some(process) = self.running(side) {
            process.follow(&from, &slices, of, most);
        }
    }

    fn kill(&mut self, side: usize) {
        self.processes[side] = None;
        for proxy in &mut self.proxies {
            proxy.stream.take_if(|stream| stream.side == side);
        }
        shared(|shared| {
            shared.sides[side].office = None;
            shared.sides[side].disk.crash();
        });
    }

    fn start(&mut self, side: usize) {
        if self.processes[side].is_none() {
            self.processes[side] = Some(Process::start(side));
        }
    }

    /// Those that died within an append.
    fn bury(&mut self) {
        for side in 0..REPLICAS {
            if shared(|shared| shared.sides[side].died) {
                self.kill(side);
                shared(|shared| shared.sides[side].died = false);
            }
        }
    }

    /// Something goes wrong, unless all is at rest.
    fn mishap(&mut self, cases: u64) -> bool {
        self.random.one_in(cases) && !shared(|shared| shared.rests)
    }

    fn millis(&mut self, below: u64) -> i64 {
        i64::try_from(self.random.below(below)).unwrap()
    }

    fn figures(&self) -> Figures {
        let records = shared(|shared| shared.sides[0].disk.records.clone());
        let began = |event: &Event| matches!(event, Event::EpochBegan { .. });
        Figures {
            terms: records.iter().filter(|record| began(&record.event)).count(),
            versions: self.proxies.iter().map(|proxy| proxy.versions).sum(),
            certificates: shared(|shared| shared.ca.issued()),
        }
    }

    fn running(&mut self, side: usize) -> Option<&mut Process> {
        let process = self.processes.get_mut(side)?.as_mut();
        process.filter(|process| process.stopped_until <= now())
    }

    fn running_at(&self, side: usize) -> Option<&Process> {
        let process = self.processes.get(side)?.as_ref();
        process.filter(|process| process.stopped_until <= now())
    }
}

fn kept() -> Result<(), String> {
    shared(|shared| shared.broken.clone()).map_or(Ok(()), Err)
}

fn leads(side: usize) -> bool {
    shared(|shared| shared.sides[side].office.is_some())
}

/// In which term a replica leads, if it believes that it does.
fn term(side: usize) -> Option<Epoch> {
    shared(|shared| shared.sides[side].office.map(|(epoch, _)| epoch))
}

fn now() -> i64 {
    shared(|shared| shared.now)
}

const REPLICAS: usize = 3;
const PROXIES: usize = 2;
/// Of a schedule.
const STEPS: usize = 1500;
/// Of the Lease, in milliseconds.
const DURATION: i64 = 15_000;
const RENEW_WITHIN: i64 = 10_000;
const RETRY: i64 = 2_000;
