//! The admin port: probes, metrics, and what this proxy serves by.
//!
//! Apart from traffic: it runs on the control thread, has limits of its own, and answers from
//! what the other parts publish, without asking them.

mod serve;

use bytes::Bytes;
use http::{Method, Response, StatusCode, header::CONTENT_TYPE};
use http_body_util::Full;
use prometheus::Registry;
use serde::Serialize;
use tokio::sync::watch;

pub use serve::{AdminError, Server};

use crate::readiness::Readiness;
use crate::report::{Identity, Report};
use crate::snapshot::Version;
use crate::telemetry;

/// What the answers are made from.
#[derive(Clone, Debug)]
pub struct Admin {
    pub identity: Identity,
    pub report: watch::Receiver<Report>,
    pub readiness: Readiness,
    /// Whether the traffic threads do what they are told.
    pub alive: watch::Receiver<bool>,
    pub registry: Registry,
}

impl Admin {
    /// The answer to a request without a body.
    pub fn answer(&self, method: &Method, path: &str) -> Response<Full<Bytes>> {
        if !matches!(*method, Method::GET | Method::HEAD) {
            return text(StatusCode::METHOD_NOT_ALLOWED, "only GET".to_owned());
        }
        match path {
            "/" => text(StatusCode::OK, INDEX.to_owned()),
            "/livez" => self.livez(),
            "/readyz" => self.readyz(),
            "/metrics" => self.metrics(),
            "/snapshot" => self.snapshot(),
            _ => text(StatusCode::NOT_FOUND, INDEX.to_owned()),
        }
    }

    fn livez(&self) -> Response<Full<Bytes>> {
        if *self.alive.borrow() {
            return text(StatusCode::OK, "alive\n".to_owned());
        }
        let stuck = "a traffic thread does not answer\n";
        text(StatusCode::SERVICE_UNAVAILABLE, stuck.to_owned())
    }

    fn readyz(&self) -> Response<Full<Bytes>> {
        match self.readiness.missing().as_slice() {
            [] => text(StatusCode::OK, "ready\n".to_owned()),
            missing => text(
                StatusCode::SERVICE_UNAVAILABLE,
                format!("waiting for {}\n", missing.join(", ")),
            ),
        }
    }

    fn metrics(&self) -> Response<Full<Bytes>> {
        match telemetry::render(&self.registry) {
            Ok(metrics) => answer(StatusCode::OK, PROMETHEUS, metrics),
            Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
        }
    }

    fn snapshot(&self) -> Response<Full<Bytes>> {
        let report = self.report.borrow();
        match serde_json::to_string_pretty(&Summary::new(&self.identity, &report)) {
            Ok(mut json) => {
                json.push('\n');
                answer(StatusCode::OK, "application/json", json)
            }
            Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
        }
    }
}

/// What the proxy serves by, as JSON.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Summary<'a> {
    proxy: &'a str,
    boot_id: &'a str,
    /// Null before the first version.
    version: Option<VersionSummary<'a>>,
    endpoints_revision: u64,
    digest: String,
    routes: usize,
    upstreams: usize,
    certificates: usize,
    listeners: usize,
    faults: Vec<FaultSummary<'a>>,
}

#[derive(Debug, Serialize)]
struct VersionSummary<'a> {
    lineage: &'a str,
    epoch: u64,
    seq: u64,
}

#[derive(Debug, Serialize)]
struct FaultSummary<'a> {
    resource: &'a str,
    reason: &'static str,
    message: &'a str,
}

impl<'a> Summary<'a> {
    fn new(identity: &'a Identity, report: &'a Report) -> Self {
        let version = |version: &'a Version| VersionSummary {
            lineage: &version.lineage,
            epoch: version.epoch,
            seq: version.seq,
        };
        let faults = report.faults.iter().map(|(key, fault)| FaultSummary {
            resource: &key.name,
            reason: fault.reason.as_str(),
            message: &fault.message,
        });
        Self {
            proxy: &identity.proxy,
            boot_id: &identity.boot_id,
            version: report.version.as_ref().map(version),
            endpoints_revision: report.endpoints_revision,
            digest: report.digest.fingerprint(),
            routes: report.routes,
            upstreams: report.upstreams,
            certificates: report.certificates,
            listeners: report.listeners,
            faults: faults.collect(),
        }
    }
}

fn text(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    answer(status, "text/plain; charset=utf-8", body)
}

fn answer(status: StatusCode, kind: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = status;
    let kind = http::HeaderValue::from_static(kind);
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

const INDEX: &str = "\
/livez     whether all threads do what they are told
/readyz    whether it serves traffic, and what it waits for
/metrics   Prometheus metrics
/snapshot  the version that is live, and what cannot be used of it
";

const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";

#[cfg(test)]
mod tests;
