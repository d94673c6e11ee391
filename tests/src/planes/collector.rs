//! An OpenTelemetry collector that keeps names: whose telemetry came, and of what.
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
use tonic::{Request, Response, Status, transport::Server};

/// A collector; it stops when it is dropped.
#[derive(Debug)]
pub struct Collector {
    received: Received,
    _server: JoinSet<()>,
}

/// Each service with the name of each of its metrics and spans.
type Names = BTreeSet<(String, String)>;

#[derive(Clone, Debug)]
struct Received(Arc<watch::Sender<Names>>);

impl Collector {
    pub async fn start(address: SocketAddr) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(address)
            .await
            .with_context(|| format!("the collector cannot have {address}"))?;
        let received = Received(Arc::new(watch::Sender::default()));
        let served = Server::builder()
            .add_service(MetricsServiceServer::new(received.clone()))
            .add_service(TraceServiceServer::new(received.clone()))
            .serve_with_incoming(TcpListenerStream::new(listener));
        let mut server = JoinSet::new();
        // How it ended shows in what is missing.
        server.spawn(async { drop(served.await) });
        Ok(Self {
            received,
            _server: server,
        })
    }

    /// What came so far: `SERVICE NAME` for each metric and span.
    pub fn received(&self) -> Vec<String> {
        let names = self.received.0.borrow();
        let lines = names
            .iter()
            .map(|(service, name)| format!("{service} {name}"));
        lines.collect()
    }
}

impl Received {
    fn keep(&self, about: Option<&Resource>, names: impl Iterator<Item = String>) {
        let attributes = about.map_or(&[][..], |about| &about.attributes);
        let service = attributes.iter().find(|pair| pair.key == "service.name");
        let service = service.and_then(|pair| pair.value.as_ref()?.value.as_ref());
        let service = match service {
            Some(Value::StringValue(service)) => service.clone(),
            Some(_) | None => "nobody".to_owned(),
        };
        self.0.send_modify(|received| {
            received.extend(names.map(|name| (service.clone(), name)));
        });
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
            let spans = of_one.scope_spans.into_iter().flat_map(|scope| scope.spans);
            self.keep(of_one.resource.as_ref(), spans.map(|span| span.name));
        }
        Ok(Response::new(Default::default()))
    }
}
