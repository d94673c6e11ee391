//! `DistributionService` as gRPC calls it.
//!
//! Written by hand where the other services are generated, for the codec: see `frame`.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use roadstead_proto::v1::{self, distribution_service_server::SERVICE_NAME};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::body::Body;
use tonic::server::{Grpc, NamedService, StreamingService};
use tonic::{Request, Response, Status, Streaming};
use tower::Service;

use crate::serve::distribution::Arrival;
use crate::serve::distribution::frame::{Frame, FrameCodec};
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
        let opened = Open(self.arrivals.clone());
        Box::pin(async move {
            let method = request.uri().path().rsplit('/').next();
            if method != Some(METHOD) {
                let status = Status::unimplemented("DistributionService has one method: Stream");
                return Ok(status.into_http());
            }
            let mut grpc = Grpc::new(FrameCodec).max_decoding_message_size(MESSAGE_BYTES);
            Ok(grpc.streaming(opened, request).await)
        })
    }
}

struct Open(mpsc::Sender<Arrival>);

impl StreamingService<v1::ProxyMessage> for Open {
    type Response = Frame;
    type ResponseStream = ReceiverStream<Result<Frame, Status>>;
    type Future = BoxFuture<Result<Response<Self::ResponseStream>, Status>>;

    fn call(&mut self, request: Request<Streaming<v1::ProxyMessage>>) -> Self::Future {
        let arrivals = self.0.clone();
        Box::pin(async move {
            let (outbound, stream) = mpsc::channel(FRAMES);
            let peer = request.extensions().get::<Peer>();
            let arrival = Arrival {
                peer: peer.and_then(Peer::address),
                credential: peer.and_then(Peer::credential).cloned(),
                inbound: request.into_inner(),
                outbound,
            };
            let sent = arrivals.send(arrival).await;
            sent.map_err(|_| Status::unavailable("the control plane stops: connect again"))?;
            Ok(Response::new(ReceiverStream::new(stream)))
        })
    }
}

const METHOD: &str = "Stream";
/// An acknowledgement with a few thousand faults.
const MESSAGE_BYTES: usize = 4 << 20;
/// Messages between a stream and its connection: with one, each would wait for the other.
const FRAMES: usize = 2;
