//! A certificate's chain and private key, and the name by which everything else speaks of them.
//!
//! The one type of the model that has key bytes: it is in no event and no state, cannot be
//! serialized, and does not show what it holds.

use std::fmt;
use std::str::FromStr;

use bytes::Bytes;
use prost::Message as _;
use roadstead_proto::v1::CertificateBundle;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use sha2::{Digest as _, Sha256};

/// An encoded [`CertificateBundle`]. Cheap to clone.
#[derive(Clone, PartialEq, Eq)]
pub struct Bundle {
    name: BundleName,
    bytes: Bytes,
}

impl Bundle {
    /// The bundle of a chain and its key, all in DER.
    pub fn new(chain: Vec<Vec<u8>>, private_key: Vec<u8>) -> Self {
        let message = CertificateBundle { chain, private_key };
        let bytes: Bytes = message.encode_to_vec().into();
        Self {
            name: BundleName::of(&bytes),
            bytes,
        }
    }

    /// The bundle of these bytes, if they have this name.
    pub fn checked(name: BundleName, bytes: Bytes) -> Option<Self> {
        (BundleName::of(&bytes) == name).then_some(Self { name, bytes })
    }

    /// Its name.
    pub fn name(&self) -> BundleName {
        self.name
    }

    /// What is sent to who may have it.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }
}

/// Without what must not be seen.
impl fmt::Debug for Bundle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Bundle({}, {} bytes)", self.name, self.bytes.len())
    }
}

/// Names a bundle by its content: the SHA-256 of its bytes. A private key has too much entropy
/// to be found from it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BundleName(pub [u8; 32]);

impl BundleName {
    /// The name of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
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

/// A text is not 64 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a bundle's name has 64 hexadecimal digits")]
pub struct BadBundleName;

impl FromStr for BundleName {
    type Err = BadBundleName;

    fn from_str(text: &str) -> Result<Self, BadBundleName> {
        let digits = text.as_bytes();
        let mut name = [0; 32];
        if digits.len() != 2 * name.len() {
            return Err(BadBundleName);
        }
        for (byte, pair) in name.iter_mut().zip(digits.chunks_exact(2)) {
            let pair = std::str::from_utf8(pair).map_err(|_| BadBundleName)?;
            *byte = u8::from_str_radix(pair, 16).map_err(|_| BadBundleName)?;
        }
        Ok(Self(name))
    }
}

impl Serialize for BundleName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for BundleName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bundle_is_named_by_its_content() {
        let name = BundleName::of(b"abc");
        let text = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(name.to_string(), text);
        assert_eq!(text.parse(), Ok(name));
        for bad in ["", "ba", &text.replace('b', "x"), &format!("{text}00")] {
            assert_eq!(bad.parse::<BundleName>(), Err(BadBundleName), "{bad}");
        }
    }

    #[test]
    fn what_a_bundle_holds_is_not_shown_and_is_checked() {
        let bundle = Bundle::new(vec![b"chain".to_vec()], b"secret".to_vec());
        let name = bundle.name();
        let shown = format!("{bundle:?}");
        assert!(!shown.contains("secret") && shown.contains(&name.to_string()));
        let bytes = bundle.bytes().clone();
        assert_eq!(Bundle::checked(name, bytes.clone()), Some(bundle));
        assert_eq!(Bundle::checked(name, bytes.slice(1..)), None);
    }
}
