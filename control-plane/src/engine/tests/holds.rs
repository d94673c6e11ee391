//! Objects that vanish all at once, seen from the engine.

use super::*;
use crate::event::Record;
use crate::event::hold::HoldId;
use crate::model::ingress::{BackendRef, Ingress, PortRef};
use crate::model::settings::Settings as Configured;
use crate::observe::guard::{Confirmation, Holds};

/// Configured with the default guard, with these numbers of Ingresses.
fn serving(names: std::ops::Range<u32>) -> Engine<TestLog, TestOutlets> {
    let mut engine = begin(Fold::default(), 1);
    engine.turn(batch([Observation::Configured(Configured::default())]));
    engine.turn(batch([listed(vec![]), list(names)]));
    engine.publish();
    engine
}

fn ingress(number: u32) -> Seen {
    let spec = Ingress {
        default_backend: Some(BackendRef {
            service: "s".into(),
            port: PortRef::Number(80),
        }),
        ..Ingress::default()
    };
    let name = format!("i{number:02}");
    seen(key(Kind::Ingress, &name), Spec::Ingress(spec))
}

fn list(names: std::ops::Range<u32>) -> Observation {
    Observation::Listed {
        origin: Origin::Folder,
        kind: Kind::Ingress,
        objects: names.map(ingress).collect(),
        unreadable: vec![],
    }
}

/// A complete list of EndpointSlices of the Service that all Ingresses send to.
fn slices(names: &[&str]) -> Observation {
    Observation::Listed {
        origin: Origin::Folder,
        kind: Kind::EndpointSlice,
        objects: names.iter().map(|name| slice(name)).collect(),
        unreadable: vec![],
    }
}

fn confirm(of: Holds) -> Observation {
    Observation::Confirmed(Confirmation {
        of,
        by: "somebody".into(),
        reason: "meant".into(),
    })
}

/// How many Ingresses there are.
fn routes(engine: &Engine<TestLog, TestOutlets>) -> usize {
    let state = engine.fold().state();
    state.keys(Origin::Folder, Kind::Ingress).count()
}

/// Names of the events from this record on.
fn events_after(seq: Seq) -> Vec<&'static str> {
    world(|world| {
        let after = world.records.iter().filter(|record| record.seq > seq);
        after.map(|record| record.event.name()).collect()
    })
}

fn hold() -> (HoldId, Option<usize>) {
    world(|world| {
        let [now] = &world.holds[..] else {
            panic!("{:?}", world.holds)
        };
        (now.hold.id, now.missing)
    })
}

#[test]
fn an_empty_list_changes_no_route_until_it_is_confirmed() {
    let mut engine = serving(0..12);
    let before = engine.fold().state().seq();
    engine.turn(batch([list(0..0)]));
    assert!(!engine.has_news());
    assert_eq!(routes(&engine), 12);
    let (id, missing) = hold();
    assert_eq!(
        (id.to_string(), missing),
        (format!("1.{}", before.next()), Some(12))
    );
    engine.turn(batch([list(0..0)]));
    assert_eq!(events_after(before), ["DeletionHeld"]);

    let another = HoldId { seq: Seq(1), ..id };
    engine.turn(batch([confirm(Holds::These([another].into()))]));
    assert_eq!(routes(&engine), 12);
    engine.turn(batch([confirm(Holds::These([id].into()))]));
    assert_eq!(routes(&engine), 0);
    assert!(engine.has_news());
    let events = events_after(before);
    assert_eq!(events[..2], ["DeletionHeld", "DeletionConfirmed"]);
    assert_eq!(events[2..14], ["ObjectDeleted"; 12]);
    assert_eq!(events[14..], ["DeletionHoldEnded"]);
    assert!(world(|world| world.holds.is_empty()));
}

#[test]
fn few_objects_and_those_seen_to_be_deleted_go_at_once() {
    let mut engine = serving(0..30);
    engine.turn(batch([list(0..15)]));
    assert_eq!(routes(&engine), 15);
    engine.turn(batch(
        (0..15).map(|number| Observation::Deleted(ingress(number).key)),
    ));
    assert_eq!(routes(&engine), 0);
    assert!(world(|world| world.holds.is_empty()));
}

#[test]
fn a_hold_lasts_until_the_last_object_is_back_or_was_seen_to_go() {
    let mut engine = serving(0..12);
    engine.turn(batch([list(0..0)]));
    let (first, _) = hold();
    // A few that are back make it no smaller than it is said to be, and end nothing.
    engine.turn(batch([list(0..4)]));
    let (second, missing) = hold();
    assert!(second > first);
    assert_eq!((missing, routes(&engine)), (Some(8), 12));
    engine.turn(batch(
        (4..11).map(|number| Observation::Changed(ingress(number))),
    ));
    assert_eq!(hold(), (second, Some(1)));
    let before = engine.fold().state().seq();
    engine.turn(batch([Observation::Deleted(ingress(11).key)]));
    assert!(world(|world| world.holds.is_empty()));
    assert_eq!(events_after(before), ["DeletionHoldEnded", "ObjectDeleted"]);
    assert_eq!(routes(&engine), 11);
}

#[test]
fn as_many_others_that_are_gone_are_another_hold() {
    let mut engine = serving(0..24);
    engine.turn(batch([list(13..24)]));
    let (first, _) = hold();
    // Those are back, and as many of the others are not there now.
    engine.turn(batch([list(0..11)]));
    let (second, missing) = hold();
    assert_eq!(missing, Some(13));
    assert!(second > first);
    engine.turn(batch([confirm(Holds::These([first].into()))]));
    assert_eq!(routes(&engine), 24);
    engine.turn(batch([confirm(Holds::These([second].into()))]));
    assert_eq!(routes(&engine), 11);
}

#[test]
fn what_was_confirmed_before_a_list_is_those_objects_and_no_others() {
    let mut engine = serving(0..24);
    engine.turn(batch([list(13..24)]));
    let (id, _) = hold();
    let mut engine = begin(engine.fold().clone(), 2);
    engine.turn(batch([confirm(Holds::These([id].into()))]));
    engine.turn(batch([listed(vec![]), list(0..11)]));
    assert_eq!(routes(&engine), 24);
    let (other, missing) = hold();
    assert!(other > id);
    assert_eq!(missing, Some(13));
}

#[test]
fn a_service_whose_slices_are_all_replaced_by_the_same_list_has_lost_nothing() {
    let mut engine = serving(0..12);
    engine.turn(batch([slices(&["s-1", "s-2"])]));
    engine.turn(batch([slices(&["s-3"])]));
    assert!(world(|world| world.holds.is_empty()));
    let held = engine.fold().state().slices().keys();
    assert_eq!(held.map(|key| &*key.name).collect::<Vec<_>>(), ["s-3"]);
    engine.turn(batch([slices(&[])]));
    assert_eq!(hold().1, Some(1));
}

#[test]
fn the_last_two_that_come_back_in_one_turn_end_it() {
    let mut engine = serving(0..12);
    engine.turn(batch([list(2..2)]));
    engine.turn(batch(
        (0..12).map(|number| Observation::Changed(ingress(number))),
    ));
    assert!(world(|world| world.holds.is_empty()));
    assert_eq!(routes(&engine), 12);
}

#[test]
fn a_restart_finds_the_hold_and_confirms_nothing() {
    let mut engine = serving(0..12);
    engine.turn(batch([list(0..0)]));
    let (id, _) = hold();
    let fold = world(|world| {
        let mut fold = Fold::default();
        for record in &world.records {
            fold.apply(record);
        }
        fold
    });
    let mut engine = begin(fold, 2);
    assert_eq!(hold(), (id, None));
    let before = engine.fold().state().seq();
    engine.turn(batch([listed(vec![]), list(0..0)]));
    assert_eq!((hold(), routes(&engine)), ((id, Some(12)), 12));
    assert!(!events_after(before).contains(&"DeletionHeld"));

    // Confirmed before anything was listed: the list carries it out, but no more than was shown.
    let fold = engine.fold().clone();
    let mut fold = Fold::from_state(crate::state::State::restore(
        fold.state().head().clone(),
        fold.state()
            .objects()
            .map(|(key, held)| (key.clone(), Box::new(held.clone())))
            .collect(),
    ));
    fold.apply(&Record {
        seq: fold.state().seq().next(),
        epoch: Epoch(2),
        time: Timestamp(0),
        event: Event::DeletionConfirmed {
            hold: id,
            by: "somebody".into(),
            reason: "meant".into(),
        },
    });
    let mut engine = begin(fold, 3);
    engine.turn(batch([listed(vec![]), list(0..0)]));
    assert_eq!(routes(&engine), 0);
    assert!(world(|world| world.holds.is_empty()));
}

#[test]
fn what_vanishes_from_a_folder_is_held_if_it_is_much_and_goes_if_it_is_little() {
    let vanished = |names: std::ops::Range<u32>| Observation::Vanished {
        origin: Origin::Folder,
        kind: Kind::Ingress,
        keys: names.map(|number| ingress(number).key).collect(),
    };
    let mut engine = serving(0..30);
    engine.turn(batch([vanished(0..3)]));
    assert_eq!(routes(&engine), 27);
    engine.turn(batch([vanished(3..25)]));
    assert_eq!((routes(&engine), hold().1), (27, Some(22)));
    // While it stands, a single file may still be deleted.
    engine.turn(batch([vanished(29..30)]));
    assert_eq!((routes(&engine), hold().1), (26, Some(22)));
    engine.turn(batch([confirm(Holds::All)]));
    assert_eq!(routes(&engine), 4);
}

#[test]
fn a_source_that_is_not_configured_has_nothing_to_guard() {
    let mut engine = serving(0..12);
    engine.turn(batch([list(0..0)]));
    engine.turn(batch([Observation::Unconfigured {
        origin: Origin::Folder,
        kind: Kind::Ingress,
    }]));
    assert_eq!(routes(&engine), 0);
    assert!(world(|world| world.holds.is_empty()));
}
