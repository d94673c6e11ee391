//! What a schedule comes to when nothing more befalls anyone.

use std::collections::BTreeMap;
use std::sync::Arc;

use roadstead_control_plane::model::key::{Kind, ObjectKey};
use roadstead_control_plane::model::object::Spec;
use roadstead_control_plane::observe::Seen;

use super::{REPLICAS, World, kept, leads};
use crate::objects::seen;
use crate::ports::shared;
use crate::replica::Process;

impl World {
    /// Nothing more befalls anyone, until nothing changes: then all agree with what there is.
    pub(super) fn rest(&mut self) -> Result<(), String> {
        shared(|shared| shared.rests = true);
        for side in 0..REPLICAS {
            shared(|shared| shared.sides[side].dies = None);
            self.start(side);
            if let Some(process) = &mut self.processes[side] {
                process.stopped_until = 0;
            }
        }
        let mut leader = None;
        for round in 0..QUIET {
            shared(|shared| shared.now += 500);
            for side in 0..REPLICAS {
                self.lease_of(side);
                for _ in 0..8 {
                    self.watch(side);
                }
                if round < DONE {
                    (0..8).for_each(|_| self.issue(side));
                }
                self.publish(side);
                self.follow(side);
                self.housekeep(side);
            }
            if round == QUIET / 2 {
                // What nothing but a count would find: no version will come.
                self.rot(0);
            }
            self.settle();
            kept()?;
            leader = (0..REPLICAS).find(|side| leads(*side));
        }
        self.agrees(leader.ok_or("nobody leads in the end")?)
    }

    /// The leader knows what there is, and everybody else what it knows.
    fn agrees(&self, leader: usize) -> Result<(), String> {
        let process = self.processes[leader]
            .as_ref()
            .ok_or("the leader is gone")?;
        let state = process.engine.fold().state();
        let good = |key: &ObjectKey| Some(state.object(key)?.good.as_ref()?.spec.clone());
        let issuer = process.issuer.as_ref().ok_or("nobody issues")?;
        issuer.rests(good)?;
        let others = state.objects().map(|(key, _)| key);
        let others = others.filter(|key| key.kind != Kind::Certificate);
        let others = others.filter_map(|key| Some((key.clone(), good(key)?)));
        let slices = state.slices().iter();
        let slices =
            slices.map(|(key, slice)| (key.clone(), Spec::EndpointSlice(slice.spec.clone())));
        let known: BTreeMap<ObjectKey, Spec> = others.chain(slices).collect();
        let there = self.objects.iter().map(|(name, object)| {
            let Seen { key, spec, .. } = seen(*name, *object);
            (key, spec.unwrap())
        });
        let there: BTreeMap<ObjectKey, Spec> = there.collect();
        if known != there {
            return Err(format!(
                "the leader knows {known:?}, and there is {there:?}"
            ));
        }
        let published = shared(|shared| Arc::clone(&shared.sides[leader].publication));
        let known = process.engine.fold().snapshot();
        if published.snapshot().version() != known.version() {
            return Err(format!("{} was not published", known.version()));
        }
        for proxy in &self.proxies {
            proxy.agrees(&published)?;
        }
        let place = process.place();
        for (side, process) in self.processes.iter().enumerate() {
            let other = process.as_ref().map(Process::place);
            if other.as_ref() != Some(&place) {
                return Err(format!(
                    "replica {side} ended at {other:?}, and not at {place:?}"
                ));
            }
        }
        Ok(())
    }
}

/// Rounds until nothing changes any more.
const QUIET: usize = 200;
/// After which no certificate is renewed any more.
const DONE: usize = 180;
