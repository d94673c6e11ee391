//! `TlsCertificateService`: of each certificate, where it is from, for which hosts it is shown and
//! how it came to be.

mod demands;

use roadstead_proto::v1::{self, tls_certificate_service_server::TlsCertificateService};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tonic::{Request, Response, Status};

use crate::event::Seq;
use crate::history::{History, Told};
use crate::model::certificate::{Certificate, KeyType};
use crate::model::key::ObjectKey;
use crate::model::managed::Managed;
use crate::model::refusal::Refusal;
use crate::model::time::Timestamp;
use crate::project::inventory::{Inventory, Listed, Source};
use crate::serve::hosts::name;
use crate::serve::page::{self, Room};
use crate::serve::tls_certificates::demands::{demand, revokes};
use crate::serve::wire::timestamp;
use crate::serve::{Role, error};

#[derive(Debug)]
pub(super) struct CertificateReport {
    history: History,
    role: watch::Receiver<Role>,
}

impl CertificateReport {
    pub(super) fn new(history: History, role: watch::Receiver<Role>) -> Self {
        Self { history, role }
    }
}

/// Where the next page of certificates begins.
#[derive(Serialize, Deserialize)]
struct Place {
    /// All pages are of the same record.
    seq: Seq,
    certificates: usize,
}

/// Where the next page of events begins, and of what.
#[derive(Serialize, Deserialize)]
struct Chapter {
    name: String,
    /// All pages tell of the certificate as it was at the same record.
    seq: Seq,
    before: Seq,
}

#[tonic::async_trait]
impl TlsCertificateService for CertificateReport {
    async fn list_certificates(
        &self,
        request: Request<v1::ListCertificatesRequest>,
    ) -> Result<Response<v1::ListCertificatesResponse>, Status> {
        let v1::ListCertificatesRequest {
            page_size,
            page_token,
        } = request.into_inner();
        let from: Option<Place> = page::read(&page_token)?;
        let seq = from.as_ref().map(|from| from.seq);
        let inventory = self.history.inventory(seq).await;
        let inventory = inventory.map_err(|error| error::survey(&error))?;
        let from = from.map_or(0, |from| from.certificates);
        let answer = list(&inventory, from, page::size(page_size))?;
        Ok(Response::new(answer))
    }

    async fn get_certificate(
        &self,
        request: Request<v1::GetCertificateRequest>,
    ) -> Result<Response<v1::GetCertificateResponse>, Status> {
        let v1::GetCertificateRequest {
            name,
            page_size,
            page_token,
        } = request.into_inner();
        let from: Option<Chapter> = page::read(&page_token)?;
        if from.as_ref().is_some_and(|from| from.name != name) {
            return Err(error::page_token());
        }
        let seq = from.as_ref().map(|from| from.seq);
        let inventory = self.history.inventory(seq).await;
        let inventory = inventory.map_err(|error| error::survey(&error))?;
        let Some(listed) = inventory.find(&name) else {
            return Err(error::no_such_certificate(&name));
        };
        let before = from.map_or_else(|| inventory.seq.next(), |from| from.before);
        let biography = self
            .history
            .biography(listed.key.clone(), before, page::size(page_size))
            .await
            .map_err(|error| error::history(&error))?;
        let next = biography.next.map(|before| Chapter {
            name,
            seq: inventory.seq,
            before,
        });
        let events = biography.events.into_iter();
        Ok(Response::new(v1::GetCertificateResponse {
            version: Some(inventory.version.to_proto(&inventory.lineage)),
            certificate: Some(certificate(listed)),
            events: events.map(|told| event(told, &inventory)).collect(),
            next_page_token: next.as_ref().map_or(Ok(String::new()), page::token)?,
        }))
    }

    async fn renew_certificate(
        &self,
        request: Request<v1::RenewCertificateRequest>,
    ) -> Result<Response<v1::RenewCertificateResponse>, Status> {
        let (_, by, request) = request.into_parts();
        let v1::RenewCertificateRequest { name, reason } = request;
        demand(&self.role, &by, (&name, &reason), None).await?;
        Ok(Response::new(v1::RenewCertificateResponse {}))
    }

    async fn revoke_certificate(
        &self,
        request: Request<v1::RevokeCertificateRequest>,
    ) -> Result<Response<v1::RevokeCertificateResponse>, Status> {
        let (_, by, request) = request.into_parts();
        let v1::RevokeCertificateRequest {
            name,
            reason,
            because,
            serial,
        } = request;
        let revokes = revokes(&serial, because)?;
        demand(&self.role, &by, (&name, &reason), Some(revokes)).await?;
        Ok(Response::new(v1::RevokeCertificateResponse {}))
    }
}

/// A page, and where the next one begins, if there is more.
fn list(
    inventory: &Inventory,
    from: usize,
    size: usize,
) -> Result<v1::ListCertificatesResponse, Status> {
    let mut answer = v1::ListCertificatesResponse {
        version: Some(inventory.version.to_proto(&inventory.lineage)),
        ..v1::ListCertificatesResponse::default()
    };
    let mut room = Room::of(size);
    let mut rest = inventory.certificates.iter().skip(from);
    while room.is_left()
        && let Some(listed) = rest.next()
    {
        answer.certificates.push(room.take(certificate(listed)));
    }
    if rest.next().is_some() {
        answer.next_page_token = page::token(&Place {
            seq: inventory.seq,
            certificates: from + answer.certificates.len(),
        })?;
    }
    Ok(answer)
}

fn certificate(listed: &Listed) -> v1::TlsCertificate {
    let issued = listed.certificate();
    let (wanted, source) = match &listed.source {
        Source::Secret { refusal, .. } => (None, secret(&listed.key, refusal.as_ref())),
        Source::Obtained(managed) => (Some(&managed.names), obtained(managed)),
    };
    let names = issued.map(|certificate| &certificate.names).or(wanted);
    let names = names.map_or(&[][..], Vec::as_slice);
    let hosts = &listed.shown_for;
    let wanted_by = &listed.wanted_by;
    let more = [names.len(), hosts.len(), wanted_by.len()].map(|all| all.saturating_sub(MOST));
    v1::TlsCertificate {
        name: listed.name.to_string(),
        dns_names: names.iter().take(MOST).map(ToString::to_string).collect(),
        facts: issued.map(facts),
        source: Some(source),
        shown_for: hosts.iter().take(MOST).map(ToString::to_string).collect(),
        wanted_by: wanted_by.iter().take(MOST).map(name).collect(),
        more: u32::try_from(more.iter().sum::<usize>()).unwrap_or(u32::MAX),
    }
}

fn facts(certificate: &Certificate) -> v1::CertificateFacts {
    let key_type = match certificate.key_type {
        KeyType::Rsa => v1::KeyType::Rsa,
        KeyType::Ecdsa => v1::KeyType::Ecdsa,
        KeyType::Ed25519 => v1::KeyType::Ed25519,
    };
    v1::CertificateFacts {
        issuer: certificate.issuer.to_string(),
        serial: certificate.serial.to_string(),
        key_type: key_type.into(),
        not_before: Some(timestamp(certificate.not_before)),
        not_after: Some(timestamp(certificate.not_after)),
    }
}

fn secret(key: &ObjectKey, refusal: Option<&Refusal>) -> v1::tls_certificate::Source {
    v1::tls_certificate::Source::Secret(v1::SecretSource {
        origin: key.origin.to_string(),
        namespace: key.namespace.to_string(),
        name: key.name.to_string(),
        refusal: refusal.map_or_else(String::new, ToString::to_string),
    })
}

fn obtained(managed: &Managed) -> v1::tls_certificate::Source {
    let Managed {
        issued,
        order,
        trouble,
        demand,
        ..
    } = managed;
    let (issued, order, trouble) = (issued.as_ref(), order.as_ref(), trouble.as_ref());
    let ca = order.map(|order| &order.ca);
    let ca = ca.or_else(|| issued.map(|issued| &issued.ca));
    let next = order.map(|order| order.not_before);
    let next = next.or_else(|| trouble.map(|trouble| trouble.not_before));
    let renewal = issued.map(|issued| &issued.renewal);
    let window = renewal.and_then(|renewal| renewal.window);
    let demanded = demand.as_ref().map(|demand| demand.at);
    let due = renewal.map(|renewal| demanded.unwrap_or(renewal.at));
    v1::tls_certificate::Source::Obtained(v1::AcmeSource {
        ca: ca.map_or_else(String::new, ToString::to_string),
        progress: managed.to_string(),
        order_begun: order.map(|order| timestamp(order.begun)),
        failures: trouble.map_or(0, |trouble| trouble.failures),
        message: trouble.map_or_else(String::new, |trouble| trouble.message.to_string()),
        // The beginning of time is no time to wait for.
        next_attempt: next
            .filter(|next| *next > Timestamp::default())
            .map(timestamp),
        renewal: due.map(timestamp),
        window_start: window.map(|window| timestamp(window.start)),
        window_end: window.map(|window| timestamp(window.end)),
        revoked: issued.and_then(|issued| issued.revoked).map(timestamp),
    })
}

fn event(told: Told, inventory: &Inventory) -> v1::CertificateEvent {
    let version = told.version;
    v1::CertificateEvent {
        seq: told.seq.0,
        time: Some(timestamp(told.time)),
        version: version.map(|version| version.to_proto(&inventory.lineage)),
        text: told.text,
    }
}

/// DNS names, hosts and Ingresses that are named of one certificate.
const MOST: usize = 1_000;
