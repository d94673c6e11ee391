//! Which files there are, and what tells one content from another.
//!
//! Separate, because it bounds what a folder may make us do: depth, number and size.

use std::collections::BTreeMap;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// How much of a folder is looked at.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Folders within folders.
    pub(super) depth: usize,
    pub(super) files: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            depth: 16,
            files: 100_000,
        }
    }
}

/// What changes whenever a file's content does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    modified: (i64, i64),
    length: u64,
    inode: u64,
}

/// The files below a folder that may hold objects, in order of path.
///
/// Names that begin with a dot are passed over: editors keep their copies there, and a mounted
/// ConfigMap its former contents. Links are followed to files, and not to folders, so that
/// there is no way round in circles.
pub(super) fn scan(root: &Path, limits: &Limits) -> io::Result<BTreeMap<PathBuf, Stamp>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![(root.to_owned(), 0)];
    while let Some((folder, depth)) = folders.pop() {
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if folder == root => return Err(error),
            Err(error) => {
                tracing::warn!(folder = %folder.display(), %error, "passed over");
                continue;
            }
        };
        for entry in entries {
            let entry = entry?;
            let path = entry.path();
            let kind = entry.file_type()?;
            if kind.is_dir() && !is_hidden(&path) {
                if depth < limits.depth {
                    folders.push((path, depth + 1));
                } else {
                    tracing::warn!(folder = %path.display(), limit = limits.depth, "passed over: too deep");
                }
            } else if is_ours(&path)
                && let Some(stamp) = stamp(&path)
            {
                if found.len() >= limits.files {
                    tracing::error!(
                        limit = limits.files,
                        "too many files: the rest is passed over"
                    );
                    return Ok(found);
                }
                found.insert(path, stamp);
            }
        }
    }
    Ok(found)
}

/// Whether a path may be a file that holds objects, by its name.
pub(super) fn is_ours(path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str());
    matches!(extension, Some("yaml" | "yml" | "json")) && !is_hidden(path)
}

/// What tells the content of a file; `None` if there is no such file.
pub(super) fn stamp(path: &Path) -> Option<Stamp> {
    let metadata = fs::metadata(path).ok().filter(Metadata::is_file)?;
    Some(Stamp {
        modified: (metadata.mtime(), metadata.mtime_nsec()),
        length: metadata.len(),
        inode: metadata.ino(),
    })
}

fn is_hidden(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str());
    name.is_none_or(|name| name.starts_with('.'))
}
