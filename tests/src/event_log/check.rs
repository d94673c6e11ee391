//! Whether a log that was through something still holds all that was acknowledged.
//!
//! Apart from the sessions, so that it trusts nothing of theirs but what they said.

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::{Context, ensure};
use roadstead_control_plane::{
    event::{Class, Seq},
    event_log::{self, EventLog, Options, ReadError},
    model::time::Timestamp,
};

use super::{Acknowledged, workload};

/// Opens the log, looks at all of it, writes to it, and opens it again.
pub fn check(folder: &Path, options: Options, acknowledged: Acknowledged) -> anyhow::Result<()> {
    let (mut writer, report) = event_log::open(folder, options).context("it does not open")?;
    let log = writer.log();
    let last = log.last().map_or(0, |last| last.0);
    ensure!(
        last >= acknowledged.last,
        "it ends at {last}; {} was acknowledged",
        acknowledged.last
    );
    if let Some(cut) = report.cut {
        let first = cut.first.0;
        ensure!(first > acknowledged.last, "{first} was cut: {report:?}");
    }
    records(&log, last)?;
    checkpoints(&log, acknowledged.checkpoint)?;
    log.endpoints_read(Timestamp(0)).context("endpoints")?;
    let blobs = fs::read_dir(folder.join("sled/blobs"))?.count();
    ensure!(blobs == 0, "{blobs} files in blobs/");

    let more: Vec<_> = (last + 1..last + 4).map(workload::record).collect();
    writer.append(&more).context("it cannot be appended to")?;
    drop((log, writer));
    let (writer, report) = event_log::open(folder, options).context("it does not open twice")?;
    ensure!(
        report.last == Some(Seq(last + 3)),
        "opened twice: {report:?}"
    );
    records(&writer.log(), last + 3)
}

/// Every record that is there is as it was written, and none is missing that must be there.
fn records(log: &EventLog, last: u64) -> anyhow::Result<()> {
    log.export(|entry| {
        let seq = entry.seq.0;
        ensure!(entry == workload::record(seq), "record {seq} is another");
        Ok(())
    })?;
    let whole_from = log.oldest(None);
    let newest = log.checkpoints()?.last().map_or(0, |newest| newest.seq.0);
    ensure!(
        whole_from.0 <= newest + 1,
        "records up to {whole_from} went, but the newest checkpoint is at {newest}"
    );
    let read = log.read(whole_from, None)?;
    let read = read.map(|entry| entry.map(|entry| entry.seq.0));
    let read = read.collect::<Result<Vec<_>, _>>()?;
    let expected: Vec<_> = (whole_from.0.max(1)..=last).collect();
    ensure!(read == expected, "records {read:?} instead of {expected:?}");
    for class in [Class::Configuration, Class::Lifecycle, Class::Presence] {
        let from = log.oldest(Some(class.into()));
        let read = log.read(from, Some(class.into()))?;
        let read = read.map(|entry| entry.map(|entry| entry.seq.0));
        let read = read.collect::<Result<Vec<_>, _>>()?;
        let is_of_class = |seq: &u64| workload::class(*seq) == class;
        let expected: Vec<_> = (from.0.max(1)..=last).filter(is_of_class).collect();
        ensure!(
            read == expected,
            "{class:?}: {read:?} instead of {expected:?}"
        );
    }
    Ok(())
}

/// Every checkpoint that is there is whole, and none is newer than the newest acknowledged
/// unless it is whole too.
fn checkpoints(log: &EventLog, acknowledged: u64) -> anyhow::Result<()> {
    let checkpoints = log.checkpoints()?;
    let newest = checkpoints.last().map_or(0, |newest| newest.seq.0);
    ensure!(
        newest >= acknowledged,
        "the newest checkpoint is at {newest}; one at {acknowledged} was acknowledged"
    );
    for checkpoint in checkpoints {
        let mut state = BTreeMap::new();
        log.read_checkpoint(checkpoint.seq, |key, value| {
            state.insert(key, value);
            Ok::<_, ReadError>(())
        })?;
        let expected = workload::state_at(checkpoint.seq.0);
        ensure!(
            state == expected,
            "the checkpoint at {} is another",
            checkpoint.seq
        );
    }
    Ok(())
}
