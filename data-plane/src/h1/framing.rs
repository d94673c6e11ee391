//! Where the body of a message ends, decided from its header fields.
//!
//! Apart and pure: two readers who disagree about this see different messages in the same
//! bytes, so whatever could be read in two ways is refused.

use http::StatusCode;

/// How the end of a body is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// There is no body.
    None,
    Length(u64),
    Chunked,
    /// Only in responses.
    UntilClose,
}

/// Why a message has no one framing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FramingError {
    #[error("framing: content-length and transfer-encoding")]
    Both,
    #[error("framing: content-length is not one number")]
    Length,
    #[error("framing: transfer-encoding is not just chunked")]
    Coding,
    #[error("framing: transfer-encoding in HTTP/1.0")]
    OldVersion,
}

/// What the fields of a message say about its framing.
#[derive(Debug, Default)]
pub(super) struct FramingFields {
    length: Option<u64>,
    chunked: bool,
    error: Option<FramingError>,
}

impl FramingFields {
    /// A `Content-Length` field.
    pub(super) fn content_length(&mut self, value: &[u8]) {
        match (self.length, number(value)) {
            (None, Some(length)) => self.length = Some(length),
            (Some(_), _) | (_, None) => self.fail(FramingError::Length),
        }
    }

    /// A `Transfer-Encoding` field.
    pub(super) fn transfer_encoding(&mut self, value: &[u8]) {
        if self.chunked || !value.eq_ignore_ascii_case(b"chunked") {
            self.fail(FramingError::Coding);
        }
        self.chunked = true;
    }

    pub(super) fn request(&self, http10: bool) -> Result<Framing, FramingError> {
        self.check(http10)?;
        Ok(match self.length {
            _ if self.chunked => Framing::Chunked,
            Some(length) => Framing::Length(length),
            None => Framing::None,
        })
    }

    /// The framing of the answer to a request, HEAD or another.
    pub(super) fn response(
        &self,
        http10: bool,
        head: bool,
        status: StatusCode,
    ) -> Result<Framing, FramingError> {
        self.check(http10)?;
        Ok(match self.length {
            _ if head || !may_have_body(status) => Framing::None,
            _ if self.chunked => Framing::Chunked,
            Some(length) => Framing::Length(length),
            None => Framing::UntilClose,
        })
    }

    /// The length that is declared, even where there is no body.
    pub(super) fn declared_length(&self) -> Option<u64> {
        self.length
    }

    fn check(&self, http10: bool) -> Result<(), FramingError> {
        match self.error {
            Some(error) => Err(error),
            None if self.chunked && self.length.is_some() => Err(FramingError::Both),
            None if self.chunked && http10 => Err(FramingError::OldVersion),
            None => Ok(()),
        }
    }

    fn fail(&mut self, error: FramingError) {
        self.error.get_or_insert(error);
    }
}

/// Whether a response of this status has a body, however it is framed.
pub fn may_have_body(status: StatusCode) -> bool {
    !(status.is_informational()
        || status == StatusCode::NO_CONTENT
        || status == StatusCode::NOT_MODIFIED)
}

/// `1*DIGIT` and nothing else.
fn number(value: &[u8]) -> Option<u64> {
    if value.is_empty() || value.len() > MAX_DIGITS {
        return None;
    }
    value.iter().try_fold(0_u64, |sum, byte| {
        byte.is_ascii_digit()
            .then(|| sum.checked_mul(10)?.checked_add(u64::from(byte - b'0')))?
    })
}

/// Leading zeros are harmless; megabytes of them are not.
const MAX_DIGITS: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(lengths: &[&str], codings: &[&str]) -> FramingFields {
        let mut fields = FramingFields::default();
        for length in lengths {
            fields.content_length(length.as_bytes());
        }
        for coding in codings {
            fields.transfer_encoding(coding.as_bytes());
        }
        fields
    }

    #[test]
    fn a_request_has_one_framing_or_none() {
        use FramingError::{Both, Coding, Length};
        for (lengths, codings, framing) in [
            (&[][..], &[][..], Ok(Framing::None)),
            (&["0"], &[], Ok(Framing::Length(0))),
            (&["007"], &[], Ok(Framing::Length(7))),
            (
                &["18446744073709551615"],
                &[],
                Ok(Framing::Length(u64::MAX)),
            ),
            (&[], &["chunked"], Ok(Framing::Chunked)),
            (&[], &["Chunked"], Ok(Framing::Chunked)),
            (&["18446744073709551616"], &[], Err(Length)),
            (&["5", "5"], &[], Err(Length)),
            (&["5", "6"], &[], Err(Length)),
            (&["5, 5"], &[], Err(Length)),
            (&["5,"], &[], Err(Length)),
            (&["+5"], &[], Err(Length)),
            (&["-5"], &[], Err(Length)),
            (&["0x5"], &[], Err(Length)),
            (&["5 "], &[], Err(Length)),
            (&["5.0"], &[], Err(Length)),
            (&[""], &[], Err(Length)),
            (&["٥"], &[], Err(Length)),
            (&["5"], &["chunked"], Err(Both)),
            (&["5"], &["identity"], Err(Coding)),
            (&[], &["chunked", "chunked"], Err(Coding)),
            (&[], &["chunked, chunked"], Err(Coding)),
            (&[], &["gzip, chunked"], Err(Coding)),
            (&[], &["chunked, gzip"], Err(Coding)),
            (&[], &["xchunked"], Err(Coding)),
            (&[], &["\"chunked\""], Err(Coding)),
            (&[], &["chunked;q=1"], Err(Coding)),
            (&[], &[" chunked"], Err(Coding)),
            (&[], &["\u{b}chunked"], Err(Coding)),
            (&[], &["identity", "chunked"], Err(Coding)),
            (&[], &[""], Err(Coding)),
        ] {
            let found = fields(lengths, codings).request(false);
            assert_eq!(found, framing, "{lengths:?} {codings:?}");
        }
        let old = fields(&[], &["chunked"]).request(true);
        assert_eq!(old, Err(FramingError::OldVersion));
    }

    #[test]
    fn a_response_ends_as_its_status_and_its_request_say() {
        let ok = StatusCode::OK;
        for (lengths, codings, head, status, framing) in [
            (&[][..], &[][..], false, ok, Framing::UntilClose),
            (&["5"], &[], false, ok, Framing::Length(5)),
            (&[], &["chunked"], false, ok, Framing::Chunked),
            (&["5"], &[], true, ok, Framing::None),
            (&[], &["chunked"], true, ok, Framing::None),
            (&["5"], &[], false, StatusCode::NOT_MODIFIED, Framing::None),
            (&["5"], &[], false, StatusCode::NO_CONTENT, Framing::None),
            (&[], &[], false, StatusCode::CONTINUE, Framing::None),
        ] {
            let found = fields(lengths, codings).response(false, head, status);
            assert_eq!(found, Ok(framing), "{lengths:?} {codings:?} {status}");
        }
        for (lengths, codings) in [(&["5", "5"][..], &[][..]), (&["5"], &["chunked"])] {
            assert!(fields(lengths, codings).response(false, true, ok).is_err());
        }
    }
}
