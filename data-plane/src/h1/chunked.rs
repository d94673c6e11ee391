//! The chunked coding, read strictly.
//!
//! Apart from the other framings: it is a small language of its own, and most ways to smuggle
//! a request in it need a reader that lets one byte pass.

use bytes::{Buf, Bytes, BytesMut};
use http::HeaderMap;

use super::{HeadScanner, Scan, request};
use crate::{filter, limits::MessageLimits, message::BodyError};

/// Reads one chunked body.
#[derive(Debug)]
pub(super) struct Chunked {
    state: State,
    /// Bytes of extensions, and of trailers, that may still come.
    extensions_left: usize,
    trailers_left: usize,
}

/// What comes next in the input.
#[derive(Debug)]
enum State {
    Size,
    Data(u64),
    /// The line end after a chunk's data.
    DataEnd,
    /// Trailer fields, up to the empty line.
    Trailers(HeadScanner),
    Done,
}

/// What was read.
#[derive(Debug)]
pub(super) enum Piece {
    Data(Bytes),
    Trailers(HeaderMap),
    /// More bytes are needed, unless the body is done.
    Nothing,
}

impl Chunked {
    pub(super) fn new(limits: &MessageLimits) -> Self {
        Self {
            state: State::Size,
            extensions_left: limits.chunk_extensions,
            trailers_left: limits.trailer_bytes,
        }
    }

    pub(super) fn is_done(&self) -> bool {
        matches!(self.state, State::Done)
    }

    /// Takes the next piece from the front of `input`.
    pub(super) fn read(&mut self, input: &mut BytesMut) -> Result<Piece, BodyError> {
        loop {
            match &mut self.state {
                State::Size => {
                    let Some((size, extension, line)) = size_line(input)? else {
                        return Ok(Piece::Nothing);
                    };
                    self.extensions_left = self
                        .extensions_left
                        .checked_sub(extension)
                        .ok_or(BodyError::TooLarge)?;
                    input.advance(line);
                    self.state = match size {
                        0 => State::Trailers(HeadScanner::default()),
                        _ => State::Data(size),
                    };
                }
                State::Data(left) => {
                    let here =
                        usize::try_from(*left).map_or(input.len(), |left| left.min(input.len()));
                    if here == 0 {
                        return Ok(Piece::Nothing);
                    }
                    *left -= here as u64;
                    if *left == 0 {
                        self.state = State::DataEnd;
                    }
                    let data = input.split_to(here).freeze();
                    if matches!(self.state, State::DataEnd) && input == PLAIN_END {
                        input.clear();
                        self.state = State::Done;
                    }
                    return Ok(Piece::Data(data));
                }
                State::DataEnd => {
                    match input.get(..2) {
                        Some(b"\r\n") => input.advance(2),
                        Some(_) => return Err(BodyError::Malformed),
                        None if matches!(input.first(), None | Some(b'\r')) => {
                            return Ok(Piece::Nothing);
                        }
                        None => return Err(BodyError::Malformed),
                    }
                    self.state = State::Size;
                }
                State::Trailers(scanner) => {
                    if input.starts_with(b"\r\n") {
                        input.advance(2);
                        self.state = State::Done;
                        return Ok(Piece::Nothing);
                    }
                    let end = match scanner.scan(input) {
                        Scan::Complete(end) if end <= self.trailers_left => end,
                        Scan::Partial if input.len() <= self.trailers_left => {
                            return Ok(Piece::Nothing);
                        }
                        Scan::Complete(_) | Scan::Partial => return Err(BodyError::TooLarge),
                        Scan::BareLineFeed => return Err(BodyError::Malformed),
                    };
                    let mut trailers = HeaderMap::new();
                    request::parse_fields(&input.split_to(end).freeze(), |name, value| {
                        if filter::may_be_trailer(name.as_str()) {
                            trailers.append(name, value);
                        }
                    })
                    .map_err(|_| BodyError::Malformed)?;
                    self.state = State::Done;
                    return Ok(match trailers.is_empty() {
                        true => Piece::Nothing,
                        false => Piece::Trailers(trailers),
                    });
                }
                State::Done => return Ok(Piece::Nothing),
            }
        }
    }
}

/// Size, bytes of extension and bytes in all of a chunk's first line, if it is there whole.
fn size_line(input: &[u8]) -> Result<Option<(u64, usize, usize)>, BodyError> {
    let digits = input
        .iter()
        .take(MAX_DIGITS + 1)
        .take_while(|byte| byte.is_ascii_hexdigit())
        .count();
    let (size, rest) = input.split_at_checked(digits).unwrap_or_default();
    if digits > MAX_DIGITS || (digits == 0 && !rest.is_empty()) {
        return Err(BodyError::Malformed);
    }
    let Some(end) = memchr::memchr2(b'\r', b'\n', rest) else {
        return match rest.len() {
            ..=MAX_EXTENSION if extension_is_sound(rest, false) => Ok(None),
            ..=MAX_EXTENSION => Err(BodyError::Malformed),
            _ => Err(BodyError::TooLarge),
        };
    };
    let (extension, line_end) = rest.split_at_checked(end).unwrap_or_default();
    if !extension_is_sound(extension, true) {
        return Err(BodyError::Malformed);
    }
    match line_end.get(..2) {
        Some(b"\r\n") => {}
        None if line_end == b"\r" => return Ok(None),
        Some(_) | None => return Err(BodyError::Malformed),
    }
    let size = size.iter().fold(0, |sum, digit| {
        sum << 4 | u64::from(char::from(*digit).to_digit(16).unwrap_or_default())
    });
    Ok(Some((size, extension.len(), digits + end + 2)))
}

/// Nothing, or white space and what begins with a semicolon, without control bytes. One that is
/// not whole may be white space only.
fn extension_is_sound(extension: &[u8], whole: bool) -> bool {
    let blank = extension
        .iter()
        .take_while(|byte| matches!(byte, b' ' | b'\t'))
        .count();
    let starts_well = match extension.get(blank) {
        Some(b';') => true,
        Some(_) => false,
        None => blank == 0 || !whole,
    };
    starts_well
        && extension
            .iter()
            .all(|byte| matches!(byte, b'\t' | b' '..=b'~' | 0x80..))
}

/// What most often follows the last data: noticed with it, it saves whoever reads one more turn.
const PLAIN_END: &[u8] = b"\r\n0\r\n\r\n";

/// Hexadecimal digits of a chunk's size: enough for 64 bits.
const MAX_DIGITS: usize = 16;

/// Bytes of one chunk's extension.
const MAX_EXTENSION: usize = 4 * 1024;

#[cfg(test)]
mod tests;
