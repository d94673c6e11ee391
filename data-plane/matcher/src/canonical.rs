//! The one form in which a request's path is matched and forwarded.
//!
//! Apart from `path` because requests and patterns pass through it alike, so
//! that the two can never disagree about what a path means.
//!
//! The form, which is also what is sent to the upstream:
//!
//! - escaped unreserved characters are decoded, other escapes are written in
//!   upper case, and what RFC 3986 does not let stand in a path is escaped;
//!   reserved characters stay as they came (`%40` is not `@`: signatures and
//!   upstreams tell them apart);
//! - `.` and `..` segments are gone, never above the root;
//! - empty segments are merged (`//` is `/`). Many upstreams merge them by
//!   themselves, and `//admin` would reach such a one past the rule for
//!   `/admin`; a path that begins with `//` is also another site when it comes
//!   back in a `Location`. Applications that carry URLs in paths need them kept:
//!   [`PathPolicy::empty_segments`];
//! - what upstreams are known to read in more than one way is refused: an encoded
//!   slash, a backslash, control bytes, `#`, overlong UTF-8, and dot segments
//!   that only show after a second decoding or without their parameters (`..;`).

use std::borrow::Cow;

use self::writer::Writer;

mod writer;

/// Longest path of a request, before and after.
pub const MAX_PATH: usize = 8 * 1024;

/// The canonical form of the path of a request, which is all before `?`.
///
/// Allocates only if the form differs from what came.
pub fn canonical_path(raw: &str, policy: PathPolicy) -> Result<Canonical<'_>, PathError> {
    canonicalise(raw, policy, Dots::Remove)
}

/// What a path may contain only where its route permits it.
///
/// The route is known only after the path: a listener canonicalises with all
/// that any of its routes permits, and the route then found must cover what the
/// path [`needs`](Canonical::needs).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PathPolicy {
    /// `%2F`, which is kept: never decoded, never a separator.
    pub encoded_slash: bool,
    /// `\` and `%5C`, both sent on as `%5C`.
    pub backslash: bool,
    /// Empty segments, which else are merged.
    pub empty_segments: bool,
}

impl PathPolicy {
    /// Everything that can be permitted.
    pub const ALL: Self = Self {
        encoded_slash: true,
        backslash: true,
        empty_segments: true,
    };

    /// Whether this permits all that `needs` does.
    pub fn covers(self, needs: Self) -> bool {
        (self.encoded_slash || !needs.encoded_slash)
            && (self.backslash || !needs.backslash)
            && (self.empty_segments || !needs.empty_segments)
    }
}

/// A path in canonical form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Canonical<'a> {
    path: Cow<'a, str>,
    needs: PathPolicy,
}

impl<'a> Canonical<'a> {
    pub fn as_str(&self) -> &str {
        &self.path
    }

    pub fn into_path(self) -> Cow<'a, str> {
        self.path
    }

    /// The least that a policy must permit for this path to have this form.
    pub fn needs(&self) -> PathPolicy {
        self.needs
    }
}

/// Why a path has no canonical form. All are the client's fault (400).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    #[error("path: does not begin with /")]
    NotAbsolute,
    #[error("path: too long")]
    TooLong,
    #[error("path: a control byte")]
    Control,
    #[error("path: % without two hexadecimal digits")]
    Escape,
    #[error("path: an encoded slash")]
    EncodedSlash,
    #[error("path: a backslash")]
    Backslash,
    #[error("path: a fragment")]
    Fragment,
    #[error("path: a query")]
    Query,
    #[error("path: overlong UTF-8")]
    OverlongUtf8,
    /// `..;x`, or `..` beside an encoded separator.
    #[error("path: a hidden dot segment")]
    HiddenDotSegment,
    /// In patterns only; a request's are removed.
    #[error("path: a dot segment in a pattern")]
    DotSegment,
}

/// What becomes of `.` and `..` segments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dots {
    /// In a request: removed.
    Remove,
    /// In a pattern: refused, since to remove them would widen what its author
    /// claims.
    Refuse,
    /// In a pattern whose last segment is only the beginning of one: `/.` is
    /// a good prefix of `/.git`.
    RefuseButLast,
}

pub(crate) fn canonicalise(
    raw: &str,
    policy: PathPolicy,
    dots: Dots,
) -> Result<Canonical<'_>, PathError> {
    if raw.len() > MAX_PATH {
        return Err(PathError::TooLong);
    }
    let Some(relative) = raw.strip_prefix('/') else {
        return Err(PathError::NotAbsolute);
    };
    if is_plain(raw.as_bytes()) {
        return Ok(Canonical {
            path: Cow::Borrowed(raw),
            needs: PathPolicy::default(),
        });
    }
    let mut writer = Writer::new(raw, policy);
    let mut segments = relative.split('/').peekable();
    while let Some(segment) = segments.next() {
        writer.segment(segment, segments.peek().is_none(), dots)?;
    }
    let (path, needs) = writer.finish();
    if path.len() > MAX_PATH {
        return Err(PathError::TooLong);
    }
    Ok(Canonical { path, needs })
}

/// Whether `path` is canonical at first sight, as nearly all are.
fn is_plain(path: &[u8]) -> bool {
    let mut previous = 0;
    path.iter().all(|&byte| {
        let plain = is_path_byte(byte) && !(previous == b'/' && matches!(byte, b'/' | b'.'));
        previous = byte;
        plain
    })
}

/// RFC 3986 `pchar` without escapes, and the slash.
fn is_path_byte(byte: u8) -> bool {
    PATH_BYTES.get(usize::from(byte)) == Some(&true)
}

const fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// A table, since this is asked for every byte of every request's path.
static PATH_BYTES: [bool; 256] = {
    let mut table = [false; 256];
    let mut rest: &mut [bool] = &mut table;
    let mut byte = 0;
    while let Some((allowed, tail)) = rest.split_first_mut() {
        *allowed = is_unreserved(byte)
            || matches!(
                byte,
                b'/' | b'!' | b'$' | b'&'..=b',' | b';' | b'=' | b':' | b'@'
            );
        rest = tail;
        byte = byte.wrapping_add(1);
    }
    table
};

#[cfg(test)]
mod tests;
