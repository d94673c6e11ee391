//! A small backend that says who it is and what reached it: for the quickstart and the tests.
//!
//! `roadstead-echo NAME ADDRESS:PORT`; `roadstead-echo wait ADDRESS:PORT` waits until
//! something accepts connections there.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, bail};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let (Some(name), Some(address)) = (arguments.next(), arguments.next()) else {
        bail!("usage: roadstead-echo NAME ADDRESS:PORT");
    };
    let address: SocketAddr = address.parse().context("ADDRESS:PORT")?;
    if name == "wait" {
        wait(address).await
    } else {
        serve(name, address).await
    }
}

async fn wait(address: SocketAddr) -> anyhow::Result<()> {
    for _ in 0..600 {
        if TcpStream::connect(address).await.is_ok() {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    bail!("nothing accepts connections at {address} after 30 s")
}

async fn serve(name: String, address: SocketAddr) -> anyhow::Result<()> {
    let listener = TcpListener::bind(address)
        .await
        .with_context(|| format!("listening at {address}"))?;
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let (stream, _) = accepted?;
                let name = name.clone();
                connections.spawn(async move {
                    let service = service_fn(|request| {
                        let answer = answer(&name, &request);
                        async move { Ok::<_, Infallible>(answer) }
                    });
                    // A client that goes away is no concern of a test backend.
                    let _ = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

fn answer(name: &str, request: &Request<Incoming>) -> Response<Full<Bytes>> {
    let mut text = format!("I am {name}.\n{} {}\n", request.method(), request.uri());
    for (header, value) in request.headers() {
        text.push_str(&format!(
            "{header}: {}\n",
            String::from_utf8_lossy(value.as_bytes())
        ));
    }
    Response::new(Full::new(text.into()))
}
