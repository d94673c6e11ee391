//! `CertificateService`: a proxy proves which node it is on, and gets a certificate.
//!
//! Apart from other calls, because this one is a stranger's until it has proof: what costs least
//! is looked at first, and the rest is bounded in number, size and time.

mod proof;

use std::net::IpAddr;
use std::sync::Arc;

use roadstead_proto::v1::{self, certificate_service_server::CertificateService};
use tonic::{Request, Response, Status};

use crate::clock;
use crate::metrics::streams::{Refused, StreamMetrics};
use crate::pki::{self, Known};
use crate::review::Review;
use crate::serve::auth::bearer;
use crate::serve::certificates::proof::Unproven;
use crate::serve::listen::Peer;
use crate::serve::shares::Shares;
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
    /// For tokens that are being reviewed.
    places: Shares<IpAddr>,
}

impl Certificates {
    /// One that issues; `None`: there are no certificates here.
    pub(super) fn new(issuing: Option<Issuing>, metrics: StreamMetrics) -> Self {
        Self {
            issuing,
            metrics,
            places: Shares::new(OF_AN_ADDRESS),
        }
    }

    fn refused(&self, cause: Refused, status: Status) -> Status {
        self.metrics.call_refused(cause);
        status
    }

    fn unproven(&self, unproven: &Unproven) -> Status {
        let (cause, status) = unproven.refused();
        self.refused(cause, status)
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
        let metadata = request.metadata().clone().into_headers();
        let token = bearer(&metadata).map_err(|malformed| self.unproven(&malformed.into()))?;
        let shown = peer.as_ref().and_then(Peer::credential);
        if token.is_none() && shown.is_none() {
            return Err(self.unproven(&Unproven::Nothing));
        }
        let wanted = pki::Request::parse(&request.into_inner().certification_request);
        let wanted = wanted.map_err(|error| Status::invalid_argument(error.to_string()))?;
        let address = peer.as_ref().and_then(Peer::address);
        let _place = match address.filter(|_| token.is_some()) {
            Some(address) => {
                let place = self.places.take(address.ip().to_canonical());
                Some(place.ok_or_else(|| self.too_many("at once of this address"))?)
            }
            None => None,
        };
        let proof = Proof::find(issuing, token, shown, clock::now()).await;
        let proof = proof.map_err(|unproven| self.unproven(&unproven))?;
        peer.iter().for_each(Peer::let_in);
        let authorities = issuing.authorities.borrow().clone();
        let authorities = authorities.ok_or_else(|| {
            Status::unavailable("the certificate authority is not known yet: try again")
        })?;
        let now = clock::now();
        let Proof { subject, proven } = proof;
        let signing = authorities.signing();
        let certificate = signing.answer(&wanted, &subject, proven, now, issuing.life);
        let certificate = certificate.map_err(|error| {
            tracing::error!(%error, "no certificate for a proxy");
            Status::internal("the certificate cannot be made: the control plane's log says why")
        })?;
        tracing::info!(proxy = subject.name(), "a proxy was given a certificate");
        Ok(Response::new(v1::IssueResponse {
            certificate,
            proxy: subject.name().to_owned(),
            not_before: Some(timestamp(now)),
        }))
    }
}

/// Tokens of one address that are reviewed, or wait for it, at the same time.
const OF_AN_ADDRESS: usize = 8;
/// A proxy needs one a day, and some tries.
const OF_A_CONNECTION: u32 = 16;

#[cfg(test)]
mod tests;
