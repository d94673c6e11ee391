//! Checkpoints in steps, between which records go on.

use super::*;
use crate::checkpoint;
use crate::engine::storing::{AT_ONCE, MOST_ROUNDS};

/// An engine that was started on so many objects, whose checkpoint has begun.
fn storing(objects: usize) -> Engine<TestLog, TestOutlets> {
    let mut engine = begin(Fold::default(), 1);
    let all = (0..objects).map(|n| class(&format!("c{n:04}")));
    engine.turn(batch([listed(all.collect())]));
    world(|world| world.now = SERVED_WITHIN);
    engine.housekeep();
    engine
}

fn change(engine: &mut Engine<TestLog, TestOutlets>, name: &str) {
    let mut seen = class(name);
    seen.meta.uid = format!("of {}", engine.fold().state().seq()).into();
    engine.turn(batch([Observation::Changed(seen)]));
}

/// What a start would find, but for the records after the checkpoint.
fn restored() -> Vec<String> {
    let stored = world(|world| world.stored.clone());
    objects(&checkpoint::restore(stored).unwrap())
}

fn objects(fold: &Fold) -> Vec<String> {
    let objects = fold.state().objects();
    objects.map(|object| format!("{object:?}")).collect()
}

#[test]
fn what_changes_while_a_checkpoint_is_stored_is_in_it() {
    let mut engine = storing(3 * AT_ONCE);
    let mut steps = 0;
    while world(|world| world.checkpoints.is_empty()) {
        engine.tidy();
        steps += 1;
        match steps {
            // One that was written and one that was not, which come first and last.
            2 => {
                change(&mut engine, "c0000");
                change(&mut engine, "c0383");
            }
            3 => engine.turn(batch([Observation::Deleted(key(
                Kind::IngressClass,
                "c0001",
            ))])),
            _ => {}
        }
    }
    assert!(steps > 3, "{steps} steps");
    let seq = engine.fold().state().seq();
    assert_eq!(world(|world| world.checkpoints.clone()), [seq]);
    assert_eq!(restored(), objects(engine.fold()));
    tidy(&mut engine);
    engine.housekeep();
    tidy(&mut engine);
    assert_eq!(world(|world| world.checkpoints.len()), 1);
}

#[test]
fn a_checkpoint_that_fails_is_stored_anew_as_a_whole() {
    let mut engine = storing(2 * AT_ONCE);
    engine.tidy();
    engine.tidy();
    change(&mut engine, "c0000");
    world(|world| world.full = true);
    engine.tidy();
    world(|world| world.full = false);
    tidy(&mut engine);
    assert!(world(|world| world.checkpoints.is_empty()));
    engine.housekeep();
    tidy(&mut engine);
    assert_eq!(world(|world| world.checkpoints.len()), 1);
    assert_eq!(restored(), objects(engine.fold()));
}

#[test]
fn a_storm_does_not_put_off_the_end_of_a_checkpoint_for_ever() {
    let mut engine = storing(AT_ONCE);
    for round in 0.. {
        if world(|world| !world.checkpoints.is_empty()) {
            break;
        }
        assert!(round <= 4 * MOST_ROUNDS, "{round} rounds");
        let all = (0..2 * AT_ONCE).map(|n| {
            let mut seen = class(&format!("c{n:04}"));
            seen.meta.uid = format!("in {round}").into();
            Observation::Changed(seen)
        });
        engine.turn(batch(all));
        engine.tidy();
    }
    assert_eq!(restored(), objects(engine.fold()));
}

#[test]
fn an_orderly_end_finishes_the_checkpoint_that_is_being_stored() {
    let mut engine = storing(2 * AT_ONCE);
    engine.tidy();
    engine.tidy();
    change(&mut engine, "c0000");
    engine.checkpoint();
    let seq = engine.fold().state().seq();
    assert_eq!(world(|world| world.checkpoints.clone()), [seq]);
    assert_eq!(restored(), objects(engine.fold()));
    // Nothing has changed since.
    engine.checkpoint();
    assert_eq!(world(|world| world.checkpoints.len()), 1);
}
