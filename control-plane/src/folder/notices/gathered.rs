//! What the kernel told and has not settled.
//!
//! Pure, so that it can be tested what counts as whole.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use notify::event::{CreateKind, ModifyKind, RemoveKind, RenameMode};
use notify::{Event, EventKind};
use tokio::time::Instant;

use crate::folder::walk::{is_document, is_hidden};

/// What was told and has not settled.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    pub(super) files: BTreeSet<PathBuf>,
    /// What was renamed and may be a folder.
    pub(super) renamed: BTreeSet<PathBuf>,
    pub(super) everything: bool,
    /// Files that were written to and not closed.
    open: BTreeSet<PathBuf>,
    /// Files that went away, which some editors do to put a new one in their place.
    away: BTreeSet<PathBuf>,
    /// When the first and the last came.
    times: Option<(Instant, Instant)>,
}

impl Gathered {
    /// Takes in what was told.
    pub(super) fn note(&mut self, root: &Path, event: notify::Result<Event>, now: Instant) {
        let Ok(event) = event else {
            self.everything = true;
            return self.touch(now);
        };
        if event.need_rescan() {
            self.everything = true;
            return self.touch(now);
        }
        for path in event.paths {
            if self.note_path(root, event.kind, path) {
                self.touch(now);
            }
        }
    }

    /// Returns whether it matters.
    fn note_path(&mut self, root: &Path, kind: EventKind, path: PathBuf) -> bool {
        if path == root {
            self.everything = true;
            return true;
        }
        // Of the folder that holds ours only ours matters.
        if path.parent() == root.parent() {
            return false;
        }
        // Told of each of both already.
        if matches!(kind, EventKind::Modify(ModifyKind::Name(RenameMode::Both))) {
            return false;
        }
        let moved = matches!(kind, EventKind::Modify(ModifyKind::Name(_)));
        let of_a_folder = matches!(
            kind,
            EventKind::Create(CreateKind::Folder) | EventKind::Remove(RemoveKind::Folder)
        );
        if is_document(&path) && !of_a_folder {
            self.note_file(kind, &path);
            self.files.insert(path);
        } else if (of_a_folder && !is_hidden(&path)) || (moved && is_versions(&path)) {
            self.everything = true;
        } else if moved && !is_hidden(&path) {
            self.renamed.insert(path);
        } else {
            return false;
        }
        true
    }

    fn note_file(&mut self, kind: EventKind, path: &Path) {
        let away = EventKind::Modify(ModifyKind::Name(RenameMode::From));
        if kind == away || matches!(kind, EventKind::Remove(_)) {
            self.away.insert(path.to_owned());
        } else {
            self.away.remove(path);
        }
        match kind {
            EventKind::Modify(ModifyKind::Data(_)) => {
                self.open.insert(path.to_owned());
            }
            // Closed, renamed or removed.
            EventKind::Access(_)
            | EventKind::Modify(ModifyKind::Name(_))
            | EventKind::Remove(_) => {
                self.open.remove(path);
            }
            EventKind::Any | EventKind::Create(_) | EventKind::Modify(_) | EventKind::Other => {}
        }
    }

    fn touch(&mut self, now: Instant) {
        let first = self.times.map_or(now, |(first, _)| first);
        self.times = Some((first, now));
    }

    /// When it may be believed that the change is whole.
    pub(super) fn due(&self) -> Option<Instant> {
        let (first, last) = self.times?;
        let latest = first + LONGEST;
        let quiet = match (self.open.is_empty(), self.away.is_empty()) {
            (false, _) => LONGEST,
            (true, false) => AWAY,
            (true, true) => QUIET,
        };
        Some(latest.min(last + quiet))
    }
}

/// Kubernetes moves `..data` to the new version of all files of a ConfigMap.
fn is_versions(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default();
    name.as_encoded_bytes().starts_with(b"..")
}

/// Files that were closed or renamed are whole; this is for those that come with them.
const QUIET: Duration = Duration::from_millis(5);
/// What goes is missed sooner than what comes.
const AWAY: Duration = Duration::from_millis(50);
/// A file that stays open may stay open for ever.
const LONGEST: Duration = Duration::from_millis(200);

#[cfg(test)]
mod tests {
    use notify::event::{AccessKind, AccessMode, DataChange};

    use super::*;

    const WRITTEN: EventKind = EventKind::Modify(ModifyKind::Data(DataChange::Any));
    const CLOSED: EventKind = EventKind::Access(AccessKind::Close(AccessMode::Write));
    const CREATED: EventKind = EventKind::Create(CreateKind::File);
    const GONE: EventKind = EventKind::Modify(ModifyKind::Name(RenameMode::From));
    const MOVED: EventKind = EventKind::Modify(ModifyKind::Name(RenameMode::To));

    fn gather(events: &[(EventKind, &str)]) -> (Gathered, Instant) {
        let mut gathered = Gathered::default();
        let now = Instant::now();
        for (kind, path) in events {
            let event = Event::new(*kind).add_path(Path::new("/top/root").join(path));
            gathered.note(Path::new("/top/root"), Ok(event), now);
        }
        (gathered, now)
    }

    #[test]
    fn a_file_that_is_being_written_is_waited_for() {
        let (gathered, now) = gather(&[(CREATED, "a.yaml"), (WRITTEN, "a.yaml")]);
        assert_eq!(gathered.due(), Some(now + LONGEST));
        let written = [(CREATED, "a.yaml"), (WRITTEN, "a.yaml"), (CLOSED, "a.yaml")];
        let (gathered, now) = gather(&written);
        assert_eq!(gathered.due(), Some(now + QUIET));
        assert_eq!(gathered.files.len(), 1);
    }

    #[test]
    fn a_file_that_went_away_may_come_back() {
        let (gathered, now) = gather(&[(GONE, "a.yaml")]);
        assert_eq!(gathered.due(), Some(now + AWAY));
        let back = [(GONE, "a.yaml"), (CREATED, "a.yaml"), (CLOSED, "a.yaml")];
        let (gathered, now) = gather(&back);
        assert_eq!(gathered.due(), Some(now + QUIET));
    }

    #[test]
    fn what_is_not_read_does_not_matter() {
        let events = [
            (CREATED, ".a.yaml.swp"),
            (WRITTEN, "a.txt"),
            (CREATED, "4913"),
            (MOVED, ".hidden"),
            (MOVED, "/top/sibling"),
            (EventKind::Create(CreateKind::Folder), "..2026_01_01"),
        ];
        let (gathered, _) = gather(&events);
        assert_eq!(gathered.due(), None);
    }

    #[test]
    fn where_folders_change_everything_may_have() {
        for (kind, path) in [
            (EventKind::Create(CreateKind::Folder), "sub"),
            (EventKind::Remove(RemoveKind::Folder), "sub"),
            (MOVED, "..data"),
            (MOVED, ""),
            (EventKind::Other, ""),
        ] {
            let (gathered, _) = gather(&[(kind, path)]);
            assert!(gathered.everything && gathered.due().is_some(), "{path}");
        }
        let (gathered, _) = gather(&[(MOVED, "sub")]);
        assert_eq!(gathered.renamed.len(), 1);
    }
}
