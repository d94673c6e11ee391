//! The log's folder on disk: who holds it, how it is made, how it is recovered.
//!
//! Apart, because what a power cut may leave behind is argued here and nowhere else. sled
//! makes and recovers its files with steps that it never syncs, so it does both in a folder
//! beside the real one, and what is done there counts from one synced rename on.

use std::{
    fs::{self, File, TryLockError},
    io,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::fs::{Advice, fadvise};

use crate::event_log::{
    error::{Damage, OpenError, Place},
    hold::Hold,
    store::{BLOB_FOLDER, CONFIG_FILE, DATA_FILE, SNAPSHOT_PREFIX, Store, StoreError},
};

/// The folder, held by this process until dropped.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    _hold: Hold,
}

impl Folder {
    /// Makes the folder if it is not there, and takes hold of it; so long at most it waits
    /// for another process to let go.
    pub(super) fn hold(path: &Path, patience: Duration) -> Result<Self, OpenError> {
        fs::create_dir_all(path).map_err(at("make the folder", path))?;
        if let Some(parent) = path.parent().filter(|parent| parent.is_dir()) {
            sync_folder(parent)?;
        }
        let lock_path = path.join(LOCK_FILE);
        let lock = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&lock_path)
            .map_err(at("open", &lock_path))?;
        let waiting = || {
            let (folder, seconds) = (path.display(), patience.as_secs());
            tracing::warn!(%folder, seconds, "waiting for another process to let go of the log");
        };
        let held = Hold::take(lock, patience, waiting).map_err(|error| match error {
            TryLockError::WouldBlock => OpenError::InUse {
                folder: path.to_owned(),
            },
            TryLockError::Error(source) => at("lock", &lock_path)(source),
        });
        Ok(Self {
            path: path.to_owned(),
            _hold: held?,
        })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Where sled's files are.
    pub(super) fn store(&self) -> PathBuf {
        self.path.join(STORE_FOLDER)
    }

    pub(super) fn data(&self) -> PathBuf {
        self.store().join(DATA_FILE)
    }

    pub(super) fn mark(&self) -> PathBuf {
        self.path.join(MARK_FILE)
    }

    /// Makes what is not there, recovers what is; `true` if it was not there.
    ///
    /// Afterwards opening sled in [`Self::store`] changes nothing that a power cut could
    /// not undo.
    pub(super) fn prepare(
        &self,
        open: impl Fn(&Path) -> Result<Store, StoreError>,
    ) -> Result<bool, OpenError> {
        let (making, recovering) = (self.path.join(MAKING), self.path.join(RECOVERING));
        remove(&making)?;
        remove(&recovering)?;
        let new = !self.store().exists();
        if new {
            remove(&self.mark())?;
            sync_folder(&self.path)?;
            self.make(&making, &open)?;
        }
        self.recover(&recovering, &open)?;
        Ok(new)
    }

    /// Moves everything into a folder of its own.
    pub(super) fn set_aside(&self) -> Result<PathBuf, OpenError> {
        let aside = self.path.join(ASIDE);
        remove(&aside)?;
        sync_folder(&self.path)?;
        fs::create_dir(&aside).map_err(at("make the folder", &aside))?;
        for (from, to) in [
            (self.mark(), aside.join(MARK_FILE)),
            (self.store(), aside.join(STORE_FOLDER)),
        ] {
            if from.exists() {
                rename(&from, &to)?;
                // The mark goes first: without it a log is whole, but not without a log it.
                sync_folder(&self.path)?;
            }
        }
        Ok(aside)
    }

    /// Forgets what the kernel holds of sled's file, so that it is read from the disk.
    ///
    /// After an fsync failed, the kernel may hold as clean what the disk never got.
    pub(super) fn forget_cached(&self) -> Result<(), OpenError> {
        let path = self.data();
        let data = File::open(&path).map_err(at("open", &path))?;
        fadvise(&data, 0, None, Advice::DontNeed).map_err(|error| at("reread", &path)(error.into()))
    }

    /// An error of the store's, as one of opening.
    pub(super) fn store_error(&self, source: StoreError) -> OpenError {
        match source {
            StoreError::Corrupt { doing, at } => OpenError::Damaged(Damage {
                folder: self.path.clone(),
                tree: "of sled's pages",
                place: Place::File(at),
                what: format!("cannot {doing}"),
            }),
            StoreError::InUse => OpenError::InUse {
                folder: self.path.clone(),
            },
            StoreError::Io { .. } | StoreError::Refused { .. } => OpenError::Store {
                folder: self.path.clone(),
                source,
            },
        }
    }

    fn make(
        &self,
        making: &Path,
        open: impl Fn(&Path) -> Result<Store, StoreError>,
    ) -> Result<(), OpenError> {
        fs::create_dir(making).map_err(at("make the folder", making))?;
        let store = open(making).map_err(|error| self.store_error(error))?;
        store.barrier().map_err(|error| self.store_error(error))?;
        drop(store);
        sync_file(&making.join(CONFIG_FILE))?;
        sync_folder(&making.join(BLOB_FOLDER))?;
        sync_folder(making)?;
        rename(making, &self.store())?;
        sync_folder(&self.path)
    }

    /// Lets sled recover through links, and stops it before it builds on the outcome.
    ///
    /// sled finds the end of its log, clears what is torn behind it, and writes a snapshot
    /// of its page table. Then it clears every segment that this snapshot does not need,
    /// which is fatal if afterwards an older snapshot comes to light, as unsynced renames
    /// can. Between the two it lists `blobs`: here that is a file, and listing it fails.
    fn recover(
        &self,
        recovering: &Path,
        open: impl Fn(&Path) -> Result<Store, StoreError>,
    ) -> Result<(), OpenError> {
        let store = self.store();
        let data = self.data();
        // A store that was here before may still be about to shorten it.
        Store::wait_until_closed(&store).map_err(|error| self.store_error(error))?;
        let file = File::options().write(true).open(&data);
        let file = file.map_err(at("open", &data))?;
        // What was reserved behind the end is needed now, should the disk be full.
        let length = file.metadata().map_err(at("measure", &data))?.len();
        file.set_len(length).map_err(at("trim", &data))?;
        drop(file);

        fs::create_dir(recovering).map_err(at("make the folder", recovering))?;
        let newest = snapshots(&store)?.pop();
        for name in [DATA_FILE, CONFIG_FILE]
            .into_iter()
            .chain(newest.as_deref())
        {
            let link = recovering.join(name);
            symlink(Path::new("..").join(STORE_FOLDER).join(name), &link)
                .map_err(at("link", &link))?;
        }
        let stop = recovering.join(BLOB_FOLDER);
        File::create(&stop).map_err(at("make", &stop))?;
        match open(recovering) {
            Err(StoreError::Io { source, .. }) if source.kind() == io::ErrorKind::NotADirectory => {
            }
            Ok(unrecovered) => drop(unrecovered),
            Err(error) => return Err(self.store_error(error)),
        }
        for name in snapshots(recovering)? {
            let made = recovering.join(&name);
            if made.is_symlink() {
                continue;
            }
            rename(&made, &store.join(&name))?;
            sync_folder(&store)?;
        }
        let mut old = snapshots(&store)?;
        old.pop();
        for name in old {
            remove(&store.join(name))?;
        }
        remove(recovering)
    }
}

/// Moves a log out of the way, so that the next open begins a new one; says where it went.
///
/// Of logs moved earlier the last is kept, so that disks do not fill with them. So long at most
/// it waits for another process to let go of the log.
pub fn set_aside(folder: &Path, patience: Duration) -> Result<PathBuf, OpenError> {
    Folder::hold(folder, patience)?.set_aside()
}

/// Fsyncs a folder: the names in it.
pub(super) fn sync_folder(path: &Path) -> Result<(), OpenError> {
    sync_file(path)
}

fn sync_file(path: &Path) -> Result<(), OpenError> {
    let synced = File::open(path).and_then(|file| file.sync_all());
    synced.map_err(at("fsync", path))
}

/// Names of sled's finished snapshots in this folder, oldest first.
fn snapshots(folder: &Path) -> Result<Vec<String>, OpenError> {
    let mut names = Vec::new();
    for found in fs::read_dir(folder).map_err(at("list", folder))? {
        let name = found.map_err(at("list", folder))?.file_name();
        let Some(name) = name.to_str() else { continue };
        let number = name.strip_prefix(SNAPSHOT_PREFIX);
        // A snapshot that was being written has a suffix, and sled would take it for whole.
        if number.is_some_and(|number| number.bytes().all(|byte| byte.is_ascii_hexdigit())) {
            names.push(name.to_owned());
        }
    }
    names.sort();
    Ok(names)
}

fn rename(from: &Path, to: &Path) -> Result<(), OpenError> {
    fs::rename(from, to).map_err(at("rename", from))
}

fn remove(path: &Path) -> Result<(), OpenError> {
    let removed = if path.is_dir() && !path.is_symlink() {
        fs::remove_dir_all(path)
    } else {
        fs::remove_file(path)
    };
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(at("remove", path)(error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

fn at(doing: &'static str, path: &Path) -> impl Fn(io::Error) -> OpenError {
    let path = path.to_owned();
    move |source| OpenError::Folder {
        doing,
        path: path.clone(),
        source,
    }
}

const STORE_FOLDER: &str = "sled";
const LOCK_FILE: &str = "lock";
const MARK_FILE: &str = "mark";
const MAKING: &str = "making";
const RECOVERING: &str = "recovering";
const ASIDE: &str = "aside";
