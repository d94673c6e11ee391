//! An API server whose every answer the test gives.

use std::convert::Infallible;

use bytes::Bytes;
use futures::future::BoxFuture;
use http::{Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::Frame;
use kube::client::Body;
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;
use tower::{Service, service_fn};

type Answer = Response<UnsyncBoxBody<Bytes, std::io::Error>>;

/// Requests that wait for an answer.
pub(super) struct Server {
    asked: mpsc::UnboundedReceiver<(String, oneshot::Sender<Answer>)>,
    /// Those that came before the one that was waited for.
    waiting: Vec<(String, oneshot::Sender<Answer>)>,
}

/// The events of a watch; dropped, it ends.
pub(super) struct Events(mpsc::Sender<Result<Frame<Bytes>, std::io::Error>>);

impl Server {
    pub(super) fn new() -> (
        Self,
        impl Service<
            Request<Body>,
            Response = Answer,
            Error = Infallible,
            Future = BoxFuture<'static, Result<Answer, Infallible>>,
        > + Send
        + 'static,
    ) {
        let (ask, asked) = mpsc::unbounded_channel();
        let service = service_fn(move |request: Request<Body>| {
            let (answer, answered) = oneshot::channel();
            let _ = ask.send((request.uri().to_string(), answer));
            let future: BoxFuture<'static, _> = Box::pin(async move {
                match answered.await {
                    Ok(answer) => Ok(answer),
                    // The test is over.
                    Err(_) => std::future::pending().await,
                }
            });
            future
        });
        let waiting = vec![];
        (Self { asked, waiting }, service)
    }

    /// Answers the next request whose address holds this with a page of a list.
    pub(super) async fn page(&mut self, address: &str, items: &[Value], version: u64, more: &str) {
        let list = json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "IngressList",
            "metadata": {"resourceVersion": version.to_string(), "continue": more},
            "items": items,
        });
        self.answer(address, 200, &list.to_string()).await;
    }

    pub(super) async fn fail(&mut self, address: &str, code: u16, reason: &str) {
        let status = json!({
            "apiVersion": "v1", "kind": "Status", "metadata": {}, "status": "Failure",
            "message": "told to fail", "reason": reason, "code": code,
        });
        self.answer(address, code, &status.to_string()).await;
    }

    pub(super) async fn answer(&mut self, address: &str, code: u16, body: &str) {
        let body = Full::new(Bytes::copy_from_slice(body.as_bytes()));
        let body = body.map_err(|never| match never {}).boxed_unsync();
        let response = Response::builder().status(code).body(body).unwrap();
        let _ = self.asked(address).await.send(response);
    }

    /// Answers the next request whose address holds this with a stream.
    pub(super) async fn watch(&mut self, address: &str) -> Events {
        let (events, frames) = mpsc::channel(16);
        let body = StreamBody::new(ReceiverStream::new(frames)).boxed_unsync();
        loop {
            let (asked, answer) = self.next(address).await;
            if asked.contains("watch=true") {
                answer.send(Response::new(body)).unwrap();
                return Events(events);
            }
            self.waiting.push((asked, answer));
        }
    }

    /// Whether nothing is asked that has this in its address.
    pub(super) fn is_left_alone(&mut self, address: &str) -> bool {
        while let Ok(asked) = self.asked.try_recv() {
            self.waiting.push(asked);
        }
        let open = self
            .waiting
            .iter()
            .filter(|(_, answer)| !answer.is_closed());
        !open
            .map(|(asked, _)| asked)
            .any(|asked| asked.contains(address))
    }

    async fn asked(&mut self, address: &str) -> oneshot::Sender<Answer> {
        self.next(address).await.1
    }

    async fn next(&mut self, address: &str) -> (String, oneshot::Sender<Answer>) {
        // Who asked may have given up meanwhile.
        self.waiting.retain(|(_, answer)| !answer.is_closed());
        let found = self
            .waiting
            .iter()
            .position(|(asked, _)| asked.contains(address));
        if let Some(found) = found {
            return self.waiting.remove(found);
        }
        loop {
            let (asked, answer) = self.asked.recv().await.unwrap();
            if answer.is_closed() {
                continue;
            }
            if asked.contains(address) {
                return (asked, answer);
            }
            self.waiting.push((asked, answer));
        }
    }
}

impl Events {
    pub(super) async fn send(&self, kind: &str, object: Value) {
        // In the order of the API server.
        let line = format!("{{\"type\":\"{kind}\",\"object\":{object}}}\n");
        self.raw(&line).await;
    }

    pub(super) async fn bookmark(&self, version: u64) {
        let object = json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
            "metadata": {"resourceVersion": version.to_string()},
        });
        self.send("BOOKMARK", object).await;
    }

    pub(super) async fn gone(&self) {
        let status = json!({
            "apiVersion": "v1", "kind": "Status", "status": "Failure",
            "message": "too old resource version", "reason": "Expired", "code": 410,
        });
        self.send("ERROR", status).await;
    }

    pub(super) async fn raw(&self, text: &str) {
        let frame = Frame::data(Bytes::copy_from_slice(text.as_bytes()));
        self.0.send(Ok(frame)).await.unwrap();
    }

    pub(super) async fn cut(self) {
        let error = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
        let _ = self.0.send(Err(error)).await;
    }
}
