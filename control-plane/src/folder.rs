//! A folder of Kubernetes YAML as a source, followed while it changes.
//!
//! The same objects, the same conversion and the same observations as from the Kubernetes
//! API, for a laptop, CI or a machine without a cluster.

mod catalogue;
mod parse;
mod scan;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};

use crate::folder::catalogue::{Catalogue, Contents};
use crate::folder::scan::{Limits, Stamp, scan, stamp};
use crate::observe::Observation;

/// The folder cannot be a source.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    #[error("the folder {} cannot be read: {source}", path.display())]
    Read {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("the folder {} cannot be watched: {source}", path.display())]
    Watch {
        path: PathBuf,
        source: notify::Error,
    },
}

/// Follows a folder until the engine is gone. A change of `relist` makes it list everything anew.
pub async fn run(
    root: PathBuf,
    inbox: mpsc::Sender<Observation>,
    mut relist: watch::Receiver<u64>,
) -> Result<(), FolderError> {
    let root = root.canonicalize().map_err(|source| FolderError::Read {
        path: root.clone(),
        source,
    })?;
    // The watch begins before the first look, so that nothing falls between.
    let (_watcher, hints) = follow(&root)?;
    let mut hints = Some(hints);
    let mut known = Known::default();
    let observations = known.list(&root)?;
    tracing::info!(folder = %root.display(), files = known.stamps.len(), "the folder was read");
    if !send(&inbox, observations).await {
        return Ok(());
    }
    let mut net = interval_at(Instant::now() + NET, NET);
    net.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let observations = tokio::select! {
            hint = settled(&mut hints) => match hint {
                Hint::Files(paths) => known.look_at(&root, paths),
                Hint::Anything => known.look_at_all(&root),
            },
            _ = net.tick() => known.look_at_all(&root),
            changed = relist.changed() => match changed {
                Ok(()) => known.list(&root)?,
                Err(_) => return Ok(()),
            },
        };
        if !send(&inbox, observations).await {
            return Ok(());
        }
    }
}

/// What is known of the folder.
#[derive(Debug, Default)]
struct Known {
    stamps: BTreeMap<PathBuf, Stamp>,
    catalogue: Catalogue,
}

impl Known {
    /// Reads everything, and lists it.
    fn list(&mut self, root: &Path) -> Result<Vec<Observation>, FolderError> {
        self.stamps = scan(root, &Limits::default()).map_err(|source| FolderError::Read {
            path: root.to_owned(),
            source,
        })?;
        let files = self.stamps.keys();
        let contents = files.map(|path| (name(root, path), parse::read(root, path)));
        let (catalogue, observations) = Catalogue::build(contents);
        self.catalogue = catalogue;
        Ok(observations)
    }

    /// Reads what is not as it was, wherever it is.
    fn look_at_all(&mut self, root: &Path) -> Vec<Observation> {
        let now = match scan(root, &Limits::default()) {
            Ok(now) => now,
            // A folder that is unmounted for a moment has not lost its files.
            Err(error) => {
                let folder = root.display();
                tracing::error!(%folder, %error, "cannot be read; what was read of it stays");
                return Vec::new();
            }
        };
        let gone = self.stamps.keys().filter(|path| !now.contains_key(*path));
        let changed = now
            .iter()
            .filter(|(path, stamp)| self.stamps.get(*path) != Some(stamp))
            .map(|(path, _)| path);
        let paths = changed.chain(gone).cloned().collect();
        self.look_at(root, paths)
    }

    /// Reads those of these files that are not as they were.
    fn look_at(&mut self, root: &Path, mut paths: BTreeSet<PathBuf>) -> Vec<Observation> {
        let mut observations = Vec::new();
        while let Some(path) = paths.pop_first() {
            let now = stamp(&path);
            if self.stamps.get(&path) == now.as_ref() {
                continue;
            }
            let contents = match now {
                Some(now) => {
                    self.stamps.insert(path.clone(), now);
                    Some(parse::read(root, &path))
                }
                None => {
                    self.stamps.remove(&path);
                    None
                }
            };
            tell(&path, contents.as_ref());
            let replaced = self.catalogue.replace(&name(root, &path), contents);
            observations.extend(replaced.observations);
            for file in replaced.read_again {
                let path = root.join(&*file);
                self.stamps.remove(&path);
                paths.insert(path);
            }
        }
        observations
    }
}

fn tell(path: &Path, contents: Option<&Contents>) {
    let path = path.display();
    match contents {
        Some(Contents::Objects(objects)) => {
            tracing::info!(file = %path, objects = objects.len(), "the file was read");
        }
        Some(Contents::Unreadable(message)) => {
            tracing::error!(file = %path, message, "the file cannot be read; what was read of it stays");
        }
        None => tracing::info!(file = %path, "the file is gone"),
    }
}

/// A file's name in ranks: its path below the root.
fn name(root: &Path, path: &Path) -> Box<str> {
    let below = path.strip_prefix(root).unwrap_or(path);
    below.to_string_lossy().into()
}

/// Where something may have changed.
enum Hint {
    Files(BTreeSet<PathBuf>),
    Anything,
}

fn follow(root: &Path) -> Result<(RecommendedWatcher, mpsc::UnboundedReceiver<Hint>), FolderError> {
    let failed = |source| FolderError::Watch {
        path: root.to_owned(),
        source,
    };
    // Unbounded, because the watch's thread must not wait; it is drained at once.
    let (sender, hints) = mpsc::unbounded_channel();
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        let hint = match event {
            Ok(event)
                if matches!(
                    event.kind,
                    EventKind::Access(
                        notify::event::AccessKind::Open(_) | notify::event::AccessKind::Read
                    )
                ) =>
            {
                return;
            }
            Ok(event)
                if !event.need_rescan() && event.paths.iter().all(|path| scan::is_ours(path)) =>
            {
                Hint::Files(event.paths.into_iter().collect())
            }
            Ok(_) | Err(_) => Hint::Anything,
        };
        // The receiver is gone when the program ends.
        let _ = sender.send(hint);
    })
    .map_err(failed)?;
    watcher
        .watch(root, RecursiveMode::Recursive)
        .map_err(failed)?;
    Ok((watcher, hints))
}

/// The next hint, once it is quiet for a moment: an editor does several things to save a file.
async fn settled(hints: &mut Option<mpsc::UnboundedReceiver<Hint>>) -> Hint {
    let Some(receiver) = hints else {
        return std::future::pending().await;
    };
    let Some(mut all) = receiver.recv().await else {
        tracing::error!("the watch of the folder ended; changes are found within 30 s");
        *hints = None;
        return Hint::Anything;
    };
    let end = Instant::now() + LONGEST_SETTLE;
    while Instant::now() < end {
        match timeout(SETTLE, receiver.recv()).await {
            Ok(Some(next)) => {
                all = match (all, next) {
                    (Hint::Files(mut all), Hint::Files(next)) => {
                        all.extend(next);
                        Hint::Files(all)
                    }
                    (Hint::Anything, _) | (_, Hint::Anything) => Hint::Anything,
                }
            }
            Ok(None) | Err(_) => break,
        }
    }
    all
}

async fn send(inbox: &mpsc::Sender<Observation>, observations: Vec<Observation>) -> bool {
    for observation in observations {
        if inbox.send(observation).await.is_err() {
            return false;
        }
    }
    true
}

/// Quiet for this long means settled.
const SETTLE: Duration = Duration::from_millis(5);
/// A folder that never is quiet is looked at all the same.
const LONGEST_SETTLE: Duration = Duration::from_millis(100);
/// How often everything is looked at, whatever the watch says: watches lose things.
const NET: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests;
