//! Tests of the journal: what was written reads back, wherever the file is cut.

use std::collections::BTreeMap;

use proptest::prelude::*;
use roadstead_proto::digest;

use super::*;
use crate::snapshot::{Applied, Restored, Told, Usable, Version};

fn told(name: u8, body: u8) -> Told {
    let body = vec![body; 40];
    Told {
        key: Key::new(2, &name.to_string()),
        hash: digest::resource_hash(&body, ["http"]),
        body: body.into(),
        requires: ["http".to_owned()].into(),
    }
}

fn mark(seq: u64) -> Mark {
    Mark {
        version: Version {
            lineage: "l".into(),
            epoch: 1,
            seq,
        },
        endpoints_revision: seq * 10,
        fingerprint: format!("{seq:032}"),
    }
}

#[derive(Clone, Copy, Debug)]
enum Op {
    Good(u8, u8),
    Unusable(u8, u8),
    Remove(u8),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        (0..6u8, 0..200u8).prop_map(|(name, body)| Op::Good(name, body)),
        (0..6u8, 0..200u8).prop_map(|(name, body)| Op::Unusable(name, body)),
        (0..6u8).prop_map(Op::Remove),
    ]
}

fn ops() -> impl Strategy<Value = Vec<Vec<Op>>> {
    prop::collection::vec(prop::collection::vec(op(), 0..5), 1..8)
}

/// The forms that ought to be kept: the good one and the unusable one, by name.
type Model = BTreeMap<u8, Forms>;
type Forms = (Option<u8>, Option<u8>);

fn follow(model: &mut Model, op: Op) {
    match op {
        Op::Good(name, body) => {
            model.insert(name, (Some(body), None));
        }
        Op::Unusable(name, body) => model.entry(name).or_default().1 = Some(body),
        Op::Remove(name) => {
            model.remove(&name);
        }
    }
}

/// One batch of a single operation; merging makes of them what a transfer would.
fn batch(seq: u64, op: Option<Op>) -> Batch {
    let mut applied = Applied::default();
    match op {
        Some(Op::Good(name, body)) => applied.told.push((told(name, body), Usable::Yes)),
        Some(Op::Unusable(name, body)) => applied.told.push((told(name, body), Usable::No)),
        Some(Op::Remove(name)) => applied.removed.push(told(name, 0).key),
        None => {}
    }
    Batch::new(applied, mark(seq))
}

fn batch_of(seq: u64, ops: &[Op]) -> Batch {
    let mut all = batch(seq, None);
    for &op in ops {
        all.merge(batch(seq, Some(op)));
    }
    all
}

fn read(folder: &Path) -> Option<Kept> {
    Journal::open(folder, "reader").unwrap().1
}

fn check(kept: &Kept, seq: u64, model: &Model) {
    let Restored {
        version,
        endpoints_revision,
        good,
        unusable,
    } = &kept.restored;
    assert_eq!(
        (version, *endpoints_revision),
        (&mark(seq).version, seq * 10)
    );
    assert_eq!(kept.fingerprint, mark(seq).fingerprint);
    let sorted = |list: &[Told]| {
        let mut list = list.to_vec();
        list.sort_by(|a, b| a.key.cmp(&b.key));
        list
    };
    let wanted = |form: fn(&Forms) -> Option<u8>| {
        let told = |(&name, forms)| form(forms).map(|body| told(name, body));
        model.iter().filter_map(told).collect::<Vec<_>>()
    };
    assert_eq!(sorted(good), wanted(|forms| forms.0));
    assert_eq!(sorted(unusable), wanted(|forms| forms.1));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_was_written_reads_back_after_each_start(batches in ops(), restart in 0..8usize) {
        let folder = tempfile::tempdir().unwrap();
        let mut model = Model::new();
        let mut journal = Journal::open(folder.path(), "a").unwrap().0;
        for (index, ops) in batches.iter().enumerate() {
            if index == restart {
                journal = Journal::open(folder.path(), "b").unwrap().0;
            }
            ops.iter().for_each(|&op| follow(&mut model, op));
            journal.append(&batch_of(index as u64, ops)).unwrap();
            check(&read(folder.path()).unwrap(), index as u64, &model);
            let live: u64 = journal.live.values().map(Slot::bytes).sum();
            prop_assert_eq!(journal.live_bytes, live);
        }
        journal.rewrite().unwrap();
        check(&read(folder.path()).unwrap(), batches.len() as u64 - 1, &model);
    }

    #[test]
    fn a_file_that_is_cut_anywhere_gives_the_last_whole_version(batches in ops(), cut in 0.0..1.0) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        let mut journal = Journal::open(folder.path(), "a").unwrap().0;
        let mut model = Model::new();
        let mut whole = Vec::new();
        for (seq, ops) in (0..).zip(&batches) {
            ops.iter().for_each(|&op| follow(&mut model, op));
            journal.append(&batch_of(seq, ops)).unwrap();
            whole.push((fs::metadata(&path).unwrap().len(), seq, model.clone()));
        }
        let length = (fs::metadata(&path).unwrap().len() as f64 * cut) as u64;
        OpenOptions::new().write(true).open(&path).unwrap().set_len(length).unwrap();
        match (whole.iter().rfind(|(end, ..)| *end <= length), read(folder.path())) {
            (Some((end, seq, model)), Some(kept)) => {
                check(&kept, *seq, model);
                prop_assert_eq!(kept.torn as u64, length - end);
            }
            (None, None) => {}
            (expected, kept) => panic!("{expected:?} but {kept:?}"),
        }
    }
}

#[test]
fn a_folder_without_a_journal_gives_nothing_and_is_made() {
    let folder = tempfile::tempdir().unwrap();
    assert!(read(&folder.path().join("a/b")).is_none());
    assert!(folder.path().join("a/b").is_dir());
}

#[test]
fn what_is_no_journal_gives_nothing_and_is_replaced() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join(FILE), "something else").unwrap();
    let (mut journal, kept) = Journal::open(folder.path(), "a").unwrap();
    assert!(kept.is_none());
    journal.append(&batch(1, Some(Op::Good(1, 1)))).unwrap();
    check(
        &read(folder.path()).unwrap(),
        1,
        &Model::from([(1, (Some(1), None))]),
    );
}

#[test]
fn only_the_owner_may_read_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let mut journal = Journal::open(folder.path(), "a").unwrap().0;
    journal.append(&batch(1, None)).unwrap();
    let mode = fs::metadata(folder.path().join(FILE)).unwrap().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn garbage_is_dropped_before_it_outgrows_what_is_live() {
    let folder = tempfile::tempdir().unwrap();
    let mut journal = Journal::open(folder.path(), "a").unwrap().0;
    let mut largest = 0;
    for seq in 0..20_000 {
        journal
            .append(&batch(seq, Some(Op::Good(1, (seq % 200) as u8))))
            .unwrap();
        largest = largest.max(journal.len);
    }
    assert!(largest > SMALL, "{largest}");
    assert!(largest < SMALL + 1000, "{largest}");
}

#[test]
fn a_process_that_was_started_later_takes_the_journal_over() {
    let folder = tempfile::tempdir().unwrap();
    let mut old = Journal::open(folder.path(), "a").unwrap().0;
    old.append(&batch(1, Some(Op::Good(1, 1)))).unwrap();
    let mut new = Journal::open(folder.path(), "b").unwrap().0;
    old.append(&batch(2, Some(Op::Good(1, 2)))).unwrap();
    new.append(&batch(3, Some(Op::Good(2, 3)))).unwrap();
    let refused = old.append(&batch(4, Some(Op::Good(1, 4))));
    assert!(
        matches!(refused, Err(JournalError::Superseded { .. })),
        "{refused:?}"
    );
    let model = Model::from([(1, (Some(1), None)), (2, (Some(3), None))]);
    check(&read(folder.path()).unwrap(), 3, &model);
}

#[test]
fn a_process_that_stands_apart_has_all_of_it_again_when_the_other_is_gone() {
    // Whether it had written something itself before.
    for wrote in [true, false] {
        let folder = tempfile::tempdir().unwrap();
        let mut old = Journal::open(folder.path(), "a").unwrap().0;
        if wrote {
            old.append(&batch(1, Some(Op::Good(1, 1)))).unwrap();
        }
        let mut new = Journal::open(folder.path(), "b").unwrap().0;
        new.append(&batch(2, Some(Op::Good(2, 2)))).unwrap();
        old.stand_apart(true);
        old.append(&batch(3, Some(Op::Good(3, 3)))).unwrap();
        old.append(&batch(4, Some(Op::Good(3, 4)))).unwrap();
        assert_eq!(read(folder.path()).unwrap().restored.version.seq, 2);

        drop(new);
        old.stand_apart(false);
        old.append(&batch(5, Some(Op::Good(4, 5)))).unwrap();
        let mut model = Model::from([(3, (Some(4), None)), (4, (Some(5), None))]);
        if wrote {
            model.insert(1, (Some(1), None));
        }
        check(&read(folder.path()).unwrap(), 5, &model);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}

#[test]
fn a_batch_that_could_not_be_written_is_written_when_it_is_given_again() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    let mut journal = Journal::open(&state, "a").unwrap().0;
    journal.append(&batch(1, Some(Op::Good(1, 1)))).unwrap();
    let aside = folder.path().join("aside");
    fs::rename(&state, &aside).unwrap();
    let second = batch(2, Some(Op::Good(2, 2)));
    assert!(journal.append(&second).is_err());
    fs::rename(&aside, &state).unwrap();
    journal.append(&second).unwrap();
    let model = Model::from([(1, (Some(1), None)), (2, (Some(2), None))]);
    check(&read(&state).unwrap(), 2, &model);
}

#[test]
fn what_is_forgotten_does_not_come_back() {
    let folder = tempfile::tempdir().unwrap();
    let mut journal = Journal::open(folder.path(), "a").unwrap().0;
    journal.append(&batch(1, Some(Op::Good(1, 1)))).unwrap();
    let mut journal = Journal::open(folder.path(), "b").unwrap().0;
    journal.forget();
    journal.append(&batch(2, Some(Op::Good(2, 2)))).unwrap();
    check(
        &read(folder.path()).unwrap(),
        2,
        &Model::from([(2, (Some(2), None))]),
    );
}
