//! Random operations against a log and against maps that do what it promises.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Operation {
    Append(Vec<(u8, usize)>),
    Checkpoint(Vec<(u8, Option<usize>)>),
    AbandonCheckpoint(Vec<(u8, Option<usize>)>),
    Compact {
        bounds: Vec<(u8, prop::sample::Index)>,
        drop_checkpoints: Vec<prop::sample::Index>,
        at_once: usize,
    },
    Endpoints(Vec<(u8, Option<usize>)>),
    Open,
    Reopen,
}

fn changes() -> impl Strategy<Value = Vec<(u8, Option<usize>)>> {
    let length = prop_oneof![4 => 0_usize..300, 1 => 4000_usize..10_000];
    proptest::collection::vec((0_u8..40, proptest::option::of(length)), 0..30)
}

fn operation() -> impl Strategy<Value = Operation> {
    let length = prop_oneof![6 => 0_usize..600, 1 => 4000_usize..20_000];
    let record = (0_u8..5, length);
    let bound = (0_u8..5, any::<prop::sample::Index>());
    let bounds = proptest::collection::vec(bound, 0..4);
    let going = proptest::collection::vec(any::<prop::sample::Index>(), 0..4);
    prop_oneof![
        6 => proptest::collection::vec(record, 0..40).prop_map(Operation::Append),
        3 => changes().prop_map(Operation::Checkpoint),
        1 => changes().prop_map(Operation::AbandonCheckpoint),
        2 => (bounds, going, 1_usize..100).prop_map(|(bounds, drop_checkpoints, at_once)| {
            Operation::Compact { bounds, drop_checkpoints, at_once }
        }),
        1 => changes().prop_map(Operation::Endpoints),
        1 => Just(Operation::Open),
        1 => Just(Operation::Reopen),
    ]
}

type Map = BTreeMap<Vec<u8>, Vec<u8>>;

/// What the log must hold.
#[derive(Default)]
struct Model {
    last: u64,
    records: BTreeMap<u64, Entry>,
    current: Map,
    checkpoints: BTreeMap<u64, Map>,
    whole_from: BTreeMap<ClassCode, u64>,
    endpoints: Map,
    values: u8,
}

impl Model {
    fn value(&mut self, length: usize) -> Vec<u8> {
        self.values = self.values.wrapping_add(1);
        vec![self.values; length]
    }

    fn keyed(&mut self, changes: &[(u8, Option<usize>)]) -> Vec<Change> {
        // Keys of which some are beginnings of others.
        let key = |number: u8| vec![number % 3; usize::from(number)];
        let change = |(number, length): &(u8, Option<usize>)| {
            (key(*number), length.map(|length| self.value(length)))
        };
        changes.iter().map(change).collect()
    }

    fn check(&self, writer: &Writer) {
        let log = writer.log();
        assert_eq!(
            log.last().map(|seq| seq.0),
            (self.last > 0).then_some(self.last)
        );
        let mut exported = Vec::new();
        log.export(|entry| {
            exported.push(entry);
            Ok::<_, ReadError>(())
        })
        .unwrap();
        assert_eq!(exported, self.records.values().cloned().collect::<Vec<_>>());
        for (class, from) in &self.whole_from {
            let read = |from| log.read(Seq(from), Some(*class));
            let oldest = log.oldest(Some(*class)).0.max(*from);
            let expected: Vec<_> = self
                .records
                .range(oldest..)
                .filter(|(_, entry)| entry.class == *class)
                .collect();
            let found: Vec<_> = read(oldest).unwrap().map(Result::unwrap).collect();
            assert_eq!(
                found.iter().collect::<Vec<_>>(),
                expected.iter().map(|(_, e)| *e).collect::<Vec<_>>()
            );
            if *from > 1 {
                assert!(read(from - 1).is_err(), "{class} before {from}");
            }
        }
        let found: Vec<_> = log
            .checkpoints()
            .unwrap()
            .iter()
            .map(|found| found.seq.0)
            .collect();
        assert_eq!(found, self.checkpoints.keys().copied().collect::<Vec<_>>());
        for (seq, expected) in &self.checkpoints {
            assert_eq!(
                entries(&log, *seq),
                expected.clone().into_iter().collect::<Vec<_>>()
            );
        }
        let held = log.endpoints_read(Timestamp(0)).unwrap();
        assert_eq!(held, self.endpoints.clone().into_iter().collect::<Vec<_>>());
    }

    fn append(&mut self, writer: &mut Writer, records: &[(u8, usize)]) {
        let batch: Vec<_> = (self.last + 1..)
            .zip(records)
            .map(|(seq, (class, length))| Entry {
                seq: Seq(seq),
                class: ClassCode(*class),
                schema: u16::from(*class),
                bytes: self.value(*length),
            })
            .collect();
        writer.append(&batch).unwrap();
        self.last += batch.len() as u64;
        self.records
            .extend(batch.into_iter().map(|entry| (entry.seq.0, entry)));
    }

    fn checkpoint(&mut self, writer: &mut Writer, changes: &[(u8, Option<usize>)]) {
        let newest = self.checkpoints.keys().next_back().copied().unwrap_or(0);
        let changes = self.keyed(changes);
        let written = writer.checkpoint(Seq(self.last), changes.clone());
        if newest >= self.last {
            assert!(
                matches!(written, Err(CheckpointError::NotNewer { .. })),
                "{written:?}"
            );
            return;
        }
        written.unwrap();
        for (key, value) in changes {
            match value {
                Some(value) => drop(self.current.insert(key, value)),
                None => drop(self.current.remove(&key)),
            }
        }
        self.checkpoints.insert(self.last, self.current.clone());
    }

    fn compact(
        &mut self,
        writer: &mut Writer,
        bounds: &[(u8, prop::sample::Index)],
        going: &[prop::sample::Index],
        at_once: usize,
    ) {
        let seqs: Vec<_> = self.checkpoints.keys().copied().collect();
        let Some(&newest) = seqs.last() else { return };
        let bound = |(class, at): &(u8, prop::sample::Index)| {
            (
                ClassCode(*class),
                Seq(at.index(self.last as usize + 5) as u64),
            )
        };
        let going: BTreeSet<_> = going.iter().map(|at| Seq(*at.get(&seqs))).collect();
        let retention = Retention {
            records: bounds.iter().map(bound).collect(),
            checkpoints: going,
        };
        let verified = writer.log().verify(Seq(newest)).unwrap();
        let mut compaction = writer.begin_compaction(&retention, verified).unwrap();
        while writer
            .compact_step(&mut compaction, at_once)
            .unwrap()
            .is_none()
        {}
        for (class, seq) in &retention.records {
            let bound = seq.0.min(newest + 1);
            let from = self.whole_from.entry(*class).or_default();
            *from = bound.max(*from);
        }
        let whole_from = &self.whole_from;
        self.records
            .retain(|seq, entry| whole_from.get(&entry.class).is_none_or(|from| seq >= from));
        self.checkpoints
            .retain(|seq, _| *seq == newest || !retention.checkpoints.contains(&Seq(*seq)));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn the_log_does_what_maps_do(operations in proptest::collection::vec(operation(), 1..30)) {
        let folder = tempfile::tempdir().unwrap();
        let (mut writer, _) = start(folder.path());
        let mut model = Model::default();
        for operation in &operations {
            match operation {
                Operation::Append(records) => model.append(&mut writer, records),
                Operation::Checkpoint(changes) if model.last > 0 => {
                    model.checkpoint(&mut writer, changes);
                }
                Operation::Checkpoint(_) => {}
                Operation::AbandonCheckpoint(changes) => {
                    let changes = model.keyed(changes);
                    if let Ok(mut draft) = writer.begin_checkpoint(Seq(model.last)) {
                        writer.add_to_checkpoint(&mut draft, changes).unwrap();
                    }
                }
                Operation::Compact { bounds, drop_checkpoints, at_once } => {
                    model.compact(&mut writer, bounds, drop_checkpoints, *at_once);
                }
                Operation::Endpoints(changes) => {
                    let changes = model.keyed(changes);
                    writer.endpoints_put(changes.clone(), Timestamp(1)).unwrap();
                    for (key, value) in changes {
                        match value {
                            Some(value) => drop(model.endpoints.insert(key, value)),
                            None => drop(model.endpoints.remove(&key)),
                        }
                    }
                }
                Operation::Open => {
                    drop(writer);
                    let (opened, report) = start(folder.path());
                    assert_eq!(report.cut, None);
                    writer = opened;
                }
                Operation::Reopen => drop(writer.reopen().unwrap()),
            }
            model.check(&writer);
        }
        let blobs = folder.path().join("sled/blobs");
        assert_eq!(fs::read_dir(blobs).unwrap().count(), 0);
    }
}
