//! What compaction takes, what it leaves, and what readers are told.

use std::collections::BTreeSet;

use super::{damage::tamper, *};
use crate::event_log::{records, store::Tree};

/// Of thirty records, in turn: configuration, lifecycle, presence.
fn mixed() -> Vec<Entry> {
    let classes = [Class::Configuration, Class::Lifecycle, Class::Presence];
    let class = |seq: u64| classes[seq as usize % 3];
    (1..=30).map(|seq| entry(seq, class(seq), b"x")).collect()
}

fn retention(records: &[(Class, u64)], checkpoints: &[u64]) -> Retention {
    let bound = |(class, seq): &(Class, u64)| ((*class).into(), Seq(*seq));
    Retention {
        records: records.iter().map(bound).collect(),
        checkpoints: checkpoints.iter().copied().map(Seq).collect(),
    }
}

fn seqs(records: Records) -> Vec<u64> {
    records.map(|record| record.unwrap().seq.0).collect()
}

#[test]
fn records_go_by_class_and_only_up_to_a_verified_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let (mut writer, _) = start(folder.path());
    let records = mixed();
    writer.append(&records).unwrap();
    writer
        .checkpoint(Seq(20), [change("a", Some("1"))])
        .unwrap();
    let log = writer.log();
    let verified = log.verify(Seq(20)).unwrap();
    let bounds = [(Class::Presence, 99), (Class::Lifecycle, 10)];
    let removed = writer.compact(&retention(&bounds, &[]), verified).unwrap();
    let goes = |entry: &Entry| match entry.class.known() {
        Some(Class::Presence) => entry.seq.0 <= 20,
        Some(Class::Lifecycle) => entry.seq.0 < 10,
        _ => false,
    };
    let kept: Vec<_> = records
        .iter()
        .filter(|entry| !goes(entry))
        .cloned()
        .collect();
    assert_eq!(removed.records, records.len() as u64 - kept.len() as u64);
    for _ in 0..2 {
        let mut exported = Vec::new();
        log.export(|entry| {
            exported.push(entry);
            Ok::<_, ReadError>(())
        })
        .unwrap();
        assert_eq!(exported, kept);
    }
    drop((log, writer));
    let (writer, _) = start(folder.path());
    let log = writer.log();
    let oldest = |class: Class| log.oldest(Some(class.into())).0;
    assert_eq!(oldest(Class::Presence), 21);
    assert_eq!(oldest(Class::Lifecycle), 10);
    assert_eq!(oldest(Class::Configuration), 3);
    let read = |from, class: Class| log.read(Seq(from), Some(class.into())).map(seqs);
    assert_eq!(read(21, Class::Presence).unwrap(), [23, 26, 29]);
    assert_eq!(
        read(10, Class::Lifecycle).unwrap(),
        [10, 13, 16, 19, 22, 25, 28]
    );
    assert_eq!(
        read(3, Class::Configuration).unwrap(),
        (1..=10).map(|i| 3 * i).collect::<Vec<_>>()
    );
    match read(20, Class::Presence) {
        Err(ReadError::Compacted { oldest }) => assert_eq!(oldest, Seq(21)),
        other => panic!("{other:?}"),
    }
    assert!(log.read(Seq(20), None).is_err());
    assert_eq!(
        seqs(log.read(Seq(21), None).unwrap()),
        (21..=30).collect::<Vec<_>>()
    );
}

#[test]
fn a_compaction_that_reaches_less_far_leaves_earlier_gaps_explained() {
    let folder = tempfile::tempdir().unwrap();
    let (mut writer, _) = start(folder.path());
    let class = |seq: u64| match seq {
        1 => Class::Configuration,
        2..=20 => Class::Presence,
        _ => Class::Lifecycle,
    };
    let records: Vec<_> = (1..=30).map(|seq| entry(seq, class(seq), b"x")).collect();
    writer.append(&records).unwrap();
    writer.checkpoint(Seq(30), []).unwrap();
    let log = writer.log();
    for bound in [(Class::Presence, 20), (Class::Lifecycle, 10)] {
        let verified = log.verify(Seq(30)).unwrap();
        writer.compact(&retention(&[bound], &[]), verified).unwrap();
    }
    let mut exported = Vec::new();
    log.export(|entry| {
        exported.push(entry.seq.0);
        Ok::<_, ReadError>(())
    })
    .unwrap();
    let expected: Vec<_> = [1].into_iter().chain(20..=30).collect();
    assert_eq!(exported, expected);
}

#[test]
fn everything_before_a_checkpoint_can_go_in_small_steps_while_others_read_and_append() {
    let folder = tempfile::tempdir().unwrap();
    let (mut writer, _) = start(folder.path());
    writer.append(&mixed()).unwrap();
    for seq in [10, 20, 30] {
        let changes = [change("a", Some(&seq.to_string())), change("b", Some("2"))];
        writer.checkpoint(Seq(seq), changes).unwrap();
    }
    let log = writer.log();
    let verified = log.verify(Seq(30)).unwrap();
    let bounds = [Class::Configuration, Class::Lifecycle, Class::Presence].map(|class| (class, 99));
    let retention = retention(&bounds, &[10, 20, 30]);
    let mut compaction = writer.begin_compaction(&retention, verified).unwrap();
    assert_eq!(log.checkpoints().unwrap().len(), 1);
    let mut next = 31;
    let removed = loop {
        if let Some(removed) = writer.compact_step(&mut compaction, 4).unwrap() {
            break removed;
        }
        writer.append(&numbered([next])).unwrap();
        next += 1;
        assert_eq!(
            seqs(log.read(Seq(31), None).unwrap()),
            (31..next).collect::<Vec<_>>()
        );
        assert!(log.read(Seq(30), None).is_err());
    };
    let expected = Removed {
        records: 30,
        checkpoints: 2,
        values: 2,
    };
    assert_eq!(removed, expected);
    assert!(next > 36, "it was to take several steps");
    assert_eq!(log.first(), Some(Seq(31)));
    drop((log, writer));
    let (writer, report) = start(folder.path());
    assert_eq!(report.last, Some(Seq(next - 1)));
    assert_eq!(entries(&writer.log(), 30).len(), 2);
}

#[test]
fn a_log_whose_records_are_all_compacted_goes_on_where_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let (mut writer, _) = start(folder.path());
    writer.append(&mixed()).unwrap();
    writer.checkpoint(Seq(30), []).unwrap();
    let verified = writer.log().verify(Seq(30)).unwrap();
    let bounds = [Class::Configuration, Class::Lifecycle, Class::Presence].map(|class| (class, 99));
    writer.compact(&retention(&bounds, &[]), verified).unwrap();
    let log = writer.log();
    assert_eq!((log.first(), log.last()), (None, Some(Seq(30))));
    drop((log, writer));
    let (mut writer, report) = start(folder.path());
    assert_eq!(report.last, Some(Seq(30)));
    writer.append(&numbered([31])).unwrap();
    assert_eq!(writer.log().first(), Some(Seq(31)));
}

#[test]
fn a_reader_that_compaction_overtakes_is_told_so() {
    let folder = tempfile::tempdir().unwrap();
    let (mut writer, _) = start(folder.path());
    writer.append(&numbered(1..=2000)).unwrap();
    writer.checkpoint(Seq(2000), []).unwrap();
    let log = writer.log();
    let mut reader = log.read(Seq(1), None).unwrap();
    assert!(reader.next().unwrap().is_ok());
    let verified = log.verify(Seq(2000)).unwrap();
    let retention = retention(&[(Class::Configuration, 1500)], &[]);
    writer.compact(&retention, verified).unwrap();
    let rest: Vec<_> = reader.collect();
    let (last, before) = rest.split_last().unwrap();
    assert!(before.iter().all(Result::is_ok));
    assert!(before.len() < 1000);
    assert!(
        matches!(last, Err(ReadError::Compacted { oldest: Seq(1500) })),
        "{last:?}"
    );
}

#[test]
fn classes_of_a_later_release_stay() {
    let folder = tempfile::tempdir().unwrap();
    let (mut writer, _) = start(folder.path());
    let strange = Entry {
        class: ClassCode(77),
        ..entry(1, Class::Presence, b"from a later release")
    };
    writer
        .append(&[strange.clone(), entry(2, Class::Presence, b"x")])
        .unwrap();
    writer.checkpoint(Seq(2), []).unwrap();
    let verified = writer.log().verify(Seq(2)).unwrap();
    writer
        .compact(&retention(&[(Class::Presence, 9)], &[]), verified)
        .unwrap();
    drop(writer);
    let (writer, _) = start(folder.path());
    let log = writer.log();
    let found: Vec<_> = log.read(Seq(1), Some(ClassCode(77))).unwrap().collect();
    assert_eq!(
        found.into_iter().map(Result::unwrap).collect::<Vec<_>>(),
        [strange]
    );
    assert_eq!(
        BTreeSet::from([log.first(), log.last()]),
        BTreeSet::from([Some(Seq(1)), Some(Seq(2))])
    );
}

/// Compacting can be cut off between any two of its steps: it has noted by then what goes.
#[test]
fn what_a_compaction_has_half_taken_is_no_damage_and_goes_with_the_next() {
    for left in 1..1_u16 << 3 {
        let folder = tempfile::tempdir().unwrap();
        let (mut writer, _) = start(folder.path());
        let class = |seq| [Class::Presence, Class::Configuration][usize::from(seq != 5)];
        let records: Vec<_> = (1..=30)
            .map(|seq| entry(seq, class(seq), &[7; 9_000]))
            .collect();
        writer.append(&records).unwrap();
        writer.checkpoint(Seq(20), []).unwrap();
        let verified = writer.log().verify(Seq(20)).unwrap();
        let bounds = [(Class::Presence, 9), (Class::Configuration, 4)];
        writer.compact(&retention(&bounds, &[]), verified).unwrap();
        drop(writer);
        tamper(folder.path(), |pen| {
            for seq in [3, 5] {
                records::put(pen, &records[seq - 1], 0).unwrap();
                for chunk in (0..3_u16).filter(|chunk| left & 1 << chunk == 0) {
                    let key = [&(seq as u64).to_be_bytes()[..], &chunk.to_be_bytes()].concat();
                    pen.remove(Tree::Records, &key).unwrap();
                }
            }
        });
        let (mut writer, report) = start(folder.path());
        assert_eq!(report.last, Some(Seq(30)));
        let log = writer.log();
        let read = log.read(Seq(4), Some(Class::Configuration.into()));
        let rest: Vec<_> = (4..=30).filter(|seq| *seq != 5).collect();
        assert_eq!(seqs(read.unwrap()), rest, "{left:b}");
        log.export(|_| Ok::<_, ReadError>(())).unwrap();

        let verified = log.verify(Seq(20)).unwrap();
        let bounds = [(Class::Presence, 10), (Class::Configuration, 10)];
        writer.compact(&retention(&bounds, &[]), verified).unwrap();
        drop((log, writer));
        tamper(folder.path(), |pen| {
            let before = records::before(pen.store(), Seq(10)).unwrap();
            assert_eq!(before, [], "{left:b}");
        });
    }
}
