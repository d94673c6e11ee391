//! Making the log shorter beside the engine's turns, a little at a time.
//!
//! Apart from what else the log is asked for, because it goes on over many turns. A checkpoint is
//! read back by a thread of its own, which takes as long as a start does; then records and values
//! go in steps of bounded length, so that a storm of changes is not held up.

use std::collections::BTreeMap;
use std::mem;
use std::thread::{self, JoinHandle};

use crate::engine::LogError;
use crate::event::{Class, Seq};
use crate::event_log::{
    ClassCode, Compaction, EventLog, ReadError, Removed, Retention, Verified, Writer,
    spare_checkpoints,
};

/// How far it is.
#[derive(Debug, Default)]
pub(super) enum Compacting {
    /// There is nothing to do.
    #[default]
    Idle,
    /// The checkpoint that records may go up to is being read back.
    Verifying {
        reading: JoinHandle<Result<Verified, ReadError>>,
        retention: Retention,
    },
    UnderWay(Compaction),
}

impl Compacting {
    /// Begins to let go of what is older than what is to be kept, if it is not at it yet, and of
    /// checkpoints that nobody needs between those that stay.
    ///
    /// Folding begins at a checkpoint, so records go only as far as one that stays.
    pub(super) fn begin(
        &mut self,
        log: &EventLog,
        newest: Seq,
        keep_records: u64,
    ) -> Result<(), LogError> {
        if !matches!(self, Self::Idle) {
            return Ok(());
        }
        let target = Seq(newest.0.saturating_sub(keep_records));
        let checkpoints = log.checkpoints().map_err(LogError::new)?;
        let checkpoints: Vec<Seq> = checkpoints.iter().map(|found| found.seq).collect();
        let base = checkpoints.iter().rev().find(|seq| **seq <= target);
        let (older, staying) = checkpoints
            .split_at(checkpoints.partition_point(|seq| base.is_some_and(|base| seq < base)));
        let mut retention = Retention {
            records: BTreeMap::new(),
            checkpoints: spare_checkpoints(staying),
        };
        if let Some(base) = base.filter(|_| !older.is_empty()) {
            let bound = |class| (ClassCode::from(class), base.next());
            retention.records = Class::ALL.into_iter().map(bound).collect();
            retention.checkpoints.extend(older);
        }
        if retention.checkpoints.is_empty() {
            return Ok(());
        }
        let (log, needed) = (log.clone(), *base.unwrap_or(&newest));
        *self = Self::Verifying {
            reading: thread::spawn(move || log.verify(needed)),
            retention,
        };
        Ok(())
    }

    /// Takes a step. Says whether there is another that can be taken at once.
    ///
    /// What fails is given up; the next checkpoint begins it anew.
    pub(super) fn step(&mut self, writer: &mut Writer) -> Result<bool, LogError> {
        match mem::take(self) {
            Self::Idle => Ok(false),
            Self::Verifying { reading, retention } => {
                if !reading.is_finished() {
                    *self = Self::Verifying { reading, retention };
                    return Ok(false);
                }
                let verified = reading
                    .join()
                    .map_err(|_| LogError::new("reading a checkpoint back panicked"))?;
                let verified = verified.map_err(LogError::new)?;
                let compaction = writer.begin_compaction(&retention, verified);
                *self = Self::UnderWay(compaction.map_err(LogError::new)?);
                Ok(true)
            }
            Self::UnderWay(mut compaction) => {
                let removed = writer.compact_step(&mut compaction, AT_ONCE);
                match removed.map_err(LogError::new)? {
                    None => {
                        *self = Self::UnderWay(compaction);
                        Ok(true)
                    }
                    Some(Removed {
                        records,
                        checkpoints,
                        ..
                    }) => {
                        tracing::info!(records, checkpoints, "compacted the event log");
                        Ok(false)
                    }
                }
            }
        }
    }
}

/// Records or values looked at in a step: some milliseconds.
const AT_ONCE: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event_log::{self, Entry, Options};

    fn compact(compacting: &mut Compacting, writer: &mut Writer) {
        while let Compacting::Verifying { .. } | Compacting::UnderWay(_) = compacting {
            compacting.step(writer).unwrap();
            thread::yield_now();
        }
    }

    #[test]
    fn checkpoints_do_not_pile_up_while_all_records_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let (mut writer, _) = event_log::open(folder.path(), Options::default()).unwrap();
        let (log, mut compacting) = (writer.log(), Compacting::default());
        for seq in 1..=100 {
            writer.append(&entries(seq..=seq)).unwrap();
            let value = (b"key".to_vec(), Some(seq.to_be_bytes().to_vec()));
            writer.checkpoint(Seq(seq), [value]).unwrap();
            compacting.begin(&log, Seq(seq), 1000).unwrap();
            compact(&mut compacting, &mut writer);
        }
        let checkpoints = log.checkpoints().unwrap();
        assert!((20..40).contains(&checkpoints.len()), "{checkpoints:?}");
        for checkpoint in checkpoints {
            let mut found = Vec::new();
            log.read_checkpoint(checkpoint.seq, |_, value| {
                found.push(value);
                Ok::<_, ReadError>(())
            })
            .unwrap();
            assert_eq!(found, [checkpoint.seq.0.to_be_bytes()]);
        }
        assert_eq!(log.first(), Some(Seq(1)));
        assert_eq!(log.oldest(None), Seq(1));
        assert_eq!(log.read(Seq(1), None).unwrap().count(), 100);
    }

    fn entries(seqs: std::ops::RangeInclusive<u64>) -> Vec<Entry> {
        let entry = |seq| Entry {
            seq: Seq(seq),
            class: Class::Configuration.into(),
            schema: 1,
            bytes: vec![7; 50],
        };
        seqs.map(entry).collect()
    }

    #[test]
    fn records_go_in_steps_between_which_the_log_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let (mut writer, _) = event_log::open(folder.path(), Options::default()).unwrap();
        writer.append(&entries(1..=1000)).unwrap();
        writer.checkpoint(Seq(500), []).unwrap();
        writer.checkpoint(Seq(1000), []).unwrap();
        let log = writer.log();
        let mut compacting = Compacting::default();
        assert!(!compacting.step(&mut writer).unwrap());
        compacting.begin(&log, Seq(1000), 100).unwrap();
        assert!(matches!(compacting, Compacting::Idle), "500 is the oldest");
        compacting.begin(&log, Seq(1000), 0).unwrap();
        while let Compacting::Verifying { .. } = compacting {
            compacting.step(&mut writer).unwrap();
            thread::yield_now();
        }
        let mut steps = 0;
        while compacting.step(&mut writer).unwrap() {
            steps += 1;
            writer
                .append(&entries(1000 + steps..=1000 + steps))
                .unwrap();
        }
        assert!(steps >= 1000 / AT_ONCE as u64, "{steps} steps");
        assert!(matches!(compacting, Compacting::Idle));
        assert_eq!(log.first(), Some(Seq(1001)));
        let kept: Vec<_> = log
            .read(Seq(1001), None)
            .unwrap()
            .map(Result::unwrap)
            .collect();
        assert_eq!(kept, entries(1001..=1000 + steps));
        let checkpoints = log.checkpoints().unwrap();
        assert_eq!(checkpoints.len(), 1);
    }
}
