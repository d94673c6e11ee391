//! Sequences of steps: what they come to, and which of them a law speaks of.

use std::collections::BTreeMap;
use std::sync::Arc;

use roadstead_control_plane::model::key::{Kind, ObjectKey, Origin};
use roadstead_control_plane::observe::Observation;

use crate::world::Step;

/// Those by which no Secret is refused.
pub(crate) fn with_good_secrets(mut steps: Vec<Step>) -> Vec<Step> {
    steps.retain(|step| !(step.key.kind == Kind::Secret && step.is_refused()));
    steps
}

/// The same, if no uid ever comes back.
pub(crate) fn with_new_uids(mut steps: Vec<Step>) -> Vec<Step> {
    let mut lives: BTreeMap<ObjectKey, (Option<Arc<str>>, u32)> = BTreeMap::new();
    for step in &mut steps {
        let uid = step.now.as_ref().map(|(meta, _)| meta.uid.clone());
        let (before, life) = lives.entry(step.key.clone()).or_default();
        if *before != uid {
            *before = uid;
            *life += 1;
        }
        if let Some((meta, _)) = &mut step.now {
            meta.uid = format!("{}-{life}", meta.uid).into();
        }
    }
    steps
}

/// The last step of each object.
pub(crate) fn last_of_each(steps: &[Step]) -> Vec<Step> {
    let last: BTreeMap<&ObjectKey, &Step> = steps.iter().map(|step| (&step.key, step)).collect();
    last.into_values().cloned().collect()
}

/// The lists that an API server, and who reads files, would give after these steps.
pub(crate) fn lists(steps: &[Step]) -> Vec<Observation> {
    let last = last_of_each(steps);
    let list = |origin, kind| {
        let is_of = |step: &&Step| (step.key.origin, step.key.kind) == (origin, kind);
        let objects = last.iter().filter(is_of);
        Observation::Listed {
            origin,
            kind,
            objects: objects.filter_map(Step::seen).collect(),
            unreadable: vec![],
        }
    };
    let of_kubernetes = Kind::ALL.map(|kind| list(Origin::Kubernetes, kind));
    let of_files = list(Origin::Configuration, Kind::Secret);
    of_kubernetes.into_iter().chain([of_files]).collect()
}

/// Both sequences in one, each in its own order.
pub(crate) fn interleave(first: &[Step], second: &[Step], mut choice: u64) -> Vec<Step> {
    let (mut first, mut second) = (first.iter(), second.iter());
    let mut mixed = vec![];
    loop {
        choice = choice
            .rotate_left(1)
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        let next = if choice.is_multiple_of(2) {
            first.next().or_else(|| second.next())
        } else {
            second.next().or_else(|| first.next())
        };
        match next {
            Some(step) => mixed.push(step.clone()),
            None => return mixed,
        }
    }
}
