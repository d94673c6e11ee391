//! `DistributionService` as gRPC calls it.
//!
//! Written by hand where the other services are generated, for what is sent: see `frame`.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::HeaderValue;
use http::header::CONTENT_TYPE;
use roadstead_proto::v1::distribution_service_server::SERVICE_NAME;
use tokio::sync::mpsc;
use tonic::body::Body;
use tonic::server::NamedService;
use tonic::{Status, Streaming};
use tower::Service;

use crate::serve::distribution::Arrival;
use crate::serve::distribution::frame::{Outgoing, ProxyDecoder};
use crate::serve::listen::Peer;

/// Takes streams in, and hands them to their owner.
#[derive(Clone, Debug)]
pub(in crate::serve) struct DistributionServer {
    arrivals: mpsc::Sender<Arrival>,
}

impl DistributionServer {
    pub(super) fn new(arrivals: mpsc::Sender<Arrival>) -> Self {
        Self { arrivals }
    }
}

impl NamedService for DistributionServer {
    const NAME: &'static str = SERVICE_NAME;
}

type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

impl Service<http::Request<Body>> for DistributionServer {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let arrivals = self.arrivals.clone();
        Box::pin(async move {
            let method = request.uri().path().rsplit('/').next();
            if method != Some(METHOD) {
                let status = Status::unimplemented("DistributionService has one method: Stream");
                return Ok(status.into_http());
            }
            let (outbound, frames) = mpsc::channel(FRAMES);
            let (parts, body) = request.into_parts();
            let arrival = Arrival {
                peer: parts.extensions.get::<Peer>().cloned(),
                inbound: Streaming::new_request(ProxyDecoder, body, None, Some(MESSAGE_BYTES)),
                outbound,
            };
            if arrivals.send(arrival).await.is_err() {
                let status = Status::unavailable("the control plane stops: connect again");
                return Ok(status.into_http());
            }
            let mut response = http::Response::new(Body::new(Outgoing::new(frames)));
            response.headers_mut().insert(CONTENT_TYPE, GRPC);
            Ok(response)
        })
    }
}

const METHOD: &str = "Stream";
/// An acknowledgement with a few thousand faults.
const MESSAGE_BYTES: usize = 4 << 20;
/// Messages between a stream and its connection: all of a small transfer, so that they go out
/// together.
const FRAMES: usize = 3;
const GRPC: HeaderValue = HeaderValue::from_static("application/grpc");
