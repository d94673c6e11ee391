//! Roadstead's wire contract: the types generated from `roadstead/v1/*.proto`,
//! and the set hash that both ends keep over them.
//!
//! It is the only code besides the matcher that both planes share.

pub mod bundle;
pub mod digest;
mod secret;

/// An error with its causes: that of tonic's transport alone says only "transport error".
pub fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// Types of the package `roadstead.v1`; each is documented in its `.proto` file.
pub mod v1 {
    #![allow(clippy::all, reason = "generated code is not ours to shape")]
    tonic::include_proto!("roadstead.v1");
}

/// The encoded `FileDescriptorSet` of the package, for server reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

/// In the trailers of a stream that a replica refuses because another leads: where that one is
/// reached, as `https://HOST:PORT`.
pub const LEADER: &str = "roadstead-leader";
