//! How the connections of a listener are encrypted.
//!
//! Apart from TLS itself, which is made of it: a value that exists can be served by.

use std::sync::Arc;

use rustls::{
    CipherSuite, ProtocolVersion, SupportedCipherSuite, crypto::aws_lc_rs::ALL_CIPHER_SUITES,
};

/// What a client has to agree to. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsPolicy {
    minimum: ProtocolVersion,
    /// Those that may be used, the first choice first.
    suites: Arc<[CipherSuite]>,
    /// Clients may resume their sessions.
    session_tickets: bool,
}

/// Nothing of what may be used goes with a version that may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("none that this release has, or that goes with the minimum version")]
pub struct NoSuite;

impl TlsPolicy {
    /// Suites by their numbers, in any order; without any, all that there are. Those that this
    /// release does not have are passed over.
    pub fn new(only_13: bool, suites: &[u16], session_tickets: bool) -> Result<Self, NoSuite> {
        let minimum = match only_13 {
            true => ProtocolVersion::TLSv1_3,
            false => ProtocolVersion::TLSv1_2,
        };
        let is_named = |suite: &&SupportedCipherSuite| {
            suites.is_empty() || suites.contains(&u16::from(suite.suite()))
        };
        let fits = |suite: &&SupportedCipherSuite| !only_13 || suite.tls13().is_some();
        let suites = ALL_CIPHER_SUITES.iter().filter(is_named).filter(fits);
        let suites: Arc<[CipherSuite]> = suites.map(SupportedCipherSuite::suite).collect();
        match suites.is_empty() {
            true => Err(NoSuite),
            false => Ok(Self {
                minimum,
                suites,
                session_tickets,
            }),
        }
    }

    /// Whether TLS 1.2 is refused.
    pub fn is_only_13(&self) -> bool {
        self.minimum == ProtocolVersion::TLSv1_3
    }

    pub fn permits(&self, suite: CipherSuite) -> bool {
        self.suites.contains(&suite)
    }

    pub fn has_session_tickets(&self) -> bool {
        self.session_tickets
    }

    /// By what a policy is told from others, at any proxy of this release.
    pub fn identity(&self) -> Box<[u8]> {
        let minimum = u16::from(self.minimum);
        let suites = self.suites.iter().map(|suite| u16::from(*suite));
        let numbers = std::iter::once(minimum).chain(suites);
        numbers.flat_map(u16::to_be_bytes).collect()
    }
}

/// TLS 1.2 and 1.3 with all that this release has, and tickets.
impl Default for TlsPolicy {
    fn default() -> Self {
        Self {
            minimum: ProtocolVersion::TLSv1_2,
            suites: ALL_CIPHER_SUITES
                .iter()
                .map(SupportedCipherSuite::suite)
                .collect(),
            session_tickets: true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AES_128_GCM_13: u16 = 0x1301;
    const ECDSA_AES_128_GCM_12: u16 = 0xc02b;
    /// RSA without a key exchange of the moment: nobody has it any more.
    const OLD: u16 = 0x009c;

    #[test]
    fn a_policy_is_of_suites_that_go_with_its_versions() {
        let policy = |only_13, suites: &[u16]| TlsPolicy::new(only_13, suites, true);
        assert_eq!(policy(false, &[]), Ok(TlsPolicy::default()));
        let modern = policy(true, &[]).unwrap();
        assert!(modern.permits(CipherSuite::TLS13_AES_128_GCM_SHA256));
        assert!(!modern.permits(CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256));
        let one = policy(false, &[OLD, ECDSA_AES_128_GCM_12]).unwrap();
        assert!(one.permits(CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256));
        assert!(!one.permits(CipherSuite::TLS13_AES_128_GCM_SHA256));
        assert!(policy(true, &[AES_128_GCM_13, ECDSA_AES_128_GCM_12]).is_ok());
        for (only_13, suites) in [(false, [OLD]), (true, [ECDSA_AES_128_GCM_12])] {
            assert_eq!(policy(only_13, &suites), Err(NoSuite));
        }
    }
}
