//! The folder's files as they were last seen, and what their changes come to.
//!
//! Apart from the loop, because it blocks on files, and from the shelf, because that knows none.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::time::Instant;

use crate::folder::notices::Notices;
use crate::folder::reader::read;
use crate::folder::shelf::Shelf;
use crate::folder::walk::{File, Files, Stamp, Walk, top, walk, within};
use crate::metrics::folder::FolderMetrics;
use crate::model::key::{Kind, Origin};
use crate::observe::{Observation, Seen, Unreadable};

/// What is known of the folder.
#[derive(Debug)]
pub(super) struct Library {
    root: PathBuf,
    metrics: FolderMetrics,
    shelf: Shelf,
    /// Files as they were read; none: to be read again.
    stamps: BTreeMap<Arc<str>, Option<Stamp>>,
    /// What the last look at everything found.
    seen: Walk,
    /// A complete list was sent, and what changed since.
    listed: bool,
    /// What is wrong and was said.
    said: BTreeSet<String>,
    /// Why there is no list, as it was said.
    unlistable: Option<String>,
}

/// Files that are not as they were.
#[derive(Debug, Default)]
struct News {
    changed: Files,
    gone: Vec<Arc<str>>,
}

impl Library {
    pub(super) fn new(root: PathBuf, metrics: FolderMetrics) -> Self {
        Self {
            root,
            metrics,
            shelf: Shelf::default(),
            stamps: BTreeMap::new(),
            seen: Walk::default(),
            listed: false,
            said: BTreeSet::new(),
            unlistable: None,
        }
    }

    /// Reads everything, and tells everything.
    pub(super) fn list(&mut self, notices: &mut Notices) -> Vec<Observation> {
        let begun = Instant::now();
        self.listed = false;
        self.unlistable = None;
        self.shelf.forget_told();
        self.stamps.clear();
        let observations = match self.walk(notices) {
            Ok(()) => {
                let observations = self.take_changed();
                self.as_lists(observations)
            }
            Err(error) => self.unreachable(&error),
        };
        tracing::info!(
            folder = %self.root.display(),
            files = self.stamps.len(),
            objects = self.shelf.objects(),
            took = ?begun.elapsed(),
            "the folder was read"
        );
        observations
    }

    /// Looks at everything and reads what changed.
    pub(super) fn look(&mut self, notices: &mut Notices) -> Vec<Observation> {
        if let Err(error) = self.walk(notices) {
            return self.unreachable(&error);
        }
        let observations = self.take_changed();
        if self.listed {
            return observations;
        }
        if self.seen.problems.is_empty() {
            // What changed is not all there is.
            return self.list(notices);
        }
        self.as_lists(observations)
    }

    /// Reads these files, whatever they were before.
    pub(super) fn read(
        &mut self,
        paths: &BTreeSet<PathBuf>,
        notices: &mut Notices,
    ) -> Vec<Observation> {
        match self.only(paths) {
            Some(news) => self.take(news),
            None => self.look(notices),
        }
    }

    /// These files by name, and those of them that are gone; `None` where it takes a look at
    /// everything to know what they come to.
    fn only(&self, paths: &BTreeSet<PathBuf>) -> Option<News> {
        // A change of one file may be a change of those that are links to it.
        if self.seen.has_links || !self.listed {
            return None;
        }
        let root = std::fs::canonicalize(&self.root).ok()?;
        let mut news = News::default();
        for path in paths {
            let name: Arc<str> = within(&root, path)?.into();
            match std::fs::symlink_metadata(path) {
                Ok(metadata) if metadata.is_file() => {
                    let stamp = Stamp::of(&metadata);
                    let path = path.clone();
                    news.changed.insert(name, File { path, stamp });
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => news.gone.push(name),
                Ok(_) | Err(_) => return None,
            }
        }
        Some(news)
    }

    /// Looks until no folder is new: what is put into one before it is watched is not told. The
    /// first is watched before, so that a folder that holds none is looked at once.
    fn walk(&mut self, notices: &mut Notices) -> io::Result<()> {
        if self.seen.folders.is_empty() {
            notices.watch(&BTreeMap::from([top(&self.root)?]));
        }
        self.seen = walk(&self.root)?;
        for _ in 0..MAX_ROUNDS {
            if !notices.watch(&self.seen.folders) {
                break;
            }
            self.seen = walk(&self.root)?;
        }
        Ok(())
    }

    /// Takes in what the last look found to be different.
    fn take_changed(&mut self) -> Vec<Observation> {
        let seen = self.seen.files.iter();
        let changed = seen.filter(|(name, file)| {
            let before = self.stamps.get(*name).and_then(Option::as_ref);
            before != Some(&file.stamp)
        });
        let changed = changed.map(|(name, file)| (name.clone(), file.clone()));
        let gone = self.shelf.files().filter(|name| {
            // What could not be looked at may still be there.
            self.seen.problems.is_empty() && !self.seen.files.contains_key(*name)
        });
        let news = News {
            changed: changed.collect(),
            gone: gone.cloned().collect(),
        };
        self.take(news)
    }

    fn take(&mut self, news: News) -> Vec<Observation> {
        let News {
            changed: mut to_read,
            mut gone,
        } = news;
        for name in &gone {
            self.seen.files.remove(name);
        }
        self.seen.files.extend(to_read.clone());
        let mut observations = Vec::new();
        // What stands twice and goes from its first place is read at its second.
        for _ in 0..MAX_ROUNDS {
            let mut files = Vec::new();
            for name in gone.drain(..) {
                self.stamps.remove(&name);
                files.push((name, None));
            }
            for (name, read) in read(&to_read) {
                for problem in read.contents.iter().flat_map(|contents| &contents.unused) {
                    self.leave_out(problem);
                }
                self.stamps.insert(name.clone(), read.stamp);
                files.push((name, read.contents));
            }
            self.metrics.reads.add(to_read.len() as u64, &[]);
            let update = self.shelf.update(files);
            for double in &update.doubles {
                self.leave_out(double);
            }
            observations.extend(update.observations);
            to_read = self.found(update.to_read);
            if to_read.is_empty() {
                break;
            }
        }
        for name in to_read.into_keys() {
            self.stamps.insert(name, None);
        }
        self.say();
        self.measure();
        observations
    }

    fn found(&self, names: BTreeSet<Arc<str>>) -> Files {
        let seen = &self.seen.files;
        let names = names.into_iter();
        names
            .filter_map(|name| Some((name.clone(), seen.get(&name)?.clone())))
            .collect()
    }

    /// Observations of everything there is, as lists if everything could be looked at. Of files
    /// that cannot be read in full the engine knows what they held.
    fn as_lists(&mut self, observations: Vec<Observation>) -> Vec<Observation> {
        if !self.seen.problems.is_empty() {
            let mut observations = observations;
            observations.extend(self.unlistable(&self.seen.problems.join("; ")));
            return observations;
        }
        self.listed = true;
        self.unlistable = None;
        let broken = self.shelf.broken();
        let unreadable: Vec<Unreadable> = broken
            .map(|(file, message)| Unreadable {
                file: (**file).into(),
                message: message.into(),
            })
            .collect();
        let mut lists: BTreeMap<Kind, Vec<Seen>> = BTreeMap::new();
        for observation in observations {
            if let Observation::Changed(seen) = observation {
                lists.entry(seen.key.kind).or_default().push(seen);
            }
        }
        // What routes need comes before them.
        let lists = IN_ORDER.into_iter().map(|kind| Observation::Listed {
            origin: Origin::Folder,
            kind,
            objects: lists.remove(&kind).unwrap_or_default(),
            unreadable: unreadable.clone(),
        });
        lists.collect()
    }

    fn unreachable(&mut self, error: &io::Error) -> Vec<Observation> {
        self.unlistable(&format!("{}: {error}", self.root.display()))
    }

    /// That there is no list, unless it was said already.
    fn unlistable(&mut self, message: &str) -> Vec<Observation> {
        if self.unlistable.as_deref() == Some(message) {
            return Vec::new();
        }
        self.unlistable = Some(message.to_owned());
        let all = IN_ORDER.into_iter().map(|kind| Observation::Unlistable {
            origin: Origin::Folder,
            kind,
            message: message.to_owned(),
        });
        all.collect()
    }

    fn leave_out(&self, problem: &str) {
        tracing::warn!(folder = %self.root.display(), "left out: {problem}");
        self.metrics.unused.add(1, &[]);
    }

    /// Says what is wrong now and was not before, and what no longer is.
    fn say(&mut self) {
        let broken = self.shelf.broken();
        let broken = broken.map(|(file, problem)| format!("{file}: {problem}"));
        let looked = self.seen.problems.iter().chain(&self.seen.left_out);
        let now: BTreeSet<String> = broken.chain(looked.cloned()).collect();
        for problem in now.difference(&self.said) {
            tracing::warn!(folder = %self.root.display(), "cannot be read: {problem}");
        }
        for problem in self.said.difference(&now) {
            tracing::info!(folder = %self.root.display(), "no longer: {problem}");
        }
        self.said = now;
    }

    fn measure(&self) {
        let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
        self.metrics.files.record(count(self.stamps.len()), &[]);
        self.metrics
            .objects
            .record(count(self.shelf.objects()), &[]);
        let broken = self.shelf.broken().count();
        self.metrics.broken.record(count(broken), &[]);
    }
}

/// Services and what stands behind them before the routes to them.
pub(super) const IN_ORDER: [Kind; 5] = [
    Kind::EndpointSlice,
    Kind::IngressClass,
    Kind::Service,
    Kind::Secret,
    Kind::Ingress,
];
/// Files and folders may change for ever while they are looked at; there is a next look.
const MAX_ROUNDS: usize = 4;
