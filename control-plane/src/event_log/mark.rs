//! A note of how far the log was acknowledged, beside the log.
//!
//! Apart from the log, because it is what tells a torn tail from lost records: sled cuts
//! its file at the first damaged byte and says nothing. The note is written after each
//! append and never synced for its own sake, so it costs a microsecond; after a power cut it
//! may be seconds old, and is then never ahead of what was acknowledged.

use std::{fs::File, io, os::unix::fs::FileExt, path::Path};

use crate::event::Seq;
use crate::event_log::frame;

/// The open note.
#[derive(Debug)]
pub(super) struct Mark {
    file: File,
    /// The two notes are written in turn, so that a torn one leaves the other.
    slot: u64,
}

impl Mark {
    /// Opens the note and says what it reads; `Seq(0)` if there is none.
    pub(super) fn open(path: &Path) -> io::Result<(Self, Seq)> {
        let file = File::options()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(path)?;
        let mut newest = 0;
        let mut slot = 0;
        for candidate in 0..SLOTS {
            let mut note = [0; 12];
            let read = file.read_at(&mut note, candidate * SLOT_BYTES)?;
            let seq = note.get(..read).and_then(|note| frame::unseal(note).ok());
            if let Some(seq) = seq.filter(|seq| *seq > newest) {
                newest = seq;
                slot = candidate;
            }
        }
        Ok((Self { file, slot }, Seq(newest)))
    }

    /// Notes that everything up to here was acknowledged.
    pub(super) fn note(&mut self, acknowledged: Seq) -> io::Result<()> {
        self.slot = (self.slot + 1) % SLOTS;
        let at = self.slot * SLOT_BYTES;
        self.file.write_all_at(&frame::seal(acknowledged.0), at)
    }
}

const SLOTS: u64 = 2;
/// Far enough apart that no disk writes both at once.
const SLOT_BYTES: u64 = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_whole_note_counts() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mark");
        let (mut mark, read) = Mark::open(&path).unwrap();
        assert_eq!(read, Seq(0));
        for seq in 1..=3 {
            mark.note(Seq(seq)).unwrap();
            assert_eq!(Mark::open(&path).unwrap().1, Seq(seq));
        }
        let torn = mark.slot * SLOT_BYTES;
        mark.file.write_all_at(&[0xff; 9], torn).unwrap();
        let (mut mark, read) = Mark::open(&path).unwrap();
        assert_eq!(read, Seq(2));
        mark.note(Seq(4)).unwrap();
        assert_eq!(Mark::open(&path).unwrap().1, Seq(4));
    }
}
