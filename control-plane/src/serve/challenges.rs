//! `ChallengeService`: what a CA asks one of the proxies, before the version that says so has come
//! there.
//!
//! Apart from the stream, beside which it goes: it answers a request that is waiting, and only whoever
//! leads knows what was published last.

mod index;

use std::sync::Arc;
use std::time::Duration;

use roadstead_proto::v1::{self, challenge_service_server::ChallengeService};
use tokio::sync::watch;
use tonic::{Request, Response, Status};

use crate::clock;
use crate::metrics::streams::{Refused, StreamMetrics};
use crate::serve::challenges::index::Index;
use crate::serve::listen::Peer;
use crate::serve::rates::Rates;
use crate::serve::secrets::Caller;
use crate::serve::{Role, error};
use crate::snapshot::publication::Publication;

/// The service.
#[derive(Debug)]
pub(super) struct Challenges {
    publications: watch::Receiver<Arc<Publication>>,
    role: watch::Receiver<Role>,
    index: Index,
    rates: Rates<Caller>,
    metrics: StreamMetrics,
}

impl Challenges {
    pub(super) fn new(
        publications: watch::Receiver<Arc<Publication>>,
        role: watch::Receiver<Role>,
        metrics: StreamMetrics,
    ) -> Self {
        Self {
            publications,
            role,
            index: Index::default(),
            rates: Rates::new(INTERVAL, BURST),
            metrics,
        }
    }
}

#[tonic::async_trait]
impl ChallengeService for Challenges {
    async fn get_challenge(
        &self,
        request: Request<v1::GetChallengeRequest>,
    ) -> Result<Response<v1::GetChallengeResponse>, Status> {
        if let Role::Following { leader } = &*self.role.borrow() {
            return Err(error::challenges_elsewhere(leader.as_deref()));
        }
        let caller = Caller::of(request.extensions().get::<Peer>());
        if !self.rates.admit(&caller, clock::since_boot()) {
            self.metrics.call_refused(Refused::TooMany);
            return Err(error::too_many_challenges());
        }
        let asked = request.into_inner();
        let newest = Arc::clone(&self.publications.borrow());
        let found = self.index.find(&newest, asked);
        let key_authorization = found.ok_or_else(error::no_such_challenge)?;
        Ok(Response::new(v1::GetChallengeResponse {
            key_authorization,
        }))
    }
}

/// What the two proxies that a node has during an upgrade ask in the long run, and at once after a
/// pause: twice what one does.
const INTERVAL: Duration = Duration::from_millis(50);
const BURST: u32 = 40;
