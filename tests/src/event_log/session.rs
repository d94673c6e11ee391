//! A process that writes a log in every way there is, and says what was acknowledged.
//!
//! Apart from the campaigns, because it runs in a process of its own that is killed.

use std::{
    io::Write,
    path::{Path, PathBuf},
};

use anyhow::Context;
use roadstead_control_plane::{
    event::{Class, Seq},
    event_log::{self, Options, Retention, Writer},
    model::time::Timestamp,
};

use super::workload;
use crate::campaign::random::Random;

/// What a session is told.
#[derive(Clone, Debug)]
pub struct Plan {
    pub folder: PathBuf,
    pub seed: u64,
    /// The length of the store's segments: the shorter, the more of them come and go.
    pub segment_bytes: usize,
    /// After how many operations it ends by itself.
    pub operations: u64,
}

impl Plan {
    pub fn options(&self) -> Options {
        options(self.segment_bytes)
    }
}

/// The options of a log whose segments have this length.
pub fn options(segment_bytes: usize) -> Options {
    Options {
        // Little, so that pages are read back from the file.
        cache_bytes: 1 << 20,
        segment_bytes,
        ..Options::default()
    }
}

/// Appends, makes checkpoints, compacts, opens again; says on `out` what is durable.
pub fn run(plan: &Plan, out: &mut impl Write) -> anyhow::Result<()> {
    let mut session = Session {
        writer: open(&plan.folder, plan.options())?,
        random: Random::new(plan.seed),
        out,
    };
    for _ in 0..plan.operations {
        match session.random.below(40) {
            0..=24 => session.append()?,
            25..=30 => session.checkpoint()?,
            31..=33 => session.compact()?,
            34..=36 => session.endpoints()?,
            37 => {
                // Closed before it is opened again: one process holds a log once.
                drop(session.writer);
                session.writer = open(&plan.folder, plan.options())?;
            }
            38 => drop(session.writer.reopen()?),
            _ => session.abandon_checkpoint()?,
        }
    }
    Ok(())
}

struct Session<'a, W> {
    writer: Writer,
    random: Random,
    out: &'a mut W,
}

impl<W: Write> Session<'_, W> {
    fn append(&mut self) -> anyhow::Result<()> {
        let records = match self.random.below(30) {
            // A storm, several segments of the store long.
            0 => 200 + self.random.below(600),
            1..=10 => 1,
            _ => 1 + self.random.below(20),
        };
        self.append_some(records)
    }

    fn append_some(&mut self, records: u64) -> anyhow::Result<()> {
        let last = self.last();
        let batch: Vec<_> = (last + 1..=last + records).map(workload::record).collect();
        self.writer.append(&batch)?;
        self.say("appended", last + records)
    }

    /// A checkpoint in pieces, between which the log goes on.
    fn checkpoint(&mut self) -> anyhow::Result<()> {
        let (newest, last) = (self.newest()?, self.last());
        if last == newest {
            return Ok(());
        }
        let mut draft = self.writer.begin_checkpoint(Seq(last))?;
        for changes in workload::changes(newest, last).chunks(40) {
            self.writer
                .add_to_checkpoint(&mut draft, changes.to_vec())?;
            if self.random.one_in(2) {
                self.append_some(1)?;
            }
        }
        // As one of then, or, with what changed meanwhile, of now.
        let mut end = last;
        if self.random.one_in(2) {
            end = self.last();
            self.writer
                .add_to_checkpoint(&mut draft, workload::changes(last, end))?;
        }
        self.writer.finish_checkpoint(draft, Seq(end))?;
        self.say("checkpoint", end)
    }

    fn abandon_checkpoint(&mut self) -> anyhow::Result<()> {
        let (newest, last) = (self.newest()?, self.last());
        if last > newest {
            let mut draft = self.writer.begin_checkpoint(Seq(last))?;
            let changes = workload::changes(newest, last);
            self.writer.add_to_checkpoint(&mut draft, changes)?;
        }
        Ok(())
    }

    /// Takes away what the newest checkpoint spares, in steps between which the log goes on.
    fn compact(&mut self) -> anyhow::Result<()> {
        let newest = self.newest()?;
        if newest == 0 {
            return Ok(());
        }
        let verified = self.writer.log().verify(Seq(newest))?;
        let mut retention = Retention::default();
        for class in [Class::Presence, Class::Lifecycle, Class::Configuration] {
            let bound = Seq(newest.saturating_sub(self.random.below(60)));
            retention.records.insert(class.into(), bound);
        }
        for checkpoint in self.writer.log().checkpoints()? {
            if !self.random.one_in(4) {
                retention.checkpoints.insert(checkpoint.seq);
            }
        }
        let mut compaction = self.writer.begin_compaction(&retention, verified)?;
        while self.writer.compact_step(&mut compaction, 64)?.is_none() {
            if self.random.one_in(4) {
                self.append_some(1)?;
            }
        }
        Ok(())
    }

    /// Endpoints come and go, now and then for longer than a segment of the store lasts.
    fn endpoints(&mut self) -> anyhow::Result<()> {
        let times = if self.random.one_in(4) { 60 } else { 1 };
        for _ in 0..times {
            let seed = self.random.number();
            let changes = (0..30).map(|number| workload::change(seed.wrapping_add(number)));
            self.writer.endpoints_put(changes, Timestamp(1))?;
        }
        Ok(())
    }

    fn last(&self) -> u64 {
        self.writer.log().last().map_or(0, |last| last.0)
    }

    fn newest(&self) -> anyhow::Result<u64> {
        let checkpoints = self.writer.log().checkpoints()?;
        Ok(checkpoints.last().map_or(0, |newest| newest.seq.0))
    }

    fn say(&mut self, what: &str, seq: u64) -> anyhow::Result<()> {
        // One system call, so that the line is there or not.
        self.out.write_all(format!("{what} {seq}\n").as_bytes())?;
        Ok(self.out.flush()?)
    }
}

fn open(folder: &Path, options: Options) -> anyhow::Result<Writer> {
    let opened = event_log::open(folder, options).context("open the log")?;
    Ok(opened.0)
}
