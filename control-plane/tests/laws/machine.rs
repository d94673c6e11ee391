//! What an engine does, without I/O, on what a source tells it.

use std::collections::BTreeMap;

use roadstead_control_plane::event::recovery::RecoveryRecord;
use roadstead_control_plane::event::{Epoch, Event, Record};
use roadstead_control_plane::model::key::{Kind, ObjectKey, Origin};
use roadstead_control_plane::model::time::Timestamp;
use roadstead_control_plane::observe::{Observation, Seen, observe};
use roadstead_control_plane::plan::recovery::Wanted;
use roadstead_control_plane::project::{Fold, REVISION};

use crate::world::{self, Step};

/// Every observation is observed, recorded and applied.
#[derive(Clone, Default)]
pub(crate) struct Machine {
    pub(crate) fold: Fold,
    pub(crate) wanted: Wanted,
    pub(crate) records: Vec<Record>,
    /// The Secrets that there are: a source tells of one when it is first referred to.
    secrets: BTreeMap<ObjectKey, Seen>,
}

impl Machine {
    pub(crate) fn begun() -> Self {
        let mut machine = Self::default();
        machine.record(Event::EpochBegan {
            lineage: "test".into(),
            projection_revision: REVISION,
            binary_version: "test".into(),
        });
        machine.see(Observation::Configured(world::settings()));
        machine
    }

    /// What is to be kept outside of the log.
    pub(crate) fn records(&self) -> Vec<RecoveryRecord> {
        let records = self.wanted.records(Origin::Kubernetes);
        records.map(|record| (**record).clone()).collect()
    }

    pub(crate) fn see(&mut self, observation: Observation) -> usize {
        match &observation {
            Observation::Changed(seen) if seen.key.kind == Kind::Secret => {
                self.secrets.insert(seen.key.clone(), seen.clone());
            }
            Observation::Deleted(key) => {
                self.secrets.remove(key);
            }
            Observation::Listed {
                origin: Origin::Kubernetes,
                kind: Kind::Secret,
                objects,
                ..
            } => {
                let objects = objects.iter();
                self.secrets = objects
                    .map(|seen| (seen.key.clone(), seen.clone()))
                    .collect();
            }
            // A source that lists anew knows nothing of Secrets before it has listed them.
            Observation::Listed { kind, .. } if *kind < Kind::Secret => self.secrets.clear(),
            Observation::Listed { .. }
            | Observation::Configured(_)
            | Observation::Recovered { .. }
            | Observation::Vanished { .. }
            | Observation::Unconfigured { .. }
            | Observation::Confirmed(_)
            | Observation::Unlistable { .. }
            | Observation::Changed(_)
            | Observation::Proxy(_) => {}
        }
        let in_use = self.fold.state().certificates().in_use().clone();
        let mut facts = self.take_in(observation);
        for (key, since) in self.fold.state().certificates().in_use().clone() {
            if in_use.get(&key) != Some(&since)
                && let Some(seen) = self.secrets.get(&key)
            {
                facts += self.take_in(Observation::Changed(seen.clone()));
            }
        }
        facts
    }

    fn take_in(&mut self, observation: Observation) -> usize {
        let observed = observe(self.fold.state(), observation, Timestamp(0));
        let facts = observed.events.len() + observed.slices.len();
        for event in observed.events {
            self.record(event);
        }
        for change in observed.slices {
            self.fold.apply_endpoints(change);
        }
        for change in observed.missing {
            self.fold.apply_missing(change);
        }
        facts
    }

    pub(crate) fn record(&mut self, event: Event) {
        let seq = self.fold.state().seq().next();
        let record = Record {
            seq,
            epoch: Epoch(1),
            time: Timestamp(i64::try_from(seq.0).unwrap()),
            event,
        };
        self.fold.apply(&record);
        self.wanted.follow(self.fold.state(), &record.event);
        self.records.push(record);
    }

    pub(crate) fn after(steps: &[Step]) -> Self {
        let mut machine = Self::begun();
        for step in steps {
            machine.see(step.observation());
        }
        machine
    }
}
