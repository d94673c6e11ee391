//! Tests of the answers, and of who gets them.

use std::net::SocketAddr;
use std::path::PathBuf;

use futures::future::join_all;
use http_body_util::BodyExt;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream, UnixStream},
    task::{LocalSet, yield_now},
    time::{Duration, timeout},
};

use super::*;
use crate::config;
use crate::handover::Others;
use crate::snapshot::{Fault, Key, Reason};

fn admin(report: Report) -> Admin {
    let (_, report) = watch::channel(report);
    Admin {
        identity: Identity {
            proxy: "node-1".to_owned(),
            boot_id: "0123".to_owned(),
        },
        report,
        readiness: Readiness::default(),
        alive: watch::channel(true).1,
        registry: Registry::new(),
    }
}

fn ports(socket: Option<PathBuf>) -> config::Admin {
    config::Admin {
        address: "127.0.0.1:0".parse().unwrap(),
        socket,
    }
}

fn address(server: &Server) -> SocketAddr {
    let port = server.handle().unwrap().unwrap();
    port.local_addr().unwrap()
}

async fn get(admin: &Admin, path: &str) -> (u16, String) {
    let response = admin.answer(&Method::GET, path);
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

fn alone() -> watch::Receiver<Others> {
    watch::channel(Others::default()).1
}

/// Asks while it is served, for far less time than an idle client is given for a request.
async fn while_served(
    server: Server,
    others: watch::Receiver<Others>,
    asking: impl Future<Output = ()>,
) {
    let tasks = LocalSet::new();
    let both = tasks.run_until(async {
        tokio::select! {
            () = server.run(others) => panic!("ended"),
            () = asking => {}
        }
    });
    let both = timeout(Duration::from_secs(5), both);
    Box::pin(both).await.unwrap();
}

/// Asks over a connection; gives the body.
async fn probe(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> String {
    let request = b"GET /livez HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer.split_once("\r\n\r\n").unwrap().1.to_owned()
}

#[tokio::test]
async fn a_proxy_says_what_it_waits_for() {
    let admin = admin(Report::default());
    let snapshot = admin.readiness.block("snapshot");
    let (status, body) = get(&admin, "/readyz").await;
    assert_eq!((status, body.as_str()), (503, "waiting for snapshot\n"));
    drop(snapshot);
    assert_eq!(get(&admin, "/readyz").await.0, 200);
    assert_eq!(get(&admin, "/livez").await.0, 200);
}

#[tokio::test]
async fn a_proxy_with_a_stuck_thread_is_not_alive() {
    let mut admin = admin(Report::default());
    let (alive, is_alive) = watch::channel(true);
    admin.alive = is_alive;
    assert_eq!(get(&admin, "/livez").await.0, 200);
    alive.send_replace(false);
    assert_eq!(get(&admin, "/livez").await.0, 503);
}

#[tokio::test]
async fn the_summary_has_the_version_and_the_faults() {
    let mut report = Report {
        version: Some(Version {
            lineage: "l".into(),
            epoch: 2,
            seq: 7,
        }),
        routes: 3,
        ..Report::default()
    };
    let fault = Fault::new(Reason::AddressInUse, "port 80 is taken");
    report.faults.insert(Key::new(1, "web"), fault);
    let (status, body) = get(&admin(report), "/snapshot").await;
    let json: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!(status, 200);
    assert_eq!(json["version"]["seq"], 7);
    assert_eq!(json["routes"], 3);
    assert_eq!(json["faults"][0]["reason"], "AddressInUse");
    assert_eq!(json["faults"][0]["resource"], "web");
}

#[tokio::test]
async fn metrics_are_prometheus_text() {
    let admin = admin(Report::default());
    let counter = prometheus::IntCounter::new("things_total", "Things").unwrap();
    admin.registry.register(Box::new(counter.clone())).unwrap();
    counter.inc();
    let (status, body) = get(&admin, "/metrics").await;
    assert_eq!(status, 200);
    assert!(body.contains("\nthings_total 1\n"), "{body}");
}

#[tokio::test]
async fn what_is_not_there_or_not_read_is_refused() {
    let admin = admin(Report::default());
    assert_eq!(get(&admin, "/nothing").await.0, 404);
    let response = admin.answer(&Method::POST, "/snapshot");
    assert_eq!(response.status().as_u16(), 405);
}

#[tokio::test]
async fn clients_that_stay_keep_no_probe_waiting() {
    let server = Server::bind(&ports(None), None, false, admin(Report::default())).unwrap();
    let address = address(&server);
    let probing = async {
        let staying = (0..200).map(|_| TcpStream::connect(address));
        let staying = join_all(staying).await;
        assert!(staying.iter().all(Result::is_ok));
        assert_eq!(
            probe(TcpStream::connect(address).await.unwrap()).await,
            "alive\n"
        );
    };
    while_served(server, alone(), probing).await;
}

#[tokio::test]
async fn while_a_successor_has_the_port_only_the_socket_answers() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("admin.sock");
    let ports = ports(Some(path.clone()));
    let server = Server::bind(&ports, None, false, admin(Report::default())).unwrap();
    let address = address(&server);
    let successor = TcpListener::from_std(server.handle().unwrap().unwrap()).unwrap();
    let succeeded = Others {
        before: false,
        after: true,
    };
    let (others, seen) = watch::channel(succeeded);
    let asking = async {
        assert_eq!(
            probe(UnixStream::connect(&path).await.unwrap()).await,
            "alive\n"
        );
        let asked = TcpStream::connect(address).await.unwrap();
        // What comes by the port is the successor's, and waits for it alone.
        let (taken, _) = successor.accept().await.unwrap();
        drop((asked, taken));
        others.send_replace(Others::default());
        assert_eq!(
            probe(TcpStream::connect(address).await.unwrap()).await,
            "alive\n"
        );
    };
    while_served(server, seen, asking).await;
}

#[tokio::test]
async fn a_port_that_another_process_has_is_waited_for_if_that_one_is_to_end() {
    let other = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = other.local_addr().unwrap();
    let ports = config::Admin {
        address,
        ..ports(None)
    };
    Server::bind(&ports, None, false, admin(Report::default())).unwrap_err();
    let server = Server::bind(&ports, None, true, admin(Report::default())).unwrap();
    drop(other);
    let asking = async {
        loop {
            if let Ok(stream) = TcpStream::connect(address).await {
                break assert_eq!(probe(stream).await, "alive\n");
            }
            yield_now().await;
        }
    };
    while_served(server, alone(), asking).await;
}
