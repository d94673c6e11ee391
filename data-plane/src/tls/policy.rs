//! What all handshakes by one policy share.
//!
//! Apart from the policy, which is only said, and from the handshakes, each of which has a
//! certificate beside it.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use arc_swap::ArcSwap;
use rustls::{
    ServerConfig, SupportedCipherSuite, SupportedProtocolVersion,
    crypto::{CryptoProvider, aws_lc_rs},
    server::{NoServerSessionStorage, ResolvesServerCertUsingSni},
    sign::{CertifiedKey, SingleCertAndKey},
    version::TLS13,
};

use super::{H2, HTTP11, ticketer::Ticketer, tickets::Tickets};
use crate::bundle::Bundle;
use crate::snapshot::TlsPolicy;

/// A policy, ready to be used with any certificate.
#[derive(Debug)]
pub(super) struct Base {
    pub(super) policy: TlsPolicy,
    ticketer: Arc<ArcSwap<Ticketer>>,
    /// By which it is told from others.
    number: u64,
    /// Without a certificate.
    config: ServerConfig,
}

impl Base {
    pub(super) fn new(
        policy: TlsPolicy,
        ticketer: &Arc<ArcSwap<Ticketer>>,
    ) -> Result<Self, rustls::Error> {
        let known = aws_lc_rs::default_provider();
        let suites = known.cipher_suites.iter();
        let provider = CryptoProvider {
            cipher_suites: suites
                .filter(|suite| policy.permits(suite.suite()))
                .copied()
                .collect(),
            // As a client's order decides, this says only what there is.
            kx_groups: vec![
                aws_lc_rs::kx_group::X25519MLKEM768,
                aws_lc_rs::kx_group::X25519,
                aws_lc_rs::kx_group::SECP256R1,
                aws_lc_rs::kx_group::SECP384R1,
            ],
            ..known
        };
        let versions: &[&'static SupportedProtocolVersion] = match policy.is_only_13() {
            true => &[&TLS13],
            false => rustls::ALL_VERSIONS,
        };
        let mut config = ServerConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(versions)?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(ResolvesServerCertUsingSni::new()));
        config.alpn_protocols = vec![H2.to_vec(), HTTP11.to_vec()];
        config.session_storage = Arc::new(NoServerSessionStorage {});
        if !policy.has_session_tickets() {
            config.send_tls13_tickets = 0;
        }
        Ok(Self {
            policy,
            ticketer: Arc::clone(ticketer),
            number: NUMBER.fetch_add(1, Ordering::Relaxed),
            config,
        })
    }

    pub(super) fn suites(&self) -> &[SupportedCipherSuite] {
        &self.config.crypto_provider().cipher_suites
    }

    /// To be used with this certificate, whose key this is.
    pub(super) fn config(&self, bundle: &Bundle, key: &Arc<CertifiedKey>) -> Arc<ServerConfig> {
        bundle.config(self.number, || {
            let mut config = self.config.clone();
            config.cert_resolver = Arc::new(SingleCertAndKey::from(Arc::clone(key)));
            if self.policy.has_session_tickets() {
                let tickets = Tickets::new(&self.policy, bundle.name(), &self.ticketer);
                config.ticketer = Arc::new(tickets);
            }
            config
        })
    }
}

static NUMBER: AtomicU64 = AtomicU64::new(0);
