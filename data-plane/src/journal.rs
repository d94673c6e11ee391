//! What a proxy keeps on disk: its snapshot, without keys, so that it can serve when it is
//! started and no control plane is anywhere.
//!
//! An append-only file of framed resources with a mark at each version, rewritten when more
//! than half of it is garbage. Apart from `control`, so that a slow or full disk never holds
//! up a version; apart from what is held, because that knows no files.

mod batch;
mod frame;
mod load;
mod writer;

use std::{
    collections::HashMap,
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, BufWriter, Write},
    os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

pub use batch::{Batch, Mark};
pub use load::Kept;
pub use writer::Writer;

use crate::snapshot::Key;

/// The file, and where in it each resource stands.
#[derive(Debug)]
pub struct Journal {
    folder: PathBuf,
    /// What a new file is called until it is whole. Unlike what another process calls its own.
    unfinished: PathBuf,
    /// The file that `live` speaks of.
    file: File,
    /// Whether this process wrote all of the file. What was found at start is rewritten before
    /// anything is added: its end may be torn, and another process may still be writing.
    ours: bool,
    /// Whether the file at the path is another process' for now; this one's has no name.
    apart: bool,
    len: u64,
    live: HashMap<Key, Slot>,
    live_bytes: u64,
    /// The last mark, as it stands in the file.
    mark: Option<Vec<u8>>,
}

/// Where the frames of one resource stand.
#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    /// The last good form.
    good: Option<Span>,
    /// The form as it was told, if it cannot be used.
    unusable: Option<Span>,
}

#[derive(Clone, Copy, Debug)]
struct Span {
    start: u64,
    len: u32,
}

#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    #[error("cannot create the state folder {}: {source}; set stateFolder to a folder that this \
             user may write", path.display())]
    Folder { path: PathBuf, source: io::Error },
    #[error("cannot {what} {}: {source}", path.display())]
    File {
        what: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    #[error("another process keeps {} now", path.display())]
    Superseded { path: PathBuf },
}

impl Journal {
    /// Opens the journal of this folder, and reads what was kept. `boot_id` tells this process
    /// from all others.
    pub fn open(folder: &Path, boot_id: &str) -> Result<(Self, Option<Kept>), JournalError> {
        let mut builder = DirBuilder::new();
        builder.recursive(true).mode(0o700);
        builder
            .create(folder)
            .map_err(|source| JournalError::Folder {
                path: folder.to_owned(),
                source,
            })?;
        load::load(folder, boot_id)
    }

    /// Drops what was read, because it is not to be used.
    pub fn forget(&mut self) {
        self.live.clear();
        self.live_bytes = 0;
        self.mark = None;
    }

    /// Writes a batch behind what is there. After an error the batch is not there, and may be
    /// given again.
    pub fn append(&mut self, batch: &Batch) -> Result<(), JournalError> {
        if self.ours && !self.apart {
            self.check_ours()?;
        }
        if !self.ours || self.is_mostly_garbage() {
            self.rewrite()?;
        }
        let added = batch.encode();
        if let Err(source) = self.file.write_all_at(&added.bytes, self.len) {
            // The end of the file may be torn now.
            self.ours = false;
            return Err(self.failed("write", source));
        }
        let start = self.len;
        for (key, change) in added.slots {
            self.replace(key, change.at(start));
        }
        self.len += added.bytes.len() as u64;
        self.mark = Some(added.mark);
        Ok(())
    }

    /// From now on another process keeps what is found at the path, and this one writes to a file
    /// without a name; or no longer, and with the next batch it has the path again.
    pub fn stand_apart(&mut self, apart: bool) {
        if self.apart && !apart {
            self.ours = false;
        }
        self.apart = apart;
    }

    /// Makes what was written survive a power cut.
    pub fn sync(&self) -> Result<(), JournalError> {
        let synced = self.file.sync_data();
        synced.map_err(|source| self.failed("sync", source))
    }

    fn replace(&mut self, key: Key, change: batch::SlotChange) {
        if change.resets && change.slot.is_empty() {
            if let Some(old) = self.live.remove(&key) {
                self.live_bytes -= old.bytes();
            }
            return;
        }
        let slot = self.live.entry(key).or_default();
        self.live_bytes -= slot.bytes();
        *slot = change.applied_to(*slot);
        self.live_bytes += slot.bytes();
    }

    fn is_mostly_garbage(&self) -> bool {
        self.len - self.live_bytes > self.live_bytes.max(SMALL)
    }

    /// A new file with what is live, in the place of the old one.
    fn rewrite(&mut self) -> Result<(), JournalError> {
        let written = self.write_live();
        let (file, len, live) = written.map_err(|source| JournalError::File {
            what: "write",
            path: self.unfinished.clone(),
            source,
        })?;
        let named = match self.apart {
            true => fs::remove_file(&self.unfinished),
            false => fs::rename(&self.unfinished, self.folder.join(FILE))
                .and_then(|()| File::open(&self.folder)?.sync_all()),
        };
        named.map_err(|source| self.failed("replace", source))?;
        self.file = file;
        self.len = len;
        self.live = live;
        self.ours = true;
        Ok(())
    }

    fn write_live(&self) -> io::Result<(File, u64, HashMap<Key, Slot>)> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(true);
        let file = options.mode(0o600).open(&self.unfinished)?;
        let mut out = BufWriter::with_capacity(1 << 16, &file);
        out.write_all(frame::MAGIC)?;
        let mut at = frame::MAGIC.len() as u64;
        let mut buffer = Vec::new();
        let mut copy = |span: Option<Span>| -> io::Result<Option<Span>> {
            let Some(Span { start, len }) = span else {
                return Ok(None);
            };
            buffer.resize(len as usize, 0);
            self.file.read_exact_at(&mut buffer, start)?;
            out.write_all(&buffer)?;
            let copied = Span { start: at, len };
            at += u64::from(len);
            Ok(Some(copied))
        };
        let mut live: Vec<_> = self.live.iter().collect();
        live.sort_unstable_by_key(|(_, slot)| slot.start());
        let mut copied = HashMap::with_capacity(live.len());
        for (key, slot) in live {
            let slot = Slot {
                good: copy(slot.good)?,
                unusable: copy(slot.unusable)?,
            };
            copied.insert(key.clone(), slot);
        }
        if let Some(mark) = &self.mark {
            out.write_all(mark)?;
            at += mark.len() as u64;
        }
        out.flush()?;
        drop(out);
        file.sync_all()?;
        Ok((file, at, copied))
    }

    /// A process that was started after this one (an upgrade) has put its own file there.
    fn check_ours(&mut self) -> Result<(), JournalError> {
        let path = self.folder.join(FILE);
        let there = match fs::metadata(&path) {
            Ok(there) => there,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.ours = false;
                return Ok(());
            }
            Err(source) => return Err(self.failed("look at", source)),
        };
        let here = self.file.metadata();
        let here = here.map_err(|source| self.failed("look at", source))?;
        if (there.dev(), there.ino()) == (here.dev(), here.ino()) {
            return Ok(());
        }
        Err(JournalError::Superseded { path })
    }

    fn failed(&self, what: &'static str, source: io::Error) -> JournalError {
        let path = self.folder.join(FILE);
        JournalError::File { what, path, source }
    }
}

impl Slot {
    fn is_empty(&self) -> bool {
        self.good.is_none() && self.unusable.is_none()
    }

    fn bytes(&self) -> u64 {
        let len = |span: Option<Span>| span.map_or(0, |span| u64::from(span.len));
        len(self.good) + len(self.unusable)
    }

    fn start(&self) -> u64 {
        self.good.or(self.unusable).map_or(0, |span| span.start)
    }
}

const FILE: &str = "snapshot.journal";
const UNFINISHED: &str = ".unfinished";

/// Less garbage than this is not worth a rewrite.
const SMALL: u64 = 1 << 20;

#[cfg(test)]
mod tests;
