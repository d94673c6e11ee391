//! An OpenTelemetry collector that keeps names: whose telemetry came, and of what; and of
//! spans, which is part of which.
//!
//! Values are seen at the admin ports; here it counts that what is told arrives.

use std::{collections::BTreeSet, net::SocketAddr, sync::Arc};

use anyhow::Context;
use opentelemetry_proto::tonic::{
    collector::{
        metrics::v1::{
            ExportMetricsServiceRequest, ExportMetricsServiceResponse,
            metrics_service_server::{MetricsService, MetricsServiceServer},
        },
        trace::v1::{
            ExportTraceServiceRequest, ExportTraceServiceResponse,
            trace_service_server::{TraceService, TraceServiceServer},
        },
    },
    common::v1::any_value::Value,
    resource::v1::Resource,
};
use tokio::{net::TcpListener, sync::watch, task::JoinSet};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{
    Request, Response, Status,
    transport::{Identity, Server, ServerTlsConfig},
};

/// A collector; it stops when it is dropped.
#[derive(Debug)]
pub struct Collector {
    received: Received,
    _server: JoinSet<()>,
}

/// What came.
#[derive(Debug, Default)]
struct Kept {
    /// Each service with the name of each of its metrics and spans.
    names: BTreeSet<(String, String)>,
    spans: Vec<Span>,
}

/// A span that came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    pub service: String,
    pub name: String,
    pub trace: Vec<u8>,
    pub id: Vec<u8>,
    /// Of the span that it is part of; empty for none.
    pub parent: Vec<u8>,
    /// Names of its attributes.
    pub attributes: BTreeSet<String>,
}

#[derive(Clone, Debug)]
struct Received(Arc<watch::Sender<Kept>>);

impl Collector {
    pub async fn start(address: SocketAddr) -> anyhow::Result<Self> {
        Self::start_by(Server::builder(), address).await
    }

    /// By TLS, as who the certificate says that it is.
    pub async fn start_as(identity: Identity, address: SocketAddr) -> anyhow::Result<Self> {
        let tls = ServerTlsConfig::new().identity(identity);
        Self::start_by(Server::builder().tls_config(tls)?, address).await
    }

    async fn start_by(mut server: Server, address: SocketAddr) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(address)
            .await
            .with_context(|| format!("the collector cannot have {address}"))?;
        let received = Received(Arc::new(watch::Sender::default()));
        let served = server
            .add_service(MetricsServiceServer::new(received.clone()))
            .add_service(TraceServiceServer::new(received.clone()))
            .serve_with_incoming(TcpListenerStream::new(listener));
        let mut running = JoinSet::new();
        // How it ended shows in what is missing.
        running.spawn(async { drop(served.await) });
        Ok(Self {
            received,
            _server: running,
        })
    }

    /// What came so far: `SERVICE NAME` for each metric and span.
    pub fn received(&self) -> Vec<String> {
        let kept = self.received.0.borrow();
        let lines = kept
            .names
            .iter()
            .map(|(service, name)| format!("{service} {name}"));
        lines.collect()
    }
}

impl Collector {
    /// The spans of this name that came so far.
    pub fn spans(&self, name: &str) -> Vec<Span> {
        let kept = self.received.0.borrow();
        let named = kept.spans.iter().filter(|span| span.name == name);
        named.cloned().collect()
    }
}

impl Received {
    fn keep(&self, about: Option<&Resource>, names: impl Iterator<Item = String>) {
        let service = service(about);
        self.0.send_modify(|kept| {
            kept.names.extend(names.map(|name| (service.clone(), name)));
        });
    }
}

fn service(about: Option<&Resource>) -> String {
    let attributes = about.map_or(&[][..], |about| &about.attributes);
    let service = attributes.iter().find(|pair| pair.key == "service.name");
    let service = service.and_then(|pair| pair.value.as_ref()?.value.as_ref());
    match service {
        Some(Value::StringValue(service)) => service.clone(),
        Some(_) | None => "nobody".to_owned(),
    }
}

#[tonic::async_trait]
impl MetricsService for Received {
    async fn export(
        &self,
        request: Request<ExportMetricsServiceRequest>,
    ) -> Result<Response<ExportMetricsServiceResponse>, Status> {
        for of_one in request.into_inner().resource_metrics {
            let metrics = of_one
                .scope_metrics
                .into_iter()
                .flat_map(|scope| scope.metrics);
            self.keep(of_one.resource.as_ref(), metrics.map(|metric| metric.name));
        }
        Ok(Response::new(Default::default()))
    }
}

#[tonic::async_trait]
impl TraceService for Received {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        for of_one in request.into_inner().resource_spans {
            let service = service(of_one.resource.as_ref());
            let spans = of_one.scope_spans.into_iter().flat_map(|scope| scope.spans);
            let spans: Vec<Span> = spans
                .map(|span| Span {
                    service: service.clone(),
                    name: span.name,
                    trace: span.trace_id,
                    id: span.span_id,
                    parent: span.parent_span_id,
                    attributes: span.attributes.into_iter().map(|pair| pair.key).collect(),
                })
                .collect();
            let names = spans.iter().map(|span| span.name.clone());
            self.keep(of_one.resource.as_ref(), names);
            self.0.send_modify(|kept| kept.spans.extend(spans));
        }
        Ok(Response::new(Default::default()))
    }
}
