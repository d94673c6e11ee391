//! `CertificateService`: a proxy proves which node it is on, and gets a certificate.
//!
//! Apart from other calls, because this one is a stranger's until it has proof: each is bounded
//! in number, size and time.

mod proof;

use std::sync::Arc;

use roadstead_proto::v1::{self, certificate_service_server::CertificateService};
use tokio::sync::Semaphore;
use tonic::{Request, Response, Status};

use crate::clock;
use crate::metrics::streams::{Refused, StreamMetrics};
use crate::model::time::Timestamp;
use crate::pki::{self, Known};
use crate::review::Review;
use crate::serve::auth::bearer;
use crate::serve::listen::Peer;
use crate::serve::wire::timestamp;

pub(super) use proof::Proof;

/// By what proxies get certificates.
#[derive(Clone, Debug)]
pub struct Issuing {
    pub authorities: Known,
    /// Who knows proxies' tokens. Answers must be of now.
    pub reviewer: Arc<dyn Review>,
    /// Names of the accounts that are proxies'.
    pub users: Vec<String>,
    /// How long a certificate lasts, in milliseconds.
    pub life: i64,
}

/// The service.
#[derive(Debug)]
pub(super) struct Certificates {
    issuing: Option<Issuing>,
    metrics: StreamMetrics,
    permits: Semaphore,
}

impl Certificates {
    /// One that issues; `None`: there are no certificates here.
    pub(super) fn new(issuing: Option<Issuing>, metrics: StreamMetrics) -> Self {
        Self {
            issuing,
            metrics,
            permits: Semaphore::new(AT_ONCE),
        }
    }

    fn refused(&self, cause: Refused, status: Status) -> Status {
        self.metrics.call_refused(cause);
        status
    }

    fn too_many(&self, what: &str) -> Status {
        let status = Status::resource_exhausted(format!("too many calls {what}: try again later"));
        self.refused(Refused::TooMany, status)
    }
}

#[tonic::async_trait]
impl CertificateService for Certificates {
    async fn issue(
        &self,
        request: Request<v1::IssueRequest>,
    ) -> Result<Response<v1::IssueResponse>, Status> {
        let Some(issuing) = &self.issuing else {
            return Err(Status::failed_precondition(
                "without the Kubernetes API as a source there are no certificates: leave \
                 controlPlane.certificateFolder out of the proxy's configuration",
            ));
        };
        let peer = request.extensions().get::<Peer>().cloned();
        if peer
            .as_ref()
            .is_some_and(|peer| peer.asks() > OF_A_CONNECTION)
        {
            return Err(self.too_many("on this connection"));
        }
        let _permit = self
            .permits
            .try_acquire()
            .map_err(|_| self.too_many("at once"))?;
        let metadata = request.metadata().clone().into_headers();
        let shown = peer.as_ref().and_then(Peer::credential);
        let shown = shown.map(|shown| &**shown);
        let proof = Proof::find(issuing, bearer(&metadata), shown, clock::now()).await;
        let proof = proof.map_err(|unproven| {
            let (cause, status) = unproven.refused();
            self.refused(cause, status)
        })?;
        peer.iter().for_each(Peer::is_known);
        let wanted = pki::Request::parse(&request.into_inner().certification_request);
        let wanted = wanted.map_err(|error| Status::invalid_argument(error.to_string()))?;
        let authorities = issuing.authorities.borrow().clone();
        let authorities = authorities.ok_or_else(|| {
            Status::unavailable("the certificate authority is not known yet: try again")
        })?;
        let now = clock::now();
        let Proof {
            node,
            subject,
            proven,
        } = proof;
        let signing = authorities.signing();
        let certificate = signing.answer(&wanted, &subject, proven, now, issuing.life);
        let certificate = certificate.map_err(|error| {
            tracing::error!(%error, "no certificate for a proxy");
            Status::internal("the certificate cannot be made: the control plane's log says why")
        })?;
        tracing::info!(proxy = &*node, "a proxy was given a certificate");
        Ok(Response::new(v1::IssueResponse {
            certificate,
            proxy: node.into(),
            not_before: Some(timestamp(now)),
            not_after: Some(timestamp(Timestamp(now.0.saturating_add(issuing.life)))),
        }))
    }
}

/// Calls that are answered at the same time.
const AT_ONCE: usize = 64;
/// A proxy needs one a day, and some tries.
const OF_A_CONNECTION: u32 = 16;
