//! Opens what is stored: the log, and what it folds to.
//!
//! Apart, because what cannot be used is dealt with here, before anything runs.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::Instant;

use crate::app::stored_log;
use crate::checkpoint::Restored;
use crate::clock;
use crate::event_log::{self, Options, Writer};
use crate::history::archive::ArchiveError;

/// All that a control plane begins with.
pub(super) struct Opened {
    pub(super) writer: Writer,
    pub(super) restored: Restored,
}

/// Opens the log. One that a newer release wrote is set aside, and the control plane goes on as if
/// it had none: everything but history is found again.
pub(super) fn open(data_folder: &Path) -> anyhow::Result<Opened> {
    let begun = Instant::now();
    let folder = log_folder(data_folder);
    let mut writer = open_log(&folder)?;
    let found = stored_log::restore(&writer.log(), clock::now());
    let restored = match found {
        Err(ArchiveError::Newer(found)) => {
            drop(writer);
            let aside = event_log::set_aside(&folder, PATIENCE)?;
            tracing::error!(
                aside = %aside.display(),
                "{found}: the event log is set aside, and history begins anew; to have it back, \
                 move what is in that folder into its parent, and run the newer release"
            );
            writer = open_log(&folder)?;
            stored_log::restore(&writer.log(), clock::now())?
        }
        restored => restored?,
    };
    let head = restored.fold.state().head();
    tracing::info!(
        lineage = &*head.lineage,
        epoch = %head.epoch,
        records = %head.seq,
        took = ?begun.elapsed(),
        "the event log was read"
    );
    Ok(Opened { writer, restored })
}

pub(super) fn log_folder(data_folder: &Path) -> PathBuf {
    data_folder.join("log")
}

fn open_log(folder: &Path) -> anyhow::Result<Writer> {
    let (writer, report) = event_log::open(folder, Options::default())?;
    if let Some(cut) = report.cut {
        tracing::warn!(?cut, "the end of the event log was torn and is cut");
    }
    Ok(writer)
}

/// For what was just closed to let go of its files.
const PATIENCE: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests;
