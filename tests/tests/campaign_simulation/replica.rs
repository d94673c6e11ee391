//! A replica's process: it looks at the Lease, leads or follows, and may be stopped or killed.

use std::sync::Arc;
use std::time::Duration;

use roadstead_control_plane::engine::{Batch, Engine, Settings};
use roadstead_control_plane::event::Epoch;
use roadstead_control_plane::history::{Beginning, beginning};
use roadstead_control_plane::lease::{Holder, Sight};
use roadstead_control_plane::model::key::{Kind, Origin};
use roadstead_control_plane::observe::Observation;
use roadstead_control_plane::presence::Presence;
use roadstead_control_plane::replication::{Place, Step};
use roadstead_control_plane::state::endpoints::{SliceChange, SliceMap};

use crate::issuer::Issuer;
use crate::objects::{KINDS, settings};
use crate::ports::{SimLog, SimOutlets, shared};

/// A process.
pub(crate) struct Process {
    pub(crate) engine: Engine<SimLog, SimOutlets>,
    pub(crate) sight: Sight,
    /// When it does anything again.
    pub(crate) stopped_until: i64,
    /// When it looks at the Lease, or renews it.
    pub(crate) due: i64,
    /// What it has seen of the API server's changes since its list; `None`: it has to list.
    pub(crate) watched: Option<usize>,
    /// While it leads.
    pub(crate) issuer: Option<Issuer>,
    /// A term must be above this epoch.
    pub(crate) floor: Epoch,
}

impl Process {
    /// Begins with what its disk holds.
    pub(crate) fn start(side: usize) -> Self {
        let restored = shared(|shared| {
            let side = &mut shared.sides[side];
            (side.died, side.dies, side.office) = (false, None, None);
            side.publication = Arc::default();
            (side.presence, side.lacking) = (Presence::default(), None);
            side.disk.restored()
        });
        Self {
            engine: Engine::new(restored, 1000, SimLog(side), SimOutlets(side)),
            sight: Sight::default(),
            stopped_until: 0,
            due: 0,
            watched: None,
            issuer: None,
            floor: Epoch(0),
        }
    }

    pub(crate) fn place(&self) -> Place {
        Place::of(self.engine.fold().state().head())
    }

    /// Its term begins.
    pub(crate) fn lead(&mut self, side: usize, epoch: Epoch, until: i64) {
        shared(|shared| shared.sides[side].office = Some((epoch, until)));
        self.watched = None;
        self.issuer = Some(Issuer::new(side, epoch));
        let awaited = KINDS.into_iter().chain([Kind::Certificate]);
        self.engine.lead(Settings {
            lineage: "simulated".into(),
            epoch,
            binary_version: "test".into(),
            awaited: awaited.map(|kind| (Origin::Kubernetes, kind)).collect(),
        });
        self.see(Observation::Configured(settings()));
    }

    /// Its term is over.
    pub(crate) fn step_down(&mut self, side: usize) {
        shared(|shared| shared.sides[side].office = None);
        self.watched = None;
        self.issuer = None;
        self.sight = Sight::default();
    }

    pub(crate) fn see(&mut self, observation: Observation) {
        let mut batch = Batch::default();
        assert_eq!(batch.add(observation), None);
        self.engine.turn(batch);
    }

    /// The endpoints that it knows.
    pub(crate) fn slices(&self) -> SliceMap {
        self.engine.fold().state().slices().clone()
    }

    /// Takes in some of what another's log has more, as a stream brings it; with the last of it,
    /// the endpoints.
    pub(crate) fn follow(&mut self, from: &Place, slices: &SliceMap, of: usize, most: usize) {
        let after = self.place();
        let archive = shared(|shared| shared.sides[of].disk.clone());
        let (answer, mut writable) = tokio::sync::oneshot::channel();
        self.engine.step(Step::Begin(answer));
        if writable.try_recv().is_err() {
            return;
        }
        let next = match beginning(&archive, from, &after, true) {
            Ok(Beginning::Next) => after.seq.next(),
            Ok(Beginning::Anew { entries, next }) => {
                self.engine.step(Step::Restart(entries));
                next
            }
            // It has nothing for this one.
            Err(_) => return,
        };
        let all = archive.records.iter().chain(&archive.volatile);
        let records = all.filter(|record| record.seq >= next).take(most);
        let mut epoch = self.place().epoch;
        for record in records {
            if record.epoch < epoch {
                return;
            }
            epoch = record.epoch;
            self.engine.step(Step::Records(vec![record.clone()]));
        }
        if self.place() == *from {
            let changes = slices.iter().map(|(key, slice)| SliceChange {
                key: key.clone(),
                slice: Some((**slice).clone()),
            });
            let changes = changes.collect();
            self.engine.step(Step::Endpoints { all: true, changes });
        }
    }
}

/// The replica of this number, as the Lease names it.
pub(crate) fn holder(side: usize) -> Holder {
    Holder {
        identity: side.to_string().into(),
        address: side.to_string().into(),
    }
}

pub(crate) fn time(millis: i64) -> Duration {
    Duration::from_millis(u64::try_from(millis).unwrap())
}
