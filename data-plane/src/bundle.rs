//! A certificate's chain and private key.
//!
//! Apart from everything that only names them: this is the one type with key bytes, and it does
//! not show what it holds. What is in it is read by the first handshake that needs it, so that
//! ten thousand of them cost a start nothing, and is kept for those that follow.

use std::{
    fmt,
    sync::{Arc, OnceLock},
};

use bytes::Bytes;
use prost::Message as _;
use roadstead_proto::v1::CertificateBundle;
use rustls::{
    ServerConfig,
    crypto::aws_lc_rs::sign::any_supported_type,
    pki_types::{CertificateDer, PrivateKeyDer},
    sign::CertifiedKey,
};

use crate::recent::Recent;
use crate::snapshot::BundleName;

/// Bytes that have the name by which they were asked for.
pub struct Bundle {
    name: BundleName,
    bytes: Bytes,
    key: OnceLock<Option<Arc<CertifiedKey>>>,
    /// By the number of a policy.
    configs: Recent<(u64, Arc<ServerConfig>)>,
}

/// Bytes that were sent or kept are not the bundle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotTheBundle {
    #[error("more than {MAX_BYTES} bytes")]
    TooLarge,
    #[error("the bytes do not have the bundle's hash")]
    OtherBytes,
}

impl Bundle {
    /// The bundle of this name, if the bytes are it.
    pub fn checked(name: BundleName, bytes: Bytes) -> Result<Self, NotTheBundle> {
        if bytes.len() > MAX_BYTES {
            return Err(NotTheBundle::TooLarge);
        }
        if BundleName::of(&bytes) != name {
            return Err(NotTheBundle::OtherBytes);
        }
        Ok(Self {
            name,
            bytes,
            key: OnceLock::new(),
            configs: Recent::default(),
        })
    }

    pub fn name(&self) -> BundleName {
        self.name
    }

    /// What a file keeps.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// What handshakes use. None if nothing can be done with it, which is logged once, by the
    /// name of the certificate that is shown.
    pub fn key(&self, certificate: &str) -> Option<&Arc<CertifiedKey>> {
        let key = self.key.get_or_init(|| match read(&self.bytes) {
            Ok(key) => Some(Arc::new(key)),
            Err(problem) => {
                tracing::error!(
                    certificate,
                    bundle = %self.name,
                    "{problem}: nobody is shown this certificate"
                );
                None
            }
        });
        key.as_ref()
    }

    /// What handshakes with it share that are by the policy of this number, made by the first.
    pub fn config(&self, policy: u64, make: impl FnOnce() -> ServerConfig) -> Arc<ServerConfig> {
        let found = self.configs.find(|(number, _)| *number == policy);
        let found = found.unwrap_or_else(|| self.configs.keep((policy, Arc::new(make()))));
        Arc::clone(&found.1)
    }
}

/// Without what must not be seen.
impl fmt::Debug for Bundle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Bundle({}, {} bytes)", self.name, self.bytes.len())
    }
}

/// No text of an error here has anything of what was read.
fn read(bytes: &[u8]) -> Result<CertifiedKey, &'static str> {
    let CertificateBundle { chain, private_key } =
        CertificateBundle::decode(bytes).map_err(|_| "the bundle cannot be decoded")?;
    if chain.is_empty() || chain.len() > MAX_CHAIN {
        return Err("the bundle's chain does not have 1 to 16 certificates");
    }
    let key = PrivateKeyDer::try_from(private_key)
        .map_err(|_| "the bundle's key is neither PKCS #8, PKCS #1 nor SEC 1")?;
    let key = any_supported_type(&key)
        .map_err(|_| "the bundle's key is not of a kind that this release can sign by")?;
    let chain = chain.into_iter().map(CertificateDer::from).collect();
    let certified = CertifiedKey::new(chain, key);
    match certified.keys_match() {
        Ok(()) => Ok(certified),
        Err(_) => Err("the bundle's certificate cannot be read, or is not of its key"),
    }
}

/// Bytes of one bundle.
pub const MAX_BYTES: usize = 256 * 1024;

/// Certificates of one chain.
const MAX_CHAIN: usize = 16;

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair};

    use super::*;

    fn bundle(chain: Vec<Vec<u8>>, private_key: Vec<u8>) -> Bundle {
        let bytes: Bytes = CertificateBundle { chain, private_key }
            .encode_to_vec()
            .into();
        Bundle::checked(BundleName::of(&bytes), bytes).unwrap()
    }

    fn certificate() -> (Vec<u8>, Vec<u8>) {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(["a.example".to_owned()])
            .unwrap()
            .self_signed(&key)
            .unwrap();
        (certificate.der().to_vec(), key.serialize_der())
    }

    #[test]
    fn bytes_are_a_bundle_only_by_their_name_and_size() {
        let bytes = Bytes::from_static(b"secret");
        let name = BundleName::of(&bytes);
        let bundle = Bundle::checked(name, bytes.clone()).unwrap();
        assert_eq!((bundle.name(), bundle.bytes()), (name, &bytes));
        let other = Bundle::checked(name, bytes.slice(1..)).unwrap_err();
        assert_eq!(other, NotTheBundle::OtherBytes);
        let large = Bytes::from(vec![0; MAX_BYTES + 1]);
        let refused = Bundle::checked(BundleName::of(&large), large).unwrap_err();
        assert_eq!(refused, NotTheBundle::TooLarge);
    }

    #[test]
    fn a_chain_and_its_key_are_read_and_never_shown() {
        let (chain, key) = certificate();
        let bundle = bundle(vec![chain.clone()], key);
        let read = bundle.key("secret/a/b").unwrap();
        assert_eq!(*read.cert[0], *chain);
        let shown = format!("{bundle:?}");
        assert_eq!(
            shown,
            format!("Bundle({}, {} bytes)", bundle.name(), bundle.bytes().len())
        );
    }

    #[test]
    fn what_cannot_be_served_with_is_no_key() {
        let (chain, key) = certificate();
        let (other, _) = certificate();
        for (chain, key) in [
            (vec![], key.clone()),
            (vec![chain.clone(); 17], key.clone()),
            (vec![chain.clone()], vec![]),
            (vec![chain], b"no key".to_vec()),
            (vec![other], key.clone()),
            (vec![b"no certificate".to_vec()], key),
        ] {
            assert!(bundle(chain, key).key("secret/a/b").is_none());
        }
    }
}
