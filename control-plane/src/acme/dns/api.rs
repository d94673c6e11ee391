//! Calls to a server that tells the DNS, over HTTPS.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, StatusCode};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::OnceCell;

use crate::acme::answer::Trouble;
use crate::acme::secret_file;
use crate::acme::transport::Transport;

/// A server, and who we are for it.
#[derive(Clone, Debug)]
pub(super) struct Api {
    /// Its URL, which begins with https:// and has no slash at its end.
    url: String,
    authorization: Option<Authorization>,
    /// The file of the roots by which it is believed; without, the well-known ones.
    roots: Option<PathBuf>,
    /// Once those could be read.
    transport: Arc<OnceCell<Transport>>,
}

/// What stands in the header of this name.
#[derive(Clone, Debug)]
pub(super) struct Authorization {
    pub(super) prefix: &'static str,
    /// The file that has the rest. It is read whenever it is needed.
    pub(super) file: PathBuf,
}

/// What came back.
pub(super) struct Reply {
    pub(super) status: StatusCode,
    pub(super) body: Bytes,
}

impl Api {
    pub(super) fn new(
        url: &str,
        authorization: Option<Authorization>,
        roots: Option<PathBuf>,
    ) -> Self {
        Self {
            url: url.trim_end_matches('/').to_owned(),
            authorization,
            roots,
            transport: Arc::default(),
        }
    }

    /// Asks for a path below its URL, by JSON.
    pub(super) async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Reply, String> {
        let body = body.map(Value::to_string);
        let body = body.unwrap_or_default();
        let mut request = self.request(method, path, "application/json", body)?;
        if let Some(authorization) = &self.authorization {
            let value = authorization.value().await?;
            request.headers_mut().insert(AUTHORIZATION, value);
        }
        self.send(request).await
    }

    /// A request for a path below its URL.
    pub(super) fn request(
        &self,
        method: Method,
        path: &str,
        kind: &'static str,
        body: String,
    ) -> Result<Request<Vec<u8>>, String> {
        let request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.url))
            .header(CONTENT_TYPE, HeaderValue::from_static(kind))
            .body(body.into_bytes());
        request.map_err(|error| format!("{}: {error}", self.host()))
    }

    /// Sends one, and takes in what comes back.
    pub(super) async fn send(&self, request: Request<Vec<u8>>) -> Result<Reply, String> {
        let failed = |problem: &str| format!("{}: {problem}", self.host());
        let transport = self.transport.get_or_try_init(|| self.open()).await?;
        let answer = transport.send(request.map(Into::into), MOST).await;
        match (answer.trouble, answer.status) {
            (Some(Trouble::NotSent(why) | Trouble::Lost(why)), _) => Err(failed(&why)),
            (None, Some(status)) => Ok(Reply {
                status,
                body: answer.body,
            }),
            (None, None) => Err(failed("no answer")),
        }
    }

    /// An id that it answered with, which becomes part of a path.
    pub(super) fn id<'a>(&self, id: &'a str) -> Result<&'a str, String> {
        let is_one = (1..=64).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric());
        let host = self.host();
        is_one
            .then_some(id)
            .ok_or_else(|| format!("{host} answers with an id that is none"))
    }

    async fn open(&self) -> Result<Transport, String> {
        let roots = match &self.roots {
            Some(path) => Some(roots(path).await?),
            None => None,
        };
        let opened = Transport::new(roots.as_deref());
        opened.map_err(|error| format!("cannot set up TLS: {error}"))
    }

    /// For a message: who has a path of it may need no other secret.
    pub(super) fn host(&self) -> &str {
        let rest = self.url.trim_start_matches("https://");
        rest.split('/').next().unwrap_or_default()
    }
}

impl Authorization {
    async fn value(&self) -> Result<HeaderValue, String> {
        let path = self.file.display();
        let text = secret_file::read(&self.file).await;
        let text = text.map_err(|error| format!("{path} cannot be read: {error}"))?;
        // Not what the library says of it, which may have parts of it.
        let value = HeaderValue::from_str(&format!("{}{}", self.prefix, text.trim()));
        let mut value = value.map_err(|_| format!("{path} is not one line of text"))?;
        value.set_sensitive(true);
        Ok(value)
    }
}

async fn roots(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let unusable = |why: &str| format!("{} {why}", path.display());
    let pem = tokio::fs::read(path).await;
    let pem = pem.map_err(|error| unusable(&format!("cannot be read: {error}")))?;
    let roots: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let roots = roots.map_err(|error| unusable(&error.to_string()))?;
    match roots.is_empty() {
        true => Err(unusable("has no certificates in PEM")),
        false => Ok(roots),
    }
}

/// An answer in XML.
pub(super) fn xml<T: DeserializeOwned>(body: &[u8]) -> Result<T, String> {
    let text = std::str::from_utf8(body).map_err(|error| error.to_string())?;
    quick_xml::de::from_str(text).map_err(|error| error.to_string())
}

/// Whether a name can be a part of a path or a query as it is.
pub(super) fn is_plain(name: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    !name.is_empty() && name.bytes().all(is_plain)
}

/// Bytes of an answer that are taken in.
const MOST: usize = 256 * 1024;
