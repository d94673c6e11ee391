//! The kernel's notices of changes, gathered until they settle.
//!
//! Apart from the reading, because it is one thing to hear of a change and another to wait
//! until it is whole: a file that is still being written is half a file, and a checkout is
//! many changes that mean one.

mod gathered;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use notify::event::{AccessKind, AccessMode};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use crate::folder::notices::gathered::Gathered;
use crate::folder::walk::Identity;

/// What changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Notice {
    /// These files, and nothing else.
    Files(BTreeSet<PathBuf>),
    /// Anything may have.
    Everything,
}

/// Hears of changes in folders.
pub(super) struct Notices {
    /// `None` where the kernel gives no more watches: then only looking helps.
    watcher: Option<RecommendedWatcher>,
    watched: BTreeMap<PathBuf, Identity>,
    /// The folder that is served, as it is seen from the folder that holds it.
    root: PathBuf,
    events: mpsc::Receiver<notify::Result<Event>>,
    overflowed: Arc<AtomicBool>,
    gathered: Gathered,
}

impl Notices {
    pub(super) fn new(root: &Path) -> Self {
        let (sender, events) = mpsc::channel(MAX_WAITING);
        let overflowed = Arc::new(AtomicBool::new(false));
        let overflow = overflowed.clone();
        let ours = root.to_owned();
        let handler = move |event: notify::Result<Event>| {
            if is_noise(&ours, &event) {
                return;
            }
            if sender.try_send(event).is_err() {
                overflow.store(true, Ordering::Release);
            }
        };
        let config = notify::Config::default().with_follow_symlinks(false);
        let mut notices = Self {
            watcher: None,
            watched: BTreeMap::new(),
            root: root.to_owned(),
            events,
            overflowed,
            gathered: Gathered::default(),
        };
        match RecommendedWatcher::new(handler, config) {
            Ok(watcher) => {
                notices.watcher = Some(watcher);
                // The folder may be a link that is moved, or may not be there yet.
                if let Some(parent) = root.parent().filter(|parent| parent.is_dir()) {
                    notices.add(parent);
                }
            }
            Err(error) => notices.give_up(&error),
        }
        notices
    }

    /// Whether every change is heard of.
    pub(super) fn hears_all(&self) -> bool {
        self.watcher.is_some()
    }

    /// Watches these folders and no others; returns whether any of them is new, and may have
    /// changed before it was watched.
    pub(super) fn watch(&mut self, folders: &BTreeMap<PathBuf, Identity>) -> bool {
        let gone: Vec<PathBuf> = self
            .watched
            .iter()
            .filter(|(folder, identity)| folders.get(*folder) != Some(identity))
            .map(|(folder, _)| folder.clone())
            .collect();
        for folder in gone {
            self.watched.remove(&folder);
            if let Some(watcher) = &mut self.watcher {
                // The kernel has given it up by itself if it is gone.
                let _ = watcher.unwatch(&folder);
            }
        }
        let mut news = false;
        for (folder, identity) in folders {
            if !self.watched.contains_key(folder) && self.add(folder) {
                self.watched.insert(folder.clone(), *identity);
                news = true;
            }
        }
        news
    }

    /// The next change, once it has settled. Nothing is lost if this is not waited for to
    /// the end.
    pub(super) async fn next(&mut self) -> Notice {
        loop {
            let due = self.gathered.due();
            tokio::select! {
                event = self.events.recv() => match event {
                    Some(event) => self.gathered.note(&self.root, event, Instant::now()),
                    None => std::future::pending().await,
                },
                () = until(due) => {
                    if self.overflowed.swap(false, Ordering::AcqRel) {
                        self.gathered.everything = true;
                    }
                    let gathered = std::mem::take(&mut self.gathered);
                    return self.notice(gathered);
                }
            }
        }
    }

    fn notice(&self, gathered: Gathered) -> Notice {
        let folder = |path: &PathBuf| self.watched.contains_key(path) || path.is_dir();
        if gathered.everything || gathered.renamed.iter().any(folder) {
            return Notice::Everything;
        }
        Notice::Files(gathered.files)
    }

    fn add(&mut self, folder: &Path) -> bool {
        let Some(watcher) = &mut self.watcher else {
            return false;
        };
        match watcher.watch(folder, RecursiveMode::NonRecursive) {
            Ok(()) => true,
            // It went meanwhile.
            Err(error) if matches!(error.kind, notify::ErrorKind::PathNotFound) => false,
            Err(error) => {
                self.give_up(&error);
                false
            }
        }
    }

    fn give_up(&mut self, error: &notify::Error) {
        tracing::warn!(
            %error,
            folder = %self.root.display(),
            "changes are not told by the kernel (raise fs.inotify.max_user_watches or \
             max_user_instances); the folder is looked at every {LOOK_OFTEN:?} instead"
        );
        self.watcher = None;
        self.watched.clear();
    }
}

/// Our own reading is told as well, and is most of what is; and of the folder that holds ours,
/// which may be a busy one, nothing matters but ours.
fn is_noise(root: &Path, event: &notify::Result<Event>) -> bool {
    let Ok(event) = event else { return false };
    let read = match event.kind {
        EventKind::Access(AccessKind::Close(mode)) => mode != AccessMode::Write,
        EventKind::Access(_) => true,
        EventKind::Any
        | EventKind::Create(_)
        | EventKind::Modify(_)
        | EventKind::Remove(_)
        | EventKind::Other => false,
    };
    let beside = |path: &PathBuf| path.parent() == root.parent() && path != root;
    read || (!event.paths.is_empty() && event.paths.iter().all(beside))
}

async fn until(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due).await,
        None => std::future::pending().await,
    }
}

/// How often the folder is looked at where nothing is heard.
pub(super) const LOOK_OFTEN: Duration = Duration::from_secs(2);
/// Beyond this many it is cheaper to look at everything.
const MAX_WAITING: usize = 4096;
