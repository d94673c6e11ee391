//! Messages to proxies that are encoded already, and the codec that passes them on.
//!
//! The generated service would encode each message for each proxy anew; a change goes to
//! all of them in the same bytes.

use bytes::{BufMut as _, Bytes};
use prost::Message as _;
use roadstead_proto::v1;
use tonic::Status;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};

/// An encoded `TransferMessage`.
#[derive(Clone, Debug)]
pub(super) struct Frame(Bytes);

impl Frame {
    pub(super) fn of(message: v1::transfer_message::Message) -> Self {
        let message = v1::TransferMessage {
            message: Some(message),
        };
        Self(message.encode_to_vec().into())
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// What it says.
    #[cfg(test)]
    pub(super) fn decode(&self) -> v1::transfer_message::Message {
        let message = v1::TransferMessage::decode(self.0.clone()).expect("it is a message");
        message.message.expect("it is of some kind")
    }
}

/// Frames out, decoded messages in.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct FrameCodec;

impl Codec for FrameCodec {
    type Encode = Frame;
    type Decode = v1::ProxyMessage;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for FrameCodec {
    type Item = Frame;
    type Error = Status;

    fn encode(&mut self, Frame(bytes): Frame, into: &mut EncodeBuf<'_>) -> Result<(), Status> {
        into.reserve(bytes.len());
        into.put(bytes);
        Ok(())
    }
}

impl Decoder for FrameCodec {
    type Item = v1::ProxyMessage;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<v1::ProxyMessage>, Status> {
        let message = v1::ProxyMessage::decode(from);
        message
            .map(Some)
            .map_err(|error| Status::invalid_argument(format!("not a ProxyMessage: {error}")))
    }
}
