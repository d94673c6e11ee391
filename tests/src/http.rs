//! A small HTTP client that hides nothing: where it connects, what it asks, what came back.
//!
//! The address, the host and the path are apart, because that is what routing is about; nothing is
//! followed, retried, unpacked or pooled.

use std::{net::SocketAddr, time::Duration};

use anyhow::Context;
use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode, header::HOST};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, client::conn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{net::TcpStream, task::JoinSet, time::timeout};

/// An answer, read to its end.
#[derive(Clone, Debug)]
pub struct Reply {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Reply {
    /// A header's value as text; empty if the header is absent.
    pub fn header(&self, name: &str) -> &str {
        let value = self
            .headers
            .get(name)
            .map(|value| value.to_str().unwrap_or_default());
        value.unwrap_or_default()
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// Asks once, on a connection of its own.
pub async fn get(address: SocketAddr, host: &str, path: &str) -> anyhow::Result<Reply> {
    let mut connection = Connection::open(address, Protocol::Http1).await?;
    connection.send(request(Method::GET, host, path)).await
}

/// A request without a body; more headers or a body are the caller's.
pub fn request(method: Method, host: &str, path: &str) -> Request<Full<Bytes>> {
    let mut request = Request::new(Full::default());
    *request.method_mut() = method;
    // What is not a URI or a header value is an invalid request, and the answer shows it.
    *request.uri_mut() = path.parse().unwrap_or_default();
    if let Ok(host) = host.parse() {
        request.headers_mut().insert(HOST, host);
    }
    request
}

/// What is spoken on a connection; HTTP/2 by prior knowledge.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Protocol {
    Http1,
    Http2,
}

/// One connection, kept open between requests.
#[derive(Debug)]
pub struct Connection {
    sender: Sender,
    /// Drives the connection; ends with it.
    _driver: JoinSet<()>,
}

#[derive(Debug)]
enum Sender {
    Http1(conn::http1::SendRequest<Full<Bytes>>),
    Http2(conn::http2::SendRequest<Full<Bytes>>),
}

impl Connection {
    /// Connects and shakes hands.
    pub async fn open(address: SocketAddr, protocol: Protocol) -> anyhow::Result<Self> {
        let stream = timeout(LIMIT, TcpStream::connect(address))
            .await
            .map_err(anyhow::Error::from)
            .and_then(|stream| Ok(stream?))
            .with_context(|| format!("connect to {address}"))?;
        Self::over(stream, protocol).await
    }

    /// Shakes hands on a connection on which other things may have been said before.
    pub async fn over(stream: TcpStream, protocol: Protocol) -> anyhow::Result<Self> {
        let io = TokioIo::new(stream);
        let mut driver = JoinSet::new();
        // How a connection ended is seen by who sends on it.
        let sender = match protocol {
            Protocol::Http1 => {
                let (sender, connection) = conn::http1::handshake(io).await?;
                driver.spawn(async move { drop(connection.with_upgrades().await) });
                Sender::Http1(sender)
            }
            Protocol::Http2 => {
                let (sender, connection) = conn::http2::handshake(TokioExecutor::new(), io).await?;
                driver.spawn(async move { drop(connection.await) });
                Sender::Http2(sender)
            }
        };
        Ok(Self {
            sender,
            _driver: driver,
        })
    }

    /// Sends a request and reads the whole answer.
    pub async fn send(&mut self, request: Request<Full<Bytes>>) -> anyhow::Result<Reply> {
        let whole = async {
            let (head, body) = self.begin(request).await?.into_parts();
            let body = body
                .collect()
                .await
                .context("read the answer's body")?
                .to_bytes();
            Ok(Reply {
                status: head.status,
                headers: head.headers,
                body,
            })
        };
        timeout(LIMIT, whole)
            .await
            .context("no whole answer in time")?
    }

    /// Sends a request and returns as soon as the head of the answer is there.
    pub async fn begin(
        &mut self,
        mut request: Request<Full<Bytes>>,
    ) -> anyhow::Result<Response<Incoming>> {
        let response = match &mut self.sender {
            Sender::Http1(sender) => {
                sender.ready().await?;
                sender.send_request(request).await
            }
            Sender::Http2(sender) => {
                // HTTP/2 has `:authority` in place of `Host`.
                if let Some(host) = request.headers_mut().remove(HOST) {
                    let uri = format!("http://{}{}", host.to_str()?, request.uri());
                    *request.uri_mut() = uri.parse()?;
                }
                sender.ready().await?;
                sender.send_request(request).await
            }
        };
        response.context("no answer")
    }
}

/// Far above what any answer takes that a test waits for.
const LIMIT: Duration = Duration::from_secs(30);
