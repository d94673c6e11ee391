//! What surrounds a record's bytes on disk: format, class, schema, length, checksum.
//!
//! Apart from the trees, so that the format can be read in one place and attacked by tests.

use crate::event::Seq;
use crate::event_log::{Entry, class::ClassCode};

/// The record as it is stored, for a batch in which `remaining` records follow it.
///
/// Format 1, big-endian: format (1 byte), class (1), schema (2), records of the batch that
/// follow (4), length (4), checksum over all of it and the sequence number (4), bytes.
pub(super) fn encode(entry: &Entry, remaining: u32) -> Vec<u8> {
    let mut head = Vec::with_capacity(HEAD + entry.bytes.len());
    head.push(FORMAT);
    head.push(entry.class.0);
    head.extend_from_slice(&entry.schema.to_be_bytes());
    head.extend_from_slice(&remaining.to_be_bytes());
    let length = u32::try_from(entry.bytes.len()).unwrap_or(u32::MAX);
    head.extend_from_slice(&length.to_be_bytes());
    let sum = checksum(entry.seq, &head, &entry.bytes);
    head.extend_from_slice(&sum.to_be_bytes());
    head.extend_from_slice(&entry.bytes);
    head
}

/// Reads what [`encode`] made for this sequence number.
pub(super) fn decode(seq: Seq, stored: &[u8]) -> Result<(Entry, u32), FrameError> {
    let (head, bytes) = stored.split_at_checked(HEAD).ok_or(FrameError::Short)?;
    let (summed, sum) = head.split_at_checked(HEAD - 4).ok_or(FrameError::Short)?;
    let &[format, class, s1, s0, r3, r2, r1, r0, l3, l2, l1, l0] = summed else {
        return Err(FrameError::Short);
    };
    if format != FORMAT {
        return Err(FrameError::Format(format));
    }
    if usize::try_from(u32::from_be_bytes([l3, l2, l1, l0])) != Ok(bytes.len()) {
        return Err(FrameError::Length);
    }
    if sum != checksum(seq, summed, bytes).to_be_bytes() {
        return Err(FrameError::Checksum);
    }
    let entry = Entry {
        seq,
        class: ClassCode(class),
        schema: u16::from_be_bytes([s1, s0]),
        bytes: bytes.to_vec(),
    };
    Ok((entry, u32::from_be_bytes([r3, r2, r1, r0])))
}

/// A number with its checksum, for the small trees.
pub(super) fn seal(number: u64) -> [u8; 12] {
    let mut sealed = [0; 12];
    let (value, sum) = sealed.split_at_mut(8);
    value.copy_from_slice(&number.to_be_bytes());
    sum.copy_from_slice(&crc32fast::hash(&number.to_be_bytes()).to_be_bytes());
    sealed
}

/// Reads what [`seal`] made.
pub(super) fn unseal(stored: &[u8]) -> Result<u64, FrameError> {
    let (value, sum) = stored.split_first_chunk::<8>().ok_or(FrameError::Short)?;
    if sum != crc32fast::hash(value).to_be_bytes() {
        return Err(FrameError::Checksum);
    }
    Ok(u64::from_be_bytes(*value))
}

/// Stored bytes are not what was stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum FrameError {
    #[error("too short")]
    Short,
    #[error("format {0}, which this release does not know")]
    Format(u8),
    #[error("the length is wrong")]
    Length,
    #[error("the checksum is wrong")]
    Checksum,
}

const FORMAT: u8 = 1;
const HEAD: usize = 16;

fn checksum(seq: Seq, head: &[u8], bytes: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&seq.0.to_be_bytes());
    hasher.update(head);
    hasher.update(bytes);
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn entry(bytes: &[u8]) -> Entry {
        Entry {
            seq: Seq(7),
            class: ClassCode(250),
            schema: 300,
            bytes: bytes.to_vec(),
        }
    }

    #[test]
    fn the_format_does_not_change() {
        let stored = encode(&entry(b"ab"), 5);
        let expected = [
            1, 250, 1, 44, 0, 0, 0, 5, 0, 0, 0, 2, 0x17, 0x23, 0x90, 0x1d,
        ];
        assert_eq!(stored, [expected.as_slice(), b"ab"].concat());
    }

    #[test]
    fn an_unknown_format_is_named() {
        let mut stored = encode(&entry(b"ab"), 0);
        stored[0] = 9;
        assert_eq!(decode(Seq(7), &stored), Err(FrameError::Format(9)));
    }

    proptest! {
        #[test]
        fn a_record_reads_back(bytes: Vec<u8>, remaining: u32) {
            let entry = entry(&bytes);
            prop_assert_eq!(decode(Seq(7), &encode(&entry, remaining)), Ok((entry, remaining)));
        }

        #[test]
        fn a_flipped_bit_a_cut_and_another_place_are_seen(
            bytes in proptest::collection::vec(any::<u8>(), 0..40),
            at: prop::sample::Index,
            bit in 0_u32..8,
        ) {
            let stored = encode(&entry(&bytes), 1);
            let mut flipped = stored.clone();
            flipped[at.index(stored.len())] ^= 1 << bit;
            prop_assert!(decode(Seq(7), &flipped).is_err());
            prop_assert!(decode(Seq(7), &stored[..at.index(stored.len())]).is_err());
            prop_assert!(decode(Seq(8), &stored).is_err());
        }
    }
}
