//! An authority of the test's own, Secrets with its certificates, and a client that trusts it.

use std::{net::SocketAddr, path::PathBuf, sync::Arc};

use anyhow::Context;
use bytes::Bytes;
use http_body_util::Full;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName},
};
use tokio::{net::TcpStream, task::JoinSet};
use tokio_rustls::TlsConnector;

use crate::sandbox::Sandbox;

/// Who issues certificates.
#[derive(Debug)]
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// Its own certificate, in PEM.
    pub pem: String,
    der: Vec<u8>,
}

/// A certificate and its key, in PEM.
#[derive(Debug)]
pub struct Pair {
    pub chain: String,
    pub key: String,
    /// The certificate, in DER.
    pub der: Vec<u8>,
}

/// A connection on which nothing but HTTP/1.1 is spoken.
#[derive(Debug)]
pub struct Secure {
    pub sender: SendRequest<Full<Bytes>>,
    /// What the server has shown, in DER.
    pub shown: Vec<u8>,
    /// Drives the connection; ends with it.
    _driver: JoinSet<()>,
}

impl Authority {
    pub fn new() -> anyhow::Result<Self> {
        let mut params = CertificateParams::default();
        params
            .distinguished_name
            .push(DnType::CommonName, "an authority of tests");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate()?;
        let certificate = params.self_signed(&key)?;
        Ok(Self {
            pem: certificate.pem(),
            der: certificate.der().to_vec(),
            issuer: Issuer::new(params, key),
        })
    }

    /// A certificate for these names.
    pub fn issue(&self, names: &[&str]) -> anyhow::Result<Pair> {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let key = KeyPair::generate()?;
        let certificate = CertificateParams::new(names)?.signed_by(&key, &self.issuer)?;
        Ok(Pair {
            chain: certificate.pem(),
            key: key.serialize_pem(),
            der: certificate.der().to_vec(),
        })
    }

    /// Writes its certificate into a file, for clients.
    pub fn save(&self, sandbox: &Sandbox) -> anyhow::Result<PathBuf> {
        sandbox.write("authority.pem", &self.pem)
    }

    /// The same, in DER.
    pub fn root(&self) -> CertificateDer<'static> {
        self.der.clone().into()
    }

    /// Connects and does the handshake; an error if the certificate is not for the host.
    pub async fn connect(&self, address: SocketAddr, host: &str) -> anyhow::Result<Secure> {
        connect(&self.root(), address, host).await
    }
}

/// Connects, trusting this root alone, and does the handshake; an error if the certificate is not
/// for the host.
pub async fn connect(
    root: &CertificateDer<'static>,
    address: SocketAddr,
    host: &str,
) -> anyhow::Result<Secure> {
    let mut roots = RootCertStore::empty();
    roots.add(root.clone())?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let tcp = TcpStream::connect(address).await?;
    let name = ServerName::try_from(host.to_owned())?;
    let connector = TlsConnector::from(Arc::new(config));
    let stream = connector.connect(name, tcp).await?;
    let shown = stream.get_ref().1.peer_certificates();
    let shown = shown.and_then(|chain| Some(chain.first()?.to_vec()));
    let shown = shown.context("the server has shown no certificate")?;
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let mut driver = JoinSet::new();
    driver.spawn(async move {
        // Whoever sends on it learns of its end.
        let _ended = connection.await;
    });
    Ok(Secure {
        sender,
        shown,
        _driver: driver,
    })
}

impl Pair {
    /// What of its key no other has, in DER: the end of the private number, before the public one.
    pub fn secret_der(&self) -> anyhow::Result<Vec<u8>> {
        let der = KeyPair::from_pem(&self.key)?.serialize_der();
        // PKCS #8 of a P-256 key: 36 bytes stand before the 32 of the number.
        let number = der.get(36..68).context("not a key of P-256")?;
        Ok(number.to_vec())
    }

    /// A Secret of this name that holds it.
    pub fn secret(&self, name: &str) -> String {
        format!(
            "apiVersion: v1\nkind: Secret\nmetadata: {{name: {name}}}\ntype: kubernetes.io/tls\n\
             stringData:\n  tls.crt: |\n{}  tls.key: |\n{}",
            indented(&self.chain),
            indented(&self.key)
        )
    }
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("    {line}\n")).collect()
}
