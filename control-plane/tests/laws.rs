//! Laws of the pure core, over random histories of a small world in which everything collides.

#![cfg(test)]

#[path = "laws/machine.rs"]
mod machine;
#[path = "laws/managed.rs"]
mod managed;
#[path = "laws/sequence.rs"]
mod sequence;
#[path = "laws/world.rs"]
mod world;

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use prost::Message as _;
use roadstead_control_plane::checkpoint::{self, Dirty, Storing};
use roadstead_control_plane::event::{Epoch, Record, Seq, codec};
use roadstead_control_plane::model::guard::DeletionGuard;
use roadstead_control_plane::model::key::{Kind, ObjectKey, Origin};
use roadstead_control_plane::model::time::Timestamp;
use roadstead_control_plane::observe::guard::{Confirmation, Holds};
use roadstead_control_plane::observe::{Observation, Seen, observe};
use roadstead_control_plane::plan::recovery::Wanted;
use roadstead_control_plane::project::hosts::Hosts;
use roadstead_control_plane::project::{Fold, project_all};
use roadstead_control_plane::snapshot::publication::Publication;
use roadstead_control_plane::snapshot::{ResourceId, Snapshot};
use roadstead_control_plane::state::claims::wish::wishes;
use roadstead_control_plane::state::endpoints::{HeldSlice, SliceChange};
use roadstead_proto::v1::{self, ResourceType};

use machine::Machine;
use world::{Step, step, steps};

/// Names, types, bytes and versions of all resources.
fn everything(snapshot: &Snapshot) -> Vec<(ResourceId, String)> {
    let resources = snapshot.resources().iter();
    resources
        .map(|(id, resource)| (id.clone(), format!("{resource:?}")))
        .collect()
}

/// The name of an Ingress' route.
fn resource_name(ingress: &ObjectKey) -> String {
    let origin = match ingress.origin {
        Origin::Configuration => "@configuration",
        Origin::Folder => "@folder",
        Origin::Kubernetes => "",
    };
    format!("ingress/{}/{}{origin}", ingress.namespace, ingress.name)
}

/// Reasons why a rule is not served at all.
const LOST: [&str; 2] = ["PathTaken", "HostOwnedByAnother"];

/// Names, types and bytes, without the versions, which tell of order.
fn bytes(snapshot: &Snapshot) -> Vec<(ResourceId, Vec<u8>)> {
    let resources = snapshot.resources().iter();
    resources
        .map(|(id, resource)| (id.clone(), resource.body.to_vec()))
        .collect()
}

/// What a checkpoint of now comes to.
fn checkpoint_of(machine: &Machine) -> Fold {
    let mut fold = Fold::default();
    let mut dirty = Dirty::default();
    for record in &machine.records {
        let changed = fold.apply(record);
        dirty.note(record, &changed);
    }
    let entries = dirty.entries(&fold).map(Result::unwrap);
    let entries = entries.filter_map(|(key, value)| Some((key, value?)));
    checkpoint::restore(entries).unwrap()
}

fn refold(records: &[Record]) -> Fold {
    let mut fold = Fold::default();
    for record in records {
        fold.apply(record);
    }
    fold
}

proptest! {
    #[test]
    fn replaying_any_prefix_gives_what_was_served_then(steps in steps(), cut in any::<prop::sample::Index>()) {
        let mut machine = Machine::begun();
        let mut served = vec![];
        let configuration = |fold: &Fold| {
            let mut all = everything(fold.snapshot());
            all.retain(|(id, _)| !id.is_endpoints());
            (fold.snapshot().version(), fold.snapshot().configuration_digest().clone(), all)
        };
        for step in &steps {
            machine.see(step.observation());
            served.push((machine.records.len(), configuration(&machine.fold)));
        }
        let (length, then) = &served[cut.index(served.len())];
        let stored: Vec<Record> = machine.records[..*length]
            .iter()
            .map(|record| codec::decode(record.seq, codec::SCHEMA, &codec::encode(record).unwrap()).unwrap())
            .collect();
        prop_assert_eq!(&stored[..], &machine.records[..*length]);
        prop_assert_eq!(&configuration(&refold(&stored)), then);
    }

    #[test]
    fn observing_what_is_known_yields_nothing(steps in steps()) {
        let mut machine = Machine::after(&steps);
        for step in sequence::last_of_each(&steps) {
            prop_assert_eq!(machine.see(step.observation()), 0);
        }
        for observation in sequence::lists(&steps) {
            prop_assert_eq!(machine.see(observation), 0);
        }
        prop_assert_eq!(machine.see(Observation::Configured(world::settings())), 0);
    }

    #[test]
    fn a_list_comes_to_the_same_as_one_by_one(before in steps(), missed in steps()) {
        let all: Vec<Step> = before.iter().chain(&missed).cloned().collect();
        let one_by_one = Machine::after(&all);
        let mut listed = Machine::after(&before);
        for observation in sequence::lists(&all) {
            listed.see(observation);
        }
        // What was refused in passing and good before leaves no trace in a list.
        let settled = world::settle(&one_by_one.fold, &listed.fold);
        prop_assert_eq!(settled.0, settled.1);
        if one_by_one.fold.state().objects().all(|(_, held)| held.refused.is_none()) {
            prop_assert_eq!(bytes(one_by_one.fold.snapshot()), bytes(listed.fold.snapshot()));
        }
    }

    #[test]
    fn touched_projection_is_full_projection(steps in steps()) {
        let machine = Machine::after(&steps);
        let full = project_all(machine.fold.state().clone());
        prop_assert_eq!(bytes(machine.fold.snapshot()), bytes(&full));
        prop_assert_eq!(machine.fold.snapshot().digest(), full.digest());
        let anew = Fold::from_state(machine.fold.state().clone());
        prop_assert_eq!(machine.fold.standings(), anew.standings());
    }

    #[test]
    fn a_checkpoint_and_the_tail_are_the_whole(steps in steps(), cuts in prop::collection::vec(any::<prop::sample::Index>(), 1..4)) {
        let machine = Machine::after(&steps);
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(machine.records.len()) + 1).collect();
        cuts.sort_unstable();
        let mut stored: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
        let mut fold = Fold::default();
        let mut dirty = Dirty::default();
        for (index, record) in machine.records.iter().enumerate() {
            let changed = fold.apply(record);
            dirty.note(record, &changed);
            if cuts.contains(&(index + 1)) {
                for (key, value) in std::mem::take(&mut dirty).entries(&fold).map(Result::unwrap) {
                    match value {
                        Some(value) => stored.insert(key, value),
                        None => stored.remove(&key),
                    };
                }
            }
        }
        let mut restored = checkpoint::restore(stored).unwrap();
        prop_assert_eq!(restored.state().seq(), Seq(*cuts.last().unwrap() as u64));
        for record in &machine.records[*cuts.last().unwrap()..] {
            restored.apply(record);
        }
        prop_assert_eq!(everything(restored.snapshot()), everything(fold.snapshot()));
        prop_assert_eq!(restored.snapshot().version(), fold.snapshot().version());
        prop_assert!(restored.versions().iter().eq(fold.versions().iter()));
        prop_assert_eq!(restored.snapshot().digest(), fold.snapshot().digest());
    }

    #[test]
    fn a_checkpoint_that_is_stored_while_records_come_is_that_of_the_end(steps in steps(), begin in any::<prop::sample::Index>(), at_once in 1_usize..4) {
        let machine = Machine::after(&steps);
        let begin = begin.index(machine.records.len());
        let (mut fold, mut dirty) = (Fold::default(), Dirty::default());
        let mut storing: Option<Storing> = None;
        let mut stored = BTreeMap::new();
        let mut write = |entry: checkpoint::Entry| match entry {
            (key, Some(value)) => stored.insert(key, value),
            (key, None) => stored.remove(&key),
        };
        for (index, record) in machine.records.iter().enumerate() {
            let changed = fold.apply(record);
            dirty.note(record, &changed);
            if index == begin {
                storing = Some(Storing::new(std::mem::take(&mut dirty)));
            }
            if let Some(storing) = &mut storing {
                storing.next(&fold, at_once).map(Result::unwrap).for_each(|entry| drop(write(entry)));
            }
        }
        let mut storing = storing.unwrap();
        storing.go_on(dirty);
        storing.next(&fold, usize::MAX).map(Result::unwrap).for_each(|entry| drop(write(entry)));
        write(checkpoint::head(&fold).unwrap());
        let restored = checkpoint::restore(stored).unwrap();
        prop_assert_eq!(restored.state().seq(), fold.state().seq());
        prop_assert_eq!(everything(restored.snapshot()), everything(fold.snapshot()));
        prop_assert!(restored.state().objects().eq(fold.state().objects()));
        prop_assert!(restored.versions().iter().eq(fold.versions().iter()));
    }

    #[test]
    fn deltas_come_to_the_full_snapshot(steps in steps(), every in 1_usize..5) {
        let mut machine = Machine::begun();
        let mut publication = Publication::default();
        // The listeners were there before the first publication.
        let hashes = |snapshot: &Snapshot| -> BTreeMap<ResourceId, [u8; 16]> {
            snapshot.resources().iter().map(|(id, resource)| (id.clone(), resource.hash)).collect()
        };
        let mut held = hashes(machine.fold.snapshot());
        let mut acknowledged = 0;
        for (index, step) in steps.iter().enumerate() {
            let observed = observe(machine.fold.state(), step.observation(), Timestamp(0));
            let mut changed = vec![];
            for event in observed.events {
                let seq = machine.fold.state().seq().next();
                let record = Record { seq, epoch: Epoch(1), time: Timestamp(0), event };
                changed.extend(machine.fold.apply(&record).resources);
            }
            for change in observed.slices {
                changed.extend(machine.fold.apply_endpoints(change).resources);
            }
            publication = publication.succeed("test".into(), machine.fold.snapshot().clone(), changed.into());
            if index % every == 0 {
                for id in publication.changed_since(acknowledged).unwrap() {
                    match publication.snapshot().resources().get(id) {
                        Some(resource) => held.insert(id.clone(), resource.hash),
                        None => held.remove(id),
                    };
                }
                acknowledged = publication.number();
                prop_assert_eq!(&held, &hashes(publication.snapshot()));
            }
        }
    }

    #[test]
    fn a_bad_object_changes_no_route(steps in steps(), bad in step()) {
        let mut machine = Machine::after(&steps);
        let before = everything(machine.fold.snapshot());
        let Some(Seen { key, meta, .. }) = bad.seen() else { return Ok(()) };
        // Either there is no such object yet, or it is edited: it is not another of its name.
        let held = machine.fold.state().object(&key);
        let known = held.and_then(|held| held.good.as_ref().map(|good| good.meta.clone()));
        let mut meta = known.unwrap_or(meta);
        if held.is_none() && let Some(slice) = machine.fold.state().slices().get(&key) {
            meta.uid = slice.uid.clone();
        }
        machine.see(Observation::Changed(Seen { key, meta, spec: Err(world::refusal()), bundle: None }));
        prop_assert_eq!(everything(machine.fold.snapshot()), before);
    }

    #[test]
    fn a_bad_object_does_not_inherit_from_another_of_its_name(steps in steps(), bad in step()) {
        let mut machine = Machine::after(&steps);
        let Some(Seen { key, mut meta, .. }) = bad.seen() else { return Ok(()) };
        // Files are what stands at their place.
        prop_assume!(key.origin != Origin::Configuration);
        meta.uid = "another".into();
        let mut gone = machine.clone();
        machine.see(Observation::Changed(Seen { key: key.clone(), meta, spec: Err(world::refusal()), bundle: None }));
        gone.see(Observation::Deleted(key));
        prop_assert_eq!(bytes(machine.fold.snapshot()), bytes(gone.fold.snapshot()));
    }

    #[test]
    fn classes_that_are_served_beside_count_as_ours_for_which_nothing_is_obtained(steps in steps()) {
        // Of a Secret that was good before anybody of ours referred to it nothing is known.
        let steps = sequence::with_good_secrets(steps);
        let mut beside = Machine::after(&steps);
        let before = bytes(beside.fold.snapshot());
        let mut settings = world::settings();
        settings.beside = [world::OTHER.into()].into();
        beside.see(Observation::Configured(settings));
        let ours: Vec<Step> = steps.iter().map(Step::of_our_class).collect();
        let mut ours = Machine::after(&ours);
        let mut settings = world::settings();
        settings.obtains = None;
        ours.see(Observation::Configured(settings));
        prop_assert_eq!(bytes(beside.fold.snapshot()), bytes(ours.fold.snapshot()));
        prop_assert_eq!(beside.fold.standings(), ours.fold.standings());
        beside.see(Observation::Configured(world::settings()));
        prop_assert_eq!(bytes(beside.fold.snapshot()), before);
    }

    #[test]
    fn the_report_of_hosts_names_who_serves_what_and_why_not(steps in steps()) {
        let fold = Machine::after(&steps).fold;
        let mut served = BTreeSet::new();
        let mut rules = 0;
        for resource in fold.snapshot().resources().iter().filter(|(id, _)| id.kind == ResourceType::Route) {
            let route = v1::Route::decode(&*resource.1.body).unwrap();
            rules += route.rules.len();
            let hosts = route.rules.into_iter().map(|rule| rule.hostname);
            served.extend(hosts.map(|host| (host, resource.0.name.to_string())));
        }
        let report = Hosts::of(&fold);
        let mut told = BTreeSet::new();
        let mut unserved = 0;
        for host in &report.hosts {
            prop_assert!(!host.owner.is_empty());
            for claimant in &host.claimants {
                let ingress = &claimant.ingress;
                let of_it = host.findings.iter().filter(|found| found.ingress == *ingress);
                let lost = of_it.filter(|found| LOST.contains(&found.finding.reason)).count();
                unserved += lost;
                prop_assert!(claimant.served || lost > 0);
                if claimant.served {
                    told.insert((host.host.to_string(), resource_name(ingress)));
                }
            }
        }
        prop_assert_eq!(told, served);
        let ours = fold.standings().iter().filter(|(_, standing)| standing.served);
        let claimed = ours.filter_map(|(key, _)| Some(wishes(fold.state().ingress(key)?.1).count()));
        prop_assert_eq!(rules + unserved, claimed.sum::<usize>());
    }

    #[test]
    fn what_is_held_changes_no_route_and_confirming_it_is_the_plain_list(before in steps(), missed in steps()) {
        let guarded = |percent| {
            let mut settings = world::settings();
            settings.deletion_guard = DeletionGuard { percent, at_least: 1 };
            Observation::Configured(settings)
        };
        // One that nobody refers to for a moment loses its last good version.
        let [before, missed] = [before, missed].map(sequence::with_good_secrets);
        let mut plain = Machine::after(&before);
        let mut held = plain.clone();
        held.see(guarded(0));
        let all: Vec<Step> = before.iter().chain(&missed).cloned().collect();
        for observation in sequence::lists(&all) {
            let Observation::Listed { origin, kind, objects, .. } = &observation else { unreachable!() };
            let mut kept = held.clone();
            for seen in objects.clone() {
                kept.see(Observation::Changed(seen));
            }
            let stood = held.fold.state().hold(*origin, *kind).is_some();
            prop_assert!(!stood);
            held.see(observation.clone());
            if held.fold.state().hold(*origin, *kind).is_some() {
                prop_assert_eq!(bytes(held.fold.snapshot()), bytes(kept.fold.snapshot()));
            }
            plain.see(observation.clone());
        }
        // Found again by a log that forgot which objects are missing.
        let mut restarted = held.clone();
        restarted.fold = checkpoint_of(&held);
        for slice in held.fold.state().slices() {
            let (key, slice) = (slice.0.clone(), Some(HeldSlice::clone(slice.1)));
            restarted.fold.apply_endpoints(SliceChange { key, slice });
        }
        for observation in sequence::lists(&all) {
            restarted.see(observation);
        }
        for (origin, kind) in Kind::ALL.map(|kind| (Origin::Kubernetes, kind)) {
            let missing = |machine: &Machine| machine.fold.state().missing(origin, kind).cloned();
            prop_assert_eq!(missing(&restarted), missing(&held));
        }
        for mut machine in [held, restarted] {
            machine.see(Observation::Confirmed(Confirmation {
                of: Holds::All,
                by: "a test".into(),
                reason: "meant".into(),
            }));
            prop_assert_eq!(machine.fold.state().holds_now(), vec![]);
            prop_assert_eq!(bytes(machine.fold.snapshot()), bytes(plain.fold.snapshot()));
            prop_assert_eq!(machine.fold.standings(), plain.fold.standings());
        }
    }

    #[test]
    fn recovery_records_that_are_followed_are_those_of_the_whole(steps in steps()) {
        let machine = Machine::after(&steps);
        prop_assert_eq!(&machine.wanted, &Wanted::of(machine.fold.state()));
        let restored = checkpoint_of(&machine);
        prop_assert_eq!(&machine.wanted, &Wanted::of(restored.state()));
    }

    #[test]
    fn a_start_without_a_log_comes_to_what_one_with_it_does(before in steps(), missed in steps()) {
        // A Secret that nobody refers to while classes are listed loses its last good version; a
        // record of it waits.
        let [before, missed] = [before, missed].map(sequence::with_good_secrets);
        let known = Machine::after(&before);
        let records = known.records();
        // What was good when the log was lost and is bad when it is listed is what a loss of the
        // log loses; nothing else is.
        let good = |step: &Step| {
            let state = known.fold.state();
            let is_slice = state.slices().contains_key(step.key());
            let held = state.object(step.key());
            held.map_or(is_slice, |held| held.refused.is_none())
        };
        let missed = missed.into_iter().filter(|step| !(step.is_refused() && good(step)));
        let all: Vec<Step> = before.iter().cloned().chain(missed).collect();
        let mut with_log = known.clone();
        let mut without = Machine::begun();
        without.see(Observation::Recovered { origin: Origin::Kubernetes, records });
        for observation in sequence::lists(&all) {
            with_log.see(observation.clone());
            without.see(observation);
        }
        prop_assert_eq!(bytes(without.fold.snapshot()), bytes(with_log.fold.snapshot()));
        prop_assert_eq!(without.fold.standings(), with_log.fold.standings());
        prop_assert_eq!(without.records(), with_log.records());
    }

    #[test]
    fn a_start_with_an_old_log_comes_to_what_one_with_the_newest_does(older in steps(), newer in steps()) {
        // As above.
        let [older, newer] = [older, newer].map(sequence::with_good_secrets);
        let all = sequence::with_new_uids(older.iter().chain(&newer).cloned().collect());
        let mut newest = Machine::after(&all);
        let records = newest.records();
        let mut old = Machine::after(&all[..older.len()]);
        old.see(Observation::Recovered { origin: Origin::Kubernetes, records });
        for observation in sequence::lists(&all) {
            newest.see(observation.clone());
            old.see(observation);
        }
        prop_assert_eq!(bytes(old.fold.snapshot()), bytes(newest.fold.snapshot()));
        prop_assert_eq!(old.fold.standings(), newest.fold.standings());
        prop_assert_eq!(old.records(), newest.records());
    }

    #[test]
    fn changes_of_unrelated_objects_commute(first in steps(), second in steps(), interleave in any::<u64>()) {
        // The same small world twice, told apart by namespace and host.
        let second: Vec<Step> = second.iter().map(Step::elsewhere).collect();
        let in_turn: Vec<Step> = first.iter().chain(&second).cloned().collect();
        let mixed = sequence::interleave(&first, &second, interleave);
        let a = Machine::after(&in_turn);
        let b = Machine::after(&mixed);
        prop_assert_eq!(bytes(a.fold.snapshot()), bytes(b.fold.snapshot()));
        prop_assert_eq!(a.fold.standings(), b.fold.standings());
    }
}

#[test]
fn the_origins_are_listed_apart() {
    let steps = [
        Step::example(Origin::Folder),
        Step::example(Origin::Kubernetes),
    ];
    let mut machine = Machine::after(&steps);
    let routes = bytes(machine.fold.snapshot()).len();
    machine.see(Observation::Listed {
        origin: Origin::Folder,
        kind: Kind::Ingress,
        objects: vec![],
        unreadable: vec![],
    });
    assert_eq!(bytes(machine.fold.snapshot()).len(), routes - 1);
}
