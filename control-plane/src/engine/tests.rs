//! The engine, turn by turn.

mod acknowledgements;
mod following;
mod holds;
mod lacking;
mod recovery;
mod storing;
mod term;
mod wildcards;
mod world;

use std::collections::BTreeSet;

use crate::checkpoint::Restored;
use crate::engine::{Batch, Engine, LISTED_WITHIN, SERVED_WITHIN, Settings};
use crate::event::recovery::RecoveryRecord;
use crate::event::{Epoch, Event, Seq};
use crate::model::endpoints::EndpointSlice;
use crate::model::ingress::IngressClass;
use crate::model::key::{Kind, ObjectKey, Origin};
use crate::model::object::{Age, Meta, Spec};
use crate::model::refusal::{Reason, Refusal};
use crate::model::time::Timestamp;
use crate::observe::{Observation, Seen};
use crate::project::Fold;
use crate::snapshot::Version;

use world::{TestLog, TestOutlets, world};

fn begin(fold: Fold, epoch: u64) -> Engine<TestLog, TestOutlets> {
    let settings = Settings {
        lineage: "l".into(),
        epoch: Epoch(epoch),
        binary_version: "test".into(),
        awaited: BTreeSet::from([(Origin::Folder, Kind::IngressClass)]),
    };
    let mut engine = Engine::new(Restored::whole(fold), 3, TestLog, TestOutlets);
    engine.lead(settings);
    engine
}

/// Takes all steps that can be taken at once.
fn tidy(engine: &mut Engine<TestLog, TestOutlets>) {
    while engine.is_untidy() {
        engine.tidy();
    }
}

fn listed(objects: Vec<Seen>) -> Observation {
    Observation::Listed {
        origin: Origin::Folder,
        kind: Kind::IngressClass,
        objects,
        unreadable: vec![],
    }
}

fn key(kind: Kind, name: &str) -> ObjectKey {
    ObjectKey {
        origin: Origin::Folder,
        kind,
        namespace: "".into(),
        name: name.into(),
    }
}

fn seen(key: ObjectKey, spec: Spec) -> Seen {
    let meta = Meta {
        uid: key.name.clone(),
        resource_version: "1".into(),
        age: Age {
            created: Timestamp(0),
            rank: key.name.clone(),
        },
    };
    Seen {
        key,
        meta,
        spec: Ok(spec),
        bundle: None,
    }
}

fn class(name: &str) -> Seen {
    let spec = IngressClass {
        controller: "c".into(),
        is_default: false,
    };
    seen(key(Kind::IngressClass, name), Spec::IngressClass(spec))
}

fn slice(name: &str) -> Seen {
    let spec = EndpointSlice {
        service: "s".into(),
        ports: vec![],
        endpoints: vec![],
    };
    seen(key(Kind::EndpointSlice, name), Spec::EndpointSlice(spec))
}

fn batch(observations: impl IntoIterator<Item = Observation>) -> Batch {
    let mut batch = Batch::default();
    for observation in observations {
        assert_eq!(batch.add(observation), None);
    }
    batch
}

fn names() -> Vec<&'static str> {
    world(|world| world.records.iter().map(|r| r.event.name()).collect())
}

#[test]
fn from_an_empty_log_nothing_is_published_before_the_lists_are_complete() {
    let mut engine = begin(Fold::default(), 1);
    engine.publish();
    assert_eq!(world(|world| world.publications.len()), 0);
    engine.turn(batch([listed(vec![class("a")])]));
    engine.publish();
    assert_eq!(world(|world| world.publications.len()), 1);
    assert_eq!(names(), ["EpochBegan", "ObjectAccepted", "SourcesListed"]);
}

#[test]
fn what_the_log_holds_is_published_at_once_as_a_new_version() {
    let mut engine = begin(Fold::default(), 1);
    engine.turn(batch([listed(vec![])]));
    let fold = engine.fold().clone();
    let before = fold.snapshot().version();
    let engine = begin(fold, 2);
    let published = world(|world| world.publications.last().unwrap().clone());
    assert!(published.only_restores("l", before));
    assert_eq!(
        published.snapshot().version(),
        engine.fold().snapshot().version()
    );
    assert_eq!(published.snapshot().version().epoch, Epoch(2));
}

#[test]
fn who_holds_what_the_log_holds_learns_nothing_from_epochs_that_only_began() {
    let mut engine = begin(Fold::default(), 1);
    engine.turn(batch([listed(vec![class("a")])]));
    let held = engine.fold().snapshot().version();
    // These end before anything is listed.
    let engine = begin(engine.fold().clone(), 2);
    let engine = begin(engine.fold().clone(), 3);
    let _engine = begin(engine.fold().clone(), 4);
    let published = world(|world| world.publications.last().unwrap().clone());
    assert!(published.only_restores("l", held));
    let less = Version {
        seq: Seq(held.seq.0 - 1),
        ..held
    };
    assert!(!published.only_restores("l", less));
    assert!(!published.only_restores("another", held));
}

#[test]
fn endpoints_are_stored_with_the_record_that_follows_them() {
    let mut engine = begin(Fold::default(), 1);
    engine.turn(batch([listed(vec![class("a")])]));
    engine.publish();
    let later = Observation::Changed;
    engine.turn(batch([later(slice("s"))]));
    assert_eq!(world(|world| world.behind), 0);
    engine.turn(batch([later(slice("t")), later(class("b"))]));
    assert_eq!(world(|world| world.behind), 2);
}

#[test]
fn what_the_log_holds_is_published_again_when_the_lists_agree_with_it() {
    let mut engine = begin(Fold::default(), 1);
    engine.turn(batch([listed(vec![class("a")])]));
    let mut engine = begin(engine.fold().clone(), 2);
    assert!(!engine.has_news());
    engine.turn(batch([listed(vec![class("a")])]));
    engine.publish();
    let published = world(|world| world.publications.last().unwrap().clone());
    assert!(!published.is_restored());
    assert!(!engine.has_news());
}

#[test]
fn of_a_kind_that_cannot_be_listed_is_told_until_it_can() {
    let mut engine = begin(Fold::default(), 1);
    let kind = (Origin::Folder, Kind::IngressClass);
    engine.turn(batch([Observation::Unlistable {
        origin: kind.0,
        kind: kind.1,
        message: "forbidden".into(),
    }]));
    engine.turn(batch([listed(vec![])]));
    let told = world(|world| world.listable.clone());
    assert_eq!(told, [(kind.0, kind.1, false), (kind.0, kind.1, true)]);
}

#[test]
fn one_object_is_spoken_of_once_in_a_batch() {
    let mut batch = Batch::default();
    assert_eq!(batch.add(Observation::Changed(class("a"))), None);
    assert_eq!(batch.add(Observation::Changed(class("b"))), None);
    let again = Observation::Deleted(key(Kind::IngressClass, "a"));
    assert_eq!(batch.add(again.clone()), Some(again));
    let list = listed(vec![]);
    assert_eq!(batch.add(list.clone()), Some(list));
    let other_kind = Observation::Changed(slice("a"));
    assert_eq!(batch.add(other_kind), None);
}

#[test]
fn a_list_lets_nothing_of_its_kind_into_its_batch() {
    let mut batch = batch([listed(vec![])]);
    let after = Observation::Changed(class("a"));
    assert_eq!(batch.add(after.clone()), Some(after));
}

#[test]
fn while_the_log_cannot_be_written_nothing_is_applied_and_endpoints_go_on() {
    let mut engine = begin(Fold::default(), 1);
    engine.turn(batch([listed(vec![])]));
    world(|world| world.full = true);
    engine.turn(batch([Observation::Changed(class("a"))]));
    engine.turn(batch([
        Observation::Changed(class("b")),
        Observation::Changed(slice("s")),
    ]));
    assert_eq!(names(), ["EpochBegan", "SourcesListed"]);
    assert!(
        engine
            .fold()
            .state()
            .object(&key(Kind::IngressClass, "b"))
            .is_none()
    );
    assert!(
        engine
            .fold()
            .state()
            .slices()
            .contains_key(&key(Kind::EndpointSlice, "s"))
    );
    engine.housekeep();
    assert_eq!(world(|world| world.relists), 0);

    world(|world| world.full = false);
    engine.housekeep();
    assert_eq!(world(|world| world.relists), 1);
    engine.turn(batch([listed(vec![class("a"), class("b")])]));
    assert_eq!(
        names(),
        [
            "EpochBegan",
            "SourcesListed",
            "LogInterrupted",
            "ObjectAccepted",
            "ObjectAccepted"
        ]
    );
}

#[test]
fn what_was_durable_though_not_acknowledged_is_taken_in() {
    let mut engine = begin(Fold::default(), 1);
    world(|world| world.half = true);
    engine.turn(batch([Observation::Changed(class("a"))]));
    assert!(
        engine
            .fold()
            .state()
            .object(&key(Kind::IngressClass, "a"))
            .is_none()
    );
    engine.housekeep();
    assert!(
        engine
            .fold()
            .state()
            .object(&key(Kind::IngressClass, "a"))
            .is_some()
    );
    let seqs: Vec<u64> = world(|world| world.records.iter().map(|r| r.seq.0).collect());
    assert_eq!(seqs, [1, 2, 3]);
    assert!(matches!(
        world(|world| world.records.last().unwrap().event.clone()),
        Event::LogInterrupted { .. }
    ));
}

#[test]
fn time_in_records_never_decreases() {
    world(|world| world.now = 1000);
    let mut engine = begin(Fold::default(), 1);
    world(|world| world.now = 10);
    engine.turn(batch([Observation::Changed(class("a"))]));
    let times: Vec<i64> = world(|world| world.records.iter().map(|r| r.time.0).collect());
    assert_eq!(times, [1000, 1000]);
}

#[test]
fn what_makes_the_log_shorter_goes_in_steps_between_turns() {
    let mut engine = begin(Fold::default(), 1);
    engine.tidy();
    assert!(!engine.is_untidy(), "there is nothing to do");
    world(|world| world.steps = 2);
    engine.housekeep();
    assert!(engine.is_untidy());
    world(|world| assert_eq!(world.steps, 2, "housekeeping does not wait for it"));
    engine.tidy();
    assert!(engine.is_untidy());
    engine.tidy();
    assert!(!engine.is_untidy());
    world(|world| assert_eq!(world.steps, 0));
}

#[test]
fn a_checkpoint_is_stored_when_it_is_due_and_endpoints_are_written_behind() {
    let mut engine = begin(Fold::default(), 1);
    engine.turn(batch([
        listed(vec![class("a"), class("b")]),
        Observation::Changed(slice("s")),
    ]));
    world(|world| world.now = SERVED_WITHIN);
    assert_eq!(world(|world| world.behind), 0);
    for _ in 0..2 {
        engine.housekeep();
        tidy(&mut engine);
    }
    assert_eq!(world(|world| world.checkpoints.clone()), [Seq(4)]);
    assert_eq!(world(|world| world.behind), 1);
}

#[test]
fn what_a_start_finds_is_served_before_it_is_stored() {
    let stored = || world(|world| (world.checkpoints.len(), world.behind));
    world(|world| world.now = 5_000);
    let mut engine = begin(Fold::default(), 1);
    engine.turn(batch([
        listed(vec![class("a"), class("b")]),
        Observation::Changed(slice("s")),
    ]));
    world(|world| world.now = 5_000 + SERVED_WITHIN - 1);
    engine.housekeep();
    tidy(&mut engine);
    assert_eq!(stored(), (0, 0));
    // A clock that is put back does not put it off.
    world(|world| world.now = 4_999);
    engine.housekeep();
    tidy(&mut engine);
    assert_eq!(stored(), (1, 1));
}

#[test]
fn lists_that_do_not_come_do_not_keep_the_rest_from_being_stored() {
    let mut engine = begin(Fold::default(), 1);
    engine.turn(batch([Observation::Changed(slice("s"))]));
    world(|world| world.now = LISTED_WITHIN - 1);
    engine.housekeep();
    tidy(&mut engine);
    assert_eq!(world(|world| world.behind), 0);
    world(|world| world.now = LISTED_WITHIN);
    engine.housekeep();
    tidy(&mut engine);
    assert_eq!(world(|world| world.behind), 1);
}
