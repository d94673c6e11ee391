//! Reads a journal: the whole of the last version in it.
//!
//! Apart from writing, because it must make do with whatever is there: a file that ends in
//! the middle, or one that is no journal at all.

use std::{
    collections::HashMap,
    fs::{self, File},
    io::{self, Read},
    path::Path,
};

use bytes::Bytes;
use prost::Message;
use roadstead_proto::v1;

use super::{
    FILE, Journal, JournalError, Slot, Span, UNFINISHED,
    batch::Mark,
    frame::{self, Frame, Kind},
};
use crate::snapshot::{Key, Limits, Restored, Told};

/// What was kept.
#[derive(Debug)]
pub struct Kept {
    pub restored: Restored,
    /// Of the digest over what was kept; if it is another, the journal is not to be used.
    pub fingerprint: String,
    /// Bytes behind the last whole version, which were dropped.
    pub torn: usize,
}

#[derive(Default)]
struct Forms {
    slot: Slot,
    good: Option<Told>,
    unusable: Option<Told>,
}

pub(super) fn load(folder: &Path, boot_id: &str) -> Result<(Journal, Option<Kept>), JournalError> {
    let path = folder.join(FILE);
    let failed = |what, source| JournalError::File {
        what,
        path: path.clone(),
        source,
    };
    let mut bytes = Vec::new();
    let file = match File::open(&path) {
        Ok(mut file) => {
            let read = file.read_to_end(&mut bytes);
            read.map_err(|source| failed("read", source))?;
            file
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            // Something to read nothing from, until the first batch is written.
            File::open(folder).map_err(|source| failed("open the folder of", source))?
        }
        Err(source) => return Err(failed("open", source)),
    };
    let removed = remove_unfinished(folder);
    removed.map_err(|source| failed("remove an unfinished successor of", source))?;
    let mut journal = Journal {
        folder: folder.to_owned(),
        unfinished: folder.join(format!("{FILE}.{boot_id}{UNFINISHED}")),
        file,
        ours: false,
        apart: false,
        len: 0,
        live: HashMap::new(),
        live_bytes: 0,
        mark: None,
    };
    let kept = journal.adopt(&Bytes::from(bytes));
    Ok((journal, kept))
}

impl Journal {
    fn adopt(&mut self, bytes: &Bytes) -> Option<Kept> {
        let last = last_mark(bytes)?;
        let (mark, end) = (Mark::decode(last.payload)?, last.end);
        let mut forms: HashMap<Key, Forms> = HashMap::new();
        for frame in frame::read(bytes, frame::MAGIC.len()).take_while(|f| f.end <= end) {
            adopt_frame(&mut forms, bytes, &frame)?;
        }
        let mut restored = Restored {
            version: mark.version,
            endpoints_revision: mark.endpoints_revision,
            good: Vec::with_capacity(forms.len()),
            unusable: Vec::new(),
        };
        self.live.reserve(forms.len());
        forms.into_iter().for_each(|(key, forms)| {
            self.live_bytes += forms.slot.bytes();
            self.live.insert(key, forms.slot);
            restored.good.extend(forms.good);
            restored.unusable.extend(forms.unusable);
        });
        self.mark = bytes.get(last.start..end).map(<[u8]>::to_vec);
        self.len = end as u64;
        Some(Kept {
            restored,
            fingerprint: mark.fingerprint,
            torn: bytes.len() - end,
        })
    }
}

fn last_mark(bytes: &[u8]) -> Option<Frame<'_>> {
    if !bytes.starts_with(frame::MAGIC) {
        return None;
    }
    let frames = frame::read(bytes, frame::MAGIC.len());
    frames.filter(|frame| frame.kind == Kind::Mark).last()
}

/// What is left of rewrites that were cut off.
fn remove_unfinished(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name();
        let ours = |name: &str| name.starts_with(FILE) && name.ends_with(UNFINISHED);
        if name.to_str().is_some_and(ours) {
            fs::remove_file(folder.join(&name))?;
        }
    }
    Ok(())
}

/// `None` if a frame of a right checksum does not say what frames say.
fn adopt_frame(forms: &mut HashMap<Key, Forms>, bytes: &Bytes, frame: &Frame<'_>) -> Option<()> {
    let span = Some(Span {
        start: frame.start as u64,
        len: u32::try_from(frame.end - frame.start).ok()?,
    });
    match frame.kind {
        Kind::Good => {
            let told = told(bytes, frame)?;
            let forms = forms.entry(told.key.clone()).or_default();
            forms.good = Some(told);
            forms.unusable = None;
            forms.slot = Slot {
                good: span,
                unusable: None,
            };
        }
        Kind::Unusable => {
            let told = told(bytes, frame)?;
            let forms = forms.entry(told.key.clone()).or_default();
            forms.unusable = Some(told);
            forms.slot.unusable = span;
        }
        Kind::Removed => {
            let id = v1::ResourceId::decode(frame.payload).ok()?;
            forms.remove(&Key::new(id.r#type, &id.name));
        }
        Kind::Mark => {}
    }
    Some(())
}

fn told(bytes: &Bytes, frame: &Frame<'_>) -> Option<Told> {
    let resource = v1::Resource::decode(bytes.slice_ref(frame.payload)).ok()?;
    Told::from_proto(resource, &Limits::default()).ok()
}
