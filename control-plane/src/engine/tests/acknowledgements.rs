//! What all proxies hold is a fact that nothing waits for.

use super::*;
use crate::presence::{Connected, Report, StreamId};

fn acknowledges(engine: &mut Engine<TestLog, TestOutlets>) {
    let version = engine.fold().snapshot().version();
    engine.turn(batch([Observation::Proxy(Report::Acknowledged {
        proxy: "p".into(),
        stream: StreamId(1),
        version,
        endpoints_revision: 0,
        faults: vec![],
    })]));
}

fn with_a_proxy() -> Engine<TestLog, TestOutlets> {
    let mut engine = begin(Fold::default(), 1);
    engine.turn(batch([listed(vec![class("a")])]));
    engine.turn(batch([Observation::Proxy(Report::Connected(Connected {
        proxy: "p".into(),
        stream: StreamId(1),
        boot_id: "b".into(),
        peer: "127.0.0.1".into(),
        binary_version: "1".into(),
        capabilities: vec![],
        held: None,
    }))]));
    world(|world| world.records.clear());
    engine
}

#[test]
fn it_is_recorded_with_the_next_change() {
    let mut engine = with_a_proxy();
    acknowledges(&mut engine);
    assert!(names().is_empty(), "{:?}", names());
    engine.turn(batch([Observation::Changed(class("b"))]));
    assert_eq!(names(), ["ObjectAccepted", "AcknowledgedByAll"]);
}

#[test]
fn it_is_recorded_without_a_change_by_the_housekeeping() {
    let mut engine = with_a_proxy();
    acknowledges(&mut engine);
    engine.housekeep();
    assert_eq!(names(), ["AcknowledgedByAll"]);
    engine.housekeep();
    assert_eq!(names(), ["AcknowledgedByAll"], "once");
}

#[test]
fn while_the_log_cannot_be_written_it_is_not_kept_for_later() {
    let mut engine = with_a_proxy();
    world(|world| world.full = true);
    engine.turn(batch([Observation::Changed(class("b"))]));
    acknowledges(&mut engine);
    world(|world| world.full = false);
    engine.housekeep();
    engine.housekeep();
    assert!(!names().contains(&"AcknowledgedByAll"), "{:?}", names());
}
