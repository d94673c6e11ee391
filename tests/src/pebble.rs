//! Pebble: a CA that speaks ACME and forgets everything, with the DNS by which it finds hosts.
//!
//! It validates as a CA does, from outside: a name is an address by its DNS, and HTTP-01 is asked
//! of that address at a port that the test says. Its own API has a certificate of an authority
//! that is made here.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, ensure};
use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use rustls::pki_types::{CertificateDer, pem::PemObject};
use serde_json::json;
use tokio::{net::UdpSocket, time::timeout};

use crate::{
    http::{self as plain, Connection, Protocol},
    planes::certificates::Authority,
    program::Program,
    sandbox::Sandbox,
    wait,
};

/// How it is to behave.
#[derive(Clone, Debug)]
pub struct Behaviour {
    /// The port of a host where it asks by HTTP-01.
    pub http_port: u16,
    /// And by TLS-ALPN-01.
    pub tls_port: u16,
    /// Whether [`Pebble::answer`] answers there, at 127.0.0.1; else the port is free.
    pub answers: bool,
    /// Of a hundred nonces how many are refused that are none the worse for it.
    pub bad_nonces: u8,
    /// Believes all, and asks nobody.
    pub always_valid: bool,
    /// Of a hundred authorizations how many are taken from an earlier order, where one is.
    pub reused: u8,
    /// Names that it refuses, with all below.
    pub refused: Vec<String>,
    /// Where it looks names up.
    pub dns: SocketAddr,
    /// Keys (base64url) by their names, to one of which each account has to be bound; none: to nothing.
    pub external_accounts: BTreeMap<String, String>,
}

impl Default for Behaviour {
    /// Strict, and asks proxies where the tests of both planes have them listen.
    fn default() -> Self {
        Self {
            http_port: crate::planes::HTTP.port(),
            tls_port: crate::planes::HTTPS.port(),
            answers: false,
            bad_nonces: 0,
            always_valid: false,
            reused: 0,
            refused: Vec::new(),
            dns: DNS,
            external_accounts: BTreeMap::new(),
        }
    }
}

/// A running CA and its DNS.
#[derive(Debug)]
pub struct Pebble {
    /// The CA, to be stopped or frozen. Started again, it knows nothing.
    pub program: Program,
    _dns: Program,
    authority: Authority,
    roots: PathBuf,
    directory: String,
}

impl Pebble {
    /// Starts both and waits until they answer. Every name is 127.0.0.1 until it is said what else.
    pub async fn start(sandbox: &Sandbox, behaviour: &Behaviour) -> anyhow::Result<Self> {
        let authority = Authority::new()?;
        let pair = authority.issue(&["127.0.0.1", "localhost"])?;
        let config = json!({"pebble": {
            "listenAddress": API.to_string(),
            "managementListenAddress": MANAGEMENT.to_string(),
            "certificate": sandbox.write("pebble/api.pem", &pair.chain)?,
            "privateKey": sandbox.write("pebble/api.key", &pair.key)?,
            "httpPort": behaviour.http_port,
            "tlsPort": behaviour.tls_port,
            "domainBlocklist": behaviour.refused,
            "retryAfter": {"authz": 1, "order": 1},
            "keyAlgorithm": "ecdsa",
            "externalAccountBindingRequired": !behaviour.external_accounts.is_empty(),
            "externalAccountMACKeys": behaviour.external_accounts,
            "profiles": {
                "default": {"description": "90 days", "validityPeriod": 90 * DAY},
                "shortlived": {"description": "6 days", "validityPeriod": 6 * DAY},
            },
        }});
        let config = sandbox.write("pebble/config.json", &config.to_string())?;
        let config = config.to_str().context("a path of text")?.to_owned();
        let dns = start_dns(sandbox, behaviour)?;
        let arguments = [
            "PEBBLE_VA_NOSLEEP=1".to_owned(),
            format!("PEBBLE_WFE_NONCEREJECT={}", behaviour.bad_nonces),
            format!(
                "PEBBLE_VA_ALWAYS_VALID={}",
                u8::from(behaviour.always_valid)
            ),
            format!("PEBBLE_AUTHZREUSE={}", behaviour.reused),
            "pebble".to_owned(),
            "-strict".to_owned(),
            "-dnsserver".to_owned(),
            behaviour.dns.to_string(),
            "-config".to_owned(),
            config,
        ];
        let pebble = Self {
            program: Program::start(sandbox, "pebble", Path::new("env"), arguments)?,
            _dns: dns,
            roots: sandbox.write("pebble/authority.pem", &authority.pem)?,
            authority,
            directory: format!("https://{API}/dir"),
        };
        pebble.wait().await?;
        Ok(pebble)
    }

    async fn wait(&self) -> anyhow::Result<()> {
        wait::until_ok("the DNS of Pebble", SOON, async || {
            resolves().await?;
            plain::get(DNS_MANAGEMENT, "localhost", "/").await
        })
        .await?;
        wait::until_ok("Pebble", SOON, async || {
            let get = async |address, path| {
                ask(&self.authority, address, Method::GET, path, String::new()).await
            };
            get(API, "/dir").await?;
            get(MANAGEMENT, "/roots/0").await
        })
        .await?;
        Ok(())
    }

    /// Where a client begins.
    pub fn directory(&self) -> &str {
        &self.directory
    }

    /// The file of the root by which its API is believed.
    pub fn roots(&self) -> &Path {
        &self.roots
    }

    /// The same root.
    pub fn root(&self) -> anyhow::Result<CertificateDer<'static>> {
        Ok(CertificateDer::from_pem_slice(
            self.authority.pem.as_bytes(),
        )?)
    }

    /// The root of the certificates that it issues.
    pub async fn issuing_root(&self) -> anyhow::Result<CertificateDer<'static>> {
        let pem = self.manage(Method::GET, "/roots/0", String::new()).await?;
        Ok(CertificateDer::from_pem_slice(&pem)?)
    }

    /// How many orders it has seen since it was started first.
    pub fn orders(&self) -> anyhow::Result<usize> {
        Ok(self.program.log()?.matches("Added order").count())
    }

    /// Whether it has asked a host for proof.
    pub fn has_asked(&self, host: &str) -> anyhow::Result<bool> {
        let asked = format!("Attempting to validate w/ HTTP: http://{host}");
        Ok(self.program.log()?.contains(&asked))
    }

    /// What it answers when it is asked when to renew this certificate (PEM).
    pub async fn want_renewed(&self, certificate: &str, answer: &str) -> anyhow::Result<()> {
        let body = json!({"Certificate": certificate, "ARIResponse": answer});
        self.manage(Method::POST, "/set-renewal-info/", body.to_string())
            .await?;
        Ok(())
    }

    /// How it stands by a certificate that it issued, by its serial number: `Valid`, or `Revoked` and
    /// why (RFC 5280, section 5.3.1).
    pub async fn status(&self, serial: &str) -> anyhow::Result<(String, Option<u64>)> {
        #[derive(serde::Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Standing {
            status: String,
            #[serde(default)]
            reason: Option<u64>,
        }
        let path = format!("/cert-status-by-serial/{serial}");
        let answer = self.manage(Method::GET, &path, String::new()).await?;
        let Standing { status, reason } = serde_json::from_slice(&answer)?;
        Ok((status, reason))
    }

    async fn manage(&self, method: Method, path: &str, body: String) -> anyhow::Result<Bytes> {
        ask(&self.authority, MANAGEMENT, method, path, body).await
    }

    /// Gives a name these addresses; none: it has none.
    pub async fn resolve(&self, name: &str, addresses: &[Ipv4Addr]) -> anyhow::Result<()> {
        let body = json!({"host": name, "addresses": addresses});
        self.tell("/add-a", &body).await
    }

    /// Answers HTTP-01 for a token; a [`Behaviour`] must have said so.
    pub async fn answer(&self, token: &str, key_authorization: &str) -> anyhow::Result<()> {
        let body = json!({"token": token, "content": key_authorization});
        self.tell("/add-http01", &body).await
    }

    /// Tells the DNS and what answers.
    async fn tell(&self, path: &str, body: &serde_json::Value) -> anyhow::Result<()> {
        let mut request = plain::request(Method::POST, "localhost", path);
        *request.body_mut() = body.to_string().into();
        let mut connection = Connection::open(DNS_MANAGEMENT, Protocol::Http1).await?;
        let reply = connection.send(request).await?;
        ensure!(reply.status == StatusCode::OK, "{path}: {reply:?}");
        Ok(())
    }
}

fn start_dns(sandbox: &Sandbox, behaviour: &Behaviour) -> anyhow::Result<Program> {
    let answers = SocketAddr::from((Ipv4Addr::LOCALHOST, behaviour.http_port)).to_string();
    let answers = if behaviour.answers {
        answers
    } else {
        String::new()
    };
    let arguments = [
        ("-management", DNS_MANAGEMENT.to_string()),
        ("-dnsserver", DNS.to_string()),
        ("-http01", answers),
        ("-defaultIPv6", String::new()),
        ("-doh", String::new()),
        ("-https01", String::new()),
        ("-tlsalpn01", String::new()),
    ];
    let arguments = arguments
        .into_iter()
        .flat_map(|(option, value)| [option.to_owned(), value]);
    let executable = Path::new("pebble-challtestsrv");
    Program::start(sandbox, "pebble-dns", executable, arguments)
}

/// Asks for a name's address, so that it is known that there is somebody to ask.
async fn resolves() -> anyhow::Result<()> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    socket.connect(DNS).await?;
    socket.send(QUERY).await?;
    let mut answer = [0; 512];
    timeout(Duration::from_secs(1), socket.recv(&mut answer)).await??;
    Ok(())
}

async fn ask(
    authority: &Authority,
    address: SocketAddr,
    method: Method,
    path: &str,
    body: String,
) -> anyhow::Result<Bytes> {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("host", address.to_string())
        .header("user-agent", "a test")
        .body(Full::from(body))?;
    let mut connection = Box::pin(authority.connect(address, "127.0.0.1")).await?;
    let answer = connection.sender.send_request(request).await?;
    let status = answer.status();
    let body = answer.into_body().collect().await?.to_bytes();
    ensure!(status == StatusCode::OK, "{path}: {status}: {body:?}");
    Ok(body)
}

const fn local(port: u16) -> SocketAddr {
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), port)
}

const API: SocketAddr = local(14000);
const MANAGEMENT: SocketAddr = local(15000);
const DNS: SocketAddr = local(8053);
const DNS_MANAGEMENT: SocketAddr = local(8055);

/// A query, one question: the address (1) in the internet (1) of the name `a`.
const QUERY: &[u8] = b"\0\x01\x01\0\0\x01\0\0\0\0\0\0\x01a\0\0\x01\0\x01";

const DAY: u32 = 24 * 3600;

/// Far above what they take to start.
const SOON: Duration = Duration::from_secs(20);
