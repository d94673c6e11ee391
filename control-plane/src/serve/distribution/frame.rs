//! Messages to proxies that are encoded already, and the body that passes them on.
//!
//! The generated service would encode each message for each proxy anew, into a buffer of its
//! stream that stays as large as the largest of them; a change goes to all proxies in the same
//! bytes.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{BufMut as _, Bytes};
use http::HeaderMap;
use http_body::Body;
use prost::Message as _;
use roadstead_proto::v1;
use tokio::sync::mpsc;
use tonic::Status;
use tonic::codec::{BufferSettings, DecodeBuf, Decoder};

/// An encoded `TransferMessage`, with gRPC's prefix.
#[derive(Clone, Debug)]
pub(super) struct Frame(Bytes);

impl Frame {
    pub(super) fn of(message: v1::transfer_message::Message) -> Self {
        let message = v1::TransferMessage {
            message: Some(message),
        };
        let length = message.encoded_len();
        let mut bytes = Vec::with_capacity(PREFIX + length);
        // Not compressed, and its length.
        bytes.put_u8(0);
        bytes.put_u32(u32::try_from(length).unwrap_or(u32::MAX));
        // It fails only for want of room.
        let _: Result<(), prost::EncodeError> = message.encode(&mut bytes);
        Self(bytes.into())
    }

    /// Bytes of the message.
    pub(super) fn len(&self) -> usize {
        self.0.len().saturating_sub(PREFIX)
    }
}

/// What a proxy is sent: frames as they come, and at last how the stream ended.
#[derive(Debug)]
pub(super) struct Outgoing(Option<mpsc::Receiver<Result<Frame, Status>>>);

impl Outgoing {
    pub(super) fn new(frames: mpsc::Receiver<Result<Frame, Status>>) -> Self {
        Self(Some(frames))
    }
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, Infallible>>> {
        let Some(frames) = &mut self.0 else {
            return Poll::Ready(None);
        };
        let status = match ready!(frames.poll_recv(cx)) {
            Some(Ok(Frame(bytes))) => return Poll::Ready(Some(Ok(http_body::Frame::data(bytes)))),
            Some(Err(status)) => status,
            None => Status::ok(""),
        };
        self.0 = None;
        let mut trailers = HeaderMap::new();
        if let Err(unfit) = status.add_header(&mut trailers) {
            // A text that is no header's; this one is.
            let _: Result<(), Status> = unfit.add_header(&mut trailers);
        }
        Poll::Ready(Some(Ok(http_body::Frame::trailers(trailers))))
    }
}

/// Reads what proxies say.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ProxyDecoder;

impl Decoder for ProxyDecoder {
    type Item = v1::ProxyMessage;
    type Error = Status;

    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::new(ACK_BYTES, ACK_BYTES)
    }

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<v1::ProxyMessage>, Status> {
        let message = v1::ProxyMessage::decode(from);
        message
            .map(Some)
            .map_err(|error| Status::invalid_argument(format!("not a ProxyMessage: {error}")))
    }
}

/// gRPC over HTTP/2, "Length-Prefixed-Message": a flag and a length.
const PREFIX: usize = 5;
/// An acknowledgement without faults has less; larger messages make room for themselves.
const ACK_BYTES: usize = 512;
