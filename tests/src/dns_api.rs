//! A server by which a DNS is told, over HTTPS: a test says what it answers, and reads what it was
//! asked.

use std::{
    convert::Infallible,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use http::{Request, Response, StatusCode, header::AUTHORIZATION};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use serde_json::Value;
use tokio::{net::TcpListener, task::JoinSet};
use tokio_rustls::TlsAcceptor;

use crate::{planes::certificates::Authority, sandbox::Sandbox};

/// A running server; it stops when it is dropped.
#[derive(Debug)]
pub struct DnsApi {
    asked: Arc<Mutex<Vec<Asked>>>,
    roots: PathBuf,
    _server: JoinSet<()>,
}

/// What it was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    pub method: String,
    /// With its query.
    pub path: String,
    pub authorization: String,
    /// A text, if it is no JSON.
    pub body: Value,
}

type Answer = dyn Fn(&Asked) -> (StatusCode, String) + Send + Sync;

impl DnsApi {
    /// Starts it, with what it answers.
    pub async fn start(
        sandbox: &Sandbox,
        answer: impl Fn(&Asked) -> (StatusCode, String) + Send + Sync + 'static,
    ) -> anyhow::Result<Self> {
        let authority = Authority::new()?;
        let pair = authority.issue(&[&ADDRESS.ip().to_string()])?;
        let chain = vec![CertificateDer::from_pem_slice(pair.chain.as_bytes())?];
        let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes())?;
        let config = ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(chain, key)?;
        let listener = TcpListener::bind(ADDRESS).await?;
        let asked = Arc::default();
        let mut server = JoinSet::new();
        server.spawn(serve(
            listener,
            TlsAcceptor::from(Arc::new(config)),
            Arc::clone(&asked),
            Arc::new(answer),
        ));
        Ok(Self {
            asked,
            roots: sandbox.write("dns-api/authority.pem", &authority.pem)?,
            _server: server,
        })
    }

    /// The file of the root by which it is believed.
    pub fn roots(&self) -> &PathBuf {
        &self.roots
    }

    /// All that it was asked, in order.
    pub fn asked(&self) -> Vec<Asked> {
        let asked = self.asked.lock();
        asked.unwrap_or_else(PoisonError::into_inner).clone()
    }
}

async fn serve(
    listener: TcpListener,
    tls: TlsAcceptor,
    asked: Arc<Mutex<Vec<Asked>>>,
    answer: Arc<Answer>,
) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else { continue };
                let (tls, asked, answer) = (tls.clone(), Arc::clone(&asked), Arc::clone(&answer));
                connections.spawn(async move {
                    let Ok(stream) = tls.accept(stream).await else { return };
                    let service = service_fn(move |request| {
                        take(request, Arc::clone(&asked), Arc::clone(&answer))
                    });
                    // A client that goes away is no concern of the server.
                    let _ = http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn take(
    request: Request<Incoming>,
    all: Arc<Mutex<Vec<Asked>>>,
    answer: Arc<Answer>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let body = body.collect().await;
    let body = body.map_or_else(|_| Bytes::new(), |body| body.to_bytes());
    let authorization = head.headers.get(AUTHORIZATION);
    let authorization = authorization.and_then(|value| value.to_str().ok());
    let asked = Asked {
        method: head.method.to_string(),
        path: head.uri.to_string(),
        authorization: authorization.unwrap_or_default().to_owned(),
        body: serde_json::from_slice(&body)
            .unwrap_or_else(|_| String::from_utf8_lossy(&body).into()),
    };
    let (status, text) = answer(&asked);
    all.lock()
        .unwrap_or_else(PoisonError::into_inner)
        .push(asked);
    let mut response = Response::new(Full::new(text.into()));
    *response.status_mut() = status;
    Ok(response)
}

/// Where it is.
pub const URL: &str = "https://127.0.0.31";
const ADDRESS: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::new(127, 0, 0, 31)), 443);
