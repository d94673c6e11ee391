//! Following a leader's log, and leading after it.

use std::collections::BTreeSet;

use tokio::sync::{mpsc, oneshot};

use crate::checkpoint::{Dirty, Restored};
use crate::engine::tests::{
    TestLog, TestOutlets, batch, begin, class, key, listed, names, seen, slice, world,
};
use crate::engine::{Engine, Settings};
use crate::event::{Epoch, Record, Seq};
use crate::model::key::{Kind, Origin};
use crate::model::object::Spec;
use crate::model::service::{Service, Target};
use crate::model::settings::{Listener, Protocol, Settings as Configured};
use crate::observe::{Observation, Seen};
use crate::project::Fold;
use crate::replication::{Place, Step};
use crate::snapshot::Version;
use crate::state::endpoints::{HeldSlice, SliceChange};

/// What another leader's log came to: its records and what they fold to.
fn led() -> (Vec<Record>, Fold) {
    let mut engine = begin(Fold::default(), 1);
    engine.turn(batch([listed(vec![class("a")])]));
    let records = world(|world| {
        world.publications.clear();
        std::mem::take(&mut world.records)
    });
    (records, engine.fold().clone())
}

fn follower() -> Engine<TestLog, TestOutlets> {
    Engine::new(Restored::default(), 100, TestLog, TestOutlets)
}

/// The one after the first.
fn term() -> Settings {
    Settings {
        lineage: "l".into(),
        epoch: Epoch(2),
        binary_version: "test".into(),
        awaited: BTreeSet::from([(Origin::Folder, Kind::IngressClass)]),
    }
}

/// Where the log ends, if steps are taken.
fn place(engine: &mut Engine<TestLog, TestOutlets>) -> Option<Place> {
    let (answer, mut place) = oneshot::channel();
    engine.step(Step::Begin(answer));
    place.try_recv().ok()
}

#[test]
fn records_are_stored_and_known_as_the_leader_knows_them() {
    let (records, fold) = led();
    let mut engine = follower();
    assert_eq!(place(&mut engine), Some(Place::default()));
    engine.step(Step::Records(records.clone()));
    assert_eq!(world(|world| world.records.clone()), records);
    assert_eq!(place(&mut engine), Some(Place::of(fold.state().head())));
    let published = world(|world| world.publications.last().cloned()).unwrap();
    assert!(published.is_restored());
    assert_eq!(published.snapshot().version(), fold.snapshot().version());
    assert_eq!(published.snapshot().digest(), fold.snapshot().digest());
}

#[test]
fn a_checkpoint_takes_the_place_of_what_was_known() {
    let (_, fold) = led();
    let mut engine = begin(Fold::default(), 7);
    let all = Dirty::all(&fold);
    let entries = all.entries(&fold).map(|entry| entry.unwrap());
    let entries = entries.map(|(key, value)| (key, value.unwrap())).collect();
    engine.step(Step::Restart(entries));
    assert_eq!(place(&mut engine), Some(Place::of(fold.state().head())));
    world(|world| {
        assert_eq!(world.records, []);
        assert_eq!(world.checkpoints, [fold.state().seq()]);
    });
}

/// Endpoints, as a leader tells of them.
fn told(name: &str) -> SliceChange {
    let Seen {
        key, meta, spec, ..
    } = slice(name);
    let Ok(Spec::EndpointSlice(spec)) = spec else {
        panic!("{spec:?}");
    };
    let uid = meta.uid;
    SliceChange {
        key,
        slice: Some(HeldSlice { uid, spec }),
    }
}

#[test]
fn a_replica_that_begins_anew_serves_nothing_before_it_knows_the_endpoints() {
    let service = Service {
        target: Target::Endpoints,
        ports: vec![],
    };
    let service = seen(key(Kind::Service, "s"), Spec::Service(service));
    let mut leader = begin(Fold::default(), 1);
    leader.turn(batch([
        Observation::Changed(service),
        listed(vec![class("a")]),
    ]));
    let fold = leader.fold();
    let all = Dirty::all(fold);
    let entries = all.entries(fold).map(|entry| entry.unwrap());
    let entries: Vec<_> = entries.map(|(key, value)| (key, value.unwrap())).collect();
    let records = world(|world| std::mem::take(&mut world.records));
    let beginnings = [Step::Restart(entries), Step::Records(records)];
    for beginning in beginnings {
        world(|world| world.publications.clear());
        let mut engine = follower();
        engine.step(beginning);
        let published = || world(|world| world.publications.len());
        assert_eq!(published(), 0);
        // Nor does it as it takes over meanwhile: what there is will be listed.
        engine.lead(term());
        assert_eq!(published(), 0);
        let changes = vec![told("x")];
        engine.step(Step::Endpoints { all: true, changes });
        assert_eq!(published(), 1);
    }
}

#[test]
fn what_a_leader_wrote_on_top_of_an_old_log_takes_nothing_from_who_holds_more() {
    let (old, fold) = led();
    // Meanwhile another led, whose log is lost, and proxies hold what it sent.
    let held = Version {
        epoch: Epoch(8),
        seq: Seq(99),
    };
    let written = || world(|world| std::mem::take(&mut world.records));
    let mut leader = begin(fold, 9);
    leader.turn(batch([opens(80)]));
    let before_it_listed = written();
    leader.turn(batch([listed(vec![class("a")])]));
    let rest = written();

    let mut engine = follower();
    engine.step(Step::Records(old));
    let is_news = |records: Vec<Record>, engine: &mut Engine<_, _>| {
        engine.step(Step::Records(records));
        let published = world(|world| world.publications.last().cloned()).unwrap();
        assert!(published.snapshot().version() > held);
        !published.only_restores("l", held)
    };
    assert!(!is_news(before_it_listed, &mut engine));
    // Nor if the replica begins with that, or leads with it.
    let fold = engine.fold().clone();
    for begun in [
        Engine::new(Restored::whole(fold.clone()), 100, TestLog, TestOutlets),
        begin(fold, 10),
    ] {
        let published = world(|world| world.publications.last().cloned()).unwrap();
        assert!(
            published.only_restores("l", held),
            "{:?}",
            begun.fold().state().head()
        );
    }
    assert!(is_news(rest, &mut engine));
}

/// The settings, with one listener.
fn opens(port: u16) -> Observation {
    let listener = Listener::new(port, Protocol::Http);
    Observation::Configured(Configured {
        listeners: [("http".into(), listener)].into(),
        ..Configured::default()
    })
}

#[test]
fn endpoints_are_those_of_the_leader_and_no_others() {
    let (records, _) = led();
    let mut engine = follower();
    engine.step(Step::Records(records));
    let of = told;
    let held = |engine: &Engine<_, _>| -> Vec<String> {
        let slices = engine.fold().state().slices();
        slices.keys().map(|key| key.name.to_string()).collect()
    };
    let tell = |all, changes| Step::Endpoints { all, changes };
    engine.step(tell(true, vec![of("a"), of("b")]));
    assert_eq!(held(&engine), ["a", "b"]);
    let gone = SliceChange {
        slice: None,
        ..of("a")
    };
    engine.step(tell(false, vec![gone, of("c")]));
    assert_eq!(held(&engine), ["b", "c"]);
    engine.step(tell(true, vec![of("d")]));
    assert_eq!(held(&engine), ["d"]);
}

#[test]
fn what_cannot_be_stored_is_not_known_and_nothing_follows_before_a_new_beginning() {
    let (records, fold) = led();
    let mut engine = follower();
    world(|world| world.full = true);
    engine.step(Step::Records(records[..1].to_vec()));
    assert!(world(|world| world.frozen));
    world(|world| world.full = false);
    let (answer, mut reached) = oneshot::channel();
    engine.step(Step::Reached(answer));
    assert!(reached.try_recv().is_err(), "not all before it was taken");
    // Without the one before it.
    engine.step(Step::Records(records[1..].to_vec()));
    assert_eq!(engine.fold().state().seq(), Seq(0));
    assert_eq!(place(&mut engine), Some(Place::default()));
    assert!(!world(|world| world.frozen));
    engine.step(Step::Records(records));
    assert_eq!(engine.fold().state().seq(), fold.state().seq());
}

#[test]
fn who_takes_over_goes_on_with_the_same_history() {
    let (records, _) = led();
    let mut engine = follower();
    engine.step(Step::Records(records));
    engine.lead(term());
    engine.turn(batch([listed(vec![class("a"), class("b")])]));
    assert_eq!(
        names(),
        [
            "EpochBegan",
            "ObjectAccepted",
            "SourcesListed",
            "EpochBegan",
            "ObjectAccepted",
            "SourcesListed",
        ]
    );
    let seqs: Vec<u64> = world(|world| world.records.iter().map(|record| record.seq.0).collect());
    assert_eq!(seqs, [1, 2, 3, 4, 5, 6]);
}

#[test]
fn who_is_deposed_writes_nothing_more_and_does_not_count_as_unable_to() {
    let mut engine = begin(Fold::default(), 1);
    engine.turn(batch([listed(vec![class("a")])]));
    world(|world| world.deposed = true);
    engine.turn(batch([listed(vec![class("a"), class("b")])]));
    assert_eq!(names(), ["EpochBegan", "ObjectAccepted", "SourcesListed"]);
    assert!(!world(|world| world.frozen));
}

#[tokio::test]
async fn what_was_in_use_in_a_term_is_not_told_to_the_sources_of_the_next() {
    let mut engine = begin(Fold::default(), 1);
    engine.turn(batch([listed(vec![class("a")])]));
    assert!(world(|world| world.secrets.is_some()));
    let (steps, mut inbox) = mpsc::channel(1);
    drop(steps);
    engine.follow(&mut inbox).await;
    assert!(world(|world| world.secrets.is_none()));
    engine.lead(Settings {
        awaited: BTreeSet::from([(Origin::Kubernetes, Kind::Ingress)]),
        ..term()
    });
    assert!(world(|world| world.secrets.is_none()));
}
