//! `HostService`: of each host, who claims it and what of it is not served as it is written.

use roadstead_proto::v1::{self, host_service_server::HostService};
use serde::{Deserialize, Serialize};
use tonic::{Request, Response, Status};

use crate::event::Seq;
use crate::history::History;
use crate::model::key::ObjectKey;
use crate::project::hosts::{Found, Host, Hosts};
use crate::serve::error;
use crate::serve::page::{self, Room};

#[derive(Debug)]
pub(super) struct HostReport {
    history: History,
}

impl HostReport {
    pub(super) fn new(history: History) -> Self {
        Self { history }
    }
}

/// Where the next page begins, and of what.
#[derive(Serialize, Deserialize)]
struct Place {
    /// All pages are of the same record.
    seq: Seq,
    only_with_findings: bool,
    hosts: usize,
    refused: usize,
}

#[tonic::async_trait]
impl HostService for HostReport {
    async fn list_hosts(
        &self,
        request: Request<v1::ListHostsRequest>,
    ) -> Result<Response<v1::ListHostsResponse>, Status> {
        let v1::ListHostsRequest {
            page_size,
            page_token,
            only_with_findings,
        } = request.into_inner();
        let from: Option<Place> = page::read(&page_token)?;
        if from
            .as_ref()
            .is_some_and(|from| from.only_with_findings != only_with_findings)
        {
            return Err(error::page_token());
        }
        let hosts = self.history.hosts(from.as_ref().map(|from| from.seq)).await;
        let hosts = hosts.map_err(|error| error::survey(&error))?;
        let from = from.unwrap_or_else(|| Place {
            seq: hosts.seq,
            only_with_findings,
            hosts: 0,
            refused: 0,
        });
        Ok(Response::new(answer(&hosts, from, page::size(page_size))?))
    }
}

/// A page, and where the next one begins, if there is more.
fn answer(hosts: &Hosts, mut at: Place, size: usize) -> Result<v1::ListHostsResponse, Status> {
    let mut answer = v1::ListHostsResponse {
        version: Some(hosts.version.to_proto(&hosts.lineage)),
        ..v1::ListHostsResponse::default()
    };
    let mut room = Room::of(size);
    for host in hosts.hosts.iter().skip(at.hosts) {
        if !at.only_with_findings || !host.findings.is_empty() {
            if !room.is_left() {
                break;
            }
            answer.hosts.push(room.take(of_host(host)));
        }
        at.hosts += 1;
    }
    for found in hosts.refused.iter().skip(at.refused) {
        if !room.is_left() {
            break;
        }
        answer.refused.push(room.take(finding(found)));
        at.refused += 1;
    }
    if at.hosts < hosts.hosts.len() || at.refused < hosts.refused.len() {
        answer.next_page_token = page::token(&at)?;
    }
    Ok(answer)
}

fn of_host(host: &Host) -> v1::Host {
    let claimants = host.claimants.iter().take(MOST);
    let ingresses = claimants.map(|claimant| v1::HostClaimant {
        ingress: Some(name(&claimant.ingress)),
        served: claimant.served,
    });
    let findings = host.findings.iter().take(MOST).map(finding);
    let more = [host.claimants.len(), host.findings.len()].map(|all| all.saturating_sub(MOST));
    v1::Host {
        host: host.host.to_string(),
        owner: host.owner.to_string(),
        ingresses: ingresses.collect(),
        findings: findings.collect(),
        more: u32::try_from(more.iter().sum::<usize>()).unwrap_or(u32::MAX),
    }
}

fn finding(found: &Found) -> v1::Finding {
    v1::Finding {
        ingress: Some(name(&found.ingress)),
        field: found.finding.field.to_string(),
        reason: found.finding.reason.to_owned(),
        message: found.finding.message.clone(),
    }
}

pub(super) fn name(ingress: &ObjectKey) -> v1::IngressName {
    v1::IngressName {
        origin: ingress.origin.to_string(),
        namespace: ingress.namespace.to_string(),
        name: ingress.name.to_string(),
    }
}

/// Ingresses, and findings, that are named of one host.
const MOST: usize = 1_000;
