//! A folder of bundles, each in a file that has its name.
//!
//! Apart from what should be in it. All of it blocks, but no disk is behind it.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, Permissions},
    io::{self, Read as _, Write as _},
    os::unix::fs::{
        DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _,
    },
    path::{Path, PathBuf},
};

use rustix::{
    fs::{Mode, OFlags, open, statfs},
    process::geteuid,
};
use tracing::warn;

use crate::bundle::{Bundle, MAX_BYTES};
use crate::snapshot::BundleName;

/// Why no bundle is kept.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    #[error(
        "keysFolder: cannot make {}: {source}; name a folder that this user may write",
        path.display()
    )]
    Make { path: PathBuf, source: io::Error },
    #[error(
        "keysFolder: {} is on a disk, and private keys are not written to one; name a folder of \
         a tmpfs, such as one below /run, or leave the key out", path.display()
    )]
    OnDisk { path: PathBuf },
    #[error(
        "keysFolder: {} belongs to user {owner}, who could read the keys, and this proxy runs as \
         user {user}; name another folder, or give it away: chown {user} {}",
        path.display(), path.display()
    )]
    NotOurs {
        path: PathBuf,
        owner: u32,
        user: u32,
    },
    #[error("keysFolder: cannot {doing} {}: {source}", path.display())]
    File {
        doing: &'static str,
        path: PathBuf,
        source: io::Error,
    },
}

/// A folder that this user alone can read, in memory.
#[derive(Clone, Debug)]
pub struct Folder {
    path: PathBuf,
}

impl Folder {
    /// Makes it, if there is none. `is_memory` says whether what is written there stays off disks.
    pub fn open(path: PathBuf, is_memory: impl Fn(&Path) -> bool) -> Result<Self, KeysError> {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&path);
        if let Err(source) = made {
            return Err(KeysError::Make { path, source });
        }
        // Before anything of it is changed: it may be any folder.
        if !is_memory(&path) {
            return Err(KeysError::OnDisk { path });
        }
        let (owner, mode) = match fs::metadata(&path) {
            Ok(found) => (found.uid(), found.permissions().mode()),
            Err(source) => return Err(KeysError::Make { path, source }),
        };
        let user = geteuid().as_raw();
        if owner != user {
            return Err(KeysError::NotOurs { path, owner, user });
        }
        // One that was there may be open to others.
        if mode & 0o777 != 0o700
            && let Err(source) = fs::set_permissions(&path, Permissions::from_mode(0o700))
        {
            return Err(KeysError::Make { path, source });
        }
        Ok(Self { path })
    }

    /// The bundle of this name, if a file has it. One that has something else is removed.
    pub(super) fn read(&self, name: BundleName) -> Option<Bundle> {
        let path = self.file(name);
        let problem = match read(&path) {
            Ok(bytes) => match Bundle::checked(name, bytes.into()) {
                Ok(bundle) => return Some(bundle),
                Err(problem) => problem.to_string(),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => error.to_string(),
        };
        warn!(file = %path.display(), "a kept key is not used, and is removed: {problem}");
        // What cannot be removed is not used either.
        let _: io::Result<()> = fs::remove_file(&path);
        None
    }

    /// Whether there is a file of this name.
    pub(super) fn has(&self, name: BundleName) -> bool {
        let found = self.file(name).symlink_metadata();
        found.is_ok_and(|found| found.is_file())
    }

    /// The names of all files. What a process left half written is removed if the folder is `mine`:
    /// another one may be writing it.
    pub(super) fn list(&self, mine: bool) -> Result<Vec<BundleName>, KeysError> {
        let failed = failed("list", &self.path);
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.path).map_err(&failed)? {
            let entry = entry.map_err(&failed)?;
            if !entry.file_type().map_err(&failed)?.is_file() {
                continue;
            }
            let file = entry.file_name();
            let Some(text) = file.to_str() else { continue };
            match text.split_once('.') {
                None => names.extend(BundleName::from_text(text).ok()),
                Some((name, _)) if mine && BundleName::from_text(name).is_ok() => {
                    let _: io::Result<()> = fs::remove_file(entry.path());
                }
                // Not ours.
                Some(_) => {}
            }
        }
        Ok(names)
    }

    /// Keeps a bundle: all of it or nothing.
    pub(super) fn write(&self, bundle: &Bundle) -> Result<(), KeysError> {
        let path = self.file(bundle.name());
        let write = || {
            // Two processes may write the same during an upgrade.
            let drawn = getrandom::u64().map_err(io::Error::other)?;
            let draft = path.with_extension(format!("{drawn:016x}"));
            let written = write(&draft, bundle).and_then(|()| fs::rename(&draft, &path));
            if written.is_err() {
                // The reason is told; that nothing is left behind is all that is left to do.
                let _: io::Result<()> = fs::remove_file(&draft);
            }
            written
        };
        write().map_err(failed("write", &path))
    }

    /// Forgets a bundle.
    pub(super) fn remove(&self, name: BundleName) -> Result<(), KeysError> {
        let path = self.file(name);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(failed("remove", &path)(error))
            }
            Ok(()) | Err(_) => Ok(()),
        }
    }

    fn file(&self, name: BundleName) -> PathBuf {
        self.path.join(name.to_string())
    }
}

/// Whether what is written there is in memory only.
pub fn is_memory(folder: &Path) -> bool {
    statfs(folder).is_ok_and(|found| [TMPFS, RAMFS].contains(&found.f_type))
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    // Whatever has the name: a link leads nowhere, and a pipe is waited for by nobody.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let file = File::from(open(path, flags, Mode::empty())?);
    // One more than there may be, which is then seen to be too many.
    let most = u64::try_from(MAX_BYTES).unwrap_or(u64::MAX);
    file.take(most.saturating_add(1)).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn write(path: &Path, bundle: &Bundle) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(0o600);
    options.open(path)?.write_all(bundle.bytes())
}

fn failed<'a>(doing: &'static str, path: &'a Path) -> impl Fn(io::Error) -> KeysError + 'a {
    move |source| KeysError::File {
        doing,
        path: path.to_owned(),
        source,
    }
}

/// Magic numbers of file systems, statfs(2).
const TMPFS: i64 = 0x0102_1994;
const RAMFS: i64 = 0x8584_58f6;
