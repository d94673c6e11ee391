//! Backends that answer who they are and what they were asked.
//!
//! What a proxy chose and what it sent upstream can then be read from the answer alone.

use std::{convert::Infallible, net::SocketAddr};

use anyhow::Context;
use bytes::Bytes;
use http::{Request, Response, Version};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use serde::{Deserialize, Serialize};
use tokio::{net::TcpListener, task::JoinSet};

use crate::http::Reply;

/// A backend; it stops, with all its connections, when it is dropped.
#[derive(Debug)]
pub struct Echo {
    address: SocketAddr,
    server: JoinSet<()>,
}

/// What a backend saw: the body of each of its answers, as a line of JSON.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Seen {
    /// The backend's name.
    pub who: String,
    /// The local address of the connection, which is the endpoint that the proxy chose.
    pub at: SocketAddr,
    pub from: SocketAddr,
    pub version: String,
    pub method: String,
    /// Path and query, as they came.
    pub path: String,
    /// In the order in which they came; a value that is not text is shown with replacements.
    pub headers: Vec<(String, String)>,
    /// The length of the request's body.
    pub body: usize,
}

impl Echo {
    /// Starts a backend on an address; port 0 takes a free one.
    pub async fn start(who: &str, address: SocketAddr) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(address)
            .await
            .with_context(|| format!("the backend {who} cannot have {address}"))?;
        let address = listener.local_addr()?;
        let mut server = JoinSet::new();
        server.spawn(serve(listener, who.to_owned()));
        Ok(Self { address, server })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops, and returns when the port and all connections are closed.
    pub async fn stop(mut self) {
        self.server.shutdown().await;
    }
}

impl Seen {
    /// Reads the answer of a backend.
    pub fn from_reply(reply: &Reply) -> anyhow::Result<Self> {
        serde_json::from_slice(&reply.body)
            .with_context(|| format!("not a backend's answer: {} {}", reply.status, reply.text()))
    }

    /// The first value of a header; empty if the header is absent.
    pub fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(key, _)| key == name);
        found.map_or("", |(_, value)| value)
    }
}

/// Connections live in the set, so that they end when the backend does.
async fn serve(listener: TcpListener, who: String) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((stream, from)) = accepted else { continue };
                let Ok(at) = stream.local_addr() else { continue };
                let who = who.clone();
                connections.spawn(async move {
                    let answer = service_fn(move |request| answer(request, who.clone(), at, from));
                    // A client that goes away is no concern of the backend.
                    let _ = auto::Builder::new(TokioExecutor::new())
                        .serve_connection(TokioIo::new(stream), answer)
                        .await;
                });
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn answer(
    request: Request<Incoming>,
    who: String,
    at: SocketAddr,
    from: SocketAddr,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_or(0, |body| body.to_bytes().len());
    let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let seen = Seen {
        at,
        from,
        version: if head.version == Version::HTTP_2 {
            "2"
        } else {
            "1.1"
        }
        .to_owned(),
        method: head.method.to_string(),
        path: head
            .uri
            .path_and_query()
            .map(ToString::to_string)
            .unwrap_or_default(),
        headers: head
            .headers
            .iter()
            .map(|(name, value)| (name.to_string(), text(value)))
            .collect(),
        body,
        who: who.clone(),
    };
    let mut body = serde_json::to_vec(&seen).unwrap_or_default();
    // For who reads it in a terminal.
    body.push(b'\n');
    let mut response = Response::new(Full::new(Bytes::from(body)));
    if let Ok(who) = who.parse() {
        response.headers_mut().insert("x-echo", who);
    }
    Ok(response)
}

#[cfg(test)]
mod tests {
    use http::Method;

    use super::*;
    use crate::http::{Connection, Protocol, get, request};
    use crate::sandbox;

    #[test]
    fn a_backend_tells_what_it_saw_in_both_protocols() {
        sandbox::run(async |_| {
            let echo = Echo::start("a", "10.1.0.1:0".parse()?).await?;
            for (protocol, version) in [(Protocol::Http1, "1.1"), (Protocol::Http2, "2")] {
                let mut connection = Connection::open(echo.address(), protocol).await?;
                for path in ["/one?q=1", "/two"] {
                    let mut asked = request(Method::POST, "example.org", path);
                    asked.headers_mut().insert("x-mark", "7".parse()?);
                    *asked.body_mut() = Full::from("12345");
                    let reply = connection.send(asked).await?;
                    assert_eq!(reply.header("x-echo"), "a");
                    let seen = Seen::from_reply(&reply)?;
                    let expected = ("a", version, "POST", path, 5, "7");
                    let Seen {
                        who,
                        version,
                        method,
                        path,
                        body,
                        ..
                    } = &seen;
                    let mark = seen.header("x-mark");
                    assert_eq!(
                        (&**who, &**version, &**method, &**path, *body, mark),
                        expected
                    );
                    assert_eq!(seen.at, echo.address());
                }
            }
            Ok(())
        });
    }

    #[test]
    fn a_stopped_backend_leaves_its_port_and_its_connections() {
        sandbox::run(async |_| {
            let echo = Echo::start("a", "10.1.0.1:80".parse()?).await?;
            let address = echo.address();
            let mut kept = Connection::open(address, Protocol::Http1).await?;
            kept.send(request(Method::GET, "h", "/")).await?;
            echo.stop().await;
            kept.send(request(Method::GET, "h", "/")).await.unwrap_err();
            get(address, "h", "/").await.unwrap_err();
            let echo = Echo::start("b", address).await?;
            assert_eq!(get(echo.address(), "h", "/").await?.header("x-echo"), "b");
            Ok(())
        });
    }
}
