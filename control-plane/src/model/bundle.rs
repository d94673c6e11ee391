//! A certificate's chain and private key, and the name by which everything else speaks of them.
//!
//! The one type of the model that has key bytes: it is in no event and no state, cannot be
//! serialized, and does not show what it holds.

use std::fmt;

use bytes::Bytes;
use prost::Message as _;
use roadstead_proto::v1::{CertificateBundle, TicketSecret};

pub use roadstead_proto::bundle::BundleName;

/// An encoded [`CertificateBundle`], or a [`TicketSecret`]. Cheap to clone.
#[derive(Clone, PartialEq, Eq)]
pub struct Bundle {
    name: BundleName,
    bytes: Bytes,
}

impl Bundle {
    /// The bundle of a chain and its key, all in DER.
    pub fn new(chain: Vec<Vec<u8>>, private_key: Vec<u8>) -> Self {
        let message = CertificateBundle { chain, private_key };
        Self::of(message.encode_to_vec().into())
    }

    fn of(bytes: Bytes) -> Self {
        Self {
            name: BundleName::of(&bytes),
            bytes,
        }
    }

    /// That of a secret of session tickets.
    pub fn of_ticket_secret(secret: Vec<u8>) -> Self {
        Self::of(TicketSecret { secret }.encode_to_vec().into())
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

/// A bundle's name as its text: the form in which events and checkpoints have it.
pub(super) mod name_as_text {
    use roadstead_proto::bundle::BundleName;
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    pub(crate) fn serialize<S: Serializer>(
        name: &BundleName,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_str(name)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<BundleName, D::Error> {
        let text = String::deserialize(deserializer)?;
        BundleName::from_text(&text).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
