use std::convert::Infallible;
use std::future::{Ready, ready};
use std::io::Write;
use std::sync::mpsc;
use std::task::{Context, Poll};

use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client};
use tokio::net::TcpListener;
use tokio::task::{JoinSet, spawn_blocking};
use tonic::body::Body;
use tonic::server::NamedService;
use tonic::service::Routes;
use tower::Service;

use super::*;

/// Sends what is written.
#[derive(Clone)]
struct Lines(mpsc::Sender<Vec<u8>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.send(bytes.to_vec()).map_err(io::Error::other)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn config(format: Format, filter: &str) -> Config {
    Config {
        service: "test",
        format,
        filter: filter.into(),
        otlp: None,
    }
}

/// What a program logs under this configuration.
fn logged(config: &Config, program: impl FnOnce(&Telemetry)) -> String {
    let (sender, lines) = mpsc::channel();
    let lines_writer = move || Lines(sender.clone());
    let (telemetry, subscriber) = Telemetry::build(config, lines_writer).unwrap();
    tracing::subscriber::with_default(subscriber, || program(&telemetry));
    let bytes: Vec<u8> = lines.try_iter().flatten().collect();
    String::from_utf8(bytes).unwrap()
}

#[test]
fn json_lines_carry_fields() {
    let text = logged(&config(Format::Json, "info"), |_| {
        tracing::info!(proxies = 3, "all is well");
    });
    let line: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(line["level"], "INFO");
    assert_eq!(line["fields"]["proxies"], 3);
    assert_eq!(line["fields"]["message"], "all is well");
}

#[test]
fn the_filter_changes_while_the_program_runs() {
    let text = logged(&config(Format::Text, "warn"), |telemetry| {
        tracing::info!("first");
        telemetry.set_filter("info").unwrap();
        tracing::info!("second");
        let error = telemetry.set_filter("roadstead=loud").unwrap_err();
        assert!(error.to_string().contains("roadstead=loud"), "{error}");
        tracing::info!("third");
    });
    let found: Vec<bool> = ["first", "second", "third"]
        .into_iter()
        .map(|word| text.contains(word))
        .collect();
    assert_eq!(found, [false, true, true], "{text}");
}

/// An API server that answers everything with a Secret that cannot be read as one.
#[derive(Clone)]
struct Canary;

impl Service<http::Request<kube::client::Body>> for Canary {
    type Response = http::Response<kube::client::Body>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: http::Request<kube::client::Body>) -> Self::Future {
        let body = r#"{"metadata": {"name": "a"}, "data": "a-canary"}"#;
        ready(Ok(http::Response::new(body.as_bytes().to_vec().into())))
    }
}

#[test]
fn what_the_kubernetes_client_cannot_read_is_not_in_the_log() {
    let text = logged(&config(Format::Text, "trace"), |_| {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let secrets: Api<Secret> = Api::default_namespaced(Client::new(Canary, "default"));
            // The error quotes it, too: who has it says less.
            let error = secrets.get("a").await.unwrap_err();
            assert!(format!("{error:?}").contains("a-canary"), "{error:?}");
        });
        tracing::warn!(target: "kube_client::client::tls", "what else it says is told");
    });
    assert!(text.contains("what else it says"), "{text}");
    assert!(!text.contains("a-canary"), "{text}");
}

#[test]
fn what_is_below_the_level_of_the_filter_costs_nothing() {
    for (filter, level) in [("info", LevelFilter::INFO), ("debug", LevelFilter::DEBUG)] {
        let (_, subscriber) = Telemetry::build(&config(Format::Text, filter), io::sink).unwrap();
        assert_eq!(subscriber.max_level_hint(), Some(level));
        tracing::subscriber::with_default(subscriber, || {
            assert!(tracing::trace_span!(target: "h2", "poll").is_disabled());
        });
    }
}

#[test]
fn an_instrument_is_in_the_text() {
    let (telemetry, _) = Telemetry::build(&config(Format::Text, "info"), io::sink).unwrap();
    let counter = telemetry.meter().u64_counter("roadstead.things").build();
    counter.add(2, &[opentelemetry::KeyValue::new("class", "small")]);
    let text = telemetry.metrics_text().unwrap();
    assert!(
        text.contains("roadstead_things_total{class=\"small\"} 2"),
        "{text}"
    );
}

/// A collector that says which calls came.
#[derive(Clone)]
struct Collector<const METRICS: bool>(mpsc::Sender<String>);

impl NamedService for Collector<true> {
    const NAME: &'static str = "opentelemetry.proto.collector.metrics.v1.MetricsService";
}

impl NamedService for Collector<false> {
    const NAME: &'static str = "opentelemetry.proto.collector.trace.v1.TraceService";
}

impl<const METRICS: bool> Service<http::Request<Body>> for Collector<METRICS> {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let path = request.uri().path().to_owned();
        self.0.send(path).expect("the test listens");
        ready(Ok(tonic::Status::ok("taken").into_http()))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_and_traces_reach_a_collector_before_the_end() {
    let (sender, calls) = mpsc::channel();
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    let routes = Routes::new(Collector::<true>(sender.clone()));
    let routes = routes.add_service(Collector::<false>(sender));
    let server = tonic::transport::Server::builder().add_routes(routes);
    let mut tasks = JoinSet::new();
    let incoming = tokio_stream::wrappers::TcpListenerStream::new(socket);
    tasks.spawn(async move { server.serve_with_incoming(incoming).await.unwrap() });

    let otlp = Otlp {
        endpoint: format!("http://{address}"),
        interval: Duration::from_secs(600),
    };
    let config = Config {
        otlp: Some(otlp),
        ..config(Format::Text, "info")
    };
    let (telemetry, subscriber) = Telemetry::build(&config, io::sink).unwrap();
    tracing::subscriber::with_default(subscriber, || {
        tracing::info_span!("a change").in_scope(|| ());
    });
    let counter = telemetry.meter().u64_counter("roadstead.things").build();
    counter.add(1, &[]);
    spawn_blocking(move || telemetry.stop()).await.unwrap();
    let mut calls: Vec<String> = calls.try_iter().collect();
    calls.sort();
    calls.dedup();
    assert_eq!(
        calls,
        [
            "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
            "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
        ]
    );
}
