//! Writes a path's canonical form segment by segment.
//!
//! Apart because it holds the one trick that keeps canonical paths free of
//! allocation: what is written is only counted for as long as it equals the
//! input.

use std::borrow::Cow;

use super::{Dots, PathError, PathPolicy, is_path_byte, is_unreserved};

pub(super) struct Writer<'a> {
    raw: &'a str,
    /// The output is `raw[..same]` until the first difference.
    same: usize,
    /// The output from the first difference on.
    changed: Option<String>,
    policy: PathPolicy,
    needs: PathPolicy,
}

impl<'a> Writer<'a> {
    pub(super) fn new(raw: &'a str, policy: PathPolicy) -> Self {
        Self {
            raw,
            same: 0,
            changed: None,
            policy,
            needs: PathPolicy::default(),
        }
    }

    /// Writes `/segment`, or what remains of it.
    pub(super) fn segment(&mut self, raw: &str, last: bool, dots: Dots) -> Result<(), PathError> {
        let start = self.written().len();
        self.push(b'/');
        self.escape(raw)?;
        let segment = self.written().get(start + 1..).unwrap_or_default();
        match Segment::of(segment)? {
            Segment::Empty if last => {}
            Segment::Empty if self.policy.empty_segments => self.needs.empty_segments = true,
            Segment::Empty => self.truncate(start),
            Segment::Dot | Segment::DotDot if dots == Dots::RefuseButLast && last => {}
            Segment::Dot | Segment::DotDot if dots != Dots::Remove => {
                return Err(PathError::DotSegment);
            }
            Segment::Dot => self.leave(start, last),
            Segment::DotDot => {
                let before = self.written().get(..start).unwrap_or_default();
                let parent = before.rfind('/').unwrap_or(0);
                self.leave(parent, last);
            }
            Segment::Name => {}
        }
        Ok(())
    }

    pub(super) fn finish(self) -> (Cow<'a, str>, PathPolicy) {
        let path = match self.changed {
            Some(changed) => Cow::Owned(changed),
            None => Cow::Borrowed(self.raw.get(..self.same).unwrap_or_default()),
        };
        (path, self.needs)
    }

    /// Goes back to a folder; the last segment names it with its slash.
    fn leave(&mut self, folder: usize, last: bool) {
        self.truncate(folder);
        if last {
            self.push(b'/');
        }
    }

    fn escape(&mut self, raw: &str) -> Result<(), PathError> {
        let mut rest = raw.as_bytes();
        let mut previous = 0;
        while let Some((&byte, tail)) = rest.split_first() {
            rest = tail;
            let value = if byte == b'%' {
                let (value, tail) = unescape(tail).ok_or(PathError::Escape)?;
                rest = tail;
                value
            } else {
                byte
            };
            if is_overlong(previous, value) {
                return Err(PathError::OverlongUtf8);
            }
            previous = value;
            self.character(value, byte == b'%')?;
        }
        Ok(())
    }

    fn character(&mut self, value: u8, escaped: bool) -> Result<(), PathError> {
        match value {
            0..=0x1F | 0x7F => return Err(PathError::Control),
            b'#' if !escaped => return Err(PathError::Fragment),
            b'?' if !escaped => return Err(PathError::Query),
            b'\\' if !self.policy.backslash => return Err(PathError::Backslash),
            b'/' if !self.policy.encoded_slash => return Err(PathError::EncodedSlash),
            b'\\' => self.needs.backslash = true,
            b'/' => self.needs.encoded_slash = true,
            _ => {}
        }
        let plain = if escaped {
            is_unreserved(value)
        } else {
            is_path_byte(value)
        };
        if plain {
            self.push(value);
        } else {
            self.push(b'%');
            self.push(hex(value >> 4));
            self.push(hex(value & 0xF));
        }
        Ok(())
    }

    fn written(&self) -> &str {
        match &self.changed {
            Some(changed) => changed,
            None => self.raw.get(..self.same).unwrap_or_default(),
        }
    }

    /// `byte` is ASCII: all else is written as an escape.
    fn push(&mut self, byte: u8) {
        match &mut self.changed {
            Some(changed) => changed.push(char::from(byte)),
            None if self.raw.as_bytes().get(self.same) == Some(&byte) => self.same += 1,
            None => {
                let mut changed = String::with_capacity(self.raw.len());
                changed.push_str(self.written());
                changed.push(char::from(byte));
                self.changed = Some(changed);
            }
        }
    }

    fn truncate(&mut self, length: usize) {
        match &mut self.changed {
            Some(changed) => changed.truncate(length),
            None => self.same = length,
        }
    }
}

enum Segment {
    Empty,
    Dot,
    DotDot,
    Name,
}

impl Segment {
    /// What a segment in canonical characters is. An upstream that decodes once
    /// more splits at the encoded separators, and one that knows parameters cuts
    /// at the semicolon: a dot segment that only those see is refused.
    fn of(segment: &str) -> Result<Self, PathError> {
        match segment {
            "" => return Ok(Self::Empty),
            "." => return Ok(Self::Dot),
            ".." => return Ok(Self::DotDot),
            _ if !segment.contains('.') || !segment.contains(['%', ';']) => return Ok(Self::Name),
            _ => {}
        }
        for part in segment.split("%2F").flat_map(|part| part.split("%5C")) {
            let name = part.split(';').next().unwrap_or_default();
            let name = name.split("%3B").next().unwrap_or_default();
            if matches!(name, "." | "..") {
                return Err(PathError::HiddenDotSegment);
            }
        }
        Ok(Self::Name)
    }
}

/// The byte that two hexadecimal digits stand for, and what follows them.
fn unescape(text: &[u8]) -> Option<(u8, &[u8])> {
    let (&[high, low], rest) = text.split_first_chunk()?;
    let high = char::from(high).to_digit(16)?;
    let low = char::from(low).to_digit(16)?;
    Some((u8::try_from(high << 4 | low).ok()?, rest))
}

/// Two bytes that begin a longer UTF-8 form of a character than it has: some
/// decoders read `C0 AF` as a slash.
fn is_overlong(first: u8, second: u8) -> bool {
    matches!(
        (first, second),
        (0xC0 | 0xC1, 0x80..=0xBF) | (0xE0, 0x80..=0x9F) | (0xF0, 0x80..=0x8F)
    )
}

fn hex(digit: u8) -> u8 {
    match digit {
        0..=9 => b'0' + digit,
        _ => b'A' - 10 + digit,
    }
}
