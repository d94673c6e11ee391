//! An OpenTelemetry collector that notes what it is sent.

use std::{collections::BTreeMap, convert::Infallible, net::SocketAddr};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{net::TcpListener, sync::watch, task::JoinSet};

/// What was sent to each method, as bytes.
type Noted = BTreeMap<String, Vec<u8>>;

pub(crate) struct Collector {
    pub(crate) address: SocketAddr,
    noted: watch::Receiver<Noted>,
    _tasks: JoinSet<()>,
}

impl Collector {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (notes, noted) = watch::channel(Noted::new());
        let mut tasks = JoinSet::new();
        tasks.spawn_local(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let notes = notes.clone();
                let service = service_fn(move |request| note(request, notes.clone()));
                let connection = http2::Builder::new(TokioExecutor::new())
                    .serve_connection(TokioIo::new(stream), service);
                tokio::task::spawn_local(connection);
            }
        });
        Self {
            address,
            noted,
            _tasks: tasks,
        }
    }

    /// Whether this text was sent to this method.
    pub(crate) fn has(&self, method: &str, text: &str) -> bool {
        let noted = self.noted.borrow();
        let mut sent = noted.iter().filter(|(path, _)| path.ends_with(method));
        sent.any(|(_, bytes)| {
            bytes
                .windows(text.len())
                .any(|part| part == text.as_bytes())
        })
    }
}

/// Notes a request and answers it by an empty message.
async fn note(
    request: Request<Incoming>,
    notes: watch::Sender<Noted>,
) -> Result<Response<impl hyper::body::Body<Data = Bytes, Error = Infallible>>, Infallible> {
    let path = request.uri().path().to_owned();
    let body = request.into_body().collect().await.unwrap().to_bytes();
    notes.send_modify(|noted| noted.entry(path).or_default().extend_from_slice(&body));
    let trailers = HeaderMap::from_iter([(
        http::HeaderName::from_static("grpc-status"),
        HeaderValue::from_static("0"),
    )]);
    let answer = Full::new(Bytes::from_static(&[0; 5]));
    let answer = answer.with_trailers(async { Some(Ok(trailers)) });
    let mut response = Response::new(answer);
    let kind = HeaderValue::from_static("application/grpc");
    response.headers_mut().insert("content-type", kind);
    Ok(response)
}
