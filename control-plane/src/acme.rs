//! Certificates by ACME (RFC 8555): a source of the certificates that we obtain, and who obtains
//! them.
//!
//! It tells the log of each as any source tells of objects, and makes the calls that `plan` wants
//! made, one at a time for each certificate. What is about to be asked of the CA, and the key that
//! it is asked with, are kept before the call, and what came of it before the next: whoever leads
//! after this process goes on from there, with the log or without.

mod account;
mod answer;
pub mod barrier;
mod calls;
pub mod client;
mod demands;
pub mod dns;
mod issuer;
pub mod key;
mod pods;
mod proofs;
mod record;
mod secret_file;
mod shelf;
mod transport;
mod waiting;
mod words;
mod work;

use std::fmt;
use std::sync::Arc;

use imbl::OrdSet;
use roadstead_matcher::host::HostPattern;
use rustls::pki_types::CertificateDer;
use tokio::sync::watch;

use crate::acme::client::ExternalAccount;
use crate::event::Epoch;
use crate::model::managed::ChallengeType;
use crate::model::time::Timestamp;
use crate::presence::Presence;
use crate::snapshot::publication::Publication;

pub use demands::{Demanded, Demands, Undemandable};
pub use issuer::Issuer;
pub use pods::{ReadyPods, follow as follow_pods};

/// The hosts for which a certificate is wanted and nobody has one; `None`: that is not known yet.
pub type Lacking = Option<OrdSet<HostPattern>>;

/// The CA, and what is asked of it.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The URL of its directory.
    pub directory: String,
    /// The roots that it is believed by; without, the well-known ones.
    pub roots: Option<Vec<CertificateDer<'static>>>,
    /// What an account that is made is bound to.
    pub external: Option<ExternalAccount>,
    /// Whom it may write to, as URLs.
    pub contact: Vec<String>,
    /// Which kind of certificates.
    pub profile: Option<String>,
    /// By which ways it may find out that hosts are ours, the first choice first; at least one.
    pub challenges: Vec<ChallengeType>,
    /// Who tells the DNS.
    pub dns: dns::Settings,
    /// Orders within three hours; 0: any number.
    pub orders: u32,
    /// Orders for the same names within a week; 0: any number.
    pub same_names: u32,
    /// How long it may take until a Secret is known that an Ingress names, in milliseconds.
    pub settled: i64,
}

/// What is followed.
#[derive(Clone, Debug)]
pub struct Followed {
    pub lacking: watch::Receiver<Lacking>,
    pub publications: watch::Receiver<Arc<Publication>>,
    pub presence: watch::Receiver<Presence>,
    /// Which pods take traffic, connected or not.
    pub ready: watch::Receiver<ReadyPods>,
    /// The log cannot be written: nothing is begun that it could not tell.
    pub frozen: watch::Receiver<bool>,
    /// All has to be told again.
    pub relisted: watch::Receiver<u64>,
    /// The term is about to end: nothing is begun any more.
    pub ending: watch::Receiver<bool>,
}

/// In whose name: an installation, in a term.
#[derive(Clone)]
pub struct Term {
    pub lineage: Arc<str>,
    pub epoch: Epoch,
    /// Whether it still counts.
    pub holds: Arc<dyn Fn() -> bool + Send + Sync>,
    /// What time it is.
    pub clock: fn() -> Timestamp,
}

impl fmt::Debug for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Term({} {})", self.lineage, self.epoch)
    }
}
