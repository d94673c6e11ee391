//! The admin port: `/livez`, `/readyz`, `/metrics`.
//!
//! Apart from gRPC, because kubelets and Prometheus bear no token and must not need one:
//! nothing here names an object, a host or a path.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use http::header::{ALLOW, CONTENT_TYPE};
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{sleep, timeout};

use crate::health::Health;
use crate::state::hold::Hold;
use crate::telemetry::Telemetry;

/// The admin port, open.
#[derive(Debug)]
pub struct Admin {
    listener: TcpListener,
    health: Health,
    telemetry: Telemetry,
}

impl Admin {
    /// Opens the port.
    pub async fn bind(
        address: SocketAddr,
        health: Health,
        telemetry: Telemetry,
    ) -> io::Result<Self> {
        Ok(Self {
            listener: TcpListener::bind(address).await?,
            health,
            telemetry,
        })
    }

    /// Where it is open: the address that was asked for, with the port that was found.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Answers until the end of `shutdown`.
    pub async fn run(self, shutdown: impl Future<Output = ()> + Send) {
        let Self {
            listener,
            health,
            telemetry,
        } = self;
        let mut tasks = JoinSet::new();
        // Those that may still be open, the oldest first.
        let mut open = VecDeque::<AbortHandle>::new();
        tokio::pin!(shutdown);
        loop {
            tokio::select! {
                () = &mut shutdown => return,
                Some(_) = tasks.join_next() => open.retain(|task| !task.is_finished()),
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) => {
                        // Who only holds a place keeps no probe waiting.
                        if open.len() >= CONNECTIONS
                            && let Some(oldest) = open.pop_front()
                        {
                            oldest.abort();
                        }
                        let (health, telemetry) = (health.clone(), telemetry.clone());
                        open.push_back(tasks.spawn(serve(stream, health, telemetry)));
                    }
                    Err(error) => {
                        tracing::warn!(%error, "a connection to the admin port was not accepted");
                        sleep(AFTER_ERROR).await;
                    }
                },
            }
        }
    }
}

async fn serve(stream: TcpStream, health: Health, telemetry: Telemetry) {
    let answer = service_fn(|request: Request<Incoming>| {
        let response = answer(request.method(), request.uri().path(), &health, &telemetry);
        async { Ok::<_, Infallible>(response) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .keep_alive(false)
        .header_read_timeout(HEADER_TIMEOUT)
        .max_headers(HEADERS)
        .max_buf_size(BUFFER_BYTES)
        .serve_connection(TokioIo::new(stream), answer);
    match timeout(LIFETIME, connection).await {
        Ok(Ok(())) | Err(_) => {}
        Ok(Err(error)) => tracing::debug!(%error, "a connection to the admin port broke"),
    }
}

fn answer(
    method: &Method,
    path: &str,
    health: &Health,
    telemetry: &Telemetry,
) -> Response<Full<Bytes>> {
    if !matches!(*method, Method::GET | Method::HEAD) {
        let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD".into());
        let allowed = http::HeaderValue::from_static("GET, HEAD");
        response.headers_mut().insert(ALLOW, allowed);
        return response;
    }
    match path {
        "/livez" => match health.stalled() {
            None => text(StatusCode::OK, "alive".into()),
            Some(silent) => {
                let silent = silent.as_secs();
                let message = format!("the engine has been silent for {silent} s");
                text(StatusCode::SERVICE_UNAVAILABLE, message)
            }
        },
        "/readyz" => {
            let unmet: Vec<_> = health.unmet().iter().map(ToString::to_string).collect();
            let unlistable = health.unlistable();
            let unlistable: String = unlistable
                .iter()
                .map(|(origin, kind)| format!("\ncannot be listed: {origin} {kind}"))
                .collect();
            let held: String = health.holds().iter().map(banner).collect();
            if unmet.is_empty() {
                // What is known of such a kind is served on; nobody gains by our absence.
                text(StatusCode::OK, format!("ready{unlistable}{held}"))
            } else {
                let unmet = unmet.join("; ");
                let message = format!("not ready: {unmet}{unlistable}{held}");
                text(StatusCode::SERVICE_UNAVAILABLE, message)
            }
        }
        "/metrics" => match telemetry.metrics_text() {
            Ok(metrics) => text(StatusCode::OK, metrics),
            Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
        },
        _ => text(
            StatusCode::NOT_FOUND,
            "there are /livez, /readyz and /metrics".into(),
        ),
    }
}

fn banner(hold: &Hold) -> String {
    let Hold { id, extent, .. } = hold;
    format!("\nnot found any more, and held until it is confirmed (hold {id}): {extent}")
}

fn text(status: StatusCode, mut body: String) -> Response<Full<Bytes>> {
    if !body.ends_with('\n') {
        body.push('\n');
    }
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = status;
    let plain = http::HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, plain);
    response
}

/// More than any number of kubelets and scrapers; for the next one the oldest is closed.
const CONNECTIONS: usize = 64;
const HEADERS: usize = 64;
const BUFFER_BYTES: usize = 16 * 1024;
const HEADER_TIMEOUT: Duration = Duration::from_secs(30);
/// However slowly someone reads.
const LIFETIME: Duration = Duration::from_secs(600);
/// Out of descriptors, accepting fails at once each time.
const AFTER_ERROR: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests;
