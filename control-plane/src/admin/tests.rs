use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;
use crate::health::Condition;
use crate::model::key::{Kind, Origin};
use crate::telemetry::{Config, Format};

/// An admin port and how healthy it is.
struct World {
    address: SocketAddr,
    health: Health,
    _tasks: JoinSet<()>,
}

impl World {
    async fn new() -> Self {
        let health = Health::new(Condition::ALL);
        let config = Config {
            service: "test",
            format: Format::Text,
            filter: "info".into(),
            otlp: None,
        };
        let telemetry = Telemetry::for_test(&config);
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let admin = Admin::bind(any, health.clone(), telemetry).await.unwrap();
        let address = admin.address().unwrap();
        let mut tasks = JoinSet::new();
        tasks.spawn(admin.run(std::future::pending()));
        Self {
            address,
            health,
            _tasks: tasks,
        }
    }

    /// The status line's code, and the body.
    async fn ask(&self, request: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        (status, body.to_owned())
    }

    async fn get(&self, path: &str) -> (u16, String) {
        let close = "host: x\r\nconnection: close";
        self.ask(&format!("GET {path} HTTP/1.1\r\n{close}\r\n\r\n"))
            .await
    }
}

#[tokio::test]
async fn readiness_names_what_is_missing() {
    let world = World::new().await;
    let (status, body) = world.get("/readyz").await;
    assert_eq!(status, 503);
    assert_eq!(
        body,
        "not ready: the first lists are not complete; a newer release writes the log, and this \
         one cannot read it; the event log cannot be written; gRPC is not being served\n"
    );
    for condition in Condition::ALL {
        world.health.set(condition, true);
    }
    assert_eq!(world.get("/readyz").await, (200, "ready\n".into()));
    world.health.set(Condition::LogWritable, false);
    let (status, body) = world.get("/readyz").await;
    assert_eq!(
        (status, body.as_str()),
        (503, "not ready: the event log cannot be written\n")
    );
}

#[tokio::test]
async fn an_engine_that_is_silent_for_long_is_not_alive() {
    let world = World::new().await;
    assert_eq!(world.get("/livez").await, (200, "alive\n".into()));
    tokio::time::pause();
    tokio::time::advance(STALLED_FOR).await;
    tokio::time::resume();
    assert_eq!(world.get("/livez").await.0, 503);
    world.health.beat();
    assert_eq!(world.get("/livez").await.0, 200);
}

const STALLED_FOR: Duration = Duration::from_secs(61);

#[tokio::test]
async fn metrics_are_there_and_nothing_else_is() {
    let world = World::new().await;
    let (status, body) = world.get("/metrics").await;
    assert_eq!(status, 200);
    assert!(body.contains("target_info{service_name=\"test\""), "{body}");
    assert_eq!(world.get("/").await.0, 404);
    let post = "POST /livez HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
    assert_eq!(world.ask(post).await.0, 405);
}

#[tokio::test]
async fn too_many_headers_are_refused() {
    let world = World::new().await;
    let headers = "x: y\r\n".repeat(HEADERS + 1);
    let request = format!("GET /livez HTTP/1.1\r\nhost: x\r\n{headers}\r\n");
    let (status, _) = world.ask(&request).await;
    assert_eq!(status, 431);
}

#[tokio::test]
async fn kinds_that_cannot_be_listed_are_named_until_they_can() {
    let world = World::new().await;
    for condition in Condition::ALL {
        world.health.set(condition, true);
    }
    let kind = (Origin::Kubernetes, Kind::Ingress);
    world.health.listable(kind.0, kind.1, false);
    let (status, body) = world.get("/readyz").await;
    assert_eq!(status, 200);
    assert_eq!(
        body,
        format!("ready\ncannot be listed: {} {}\n", kind.0, kind.1)
    );
    world.health.listable(kind.0, kind.1, true);
    assert_eq!(world.get("/readyz").await, (200, "ready\n".to_owned()));
}

#[tokio::test]
async fn idle_connections_keep_no_probe_waiting() {
    let world = World::new().await;
    let mut idle = Vec::new();
    for _ in 0..CONNECTIONS {
        idle.push(TcpStream::connect(world.address).await.unwrap());
    }
    assert_eq!(world.get("/livez").await.0, 200);
    // The oldest had to go.
    assert_eq!(idle[0].read(&mut [0]).await.unwrap_or(0), 0);
}

#[tokio::test]
async fn a_connection_is_closed_after_its_answer() {
    let world = World::new().await;
    let answer = world.ask("GET /livez HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert_eq!(answer.0, 200);
}
