//! Making the log shorter: records by class, checkpoints by name, and what only they needed.
//!
//! Apart, because it is the one place that takes away what was acknowledged. It goes in
//! small steps between which the log is whole, and notes what is gone before it goes.

use std::collections::{BTreeMap, BTreeSet};

use crate::event::Seq;
use crate::event_log::{
    EventLog,
    checkpoint::{self, Checkpoint, Group, Version},
    class::ClassCode,
    error::{CheckpointError, ReadError},
    pen::Pen,
    records,
    retained::{self, Retained},
    writer::Writer,
};

/// What may go.
#[derive(Clone, Debug, Default)]
pub struct Retention {
    /// Records of these classes that are older than this, as far as the checkpoint reaches
    /// that was read back. Classes that are not named stay.
    pub records: BTreeMap<ClassCode, Seq>,
    /// Checkpoints. The one that was read back stays.
    pub checkpoints: BTreeSet<Seq>,
}

/// A checkpoint that was read back and found whole: what comes before it can be spared.
#[derive(Clone, Copy, Debug)]
pub struct Verified(Checkpoint);

/// What went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Removed {
    pub records: u64,
    pub checkpoints: u64,
    /// Values of checkpoints.
    pub values: u64,
}

/// A compaction under way.
#[derive(Debug)]
#[must_use = "a compaction goes on in steps"]
pub struct Compaction {
    bounds: BTreeMap<ClassCode, Seq>,
    phase: Phase,
    removed: Removed,
}

#[derive(Debug)]
enum Phase {
    /// Everything before `next` was looked at; what lies from `run` up to there is gone.
    Records {
        next: Seq,
        run: Option<Seq>,
    },
    /// Keys before this were looked at.
    Values {
        from: Vec<u8>,
    },
    Done,
}

impl EventLog {
    /// Reads a checkpoint back. It takes as long as reading it for use.
    pub fn verify(&self, seq: Seq) -> Result<Verified, ReadError> {
        self.read_checkpoint(seq, |_, _| Ok(())).map(Verified)
    }
}

impl Writer {
    /// Compacts in one go. With many records that takes a while: see [`Self::compact_step`].
    pub fn compact(
        &mut self,
        retention: &Retention,
        verified: Verified,
    ) -> Result<Removed, CheckpointError> {
        let mut compaction = self.begin_compaction(retention, verified)?;
        loop {
            if let Some(removed) = self.compact_step(&mut compaction, usize::MAX)? {
                return Ok(removed);
            }
        }
    }

    /// Notes what is to go. From here on nobody is given it any more.
    pub fn begin_compaction(
        &mut self,
        retention: &Retention,
        Verified(verified): Verified,
    ) -> Result<Compaction, CheckpointError> {
        let log = self.log();
        let store = log.store()?;
        let checkpoints =
            checkpoint::all(&store).map_err(|error| log.load_error("manifests", error))?;
        drop(store);
        if !checkpoints.contains(&verified) {
            let seq = verified.seq;
            return Err(ReadError::NoCheckpoint { seq }.into());
        }
        let going = |found: &&Checkpoint| {
            found.seq != verified.seq && retention.checkpoints.contains(&found.seq)
        };
        let going: Vec<_> = checkpoints.iter().filter(going).collect();
        let bound = |(class, seq): (&ClassCode, &Seq)| (*class, (*seq).min(verified.seq.next()));
        let mut bounds: BTreeMap<_, _> = retention.records.iter().map(bound).collect();
        let mut retained = Retained::clone(&log.retained());
        bounds.retain(|class, seq| retained.classes.get(class).is_none_or(|old| old < seq));
        retained.classes.extend(bounds.clone());

        self.reserve_to_free()?;
        self.write(|pen| {
            // What a compaction that was cut off had still to take.
            for seq in records::before(pen.store(), retained.begin)? {
                records::remove(pen, seq)?;
            }
            for (class, seq) in &bounds {
                Retained::store_class(pen, *class, *seq)?;
            }
            for checkpoint in &going {
                checkpoint::remove_manifest(pen, checkpoint.seq)?;
            }
            pen.barrier()
        })?;
        let begin = retained.begin;
        self.retain(retained);
        let removed = Removed {
            checkpoints: u64::try_from(going.len()).unwrap_or(u64::MAX),
            ..Removed::default()
        };
        Ok(Compaction {
            bounds,
            phase: Phase::Records {
                next: begin,
                run: Some(begin),
            },
            removed,
        })
    }

    /// Goes on, looking at up to this many records or values. Says what went once all did.
    pub fn compact_step(
        &mut self,
        compaction: &mut Compaction,
        most: usize,
    ) -> Result<Option<Removed>, CheckpointError> {
        self.reserve_to_free()?;
        match &compaction.phase {
            Phase::Records { next, run } => {
                let (next, run) = (*next, *run);
                self.compact_records(compaction, next, run, most)?;
            }
            Phase::Values { from } => {
                let from = from.clone();
                self.compact_values(compaction, &from, most)?;
            }
            Phase::Done => return Ok(Some(compaction.removed)),
        }
        Ok(None)
    }

    fn compact_records(
        &mut self,
        compaction: &mut Compaction,
        next: Seq,
        mut run: Option<Seq>,
        most: usize,
    ) -> Result<(), CheckpointError> {
        let log = self.log();
        let (spans, next) = survey(&log, &compaction.bounds, next, most)?;
        for span in spans {
            if !span.goes {
                run = None;
                continue;
            }
            let first = *run.get_or_insert(span.first);
            let begin = log.retained().begin;
            if first == begin {
                self.begin_at(span.last.next());
            }
            self.write(|pen| {
                // Noted before anything goes, so that no reader takes it for damage.
                if first == begin {
                    Retained::store_begin(pen, span.last.next())?;
                    retained::remove_holes(pen, first, span.last)?;
                } else {
                    retained::put_hole(pen, first, span.last)?;
                    retained::remove_holes(pen, first.next(), span.last)?;
                }
                span.records
                    .iter()
                    .try_for_each(|seq| records::remove(pen, *seq))
            })?;
            if first == begin {
                run = Some(span.last.next());
            }
            compaction.removed.records += u64::try_from(span.records.len()).unwrap_or(u64::MAX);
        }
        self.write(Pen::barrier)?;
        compaction.phase = match next {
            Some(next) => Phase::Records { next, run },
            None => Phase::Values { from: Vec::new() },
        };
        Ok(())
    }

    fn compact_values(
        &mut self,
        compaction: &mut Compaction,
        from: &[u8],
        most: usize,
    ) -> Result<(), CheckpointError> {
        let log = self.log();
        let store = log.store()?;
        let checkpoints =
            checkpoint::all(&store).map_err(|error| log.load_error("manifests", error))?;
        let kept: Vec<Seq> = checkpoints
            .iter()
            .map(|checkpoint| checkpoint.seq)
            .collect();
        let (mut looked_at, before) = (0, compaction.removed.values);
        compaction.phase = Phase::Done;
        for group in checkpoint::groups(&store, from) {
            let group = group.map_err(|error| log.read_error(error))?;
            if looked_at >= most {
                let from = group.escaped;
                compaction.phase = Phase::Values { from };
                break;
            }
            looked_at += group.versions.len();
            for seq in spare(&group, &kept) {
                let escaped = &group.escaped;
                self.write(|pen| checkpoint::remove_version(pen, escaped, seq))?;
                compaction.removed.values += 1;
            }
        }
        drop(store);
        if compaction.removed.values > before {
            self.write(Pen::barrier)?;
        }
        Ok(())
    }
}

/// A stretch of the log that goes, or stays.
struct Span {
    first: Seq,
    last: Seq,
    goes: bool,
    records: Vec<Seq>,
}

/// Looks at up to this many records before the highest bound. What was compacted before goes
/// with what goes now. Says where to go on, if there is more.
fn survey(
    log: &EventLog,
    bounds: &BTreeMap<ClassCode, Seq>,
    from: Seq,
    most: usize,
) -> Result<(Vec<Span>, Option<Seq>), ReadError> {
    let store = log.store()?;
    let end = bounds.values().copied().max().unwrap_or(Seq(0));
    let mut spans: Vec<Span> = Vec::new();
    let mut next = from;
    let mut add = |first: Seq, last: Seq, goes: bool, record: Option<Seq>| match spans.last_mut() {
        Some(span) if span.goes == goes => {
            span.last = last;
            span.records.extend(record);
        }
        Some(_) | None => spans.push(Span {
            first,
            last,
            goes,
            records: record.into_iter().collect(),
        }),
    };
    if from >= end {
        return Ok((spans, None));
    }
    let before_end = Seq(end.0.saturating_sub(1));
    for (looked_at, found) in records::range(&store, from, before_end).enumerate() {
        if looked_at >= most {
            return Ok((spans, Some(next)));
        }
        let found = found.map_err(|error| log.read_error(error))?;
        let seq = found.seq;
        log.check_hole(&store, next, seq)?;
        if next < seq {
            add(next, Seq(seq.0.saturating_sub(1)), true, None);
        }
        let goes = match found.record {
            Ok((entry, _)) => bounds.get(&entry.class).is_some_and(|bound| seq < *bound),
            // Half of it is gone already, if this was noted.
            Err(error) => {
                log.check_unreadable(&store, seq, &error)?;
                true
            }
        };
        add(seq, seq, goes, goes.then_some(seq));
        next = seq.next();
    }
    log.check_hole(&store, next, end)?;
    if next < end {
        // A hole of an earlier compaction may reach beyond where this one looks.
        let hole = retained::hole_at(&store, before_end);
        let hole = hole.map_err(|error| log.load_error("holes", error))?;
        add(next, hole.map_or(before_end, |(_, last)| last), true, None);
    }
    Ok((spans, None))
}

/// The versions of a key that none of the checkpoints needs.
fn spare(group: &Group, checkpoints: &[Seq]) -> Vec<Seq> {
    let newest = checkpoints.last().copied().unwrap_or_default();
    let mut spare = Vec::new();
    let mut older_kept = false;
    let following = group.versions.iter().skip(1).map(|version| version.seq);
    let until = following.chain([Seq(u64::MAX)]);
    for (Version { seq, value }, until) in group.versions.iter().zip(until) {
        let has = |checkpoint: &&Seq| *seq <= **checkpoint && **checkpoint < until;
        let gone = matches!(value, Ok(None));
        let needed = checkpoints.iter().any(|checkpoint| has(&checkpoint)) && (older_kept || !gone);
        // What is newer than all of them belongs to one that is being written.
        if needed || *seq > newest {
            older_kept = true;
        } else {
            spare.push(*seq);
        }
    }
    spare
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Versions as (checkpoint, has a value), checkpoints, and what can be spared.
    #[test]
    fn a_version_goes_when_no_checkpoint_needs_it() {
        type Case = (&'static [(u64, bool)], &'static [u64], &'static [u64]);
        let cases: &[Case] = &[
            (&[(10, true)], &[10], &[]),
            (&[(10, true)], &[30], &[]),
            (&[(10, true), (20, true)], &[30], &[10]),
            (&[(10, true), (20, true)], &[10, 30], &[]),
            (&[(10, true), (20, true), (30, true)], &[10, 30], &[20]),
            (&[(10, true), (20, false)], &[30], &[10, 20]),
            (&[(10, true), (20, false)], &[10, 30], &[]),
            (&[(10, true), (20, false), (30, true)], &[20, 30], &[10, 20]),
            (&[(10, true), (40, true)], &[30], &[]),
            (&[(10, false), (40, false)], &[30], &[10]),
        ];
        for (versions, checkpoints, expected) in cases {
            let version = |(seq, held): &(u64, bool)| Version {
                seq: Seq(*seq),
                value: Ok(held.then(|| (1, Vec::new()))),
            };
            let group = Group {
                escaped: Vec::new(),
                versions: versions.iter().map(version).collect(),
            };
            let checkpoints: Vec<_> = checkpoints.iter().copied().map(Seq).collect();
            let expected: Vec<_> = expected.iter().copied().map(Seq).collect();
            assert_eq!(
                spare(&group, &checkpoints),
                expected,
                "{versions:?}, {checkpoints:?}"
            );
        }
    }
}
