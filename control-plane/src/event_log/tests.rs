//! The log as its users see it. Kills, power cuts and full disks: the crate `tests`.

mod compaction;
mod damage;
mod model;

use std::{collections::BTreeSet, fs, path::Path};

use super::*;
use crate::event::Class;
use crate::model::time::Timestamp;

fn start(folder: &Path) -> (Writer, OpenReport) {
    open(folder, Options::default()).unwrap()
}

fn impatient() -> Options {
    Options {
        patience: Duration::ZERO,
        ..Options::default()
    }
}

fn entry(seq: u64, class: Class, bytes: &[u8]) -> Entry {
    Entry {
        seq: Seq(seq),
        class: class.into(),
        schema: 1,
        bytes: bytes.to_vec(),
    }
}

fn numbered(seqs: impl IntoIterator<Item = u64>) -> Vec<Entry> {
    let of = |seq: u64| {
        entry(
            seq,
            Class::Configuration,
            format!("record {seq}").as_bytes(),
        )
    };
    seqs.into_iter().map(of).collect()
}

fn all(log: &EventLog) -> Vec<Entry> {
    let from = log.first().unwrap_or_default();
    log.read(from, None).unwrap().map(Result::unwrap).collect()
}

fn entries(log: &EventLog, seq: u64) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut entries = Vec::new();
    let read = log.read_checkpoint(Seq(seq), |key, value| {
        entries.push((key, value));
        Ok::<_, ReadError>(())
    });
    assert_eq!(read.unwrap().entries, entries.len() as u64);
    entries
}

fn change(key: &str, value: Option<&str>) -> Change {
    (key.into(), value.map(Into::into))
}

#[test]
fn what_was_appended_is_read_again_after_opening_again() {
    let folder = tempfile::tempdir().unwrap();
    let (mut writer, report) = start(folder.path());
    assert!(report.created);
    assert_eq!(writer.log().last(), None);
    let records = numbered(1..=700);
    writer.append(&records[..3]).unwrap();
    writer.append(&records[3..]).unwrap();
    assert_eq!(all(&writer.log()), records);
    drop(writer);
    let (writer, report) = start(folder.path());
    let expected = OpenReport {
        last: Some(Seq(700)),
        ..OpenReport::default()
    };
    assert_eq!(report, expected);
    assert_eq!(all(&writer.log()), records);
    let some: Vec<_> = writer
        .log()
        .read_to(Seq(650), Seq(652), None)
        .unwrap()
        .collect();
    assert_eq!(
        some.into_iter().map(Result::unwrap).collect::<Vec<_>>(),
        records[649..652]
    );
}

#[test]
fn a_reader_sees_what_was_there_when_it_began() {
    let folder = tempfile::tempdir().unwrap();
    let (mut writer, _) = start(folder.path());
    writer.append(&numbered(1..=2)).unwrap();
    let reader = writer.log().read(Seq(1), None).unwrap();
    writer.append(&numbered(3..=4)).unwrap();
    assert_eq!(reader.count(), 2);
    assert_eq!(writer.log().read(Seq(5), None).unwrap().count(), 0);
}

#[test]
fn a_gap_is_refused_and_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (mut writer, _) = start(folder.path());
    writer.append(&numbered(5..=6)).unwrap();
    for (batch, at) in [
        (numbered([8]), 8),
        (numbered([7, 9]), 9),
        (numbered([6]), 6),
    ] {
        match writer.append(&batch) {
            Err(AppendError::Gap { found, .. }) => assert_eq!(found, Seq(at)),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(all(&writer.log()), numbered(5..=6));
    writer.append(&numbered([7])).unwrap();
}

#[test]
fn what_is_too_long_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (mut writer, _) = start(folder.path());
    let long = entry(1, Class::Configuration, &vec![0; MAX_RECORD + 1]);
    let refused = writer.append(&[long]);
    assert!(
        matches!(refused, Err(AppendError::RecordTooLong { .. })),
        "{refused:?}"
    );
    let many = numbered(1..=MAX_BATCH as u64 + 1);
    let refused = writer.append(&many);
    assert!(
        matches!(refused, Err(AppendError::BatchTooLong { .. })),
        "{refused:?}"
    );
    let key = [("k".repeat(MAX_KEY + 1).into_bytes(), None)];
    let refused = writer.checkpoint(Seq(1), key);
    assert!(
        matches!(refused, Err(CheckpointError::KeyTooLong { .. })),
        "{refused:?}"
    );
    let value = [(b"k".to_vec(), Some(vec![0; MAX_VALUE + 1]))];
    let refused = writer.checkpoint(Seq(1), value);
    assert!(
        matches!(refused, Err(CheckpointError::ValueTooLong { .. })),
        "{refused:?}"
    );
    assert_eq!(writer.log().last(), None);
}

/// Long records, long values, long keys, many of each: nothing may reach `blobs/`, which
/// sled never syncs.
#[test]
fn blobs_stays_empty_and_long_values_read_back() {
    let folder = tempfile::tempdir().unwrap();
    let (mut writer, _) = start(folder.path());
    let lengths = [0, 1, 4095, 4096, 4097, 70_000, 200_000, MAX_RECORD];
    let record =
        |(seq, length): (u64, &usize)| entry(seq, Class::Configuration, &vec![seq as u8; *length]);
    let records: Vec<_> = (1..).zip(&lengths).map(record).collect();
    writer.append(&records).unwrap();
    let key = |number: u32| {
        let mut key = vec![0; MAX_KEY];
        key[500..504].copy_from_slice(&number.to_be_bytes());
        key
    };
    let values: Vec<Change> = (0..2000)
        .map(|number| (key(number), Some(vec![number as u8; 4000])))
        .chain([(b"long".to_vec(), Some(vec![7; MAX_VALUE]))])
        .collect();
    writer.checkpoint(Seq(3), values.clone()).unwrap();
    // In another order, and rewritten: leaves are split, merged and moved.
    let shorter = values
        .iter()
        .rev()
        .map(|(key, _)| (key.clone(), Some(vec![9; 5000])));
    writer.checkpoint(Seq(4), shorter).unwrap();
    drop(writer);
    let (writer, _) = start(folder.path());
    let log = writer.log();
    assert_eq!(all(&log), records);
    assert_eq!(entries(&log, 4).len(), 2001);
    let mut expected: Vec<_> = values
        .into_iter()
        .map(|(key, value)| (key, value.unwrap()))
        .collect();
    expected.sort();
    assert_eq!(entries(&log, 3), expected);
    let blobs = folder.path().join("sled/blobs");
    assert_eq!(fs::read_dir(blobs).unwrap().count(), 0);
}

#[test]
fn checkpoints_share_what_did_not_change() {
    let folder = tempfile::tempdir().unwrap();
    let (mut writer, _) = start(folder.path());
    writer.append(&numbered(1..=30)).unwrap();
    let one = writer
        .checkpoint(Seq(10), [change("a", Some("1")), change("b", Some("2"))])
        .unwrap();
    let two = [
        change("b", None),
        change("c", Some("3")),
        change("c", Some("4")),
    ];
    writer.checkpoint(Seq(20), two).unwrap();
    let back = [change("b", Some("2")), change("c", None), change("x", None)];
    let three = writer.checkpoint(Seq(30), back).unwrap();
    assert_eq!((one.entries, one.digest), (three.entries, three.digest));
    let log = writer.log();
    let pair = |key: &str, value: &str| (key.into(), value.into());
    assert_eq!(entries(&log, 10), [pair("a", "1"), pair("b", "2")]);
    assert_eq!(entries(&log, 20), [pair("a", "1"), pair("c", "4")]);
    assert_eq!(entries(&log, 30), [pair("a", "1"), pair("b", "2")]);
    let seqs = log
        .checkpoints()
        .unwrap()
        .iter()
        .map(|found| found.seq.0)
        .collect::<Vec<_>>();
    assert_eq!(seqs, [10, 20, 30]);
    assert!(matches!(
        log.verify(Seq(15)),
        Err(ReadError::NoCheckpoint { .. })
    ));
}

#[test]
fn a_checkpoint_that_was_not_finished_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (mut writer, _) = start(folder.path());
    writer.append(&numbered(1..=9)).unwrap();
    writer.checkpoint(Seq(1), [change("a", Some("1"))]).unwrap();
    let mut draft = writer.begin_checkpoint(Seq(2)).unwrap();
    let changes = [change("a", None), change("b", Some("2"))];
    writer.add_to_checkpoint(&mut draft, changes).unwrap();
    drop(writer);
    let (mut writer, report) = start(folder.path());
    assert!(report.unfinished_checkpoint);
    assert_eq!(report.checkpoint.unwrap().seq, Seq(1));
    let late = writer.finish_checkpoint(draft, Seq(2));
    assert!(
        matches!(late, Err(CheckpointError::Abandoned { .. })),
        "{late:?}"
    );
    let mut first = writer.begin_checkpoint(Seq(3)).unwrap();
    writer
        .add_to_checkpoint(&mut first, [change("c", Some("3"))])
        .unwrap();
    writer.checkpoint(Seq(4), [change("d", Some("4"))]).unwrap();
    let late = writer.add_to_checkpoint(&mut first, []);
    assert!(
        matches!(late, Err(CheckpointError::Abandoned { .. })),
        "{late:?}"
    );
    let pair = |key: &str, value: &str| (key.into(), value.into());
    assert_eq!(entries(&writer.log(), 4), [pair("a", "1"), pair("d", "4")]);
}

#[test]
fn a_checkpoint_may_end_at_a_later_place_than_it_began_at() {
    let folder = tempfile::tempdir().unwrap();
    let (mut writer, _) = start(folder.path());
    writer.append(&numbered(1..=5)).unwrap();
    writer.checkpoint(Seq(1), [change("a", Some("1"))]).unwrap();
    let mut draft = writer.begin_checkpoint(Seq(3)).unwrap();
    let changes = [change("a", Some("3")), change("b", Some("3"))];
    writer.add_to_checkpoint(&mut draft, changes).unwrap();
    writer.append(&numbered(6..=7)).unwrap();
    let changes = [change("b", None), change("c", Some("7"))];
    writer.add_to_checkpoint(&mut draft, changes).unwrap();
    writer.finish_checkpoint(draft, Seq(7)).unwrap();

    let pair = |key: &str, value: &str| (key.into(), value.into());
    assert_eq!(entries(&writer.log(), 1), [pair("a", "1")]);
    assert_eq!(entries(&writer.log(), 7), [pair("a", "3"), pair("c", "7")]);
    writer.append(&numbered(8..=9)).unwrap();
    writer.checkpoint(Seq(9), [change("a", Some("9"))]).unwrap();
    let all = BTreeSet::from([Seq(1), Seq(9)]);
    let retention = Retention {
        checkpoints: all,
        ..Retention::default()
    };
    let verified = writer.log().verify(Seq(7)).unwrap();
    writer.compact(&retention, verified).unwrap();
    assert_eq!(entries(&writer.log(), 7), [pair("a", "3"), pair("c", "7")]);

    let draft = writer.begin_checkpoint(Seq(8)).unwrap();
    let earlier = writer.finish_checkpoint(draft, Seq(7));
    assert!(
        matches!(earlier, Err(CheckpointError::NotNewer { .. })),
        "{earlier:?}"
    );
    let draft = writer.begin_checkpoint(Seq(8)).unwrap();
    let ahead = writer.finish_checkpoint(draft, Seq(10));
    assert!(
        matches!(ahead, Err(CheckpointError::Ahead { .. })),
        "{ahead:?}"
    );
}

#[test]
fn an_empty_log_can_begin_with_a_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let (mut writer, _) = start(folder.path());
    writer
        .checkpoint(Seq(41), [change("a", Some("1"))])
        .unwrap();
    let older = writer.checkpoint(Seq(41), []);
    assert!(
        matches!(older, Err(CheckpointError::NotNewer { .. })),
        "{older:?}"
    );
    let ahead = writer.checkpoint(Seq(42), []);
    assert!(
        matches!(ahead, Err(CheckpointError::Ahead { .. })),
        "{ahead:?}"
    );
    drop(writer);
    let (mut writer, report) = start(folder.path());
    assert_eq!(report.last, Some(Seq(41)));
    assert!(writer.append(&numbered([41])).is_err());
    writer.append(&numbered([42])).unwrap();
    let log = writer.log();
    assert_eq!((log.first(), log.last()), (Some(Seq(42)), Some(Seq(42))));
    match log.read(Seq(41), None) {
        Err(ReadError::Compacted { oldest }) => assert_eq!(oldest, Seq(42)),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_log_that_is_open_is_not_opened_twice() {
    let folder = tempfile::tempdir().unwrap();
    let (writer, _) = start(folder.path());
    let second = open(folder.path(), impatient()).unwrap_err().to_string();
    let name = folder.path().to_str().unwrap();
    assert!(
        second.contains(name) && second.contains("stop the other one"),
        "{second}"
    );
    drop(writer);
    start(folder.path());
}

#[test]
fn a_log_that_grew_much_is_opened_again_and_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let (mut writer, _) = start(folder.path());
    let most = u64::try_from(writer::REFRESH_AFTER).unwrap();
    for from in (1..most).step_by(10_000) {
        assert!(!writer.refresh().unwrap(), "{from}");
        writer.append(&numbered(from..from + 10_000)).unwrap();
    }
    assert!(writer.refresh().unwrap());
    assert!(!writer.refresh().unwrap());
    writer.append(&numbered([most + 1])).unwrap();
    assert_eq!(writer.log().last(), Some(Seq(most + 1)));
    assert_eq!(
        writer.log().read(Seq(1), None).unwrap().count(),
        writer::REFRESH_AFTER + 1
    );
}

#[test]
fn readers_outlive_reopening_and_the_writer() {
    let folder = tempfile::tempdir().unwrap();
    let (mut writer, _) = start(folder.path());
    writer.append(&numbered(1..=600)).unwrap();
    let log = writer.log();
    let mut reader = log.read(Seq(1), None).unwrap();
    assert_eq!(reader.next().unwrap().unwrap().seq, Seq(1));
    let report = writer.reopen().unwrap();
    assert_eq!(report.last, Some(Seq(600)));
    assert_eq!(reader.map(Result::unwrap).count(), 599);
    writer.append(&numbered([601])).unwrap();
    drop(writer);
    assert_eq!(all(&log).len(), 601);
}

#[test]
fn a_log_set_aside_makes_way_for_a_new_one() {
    let folder = tempfile::tempdir().unwrap();
    let (mut writer, _) = start(folder.path());
    assert!(matches!(
        set_aside(folder.path(), Duration::ZERO),
        Err(OpenError::InUse { .. })
    ));
    writer.append(&numbered(1..=9)).unwrap();
    drop(writer);
    let aside = set_aside(folder.path(), Duration::ZERO).unwrap();
    let (mut writer, report) = start(folder.path());
    assert!(report.created);
    writer.append(&numbered(1..=2)).unwrap();
    drop(writer);
    let (writer, _) = start(&aside);
    assert_eq!(all(&writer.log()), numbered(1..=9));
    drop(writer);
    assert_eq!(set_aside(folder.path(), Duration::ZERO).unwrap(), aside);
    assert_eq!(all(&start(&aside).0.log()), numbered(1..=2));
}

#[test]
fn endpoints_count_until_their_time() {
    let folder = tempfile::tempdir().unwrap();
    let (mut writer, _) = start(folder.path());
    let key = |name: &str| name.as_bytes().to_vec();
    let put = |name: &str, value: &str| (key(name), Some(value.as_bytes().to_vec()));
    let long = "x".repeat(9000);
    writer
        .endpoints_put(
            [put("a", "1"), put("b", &long), put("c", "3")],
            Timestamp(100),
        )
        .unwrap();
    writer
        .endpoints_put([put("b", "2"), (key("c"), None)], Timestamp(200))
        .unwrap();
    let held = |writer: &Writer, now| writer.log().endpoints_read(Timestamp(now)).unwrap();
    let pair = |name: &str, value: &str| (key(name), value.as_bytes().to_vec());
    assert_eq!(held(&writer, 99), [pair("a", "1"), pair("b", "2")]);
    assert_eq!(held(&writer, 100), [pair("b", "2")]);
    let mut expire = |from: &[u8]| writer.endpoints_expire(Timestamp(150), from, 1).unwrap();
    let next = expire(&[]).unwrap();
    assert_eq!(expire(&next), None);
    assert_eq!(held(&writer, 0), [pair("b", "2")]);
    drop(writer);
    assert_eq!(held(&start(folder.path()).0, 0), [pair("b", "2")]);
}
