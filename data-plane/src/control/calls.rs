//! By what the control plane is asked beside the stream of versions.
//!
//! Apart from the questions: all of them go by the channel of the stream, and prove who asks as it
//! does.

use tonic::{
    Request,
    metadata::{Ascii, MetadataValue},
    transport::Channel,
};

/// A control plane that may be asked, for as long as its stream is open.
#[derive(Clone, Debug)]
pub struct Calls {
    channel: Channel,
    token: Option<MetadataValue<Ascii>>,
}

impl Calls {
    /// By the channel and the token, if there is one, by which the stream was opened.
    pub(super) fn new(channel: Channel, token: Option<MetadataValue<Ascii>>) -> Self {
        Self { channel, token }
    }

    pub(super) fn channel(&self) -> Channel {
        self.channel.clone()
    }

    pub(super) fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        if let Some(token) = &self.token {
            let metadata = request.metadata_mut();
            metadata.insert("authorization", token.clone());
        }
        request
    }
}
