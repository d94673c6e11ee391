//! The name of a bundle: a certificate's chain and key, by their content.
//!
//! Both planes speak of bundles by it. Apart from the messages that have the bytes.

use std::fmt;

use sha2::{Digest as _, Sha256};

/// SHA-256 of a bundle's bytes. The key in it has too much entropy to be found from its name.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BundleName([u8; 32]);

/// A text or some bytes are not a bundle's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a bundle's name has 32 bytes, as text 64 hexadecimal digits in lower case")]
pub struct BadBundleName;

impl BundleName {
    /// The name of these bytes.
    pub fn of(bundle: &[u8]) -> Self {
        Self(Sha256::digest(bundle).into())
    }

    /// As it is sent.
    pub fn from_bytes(name: &[u8]) -> Result<Self, BadBundleName> {
        name.try_into().map(Self).map_err(|_| BadBundleName)
    }

    /// As [`fmt::Display`] writes it, and in no other way.
    pub fn from_text(text: &str) -> Result<Self, BadBundleName> {
        let mut name = [0; 32];
        if text.len() != 2 * name.len() {
            return Err(BadBundleName);
        }
        for (byte, pair) in name.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            let pair = std::str::from_utf8(pair).map_err(|_| BadBundleName)?;
            *byte = u8::from_str_radix(pair, 16).map_err(|_| BadBundleName)?;
        }
        let name = Self(name);
        (name.to_string() == text)
            .then_some(name)
            .ok_or(BadBundleName)
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Hexadecimal digits.
impl fmt::Display for BundleName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for BundleName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BundleName({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_read_as_it_is_written_and_in_no_other_way() {
        let name = BundleName::of(b"abc");
        let text = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(name.to_string(), text);
        assert_eq!(BundleName::from_text(text), Ok(name));
        assert_eq!(BundleName::from_bytes(name.as_bytes()), Ok(name));
        for bad in [
            "",
            "ba",
            &text.to_uppercase(),
            &text.replace("ba", "+a"),
            &format!("{text}00"),
        ] {
            assert_eq!(BundleName::from_text(bad), Err(BadBundleName), "{bad}");
        }
        assert_eq!(BundleName::from_bytes(&[0; 31]), Err(BadBundleName));
    }
}
