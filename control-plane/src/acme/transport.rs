//! Requests over HTTPS, bounded in size and time, to a host that is believed for its certificate.
//!
//! Redirects are not followed: a CA's directory says where everything is, and the configuration where
//! whoever tells the DNS is.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{HeaderValue, USER_AGENT};
use http::{Method, Request};
use http_body_util::{BodyExt as _, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use instant_acme::BodyWrapper;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};
use tokio::time::timeout;

use crate::acme::answer::{Answer, Trouble};
use crate::acme::words::causes;

/// By which requests are sent. A clone shares its connections.
#[derive(Clone, Debug)]
pub(super) struct Transport {
    client: Client<HttpsConnector<HttpConnector>, BodyWrapper<Bytes>>,
}

impl Transport {
    /// Believes these roots and no others; without, the well-known ones, which come with the
    /// program: its image has no files.
    pub(super) fn new(roots: Option<&[CertificateDer<'static>]>) -> Result<Self, rustls::Error> {
        let known = webpki_root_certs::TLS_SERVER_ROOT_CERTS;
        let mut store = RootCertStore::empty();
        store.add_parsable_certificates(roots.unwrap_or(known).iter().cloned());
        let provider = Arc::new(aws_lc_rs::default_provider());
        let tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(store)
            .with_no_client_auth();
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_only()
            .enable_http1()
            .build();
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(IDLE_CONNECTIONS)
            .http1_max_buf_size(HEADERS)
            .build(connector);
        Ok(Self { client })
    }

    /// Sends a request and takes in at most so many bytes of its answer's body.
    pub(super) async fn send(
        &self,
        mut request: Request<BodyWrapper<Bytes>>,
        most: usize,
    ) -> Answer {
        request.headers_mut().insert(USER_AGENT, AGENT);
        let mut answer = Answer {
            posted: request.method() == Method::POST,
            ..Answer::default()
        };
        let whole = Box::pin(self.take_in(request, most, &mut answer));
        if timeout(LONGEST, whole).await.is_err() {
            let text = format!("no whole answer within {} s", LONGEST.as_secs());
            answer.trouble = Some(Trouble::Lost(text));
        }
        answer
    }

    async fn take_in(
        &self,
        request: Request<BodyWrapper<Bytes>>,
        most: usize,
        answer: &mut Answer,
    ) {
        let response = match self.client.request(request).await {
            Ok(response) => response,
            Err(error) => {
                let text = causes(&error);
                answer.trouble = Some(if error.is_connect() {
                    Trouble::NotSent(text)
                } else {
                    Trouble::Lost(text)
                });
                return;
            }
        };
        let (parts, body) = response.into_parts();
        answer.status = Some(parts.status);
        answer.headers = parts.headers;
        match Limited::new(body, most).collect().await {
            Ok(body) => answer.body = body.to_bytes(),
            Err(error) => answer.trouble = Some(Trouble::Lost(causes(&*error))),
        }
    }
}

/// RFC 8555, 6.1.
const AGENT: HeaderValue =
    HeaderValue::from_static(concat!("roadstead/", env!("CARGO_PKG_VERSION")));

/// Of a request, with connecting and all of its answer.
pub(super) const LONGEST: Duration = Duration::from_secs(30);
/// Shorter than CAs leave a connection open: one that is being closed costs an unknown outcome.
const IDLE: Duration = Duration::from_secs(10);
const IDLE_CONNECTIONS: usize = 4;
const HEADERS: usize = 64 * 1024;
