//! Certificates, and a client that speaks TLS and believes every certificate.

use std::{
    io::{Error, Write},
    net::{SocketAddr, TcpStream},
    sync::Arc,
};

use prost::Message;
use rcgen::{
    CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256, SignatureAlgorithm,
};
use roadstead_data_plane::{
    active::{Certificates, Shown, ShownChange},
    bundle::Bundle,
    snapshot::{self, BundleName, Certificate, KeyType},
};
use roadstead_matcher::host::HostPattern;
use roadstead_proto::v1::CertificateBundle;
use rustls::{
    AlertDescription, CipherSuite, ClientConfig, ClientConnection, DigitallySignedStruct,
    SignatureScheme, StreamOwned, SupportedProtocolVersion,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, SupportedKxGroup, aws_lc_rs},
    pki_types::{CertificateDer, ServerName, UnixTime},
};

use super::Client;

/// A certificate that a proxy shows.
pub(crate) struct Shows {
    host: String,
    shown: Arc<Shown>,
    /// What a client sees of it.
    pub(crate) der: Vec<u8>,
}

#[derive(Clone, Copy)]
pub(crate) enum Algorithm {
    Ecdsa,
    Rsa,
}

/// A new certificate of this name for a host, and a key of this type.
pub(crate) fn shows(name: &str, host: &str, algorithm: Algorithm) -> Shows {
    let (key_type, algorithm): (_, &SignatureAlgorithm) = match algorithm {
        Algorithm::Ecdsa => (KeyType::Ecdsa, &PKCS_ECDSA_P256_SHA256),
        Algorithm::Rsa => (KeyType::Rsa, &PKCS_RSA_SHA256),
    };
    let key = KeyPair::generate_for(algorithm).unwrap();
    let params = CertificateParams::new([host.to_owned()]).unwrap();
    let der = params.self_signed(&key).unwrap().der().to_vec();
    let bytes = CertificateBundle {
        chain: vec![der.clone()],
        private_key: key.serialize_der(),
    };
    let bytes = bytes.encode_to_vec();
    let bundle = BundleName::of(&bytes);
    let shown = Shown {
        name: name.into(),
        certificate: Certificate { bundle, key_type },
        bundle: Arc::new(Bundle::checked(bundle, bytes.into()).unwrap()),
    };
    Shows {
        host: host.to_owned(),
        shown: Arc::new(shown),
        der,
    }
}

/// What is said of a host, for which one is expected if there is none.
pub(crate) fn named(host: &str, certificates: Arc<[Arc<str>]>) -> Arc<snapshot::ServerName> {
    Arc::new(snapshot::ServerName {
        host: HostPattern::parse(host).unwrap(),
        expected: certificates.is_empty(),
        certificates,
    })
}

/// All of these, each for its host.
pub(crate) fn certificates(all: &[Shows]) -> Certificates {
    let mut certificates = Certificates::default();
    for one in all {
        let of_host = all.iter().filter(|other| other.host == one.host);
        let names = of_host.map(|shows| shows.shown.name.clone()).collect();
        certificates.name(&named(&one.host, names));
        certificates.change(&ShownChange {
            before: None,
            after: Some(Arc::clone(&one.shown)),
        });
    }
    certificates
}

/// A client's connection after its handshake.
pub(crate) type Secure = Client<StreamOwned<ClientConnection, TcpStream>>;

/// What a client offers.
#[derive(Clone)]
pub(crate) struct Offers {
    pub(crate) config: ClientConfig,
}

impl Offers {
    /// What rustls offers by itself, and no protocol by ALPN.
    pub(crate) fn new() -> Self {
        Self::of(rustls::ALL_VERSIONS, &aws_lc_rs::default_provider(), None)
    }

    /// This version alone, and its cipher suites: as other clients than rustls say it.
    pub(crate) fn version(version: &'static SupportedProtocolVersion) -> Self {
        let mut provider = aws_lc_rs::default_provider();
        let suites = &mut provider.cipher_suites;
        suites.retain(|suite| suite.version() == version);
        Self::of(&[version], &provider, None)
    }

    /// Signatures by these alone.
    pub(crate) fn signed_by(schemes: &[SignatureScheme]) -> Self {
        let provider = aws_lc_rs::default_provider();
        Self::of(rustls::ALL_VERSIONS, &provider, Some(schemes.to_vec()))
    }

    /// Key exchange by these, with a share of the first alone.
    pub(crate) fn exchanging(groups: &[&'static dyn SupportedKxGroup]) -> Self {
        let provider = CryptoProvider {
            kx_groups: groups.to_vec(),
            ..aws_lc_rs::default_provider()
        };
        Self::of(rustls::ALL_VERSIONS, &provider, None)
    }

    /// Takes a certificate unseen, and its signature: what a CA looks at, the usual check of one
    /// refuses for an extension that it does not know.
    pub(crate) fn unsigned(mut self) -> Self {
        let provider = Arc::clone(self.config.crypto_provider());
        let algorithms = provider.signature_verification_algorithms;
        let trusting = Trusting {
            schemes: algorithms.supported_schemes(),
            verifies: false,
            provider,
        };
        let mut config = self.config.dangerous();
        config.set_certificate_verifier(Arc::new(trusting));
        self
    }

    pub(crate) fn protocols(mut self, protocols: &[&str]) -> Self {
        let protocols = protocols.iter().map(|name| name.as_bytes().to_vec());
        self.config.alpn_protocols = protocols.collect();
        self
    }

    /// Says no server name.
    pub(crate) fn nameless(mut self) -> Self {
        self.config.enable_sni = false;
        self
    }

    pub(crate) fn begin(&self, name: &str) -> ClientConnection {
        let name = ServerName::try_from(name.to_owned()).unwrap();
        ClientConnection::new(Arc::new(self.config.clone()), name).unwrap()
    }

    /// Does a whole handshake, or fails as the client sees it.
    pub(crate) fn connect(&self, address: SocketAddr, name: &str) -> Result<Secure, Error> {
        let Client { stream, .. } = Client::connect(address);
        let mut stream = StreamOwned::new(self.begin(name), stream);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock)?;
        }
        stream.flush()?;
        Ok(Client::on(stream))
    }

    fn of(
        versions: &[&'static SupportedProtocolVersion],
        provider: &CryptoProvider,
        schemes: Option<Vec<SignatureScheme>>,
    ) -> Self {
        let provider = Arc::new(provider.clone());
        let algorithms = provider.signature_verification_algorithms;
        let schemes = schemes.unwrap_or_else(|| algorithms.supported_schemes());
        let trusting = Trusting {
            provider: Arc::clone(&provider),
            schemes,
            verifies: true,
        };
        let config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(trusting))
            .with_no_client_auth();
        Self { config }
    }
}

impl Secure {
    /// The certificate that the proxy has shown.
    pub(crate) fn certificate(&self) -> Vec<u8> {
        self.stream.conn.peer_certificates().unwrap()[0].to_vec()
    }

    pub(crate) fn suite(&self) -> CipherSuite {
        self.stream.conn.negotiated_cipher_suite().unwrap().suite()
    }
}

/// How the proxy refused.
pub(crate) fn alert(refused: Result<Secure, Error>) -> AlertDescription {
    let Err(error) = refused else {
        panic!("not refused")
    };
    match error.get_ref().and_then(|error| error.downcast_ref()) {
        Some(rustls::Error::AlertReceived(alert)) => *alert,
        _ => panic!("{error}"),
    }
}

/// Believes in every certificate, if its key has signed.
#[derive(Debug)]
struct Trusting {
    provider: Arc<CryptoProvider>,
    schemes: Vec<SignatureScheme>,
    /// Whether that is looked at.
    verifies: bool,
}

impl ServerCertVerifier for Trusting {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        if !self.verifies {
            return Ok(HandshakeSignatureValid::assertion());
        }
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        if !self.verifies {
            return Ok(HandshakeSignatureValid::assertion());
        }
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes.clone()
    }
}
