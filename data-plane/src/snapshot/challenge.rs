//! What a CA is answered by when it asks whether a host is ours (ACME, RFC 8555, section 8).
//!
//! Apart from other resources, because it comes by two ways, with a version and as the answer to a
//! question, and is checked alike on both.

use std::{borrow::Borrow, ops::Deref, sync::Arc};

use roadstead_matcher::host::HostName;

/// By which way a CA asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ChallengeType {
    /// By HTTP, for a token (RFC 8555, section 8.3).
    Http01,
    /// In a TLS handshake, for a host alone (RFC 8737).
    TlsAlpn01,
}

/// One answer: to whoever asks for this host by this way, and by HTTP for this token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChallengeAnswer {
    pub challenge_type: ChallengeType,
    pub host: HostName,
    pub token: Token,
    pub key_authorization: KeyAuthorization,
}

/// What a CA calls a challenge by: 1 to 256 characters of base64url.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token(Arc<str>);

/// A token, a dot and the thumbprint of an account's key (RFC 8555, section 8.1): at most 512
/// printable characters of ASCII.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyAuthorization(Arc<str>);

/// Why a text is no token or no key authorization.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChallengeError {
    #[error("not 1 to {MAX_TOKEN} characters of base64url")]
    Token,
    #[error("longer than {MAX_AUTHORIZATION} bytes")]
    TooLong,
    #[error("not the token and a dot, and then printable ASCII")]
    Authorization,
}

impl Token {
    pub fn parse(text: &str) -> Result<Self, ChallengeError> {
        let fits = (1..=MAX_TOKEN).contains(&text.len());
        let is_base64url = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        match fits && text.bytes().all(is_base64url) {
            true => Ok(Self(text.into())),
            false => Err(ChallengeError::Token),
        }
    }
}

impl KeyAuthorization {
    /// That of the token that it begins with.
    pub fn of_any(text: &str) -> Result<Self, ChallengeError> {
        let (token, _) = text.split_once('.').ok_or(ChallengeError::Authorization)?;
        Self::parse(text, &Token::parse(token)?)
    }

    /// That of this token.
    pub fn parse(text: &str, token: &Token) -> Result<Self, ChallengeError> {
        if text.len() > MAX_AUTHORIZATION {
            return Err(ChallengeError::TooLong);
        }
        let rest = text.strip_prefix(&**token);
        let thumbprint = rest.and_then(|rest| rest.strip_prefix('.'));
        match thumbprint {
            Some(thumbprint) if thumbprint.bytes().all(|byte| byte.is_ascii_graphic()) => {
                Ok(Self(text.into()))
            }
            Some(_) | None => Err(ChallengeError::Authorization),
        }
    }
}

impl Deref for Token {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

/// So that a token is found by what a request says.
impl Borrow<str> for Token {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl Deref for KeyAuthorization {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

/// CAs send 43; the rest is room.
const MAX_TOKEN: usize = 256;

/// A token of the longest, a dot, a thumbprint of 43, and room.
const MAX_AUTHORIZATION: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_base64url_of_some_length() {
        let longest = "x".repeat(256);
        for text in ["a", "A-z_09", longest.as_str()] {
            assert_eq!(&*Token::parse(text).unwrap(), text);
        }
        let longer = "x".repeat(257);
        for text in [
            "",
            longer.as_str(),
            "a.b",
            "a/b",
            "a=",
            "a+b",
            "é",
            "a b",
            "a%2f",
        ] {
            assert_eq!(Token::parse(text), Err(ChallengeError::Token), "{text}");
        }
    }

    #[test]
    fn a_key_authorization_is_of_its_token() {
        let token = Token::parse("abc").unwrap();
        for text in ["abc.", "abc.thumb-print_", "abc.a.b"] {
            assert_eq!(&*KeyAuthorization::parse(text, &token).unwrap(), text);
        }
        let longest = format!("abc.{}", "x".repeat(508));
        let longer = format!("{longest}x");
        assert!(KeyAuthorization::parse(&longest, &token).is_ok());
        assert_eq!(&*KeyAuthorization::of_any("abc.x").unwrap(), "abc.x");
        for text in ["", "abc", ".x", "a/b.x", "abc.x\n"] {
            assert!(KeyAuthorization::of_any(text).is_err(), "{text}");
        }
        for (text, error) in [
            ("", ChallengeError::Authorization),
            ("abc", ChallengeError::Authorization),
            ("ab.x", ChallengeError::Authorization),
            ("abcd.x", ChallengeError::Authorization),
            ("abc.x\n", ChallengeError::Authorization),
            ("abc.x y", ChallengeError::Authorization),
            ("abc.é", ChallengeError::Authorization),
            (longer.as_str(), ChallengeError::TooLong),
        ] {
            assert_eq!(KeyAuthorization::parse(text, &token), Err(error), "{text}");
        }
    }
}
