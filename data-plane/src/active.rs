//! Router and upstreams of one version, behind one pointer.
//!
//! What must agree is switched together: a thread that has this has all of one version.

mod compiler;
mod upstreams;

pub use compiler::Compiler;
pub use upstreams::{Upstream, UpstreamTable};

pub use crate::snapshot::{Endpoint, Target};
use crate::{router::Router, snapshot::Version};

/// What a traffic thread serves by.
#[derive(Clone, Debug)]
pub struct Active {
    pub version: Version,
    pub router: Router,
    pub upstreams: UpstreamTable,
}
