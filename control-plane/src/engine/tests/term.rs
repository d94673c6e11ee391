//! Terms that begin late or anew, and lists and endpoints that do not come about.

use crate::engine::tests::{
    TestLog, TestOutlets, batch, begin, class, listed, names, slice, tidy, world,
};
use crate::engine::{Engine, LISTED_WITHIN};
use crate::event::{Epoch, Seq};
use crate::model::key::{Kind, Origin};
use crate::observe::Observation;
use crate::presence::{Connected, Report, StreamId};
use crate::project::Fold;
use crate::snapshot::Version;

fn version(epoch: u64, seq: u64) -> Version {
    Version {
        epoch: Epoch(epoch),
        seq: Seq(seq),
    }
}

fn hello(held: Version) -> Observation {
    Observation::Proxy(Report::Connected(Connected {
        proxy: "p".into(),
        stream: StreamId(1),
        boot_id: "b".into(),
        peer: "127.0.0.1:1".into(),
        binary_version: "test".into(),
        capabilities: vec![],
        held: Some(held),
    }))
}

/// What a log holds that knows all there is.
fn whole() -> Fold {
    let mut engine = begin(Fold::default(), 1);
    engine.turn(batch([listed(vec![class("a")])]));
    engine.publish();
    engine.fold().clone()
}

fn published(engine: &mut Engine<TestLog, TestOutlets>) -> Version {
    engine.publish();
    let newest = world(|world| world.publications.last().cloned());
    newest.map_or_else(Version::default, |newest| newest.snapshot().version())
}

#[test]
fn from_an_empty_log_nothing_is_published_while_a_kind_cannot_be_listed() {
    let mut engine = begin(Fold::default(), 1);
    engine.turn(batch([Observation::Unlistable {
        origin: Origin::Folder,
        kind: Kind::IngressClass,
        message: "forbidden".into(),
    }]));
    assert_eq!(published(&mut engine), Version::default());
    engine.turn(batch([listed(vec![class("a")])]));
    assert_ne!(published(&mut engine), Version::default());
}

#[test]
fn a_kind_that_cannot_be_listed_keeps_what_a_whole_log_has() {
    let mut engine = begin(whole(), 2);
    engine.turn(batch([Observation::Unlistable {
        origin: Origin::Folder,
        kind: Kind::IngressClass,
        message: "forbidden".into(),
    }]));
    assert!(engine.has_news());
    assert_eq!(engine.fold().state().objects().count(), 1);
}

#[test]
fn a_term_that_cannot_be_recorded_begins_when_the_log_can_be_written() {
    let fold = whole();
    let before = fold.snapshot().version();
    let recorded = names().len();
    world(|world| {
        world.full = true;
        world.claimed.clear();
    });
    let mut engine = begin(fold, 2);
    assert_eq!(published(&mut engine), before);
    engine.turn(batch([
        listed(vec![class("a")]),
        Observation::Changed(slice("s")),
    ]));
    assert_eq!(engine.fold().state().slices().len(), 1);
    assert_eq!(published(&mut engine), before);
    engine.housekeep();
    assert_eq!(names().len(), recorded);

    world(|world| world.full = false);
    engine.housekeep();
    assert_eq!(names()[recorded..], ["EpochBegan", "LogInterrupted"]);
    assert_eq!(world(|world| world.claimed.clone()), [Epoch(2)]);
    // What was listed meanwhile was not taken in.
    assert_eq!(published(&mut engine), before);
    engine.turn(batch([listed(vec![class("a")])]));
    assert_eq!(published(&mut engine).epoch, Epoch(2));
}

#[test]
fn a_log_that_cannot_take_the_first_lists_in_is_no_news_for_who_holds_more_before_they_come_again()
{
    let fold = whole();
    let before = fold.snapshot().version();
    let mut engine = begin(fold, 2);
    world(|world| world.full = true);
    engine.turn(batch([listed(vec![class("a"), class("b")])]));
    // To whom it is news: who holds what the log knew, what this term began with, and more.
    // Endpoints go on for the first two.
    let is_news = |engine: &mut Engine<_, _>| {
        engine.publish();
        let newest = world(|world| world.publications.last().cloned()).unwrap();
        let ours = engine.fold().snapshot().version();
        [before, ours, version(1, 99)].map(|held| !newest.only_restores("l", held))
    };
    assert_eq!(is_news(&mut engine), [true, true, false]);
    world(|world| world.full = false);
    engine.housekeep();
    engine.turn(batch([hello(version(1, 2))]));
    // Nothing was listed again yet.
    assert_eq!(is_news(&mut engine), [true, true, false]);
    assert!(!names().ends_with(&["SourcesListed"]));
    engine.turn(batch([listed(vec![class("a"), class("b")])]));
    assert_eq!(is_news(&mut engine), [true; 3]);
}

#[test]
fn a_proxy_that_holds_a_higher_version_is_outbid() {
    let mut engine = begin(whole(), 2);
    engine.turn(batch([listed(vec![class("a")])]));
    engine.turn(batch([hello(version(7, 3))]));
    assert_eq!(world(|world| world.claimed.last().copied()), Some(Epoch(8)));
    assert!(published(&mut engine) > version(7, 3));
    let recorded = names().len();
    engine.turn(batch([hello(version(7, 3))]));
    assert!(!names()[recorded..].contains(&"EpochBegan"));
}

#[test]
fn an_epoch_that_is_too_high_to_be_true_is_not_outbid() {
    let mut engine = begin(whole(), 2);
    engine.turn(batch([hello(version(u64::MAX, 1))]));
    assert_eq!(engine.fold().state().head().epoch, Epoch(2));
}

#[test]
fn endpoints_that_could_not_be_written_behind_are_written_later() {
    let mut engine = begin(whole(), 2);
    engine.turn(batch([Observation::Changed(slice("s"))]));
    world(|world| world.full = true);
    engine.write_behind();
    assert_eq!(world(|world| world.behind), 0);
    world(|world| world.full = false);
    engine.write_behind();
    assert_eq!(world(|world| world.behind), 1);
}

#[test]
fn endpoints_in_use_are_written_again_before_they_expire() {
    let mut engine = begin(whole(), 2);
    engine.turn(batch([
        Observation::Changed(slice("a")),
        Observation::Changed(slice("b")),
    ]));
    world(|world| world.now = LISTED_WITHIN);
    engine.housekeep();
    tidy(&mut engine);
    engine.housekeep();
    tidy(&mut engine);
    assert_eq!(world(|world| world.behind), 2);
    for hour in 1..=3 {
        world(|world| world.now = hour * 3_600_000);
        engine.housekeep();
        tidy(&mut engine);
        engine.housekeep();
        tidy(&mut engine);
    }
    assert_eq!(world(|world| world.behind), 8);
}
