//! The bundles that this proxy serves with, in memory and in files for the next process.
//!
//! Apart from the journal, which is on a disk and never has a key. The files are in memory too
//! (tmpfs): a proxy that starts again serves HTTPS without a control plane, and a stolen disk
//! holds no key.

mod folder;
mod writer;

use std::{
    collections::{BTreeMap, btree_map::Entry},
    path::PathBuf,
    sync::Arc,
};

use imbl::OrdMap;
use tokio::sync::watch;

pub use folder::{Folder, KeysError, is_memory};
pub use writer::Writer;

use crate::bundle::Bundle;
use crate::snapshot::BundleName;

/// What the files should hold; nothing is known of that before the first version is served.
type Wanted = Option<OrdMap<BundleName, Arc<Bundle>>>;

/// The bundles in use, each with the number of its users.
#[derive(Debug, Default)]
pub struct Keys {
    used: BTreeMap<BundleName, Used>,
    files: Option<Files>,
}

#[derive(Debug)]
struct Used {
    bundle: Arc<Bundle>,
    users: usize,
}

/// The way to the folder.
#[derive(Debug)]
struct Files {
    folder: Folder,
    wanted: OrdMap<BundleName, Arc<Bundle>>,
    changed: bool,
    writer: watch::Sender<Wanted>,
}

impl Keys {
    /// Bundles that are kept in this folder by the writer, which is to be run. While not `mine`,
    /// another process has the folder too, and nothing in it is removed.
    pub fn kept(path: PathBuf, mine: watch::Receiver<bool>) -> Result<(Self, Writer), KeysError> {
        let folder = Folder::open(path, is_memory)?;
        Ok(Self::in_folder(folder, mine))
    }

    /// The same, of a folder that is open.
    pub fn in_folder(folder: Folder, mine: watch::Receiver<bool>) -> (Self, Writer) {
        let (writer, wanted) = watch::channel(None);
        let files = Files {
            folder: folder.clone(),
            wanted: OrdMap::new(),
            changed: true,
            writer,
        };
        let keys = Self {
            used: BTreeMap::new(),
            files: Some(files),
        };
        (keys, Writer::new(folder, wanted, mine))
    }

    /// One more user of this bundle, if it is held: in use, in a file, or among those given now.
    pub fn acquire(
        &mut self,
        name: BundleName,
        given: &BTreeMap<BundleName, Arc<Bundle>>,
    ) -> Option<Arc<Bundle>> {
        match self.used.entry(name) {
            Entry::Occupied(mut entry) => {
                entry.get_mut().users += 1;
                Some(Arc::clone(&entry.get().bundle))
            }
            Entry::Vacant(entry) => {
                let kept = || Some(Arc::new(self.files.as_ref()?.folder.read(name)?));
                let bundle = given.get(&name).cloned().or_else(kept)?;
                entry.insert(Used {
                    bundle: Arc::clone(&bundle),
                    users: 1,
                });
                if let Some(files) = &mut self.files {
                    files.wanted.insert(name, Arc::clone(&bundle));
                    files.changed = true;
                }
                Some(bundle)
            }
        }
    }

    /// One user less; without users it is forgotten.
    pub fn release(&mut self, name: BundleName) {
        let Entry::Occupied(mut entry) = self.used.entry(name) else {
            return;
        };
        entry.get_mut().users -= 1;
        if entry.get().users > 0 {
            return;
        }
        entry.remove();
        if let Some(files) = &mut self.files {
            files.wanted.remove(&name);
            files.changed = true;
        }
    }

    /// Whether it would be had without asking anybody.
    pub fn holds(&self, name: BundleName) -> bool {
        let kept = |files: &Files| files.folder.has(name);
        self.used.contains_key(&name) || self.files.as_ref().is_some_and(kept)
    }

    /// Has the files follow: a version is served with what is in use now, and with nothing else.
    pub fn settle(&mut self) {
        if let Some(files) = &mut self.files
            && std::mem::take(&mut files.changed)
        {
            files.writer.send_replace(Some(files.wanted.clone()));
        }
    }
}

#[cfg(test)]
mod tests;
