//! `SecretService`: chains and private keys, for the proxies that serve with them and the replicas
//! that may have to give them.
//!
//! Apart from the stream of snapshots, which names bundles only: this one alone sends key bytes,
//! and nobody but its callers ever sees them.

mod giver;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use roadstead_proto::v1::{self, secret_service_server::SecretService};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use crate::keys::Keys;
use crate::metrics::secrets::{Call, SecretMetrics};
use crate::model::bundle::BundleName;
use crate::serve::error;
use crate::serve::listen::Peer;
use crate::serve::secrets::giver::Answer;
use crate::serve::shares::Shares;
use crate::snapshot::publication::Publication;

pub(super) use giver::Giver;

/// The service.
#[derive(Debug)]
pub(super) struct Secrets {
    keys: Keys,
    publications: watch::Receiver<Arc<Publication>>,
    metrics: SecretMetrics,
    places: Shares<Caller>,
    all: Arc<Semaphore>,
    answers: mpsc::Sender<Answer>,
}

/// Who has a share of the calls.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Caller {
    /// As its certificate says.
    Subject(String),
    Address(Option<IpAddr>),
}

impl Caller {
    pub(super) fn of(peer: Option<&Peer>) -> Self {
        match peer.and_then(Peer::credential) {
            Some(credential) => Self::Subject(credential.subject.to_string()),
            None => {
                let address = peer.and_then(Peer::address);
                Self::Address(address.map(|address| address.ip().to_canonical()))
            }
        }
    }
}

impl Secrets {
    /// The service, and what sends its answers.
    pub(super) fn new(
        keys: Keys,
        publications: watch::Receiver<Arc<Publication>>,
        metrics: SecretMetrics,
    ) -> (Giver, Self) {
        let (answers, asked) = mpsc::channel(ANSWERS);
        let giver = Giver::new(asked, keys.clone(), metrics.clone());
        let secrets = Self {
            keys,
            publications,
            metrics,
            places: Shares::new(OF_A_CALLER),
            all: Arc::new(Semaphore::new(ANSWERS)),
            answers,
        };
        (giver, secrets)
    }

    fn busy(&self) -> Status {
        self.metrics.called(Call::Busy);
        error::too_many_secrets()
    }
}

#[tonic::async_trait]
impl SecretService for Secrets {
    type FetchSecretsStream = ReceiverStream<Result<v1::Secret, Status>>;

    async fn fetch_secrets(
        &self,
        request: Request<v1::FetchSecretsRequest>,
    ) -> Result<Response<Self::FetchSecretsStream>, Status> {
        let caller = Caller::of(request.extensions().get::<Peer>());
        let names = read(request.into_inner()).ok_or_else(|| {
            self.metrics.called(Call::Malformed);
            error::names_of_secrets(MOST)
        })?;
        let place = self.places.take(caller).ok_or_else(|| self.busy())?;
        // All proxies ask at once when a certificate changes: they wait for each other.
        let permit = timeout(WAIT, Arc::clone(&self.all).acquire_owned()).await;
        let permit = permit
            .ok()
            .and_then(Result::ok)
            .ok_or_else(|| self.busy())?;
        // What this caller was told of is taken in before it is answered.
        let newest = Arc::clone(&self.publications.borrow());
        self.keys.follow(&newest);
        let (to, secrets) = mpsc::channel(1);
        let answer = Answer {
            names,
            to,
            _place: place,
            _permit: permit,
        };
        let sent = self.answers.try_send(answer);
        sent.map_err(|_| error::stopping())?;
        self.metrics.called(Call::Answered);
        Ok(Response::new(ReceiverStream::new(secrets)))
    }
}

/// The names, each once; `None` if they are too many, or no names.
fn read(request: v1::FetchSecretsRequest) -> Option<BTreeSet<BundleName>> {
    let v1::FetchSecretsRequest { names } = request;
    if names.len() > MOST {
        return None;
    }
    let names = names.into_iter();
    names
        .map(|name| BundleName::from_bytes(&name).ok())
        .collect()
}

/// Names in a call.
const MOST: usize = 256;
/// Calls at once of one node's proxies: those of before and after an upgrade, and some that are
/// being found dead.
const OF_A_CALLER: usize = 8;
/// Calls at once of all: enough to keep the network busy, and not the memory.
const ANSWERS: usize = 64;
/// How long a call waits for others.
const WAIT: Duration = Duration::from_secs(10);
