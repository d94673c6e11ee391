//! Private keys that are made here: of accounts at a CA, and of certificates.
//!
//! Apart from the calls to a CA, which use them: a key is kept before the first call is made with
//! it, so that nothing that the CA knows is lost with a process.

use std::fmt;
use std::net::IpAddr;

use rcgen::{
    CertificateParams, DistinguishedName, DnType, KeyPair, PKCS_ECDSA_P256_SHA256, PublicKeyData,
};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{PrivatePkcs8KeyDer, SubjectPublicKeyInfoDer};

/// A private key of ECDSA on P-256. It does not show itself.
pub struct Key(KeyPair);

/// A key cannot be made, read or used. Says nothing of the key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    #[error("cannot make a private key: {0}")]
    Make(rcgen::Error),
    #[error("not a private key of ECDSA on P-256 in the form of PKCS#8")]
    Unreadable,
    #[error("cannot ask for a certificate for {names}: {source}")]
    Request { names: String, source: rcgen::Error },
}

impl Key {
    /// A new one.
    pub fn generate() -> Result<Self, KeyError> {
        let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(KeyError::Make)?;
        Ok(Self(pair))
    }

    /// A kept one, from the DER of PKCS#8.
    pub fn from_der(der: &[u8]) -> Result<Self, KeyError> {
        Self::from_pkcs8(&PrivatePkcs8KeyDer::from(der))
    }

    /// A kept one, the first of this PEM text in PKCS#8.
    pub fn from_pem(pem: &str) -> Result<Self, KeyError> {
        let der = PrivatePkcs8KeyDer::from_pem_slice(pem.as_bytes());
        Self::from_pkcs8(&der.map_err(|_| KeyError::Unreadable)?)
    }

    fn from_pkcs8(der: &PrivatePkcs8KeyDer<'_>) -> Result<Self, KeyError> {
        let pair = KeyPair::from_pkcs8_der_and_sign_algo(der, &PKCS_ECDSA_P256_SHA256);
        Ok(Self(pair.map_err(|_| KeyError::Unreadable)?))
    }

    /// To be kept, as the DER of PKCS#8.
    pub fn der(&self) -> &[u8] {
        self.0.serialized_der()
    }

    /// To be kept, as PEM.
    pub fn pem(&self) -> String {
        self.0.serialize_pem()
    }

    /// What a certificate of this key says of it.
    pub fn public(&self) -> SubjectPublicKeyInfoDer<'static> {
        self.0.subject_public_key_info().into()
    }

    /// A request for a certificate of this key (PKCS#10, DER) for DNS names and addresses. The
    /// first is its common name as well, if it can be one: some CAs want a subject.
    pub fn request(&self, names: &[String]) -> Result<Vec<u8>, KeyError> {
        let failed = |source| KeyError::Request {
            names: names.join(", "),
            source,
        };
        let mut params = CertificateParams::new(names).map_err(failed)?;
        params.distinguished_name = DistinguishedName::new();
        let common = names.first().filter(|name| is_common_name(name));
        if let Some(name) = common {
            params
                .distinguished_name
                .push(DnType::CommonName, name.as_str());
        }
        let request = params.serialize_request(&self.0).map_err(failed)?;
        Ok(request.der().to_vec())
    }
}

/// Without the key.
impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key").finish_non_exhaustive()
    }
}

/// CAs refuse addresses here, and X.520 more than 64 characters.
fn is_common_name(name: &str) -> bool {
    name.len() <= 64 && name.parse::<IpAddr>().is_err()
}

#[cfg(test)]
mod tests;
