//! The resources that this proxy holds, validated, and the version that they make.
//!
//! Pure, and apart from the router, so that what was told and what is in use can be
//! reasoned about without any thread, clock or file.

mod challenge;
mod decode;
mod fault;
mod held;
mod key;
mod refusal;
mod resource;
mod sources;
mod tls_policy;
mod transfer;
mod version;

pub use challenge::{ChallengeAnswer, ChallengeError, ChallengeType, KeyAuthorization, Token};
pub use decode::{CAPABILITIES, Decoded};
pub use fault::{Fault, Reason};
pub use held::{Applied, Held, Restored, Touched, Usable};
pub use key::Key;
pub use refusal::Refusal;
pub use resource::{
    Backend, Certificate, Endpoint, Form, KeyType, Listener, ListenerProtocol, Route, Rule,
    ServerName, Target, Terms,
};
pub use roadstead_proto::bundle::BundleName;
pub use sources::Sources;
pub use tls_policy::{NoSuite, TlsPolicy};
pub use transfer::{Assembly, Limits, Step, Told, Transfer};
pub use version::Version;
