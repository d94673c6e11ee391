//! A keeper between what is wanted and a store that fails on demand.

mod memory;
mod server;

use std::collections::BTreeMap;

use tokio::task::JoinSet;

use self::memory::{Memory, Shelf};
use super::entry::name;
use super::*;
use crate::event::recovery::{Kept, Place, decode, encode};
use crate::event::{Event, Record, Seq};
use crate::model::ingress::IngressClass;
use crate::model::key::{Kind, ObjectKey, Origin};
use crate::model::object::{Age, Meta, Spec};
use crate::model::time::Timestamp;
use crate::state::State;
use crate::store::MAX_BYTES;

/// A keeper at work on a store, and what it was given and says.
struct Setting {
    wanted: watch::Sender<Wanted>,
    inbox: mpsc::Receiver<Observation>,
    listable: oneshot::Receiver<()>,
    memory: Memory,
    _running: JoinSet<()>,
}

fn begin(epoch: u64, wanted: Wanted, memory: Memory) -> Setting {
    let (send, inbox) = mpsc::channel(4);
    let (tell, listable) = oneshot::channel();
    let (wants, wanted) = watch::channel(wanted);
    let metrics = RecoveryMetrics::new(&opentelemetry::global::meter("test"));
    let tenure = Tenure {
        lineage: "ours".into(),
        epoch: Epoch(epoch),
    };
    let keeper = Keeper::new(memory.clone(), tenure, wanted, metrics);
    let mut running = JoinSet::new();
    running.spawn(keeper.run(send, tell));
    Setting {
        wanted: wants,
        inbox,
        listable,
        memory,
        _running: running,
    }
}

/// What is wanted where these objects are refused, with what each said before, by a log that knew
/// all there is in this term; 0: that never did.
fn wanted(synced: u64, objects: &[(&str, &str)]) -> Wanted {
    let mut state = State::default();
    let mut events: Vec<Event> = objects
        .iter()
        .map(|(name, controller)| record(name, controller).into_event())
        .collect();
    if synced > 0 {
        let origins = [Origin::Folder].into();
        events.push(Event::SourcesListed { origins });
    }
    for event in events {
        let seq = state.seq().next();
        state.apply(&Record {
            seq,
            epoch: Epoch(synced),
            time: Timestamp(0),
            event,
        });
    }
    assert_eq!(
        state.seq(),
        Seq(objects.len() as u64 + u64::from(synced > 0))
    );
    Wanted::of(&state)
}

fn key(name: &str) -> ObjectKey {
    ObjectKey {
        origin: Origin::Folder,
        kind: Kind::IngressClass,
        namespace: "".into(),
        name: name.into(),
    }
}

fn record(name: &str, controller: &str) -> RecoveryRecord {
    RecoveryRecord {
        key: key(name),
        meta: Meta {
            uid: "u".into(),
            resource_version: "1".into(),
            age: Age {
                created: Timestamp(0),
                rank: name.into(),
            },
        },
        spec: Spec::IngressClass(IngressClass {
            controller: controller.into(),
            is_default: false,
        }),
        class: None,
    }
}

fn bytes(lineage: &str, epoch: u64, record: RecoveryRecord) -> Vec<u8> {
    bytes_at(lineage, (epoch, 1), record)
}

/// What was kept as of this record of a term.
fn bytes_at(lineage: &str, (epoch, seq): (u64, u64), record: RecoveryRecord) -> Vec<u8> {
    let kept = Kept {
        lineage: lineage.into(),
        epoch: Epoch(epoch),
        place: Place {
            epoch: Epoch(epoch),
            seq: Seq(seq),
        },
        record,
    };
    encode(kept).unwrap()
}

/// Objects, what is kept of each, and who keeps it.
fn shown(shelf: &Shelf) -> Vec<String> {
    let bodies = shelf.bodies.iter();
    let mut shown: Vec<String> = bodies
        .map(|(_, (bytes, _))| match decode(bytes) {
            Ok(kept) => {
                let Spec::IngressClass(class) = &kept.record.spec else {
                    panic!("{kept:?}");
                };
                let Kept { lineage, epoch, .. } = &kept;
                format!(
                    "{} {} {lineage} {epoch}",
                    kept.record.key.name, class.controller
                )
            }
            Err(_) => String::from_utf8_lossy(bytes).into_owned(),
        })
        .collect();
    shown.sort();
    shown
}

impl Setting {
    async fn holds(&self, expected: &[&str]) {
        self.memory
            .until(&format!("{expected:?}"), |shelf| shown(shelf) == expected)
            .await;
    }

    /// Waits until the keeper has looked at everything once more.
    async fn looked(&self) {
        let before = self.memory.shelf().looks;
        self.memory
            .until("a look", |shelf| shelf.looks > before)
            .await;
    }
}

fn stored(bodies: &[(&str, Vec<u8>)]) -> Memory {
    let memory = Memory::new(Origin::Folder);
    for (object, bytes) in bodies {
        memory.write(&name(&key(object)), bytes.clone());
    }
    memory
}

#[tokio::test(start_paused = true)]
async fn what_is_wanted_is_kept_and_what_no_longer_is_goes() {
    let setting = begin(3, wanted(3, &[("a", "one")]), stored(&[]));
    setting.holds(&["a one ours 3"]).await;
    setting
        .wanted
        .send_replace(wanted(3, &[("a", "two"), ("b", "one")]));
    setting.holds(&["a two ours 3", "b one ours 3"]).await;
    setting.wanted.send_replace(wanted(3, &[("b", "one")]));
    setting.holds(&["b one ours 3"]).await;
}

#[tokio::test(start_paused = true)]
async fn a_log_that_knows_its_sources_is_told_nothing_and_takes_the_store_over() {
    let memory = stored(&[
        ("a", bytes("ours", 2, record("a", "one"))),
        ("b", bytes("ours", 2, record("b", "old"))),
        ("gone", bytes("ours", 2, record("gone", "one"))),
        ("theirs", bytes("theirs", 99, record("theirs", "one"))),
    ]);
    let objects = [("a", "one"), ("b", "new")];
    let mut setting = begin(3, wanted(2, &objects), memory);
    (&mut setting.listable).await.unwrap();
    assert!(setting.inbox.try_recv().is_err());
    setting.wanted.send_replace(wanted(3, &objects));
    setting.holds(&["a one ours 3", "b new ours 3"]).await;
}

#[tokio::test(start_paused = true)]
async fn a_log_that_lacks_the_end_is_told_what_was_written_after_it_and_nothing_else() {
    let memory = stored(&[
        ("known", bytes("ours", 2, record("known", "old"))),
        ("missed", bytes("ours", 3, record("missed", "one"))),
        ("newer", bytes("ours", 4, record("newer", "new"))),
        ("theirs", bytes("theirs", 4, record("theirs", "one"))),
        // Of the last term that it knows, after the last record that it has of that.
        ("later", bytes_at("ours", (2, 99), record("later", "one"))),
    ]);
    let before = memory.shelf().bodies;
    let objects = [("known", "one"), ("newer", "old")];
    let mut setting = begin(5, wanted(2, &objects), memory);
    let told = setting.inbox.recv().await.unwrap();
    let mut records = vec![
        record("missed", "one"),
        record("newer", "new"),
        record("later", "one"),
    ];
    records.sort_by_key(|record| name(&record.key));
    let origin = Origin::Folder;
    assert_eq!(told, Observation::Recovered { origin, records });
    (&mut setting.listable).await.unwrap();

    let objects = [("known", "one"), ("missed", "one"), ("newer", "new")];
    setting.wanted.send_replace(wanted(2, &objects));
    sleep(LOOK * 2).await;
    // Before the sources are listed in this term nobody knows what is wanted.
    assert_eq!(setting.memory.shelf().bodies, before);
    setting.wanted.send_replace(wanted(5, &objects));
    setting
        .holds(&["known one ours 5", "missed one ours 5", "newer new ours 5"])
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_log_that_knew_its_sources_goes_on_without_the_store_and_spares_what_it_may_lack() {
    let memory = stored(&[
        ("a", bytes("ours", 2, record("a", "old"))),
        ("missed", bytes("ours", 3, record("missed", "one"))),
        ("gone", bytes("ours", 2, record("gone", "one"))),
    ]);
    memory.fail(|| StoreError::Unavailable("not there".into()));
    let mut setting = begin(4, wanted(2, &[("a", "old")]), memory);
    (&mut setting.listable).await.unwrap();
    assert!(setting.inbox.try_recv().is_err());
    let objects = [("a", "new"), ("missed", "another")];
    setting.wanted.send_replace(wanted(4, &objects));
    setting.memory.mend();
    setting.holds(&["a new ours 4", "missed one ours 3"]).await;
    setting.looked().await;
    setting.holds(&["a new ours 4", "missed one ours 3"]).await;
}

#[tokio::test(start_paused = true)]
async fn a_log_that_does_not_know_them_is_told_first_and_writes_nothing_before_it_does() {
    let memory = stored(&[
        ("a", bytes("lost", 9, record("a", "one"))),
        ("b", bytes("ours", 9, record("b", "one"))),
    ]);
    let mut setting = begin(1, wanted(0, &[]), memory);
    let told = setting.inbox.recv().await.unwrap();
    let mut records = vec![record("a", "one"), record("b", "one")];
    records.sort_by_key(|record| name(&record.key));
    let origin = Origin::Folder;
    assert_eq!(told, Observation::Recovered { origin, records });
    (&mut setting.listable).await.unwrap();

    setting.wanted.send_replace(wanted(0, &[("a", "one")]));
    sleep(LOOK * 2).await;
    setting.holds(&["a one lost 9", "b one ours 9"]).await;
    setting.wanted.send_replace(wanted(1, &[("a", "one")]));
    setting.holds(&["a one ours 1", "b one ours 9"]).await;
    setting.wanted.send_replace(wanted(1, &[]));
    // Of an epoch that this installation has not reached: what is there is a later leader's.
    setting.holds(&["b one ours 9"]).await;
}

#[tokio::test(start_paused = true)]
async fn nothing_may_be_listed_before_the_records_can_be_read() {
    let memory = stored(&[("a", bytes("ours", 1, record("a", "one")))]);
    memory.fail(|| StoreError::Forbidden("not you".into()));
    let mut setting = begin(2, wanted(0, &[]), memory);
    let tries = setting.memory.shelf().looks + 5;
    setting
        .memory
        .until("five tries", |shelf| shelf.looks >= tries)
        .await;
    assert!(setting.inbox.try_recv().is_err());
    assert!(setting.listable.try_recv().is_err());
    setting.memory.mend();
    let told = setting.inbox.recv().await.unwrap();
    assert!(matches!(told, Observation::Recovered { records, .. } if records.len() == 1));
    (&mut setting.listable).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_used_is_left_alone_and_ends_nothing() {
    let newer = br#"{"schema":999,"what":"is this"}"#.to_vec();
    let memory = stored(&[
        ("newer", newer),
        ("spoilt", b"{".to_vec()),
        ("a", bytes("ours", 1, record("b", "of another name"))),
        ("good", bytes("ours", 1, record("good", "one"))),
    ]);
    let left = |good: &[&str]| -> Vec<String> {
        let mut left = vec![
            "b of another name ours 1".to_owned(),
            "{".to_owned(),
            r#"{"schema":999,"what":"is this"}"#.to_owned(),
        ];
        left.extend(good.iter().map(ToString::to_string));
        left.sort();
        left
    };
    let mut setting = begin(2, wanted(0, &[]), memory);
    let told = setting.inbox.recv().await.unwrap();
    let (origin, records) = (Origin::Folder, vec![record("good", "one")]);
    assert_eq!(told, Observation::Recovered { origin, records });
    // Not even for what would have their names.
    let objects = [("newer", "x"), ("spoilt", "x"), ("other", "one")];
    setting.wanted.send_replace(wanted(2, &objects));
    let expected = left(&["other one ours 2"]);
    let holds = |shelf: &Shelf| shown(shelf) == expected;
    setting.memory.until("only the good", holds).await;
    setting.looked().await;
    setting.memory.until("only the good", holds).await;
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_was_deposed_undoes_nothing_of_its_successors() {
    let memory = stored(&[]);
    let objects = [("a", "one"), ("b", "one"), ("c", "one")];
    let setting = begin(3, wanted(3, &objects), memory);
    let all = ["a one ours 3", "b one ours 3", "c one ours 3"];
    setting.holds(&all).await;

    // Unseen by the first, a second has taken over two of them.
    for object in ["a", "b"] {
        let later = bytes("ours", 4, record(object, "later"));
        setting.memory.write(&name(&key(object)), later);
    }
    setting
        .wanted
        .send_replace(wanted(3, &[("a", "mine"), ("c", "mine")]));
    setting
        .holds(&["a later ours 4", "b later ours 4", "c mine ours 3"])
        .await;
    setting.looked().await;
    setting
        .holds(&["a later ours 4", "b later ours 4", "c mine ours 3"])
        .await;
}

#[tokio::test(start_paused = true)]
async fn what_somebody_did_to_the_store_is_set_right() {
    let setting = begin(3, wanted(3, &[("a", "one"), ("b", "one")]), stored(&[]));
    setting.holds(&["a one ours 3", "b one ours 3"]).await;
    setting.memory.remove_unseen(&name(&key("a")));
    let strange = bytes("ours", 2, record("b", "strange"));
    setting.memory.write(&name(&key("b")), strange);
    setting.looked().await;
    setting.holds(&["a one ours 3", "b one ours 3"]).await;
    // And between a look and a write.
    setting.memory.remove_unseen(&name(&key("a")));
    let strange = bytes("theirs", 7, record("b", "strange"));
    setting.memory.write(&name(&key("b")), strange);
    setting
        .wanted
        .send_replace(wanted(3, &[("a", "two"), ("b", "two")]));
    setting.holds(&["a two ours 3", "b two ours 3"]).await;
}

#[tokio::test(start_paused = true)]
async fn a_store_that_fails_is_tried_until_it_does_not() {
    let setting = begin(3, wanted(3, &[("a", "one")]), stored(&[]));
    setting.holds(&["a one ours 3"]).await;
    let failures: [fn() -> StoreError; 3] = [
        || StoreError::Unavailable("not there".into()),
        || StoreError::Forbidden("not you".into()),
        || StoreError::Conflict,
    ];
    for (round, failure) in failures.into_iter().enumerate() {
        setting.memory.fail(failure);
        let (controller, other) = (format!("round-{round}"), format!("b-{round}"));
        let objects = [("a", &*controller), (&*other, "one")];
        let before = setting.memory.shelf().refused;
        setting.wanted.send_replace(wanted(3, &objects));
        setting
            .memory
            .until("four tries", |shelf| shelf.refused >= before + 4)
            .await;
        setting.memory.mend();
        let a = format!("a {controller} ours 3");
        let b = format!("{other} one ours 3");
        setting.holds(&[&a, &b]).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_is_refused_holds_up_no_other() {
    let memory = stored(&[]);
    let taken_by_none = name(&key("a"));
    memory.refuse(&taken_by_none);
    let setting = begin(3, wanted(3, &[("a", "one"), ("b", "one")]), memory);
    setting.holds(&["b one ours 3"]).await;
}

#[tokio::test(start_paused = true)]
async fn what_is_too_large_or_one_too_many_is_left_out_until_there_is_room() {
    let large = "x".repeat(MAX_BYTES);
    let many: Vec<String> = (0..=MAX_RECORDS).map(|n| format!("n{n}")).collect();
    let mut objects: Vec<(&str, &str)> = many.iter().map(|name| (&**name, "one")).collect();
    objects.push(("large", &large));
    let setting = begin(3, wanted(3, &objects), stored(&[]));
    setting
        .memory
        .until("as many as may be", |shelf| {
            shelf.bodies.len() == MAX_RECORDS
        })
        .await;
    setting.looked().await;
    assert_eq!(setting.memory.shelf().bodies.len(), MAX_RECORDS);
    let kept = setting.memory.shelf();
    let is_kept = |object: &str| kept.bodies.contains_key(&*name(&key(object)));
    let missing: Vec<&String> = many.iter().filter(|object| !is_kept(object)).collect();
    let [missing] = missing[..] else {
        panic!("{missing:?}");
    };
    assert!(!is_kept("large"));

    let mended = many.iter().find(|object| is_kept(object)).unwrap();
    objects.retain(|(object, _)| object != mended);
    setting.wanted.send_replace(wanted(3, &objects));
    let missing = name(&key(missing));
    setting
        .memory
        .until("the one that was missing", |shelf| {
            shelf.bodies.contains_key(&*missing)
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn what_is_too_large_leaves_nothing_older_behind() {
    let setting = begin(3, wanted(3, &[("a", "one")]), stored(&[]));
    setting.holds(&["a one ours 3"]).await;
    let large = "x".repeat(MAX_BYTES);
    setting.wanted.send_replace(wanted(3, &[("a", &large)]));
    setting.holds(&[]).await;
}

#[test]
fn objects_have_names_of_their_own_for_ever() {
    // Records of older releases are found by these.
    assert_eq!(
        &*name(&key("a")),
        "last-good-e6ae0b4e0b5d7b36b3125003272fc5f1"
    );
    let mut names = BTreeMap::new();
    for origin in Origin::ALL {
        for kind in Kind::ALL {
            for (namespace, object) in [("a", "b"), ("", "a"), ("a", "a"), ("b", "a")] {
                let key = ObjectKey {
                    origin,
                    kind,
                    namespace: namespace.into(),
                    name: object.into(),
                };
                assert_eq!(names.insert(name(&key), key.clone()), None);
            }
        }
    }
}
