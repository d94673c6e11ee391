//! Which files the folder holds, without reading them.
//!
//! Apart from reading, because most looks find that nothing changed: 10,000 files are looked
//! at in the time in which a few hundred are read.

use std::collections::BTreeMap;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What a look at the folder found.
#[derive(Debug, Default)]
pub(super) struct Walk {
    /// Files to read.
    pub(super) files: Files,
    /// The folder itself and those in it, to be watched.
    pub(super) folders: BTreeMap<PathBuf, Identity>,
    /// Why something in the folder could not be looked at: then what is not found may be
    /// there all the same.
    pub(super) problems: Vec<String>,
    /// What is left out by rule, and why.
    pub(super) left_out: Vec<String>,
    /// Some files are links: a change of another file may be a change of theirs.
    pub(super) has_links: bool,
}

/// Files by their path within the folder.
pub(super) type Files = BTreeMap<Arc<str>, File>;

/// A file as it was found.
#[derive(Clone, Debug)]
pub(super) struct File {
    pub(super) path: PathBuf,
    pub(super) stamp: Stamp,
}

/// Tells one content of a file from another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    identity: Identity,
    pub(super) length: u64,
    modified: (i64, i64),
    /// Changes even where a copy has set the time of modification back.
    changed: (i64, i64),
}

/// Tells one folder or file from another of the same name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Identity {
    device: u64,
    inode: u64,
}

impl Stamp {
    pub(super) fn of(metadata: &Metadata) -> Self {
        Self {
            identity: Identity::of(metadata),
            length: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

impl Identity {
    fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
        }
    }
}

/// Looks at everything in a folder.
///
/// Names that begin with a dot are left out: editors' files, and the folders that Kubernetes
/// keeps a ConfigMap's versions in. Links are followed to files within the folder, which is
/// how a ConfigMap shows its files, and to nowhere else: who may write in the folder must not
/// be able to have other files read.
pub(super) fn walk(root: &Path) -> io::Result<Walk> {
    let (root, identity) = top(root)?;
    let mut walk = Walk::default();
    fs::read_dir(&root)?;
    let mut waiting = vec![(root.clone(), identity, 0)];
    while let Some((folder, identity, depth)) = waiting.pop() {
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) => {
                walk.problem(&root, &folder, &error);
                continue;
            }
        };
        walk.folders.insert(folder.clone(), identity);
        for entry in entries {
            let looked = entry.and_then(|entry| {
                let path = entry.path();
                let metadata = fs::symlink_metadata(&path)?;
                Ok((path, metadata))
            });
            let (path, metadata) = match looked {
                Ok(looked) => looked,
                // It went while we looked.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => {
                    walk.problem(&root, &folder, &error);
                    continue;
                }
            };
            if is_hidden(&path) {
                continue;
            }
            if metadata.is_dir() {
                if depth == MAX_DEPTH {
                    walk.problem(&root, &path, &"too deep");
                } else {
                    waiting.push((path, Identity::of(&metadata), depth + 1));
                }
            } else if is_document(&path) {
                walk.file(&root, path, metadata);
            }
        }
    }
    Ok(walk)
}

/// The folder itself, as [`walk`] names it.
pub(super) fn top(root: &Path) -> io::Result<(PathBuf, Identity)> {
    let root = fs::canonicalize(root)?;
    let identity = Identity::of(&fs::metadata(&root)?);
    Ok((root, identity))
}

/// Whether a file's name says that it may hold objects.
pub(super) fn is_document(path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str());
    matches!(extension, Some("yaml" | "yml" | "json")) && !is_hidden(path)
}

/// Whether a name begins with a dot.
pub(super) fn is_hidden(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default();
    name.as_encoded_bytes().first() == Some(&b'.')
}

impl Walk {
    fn file(&mut self, root: &Path, path: PathBuf, metadata: Metadata) {
        let Some(name) = within(root, &path) else {
            self.left_out
                .push(format!("{}: its name is no UTF-8", path.display()));
            return;
        };
        let metadata = if metadata.is_symlink() {
            self.has_links = true;
            match fs::canonicalize(&path) {
                Ok(target) if !target.starts_with(root) => {
                    self.left_out
                        .push(format!("{name}: a link that leads out of the folder"));
                    return;
                }
                Ok(target) => fs::metadata(target),
                Err(error) => Err(error),
            }
        } else {
            Ok(metadata)
        };
        match metadata {
            Ok(metadata) if !metadata.is_file() => {}
            Ok(_) if self.files.len() == MAX_FILES => {
                if self.problems.last().map(String::as_str) != Some(TOO_MANY) {
                    self.problems.push(TOO_MANY.to_owned());
                }
            }
            Ok(metadata) => {
                let stamp = Stamp::of(&metadata);
                self.files.insert(name.into(), File { path, stamp });
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.left_out
                    .push(format!("{name}: a link that leads nowhere"));
            }
            Err(error) => self.problem(root, &path, &error),
        }
    }

    fn problem(&mut self, root: &Path, path: &Path, problem: &impl std::fmt::Display) {
        let name = path.strip_prefix(root).unwrap_or(path).display();
        if self.problems.len() < MAX_PROBLEMS {
            self.problems.push(format!("{name}: {problem}"));
        }
    }
}

/// The path within the folder, if it is text.
pub(super) fn within<'a>(root: &Path, path: &'a Path) -> Option<&'a str> {
    path.strip_prefix(root).ok()?.to_str()
}

const MAX_DEPTH: usize = 16;
const MAX_FILES: usize = 100_000;
const TOO_MANY: &str = "more than 100,000 files: the rest is not read";
const MAX_PROBLEMS: usize = 20;
