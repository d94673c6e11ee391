//! A folder of Kubernetes YAML as a source: the embedded default.
//!
//! Files that end in `.yaml`, `.yml` or `.json` are read, in the folder and below it, names
//! that begin with a dot left out. A file holds any number of documents, and lists of objects.
//! Changes are heard of from the kernel and applied when they have settled; twice a minute the
//! folder is looked at all the same. Only files that changed are read.
//!
//! What cannot be read changes nothing: what its file held before keeps serving, and is
//! refused aloud, on a live change as after a restart.

mod document;
mod library;
mod notices;
mod reader;
mod shelf;
#[cfg(test)]
mod tests;
mod walk;

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep_until};

use crate::folder::library::Library;
use crate::folder::notices::{LOOK_OFTEN, Notice, Notices};
use crate::metrics::folder::FolderMetrics;
use crate::observe::Observation;

/// The folder cannot be a source.
#[derive(Debug, thiserror::Error)]
#[error("the folder {} cannot be read: {source}; name one that exists", path.display())]
pub struct FolderError {
    path: PathBuf,
    source: io::Error,
}

/// Reads and follows a folder until the engine is gone; fails only if it is not there to begin
/// with. Each change of `relist` makes the lists anew.
pub async fn run(
    root: PathBuf,
    inbox: mpsc::Sender<Observation>,
    mut relist: watch::Receiver<u64>,
    metrics: FolderMetrics,
) -> Result<(), FolderError> {
    let found = std::fs::read_dir(&root).and_then(|_| std::path::absolute(&root));
    // From / on, so that what the kernel tells can be compared with it.
    let root = found.map_err(|source| FolderError { path: root, source })?;
    let mut notices = Notices::new(&root);
    let mut library = Library::new(root, metrics);
    let mut task = Task::List;
    loop {
        let observations;
        (library, notices, observations) = carry_out(library, notices, task).await;
        for observation in observations {
            if inbox.send(observation).await.is_err() {
                return Ok(());
            }
        }
        let look = if notices.hears_all() {
            LOOK
        } else {
            LOOK_OFTEN
        };
        let look = Instant::now() + look;
        task = tokio::select! {
            () = inbox.closed() => return Ok(()),
            changed = relist.changed() => match changed {
                Ok(()) => Task::List,
                Err(_) => return Ok(()),
            },
            notice = notices.next() => match notice {
                Notice::Files(files) => Task::Read(files),
                Notice::Everything => Task::Look,
            },
            () = sleep_until(look) => Task::Look,
        };
    }
}

/// What is to be done next.
enum Task {
    /// Read everything.
    List,
    /// Look at everything, read what changed.
    Look,
    /// Read these files.
    Read(BTreeSet<PathBuf>),
}

/// Files block, so this is done on a thread that may.
async fn carry_out(
    mut library: Library,
    mut notices: Notices,
    task: Task,
) -> (Library, Notices, Vec<Observation>) {
    let work = move || {
        let observations = match task {
            Task::List => library.list(&mut notices),
            Task::Look => library.look(&mut notices),
            Task::Read(files) => library.read(&files, &mut notices),
        };
        (library, notices, observations)
    };
    match spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The runtime ends.
            Err(_) => std::future::pending().await,
        },
    }
}

const LOOK: Duration = Duration::from_secs(30);
