//! What must not be lost with the log, and what is told again to a log that lost it.

use crate::engine::tests::*;
use crate::plan::recovery::Wanted;

fn refused(name: &str) -> Seen {
    Seen {
        spec: Err(Refusal::new(Reason::Malformed, "", "is bad")),
        ..class(name)
    }
}

fn recovered(name: &str) -> Observation {
    recovered_at(name, "1")
}

/// What was good in this version.
fn recovered_at(name: &str, version: &str) -> Observation {
    let Seen {
        key,
        mut meta,
        spec,
        ..
    } = class(name);
    meta.resource_version = version.into();
    let spec = spec.unwrap();
    Observation::Recovered {
        origin: Origin::Folder,
        records: vec![RecoveryRecord {
            key,
            meta,
            spec,
            class: None,
        }],
    }
}

fn good(engine: &Engine<TestLog, TestOutlets>, name: &str) -> bool {
    let state = engine.fold().state();
    let held = state.object(&key(Kind::IngressClass, name));
    held.is_some_and(|held| held.good.is_some())
}

fn is_wanted(name: &str) -> bool {
    world(|world| {
        let mut records = world.wanted.records(Origin::Folder);
        records.any(|record| &*record.key.name == name)
    })
}

#[test]
fn what_is_refused_and_served_is_to_be_kept_outside_of_the_log() {
    let mut engine = begin(Fold::default(), 1);
    engine.turn(batch([listed(vec![class("a"), refused("b")])]));
    assert!(world(|world| world.wanted.is_all(Origin::Folder)));
    assert!(!is_wanted("a") && !is_wanted("b"));
    engine.turn(batch([Observation::Changed(refused("a"))]));
    assert!(is_wanted("a"));
    world(|world| world.wanted = Wanted::default());
    let mut engine = begin(engine.fold().clone(), 2);
    assert!(is_wanted("a"));
    engine.turn(batch([Observation::Changed(class("a"))]));
    assert!(!is_wanted("a"));
}

#[test]
fn recovery_records_are_told_before_the_lists_and_to_a_log_that_knows_nothing() {
    let mut engine = begin(Fold::default(), 1);
    let mut told = batch([recovered("a")]);
    let list = listed(vec![refused("a")]);
    assert_eq!(told.add(list.clone()), Some(list.clone()));
    engine.turn(told);
    assert!(is_wanted("a"));
    assert!(!engine.has_news());
    engine.turn(batch([list]));
    assert!(good(&engine, "a") && is_wanted("a"));
    engine.turn(batch([Observation::Deleted(key(Kind::IngressClass, "a"))]));
    // It would rise from the dead.
    engine.turn(batch([recovered("a")]));
    assert!(!good(&engine, "a"));
    assert_eq!(
        names(),
        [
            "EpochBegan",
            "ObjectRecovered",
            "ObjectRefused",
            "SourcesListed",
            "ObjectDeleted"
        ]
    );
}

#[test]
fn a_log_that_never_knew_all_there_is_is_not_served_after_a_crash_and_is_told_again() {
    let mut engine = begin(Fold::default(), 1);
    engine.turn(batch([recovered("a")]));
    // The next start finds what is durable of that, be it much or little.
    for records in 1..=2 {
        let mut fold = Fold::default();
        for record in world(|world| world.records.clone()).iter().take(records) {
            fold.apply(record);
        }
        let mut engine = begin(fold, 2);
        engine.publish();
        assert_eq!(world(|world| world.publications.len()), 0);
        engine.turn(batch([recovered("a")]));
        engine.turn(batch([listed(vec![refused("a")])]));
        assert!(good(&engine, "a"));
        engine.publish();
        assert_eq!(world(|world| world.publications.drain(..).count()), 1);
    }
}

#[test]
fn a_log_that_lacks_what_another_had_takes_the_last_good_version_from_the_record_of_that() {
    let mut engine = begin(Fold::default(), 1);
    engine.turn(batch([listed(vec![class("a"), refused("b")])]));
    // Elsewhere a term went by in which both were served in another version, and then refused.
    let mut engine = begin(engine.fold().clone(), 3);
    engine.turn(batch([recovered_at("a", "7")]));
    engine.turn(batch([recovered_at("b", "7")]));
    engine.turn(batch([listed(vec![refused("a"), refused("b")])]));
    for name in ["a", "b"] {
        let state = engine.fold().state();
        let held = state.object(&key(Kind::IngressClass, name)).unwrap();
        let good = held.good.as_ref().unwrap();
        assert_eq!(&*good.meta.resource_version, "7");
        assert!(held.refused.is_some() && is_wanted(name));
    }
    // What is told again is known.
    engine.turn(batch([recovered_at("a", "7")]));
    assert_eq!(
        names()[4..],
        [
            "EpochBegan",
            "ObjectRecovered",
            "ObjectRecovered",
            "ObjectRefused",
            "ObjectRefused",
            "SourcesListed"
        ]
    );
}

#[test]
fn what_was_recovered_and_listed_on_a_full_disk_is_not_lost() {
    let mut engine = begin(Fold::default(), 1);
    world(|world| world.full = true);
    engine.turn(batch([recovered("a")]));
    engine.turn(batch([listed(vec![refused("a"), class("b")])]));
    engine.publish();
    engine.housekeep();
    assert_eq!(
        world(|world| (world.publications.len(), world.synced)),
        (0, 0)
    );
    world(|world| world.full = false);
    engine.housekeep();
    assert!(good(&engine, "a"));
    engine.publish();
    // What was listed is not known before it is listed again.
    assert_eq!(
        world(|world| (world.publications.len(), world.synced)),
        (0, 0)
    );
    assert_eq!(world(|world| world.relists), 1);
    engine.turn(batch([listed(vec![refused("a"), class("b")])]));
    engine.publish();
    assert_eq!(
        world(|world| (world.publications.len(), world.synced)),
        (1, 1)
    );
    assert!(good(&engine, "a") && good(&engine, "b"));
    assert_eq!(
        names(),
        [
            "EpochBegan",
            "LogInterrupted",
            "ObjectRecovered",
            "ObjectRefused",
            "ObjectAccepted",
            "SourcesListed"
        ]
    );
}
