//! Router, certificates, challenges and upstreams of one version, behind one pointer.
//!
//! What must agree is switched together: a thread that has this has all of one version.

mod certificates;
mod challenges;
mod compiler;
mod ticket_secrets;
mod upstreams;

pub use certificates::{Certificates, Shown, ShownChange, ShownChanges};
pub use challenges::Challenges;
pub use compiler::Compiler;
pub use ticket_secrets::TicketSecrets;
pub use upstreams::{Upstream, UpstreamTable};

use crate::router::Router;
use crate::snapshot::Version;
pub use crate::snapshot::{Endpoint, Target};

/// What a traffic thread serves by.
#[derive(Clone, Debug)]
pub struct Active {
    pub version: Version,
    pub router: Router,
    pub certificates: Certificates,
    pub challenges: Challenges,
    pub ticket_secrets: TicketSecrets,
    pub upstreams: UpstreamTable,
}

impl Active {
    /// What is served by before the first version: nothing.
    pub fn empty() -> Self {
        let version = Version {
            lineage: "".into(),
            epoch: 0,
            seq: 0,
        };
        Self {
            version,
            router: Router::default(),
            certificates: Certificates::default(),
            challenges: Challenges::default(),
            ticket_secrets: TicketSecrets::default(),
            upstreams: UpstreamTable::default(),
        }
    }
}
