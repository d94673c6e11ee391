//! The framing of the journal: length, checksum, kind, payload.
//!
//! Apart from the journal, because a file that was cut anywhere must read up to there.

/// The first bytes of a journal; the last one is the format's number.
pub(super) const MAGIC: &[u8; 8] = b"RSJRNL\0\x01";

/// What a frame says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A resource that is used as it was told.
    Good = 1,
    /// A resource as it was told, which cannot be used; an earlier good form stays.
    Unusable = 2,
    /// A resource that is gone, with all its forms.
    Removed = 3,
    /// All before is the whole of a version.
    Mark = 4,
}

impl Kind {
    fn from_byte(byte: u8) -> Option<Self> {
        let known = [Self::Good, Self::Unusable, Self::Removed, Self::Mark];
        known.into_iter().find(|kind| *kind as u8 == byte)
    }
}

/// One frame, and where it ends in the bytes that it was read from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame<'a> {
    pub(super) kind: Kind,
    pub(super) payload: &'a [u8],
    pub(super) start: usize,
    pub(super) end: usize,
}

/// Adds a frame whose payload `write` appends.
pub(super) fn put(out: &mut Vec<u8>, kind: Kind, write: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&[0; HEAD]);
    out.push(kind as u8);
    write(out);
    let (head, content) = out.split_at_mut(start).1.split_at_mut(HEAD);
    let (len, sum) = head.split_at_mut(4);
    len.copy_from_slice(&(content.len() as u32).to_le_bytes());
    sum.copy_from_slice(&crc32fast::hash(content).to_le_bytes());
}

/// The frames from `at` on, up to the first that is not whole.
pub(super) fn read(bytes: &[u8], at: usize) -> impl Iterator<Item = Frame<'_>> {
    let mut at = at;
    std::iter::from_fn(move || {
        let frame = next(bytes, at)?;
        at = frame.end;
        Some(frame)
    })
}

fn next(bytes: &[u8], start: usize) -> Option<Frame<'_>> {
    let rest = bytes.get(start..)?;
    let (len, rest) = rest.split_first_chunk::<4>()?;
    let (sum, rest) = rest.split_first_chunk::<4>()?;
    let len = u32::from_le_bytes(*len) as usize;
    let content = rest.get(..len)?;
    if crc32fast::hash(content) != u32::from_le_bytes(*sum) {
        return None;
    }
    let (kind, payload) = content.split_first()?;
    Some(Frame {
        kind: Kind::from_byte(*kind)?,
        payload,
        start,
        end: start + HEAD + len,
    })
}

const HEAD: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    fn two_frames() -> Vec<u8> {
        let mut bytes = Vec::new();
        put(&mut bytes, Kind::Good, |out| out.extend_from_slice(b"abc"));
        put(&mut bytes, Kind::Mark, |_| {});
        bytes
    }

    fn kinds(bytes: &[u8]) -> Vec<Kind> {
        read(bytes, 0).map(|frame| frame.kind).collect()
    }

    #[test]
    fn frames_read_back() {
        let bytes = two_frames();
        let frames: Vec<_> = read(&bytes, 0).collect();
        assert_eq!(frames[0].payload, b"abc");
        assert_eq!(frames[1].payload, b"");
        assert_eq!(frames[1].end, bytes.len());
    }

    #[test]
    fn a_file_that_is_cut_reads_up_to_there() {
        let bytes = two_frames();
        let first = read(&bytes, 0).next().unwrap().end;
        for cut in 0..bytes.len() {
            let expected: &[Kind] = if cut < first { &[] } else { &[Kind::Good] };
            assert_eq!(kinds(&bytes[..cut]), expected, "cut at {cut}");
        }
    }

    #[test]
    fn a_flipped_bit_ends_the_reading() {
        let whole = two_frames();
        for at in 0..whole.len() * 8 {
            let mut bytes = whole.clone();
            bytes[at / 8] ^= 1 << (at % 8);
            assert!(kinds(&bytes).len() < 2, "bit {at}");
        }
    }
}
