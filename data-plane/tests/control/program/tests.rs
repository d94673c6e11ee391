//! What the program does, from its start to its end.

use rustix::process::Signal;
use tokio::{
    io::AsyncWriteExt,
    net::TcpListener,
    process::Command,
    task::JoinSet,
    time::{Duration, sleep, timeout},
};

use super::*;
use crate::{
    collector::Collector,
    plane::Plane,
    proxy::local,
    wire::{Content, ack, endpoints, external, listener, route, to, upstream},
};

const UPSTREAM: &str = "service/a/b:80";

/// A listener, and a route for `a.example` to an upstream at `address`.
fn content(web: SocketAddr, address: SocketAddr) -> Content {
    let mut content = Content::default();
    content.put(listener("web", web.port().into()));
    content.put(to(route("a", "/"), UPSTREAM));
    content.put(upstream(UPSTREAM));
    content.put(endpoints(UPSTREAM, address));
    content
}

#[tokio::test]
async fn a_change_is_served_as_soon_as_it_is_acknowledged() {
    local(async {
        let mut tasks = JoinSet::new();
        let first = answer_as("first", &mut tasks).await;
        let second = answer_as("second", &mut tasks).await;
        let web = free_address().await;
        let mut plane = Plane::start().await;
        let program = Program::start(plane.address).await;
        let mut stream = plane.accept().await;
        assert!(!program.is_ready().await);

        let mut content = content(web, first);
        stream.send_whole(1, &content).await;
        assert_eq!(ack(stream.answer().await), (1, vec![]));
        assert!(get(web, "a.example", "/").await.ends_with("\r\n\r\nfirst"));
        assert!(get(web, "b.example", "/").await.starts_with("HTTP/1.1 404"));
        program.wait_until_ready().await;

        let delta = content.change(vec![endpoints(UPSTREAM, second)], &[]);
        stream.send_delta(1, delta, &content).await;
        stream.answer().await;
        assert!(get(web, "a.example", "/").await.ends_with("\r\n\r\nsecond"));

        let moved = free_address().await;
        let delta = content.change(vec![listener("web", moved.port().into())], &[]);
        stream.send_delta(2, delta, &content).await;
        assert_eq!(ack(stream.answer().await), (2, vec![]));
        assert!(get(moved, "a.example", "/").await.ends_with("second"));
        assert_eq!(
            get(web, "a.example", "/").await,
            "",
            "the old port is closed"
        );

        let metrics = get(program.admin, "admin", "/metrics").await;
        for line in [
            "roadstead_control_plane_connected 1",
            "roadstead_version_seq 2",
            r#"roadstead_requests_total{class="2xx",listener="web",protocol="http/1.1"} 3"#,
        ] {
            assert!(
                metrics.lines().any(|shown| shown == line),
                "{line}\n{metrics}"
            );
        }
        drop(stream);
        let (_, well) = program.end(Signal::TERM).await;
        assert!(well);
    })
    .await;
}

#[tokio::test]
async fn an_external_upstream_is_looked_up_by_the_proxy() {
    local(async {
        let mut tasks = JoinSet::new();
        let echo = answer_as("echo", &mut tasks).await;
        let web = free_address().await;
        let mut plane = Plane::start().await;
        let _program = Program::start(plane.address).await;
        let mut stream = plane.accept().await;
        let mut content = content(web, echo);
        content.put(external(UPSTREAM, "localhost", echo.port(), true));
        stream.send_whole(1, &content).await;
        assert_eq!(ack(stream.answer().await), (1, vec![]));
        let answer = get(web, "a.example", "/").await;
        assert!(answer.ends_with("echo"), "{answer}");

        let forbidden = external(UPSTREAM, "localhost", echo.port(), false);
        let delta = content.change(vec![forbidden], &[]);
        stream.send_delta(2, delta, &content).await;
        stream.answer().await;
        let answer = get(web, "a.example", "/").await;
        assert!(answer.contains("forbidden-address"), "{answer}");
    })
    .await;
}

#[tokio::test]
async fn changes_and_figures_reach_a_collector() {
    local(async {
        let collector = Collector::start().await;
        let mut plane = Plane::start().await;
        let keys = format!("otlp: {{endpoint: 'http://{}'}}\n", collector.address);
        let program = Program::start_with(plane.address, &keys).await;
        let mut stream = plane.accept().await;
        stream.send_whole(7, &Content::default()).await;
        stream.answer().await;
        drop(stream);
        let (_, well) = program.end(Signal::TERM).await;
        assert!(well);
        assert!(
            collector.has("TraceService/Export", "1.7"),
            "no span of the version"
        );
        for text in [
            "roadstead_version_seq",
            "roadstead_upstream_connects",
            "node-1",
        ] {
            assert!(collector.has("MetricsService/Export", text), "no {text}");
        }
    })
    .await;
}

/// The value of a counter without labels.
fn counter(metrics: &str, name: &str) -> u64 {
    let mut lines = metrics.lines();
    let value = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    value.unwrap().parse().unwrap()
}

#[tokio::test]
async fn whoever_reads_no_log_keeps_nobody_waiting_and_loses_no_reason() {
    local(async {
        let mut tasks = JoinSet::new();
        let echo = answer_as("echo", &mut tasks).await;
        for is_read in [true, false] {
            let (reader, writer) = std::io::pipe().unwrap();
            // Full when nobody takes anything from it, closed when nobody is there.
            let _reader = is_read.then_some(reader);
            let web = free_address().await;
            let mut plane = Plane::start().await;
            let program =
                Program::start_to(plane.address, "accessLog: json\n", writer.into()).await;
            let mut stream = plane.accept().await;
            stream.send_whole(1, &content(web, echo)).await;
            stream.answer().await;
            let long = format!("/{}", "a".repeat(7000));
            let dropped = "roadstead_access_log_lines_dropped_total";
            let mut metrics = String::new();
            while metrics.is_empty() || counter(&metrics, dropped) == 0 {
                for _ in 0..50 {
                    let answer = timeout(PATIENCE, get(web, "a.example", &long)).await;
                    assert!(answer.unwrap().ends_with("echo"));
                }
                metrics = get(program.admin, "admin", "/metrics").await;
            }
            assert!(get(web, "b.example", "/").await.contains("no-route"));
            let metrics = get(program.admin, "admin", "/metrics").await;
            let reason = "roadstead_requests_failed_total{reason=\"no-route\"}";
            assert_eq!(counter(&metrics, reason), 1);
            drop(stream);
            let ended = timeout(PATIENCE, program.end(Signal::TERM)).await;
            assert!(ended.unwrap().1);
        }
    })
    .await;
}

const PATIENCE: Duration = Duration::from_secs(20);

#[tokio::test]
async fn whoever_tells_it_to_end_twice_does_not_wait() {
    local(async {
        let slow = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let web = free_address().await;
        let mut plane = Plane::start().await;
        let program = Program::start(plane.address).await;
        let mut stream = plane.accept().await;
        let content = content(web, slow.local_addr().unwrap());
        stream.send_whole(1, &content).await;
        stream.answer().await;
        let mut tasks = JoinSet::new();
        tasks.spawn_local(async move { get(web, "a.example", "/").await });
        let _upstream = slow.accept().await.unwrap();
        program.signal(Signal::TERM);
        while !program.says_it_ends().await {
            sleep(Duration::from_millis(10)).await;
        }
        let ended = timeout(Duration::from_secs(4), program.end(Signal::TERM));
        ended.await.expect("it waits for its grace period");
    })
    .await;
}

#[tokio::test]
async fn a_port_that_another_process_has_fails_alone_until_it_is_free() {
    local(async {
        let mut tasks = JoinSet::new();
        let echo = answer_as("echo", &mut tasks).await;
        let web = free_address().await;
        let taken = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let mut plane = Plane::start().await;
        let program = Program::start(plane.address).await;
        let mut stream = plane.accept().await;
        let mut content = content(web, echo);
        let address = taken.local_addr().unwrap();
        content.put(listener("taken", address.port().into()));
        stream.send_whole(1, &content).await;
        let fault = ("taken".to_owned(), "AddressInUse".to_owned());
        assert_eq!(ack(stream.answer().await), (1, vec![fault]));
        program.wait_until_ready().await;
        assert!(get(web, "a.example", "/").await.ends_with("echo"));

        drop(taken);
        assert_eq!(ack(stream.answer().await), (1, vec![]));
        assert!(get(address, "a.example", "/").await.ends_with("echo"));
    })
    .await;
}

#[tokio::test]
async fn a_proxy_with_no_port_of_its_own_is_not_ready() {
    local(async {
        let mut tasks = JoinSet::new();
        let echo = answer_as("echo", &mut tasks).await;
        let web = free_address().await;
        let taken = TcpListener::bind(web).await.unwrap();
        let mut plane = Plane::start().await;
        let program = Program::start(plane.address).await;
        let mut stream = plane.accept().await;
        let mut content = content(web, echo);
        stream.send_whole(1, &content).await;
        stream.answer().await;
        program.wait_until("waiting for listeners\n").await;

        drop(taken);
        assert_eq!(ack(stream.answer().await), (1, vec![]));
        program.wait_until_ready().await;

        let delta = content.change(vec![], &["web"]);
        stream.send_delta(2, delta, &content).await;
        stream.answer().await;
        program.wait_until("waiting for listeners\n").await;
    })
    .await;
}

#[tokio::test]
async fn a_proxy_that_is_started_again_serves_without_a_control_plane() {
    local(async {
        let mut tasks = JoinSet::new();
        let echo = answer_as("echo", &mut tasks).await;
        let web = free_address().await;
        let mut plane = Plane::start().await;
        let program = Program::start(plane.address).await;
        let mut stream = plane.accept().await;
        stream.send_whole(1, &content(web, echo)).await;
        stream.answer().await;
        drop(stream);
        plane.stop().await;
        assert!(get(web, "a.example", "/").await.ends_with("echo"));
        let (folder, well) = program.end(Signal::TERM).await;
        assert!(well);

        let program = Program::start_in(folder, plane.address).await;
        program.wait_until_ready().await;
        assert!(get(web, "a.example", "/").await.ends_with("echo"));

        let (folder, _) = program.end(Signal::KILL).await;
        let program = Program::start_in(folder, plane.address).await;
        program.wait_until_ready().await;
        assert!(get(web, "a.example", "/").await.ends_with("echo"));
    })
    .await;
}

#[tokio::test]
async fn what_is_open_at_the_end_may_finish() {
    local(async {
        let slow = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let web = free_address().await;
        let mut plane = Plane::start().await;
        let mut program = Program::start(plane.address).await;
        let mut stream = plane.accept().await;
        let content = content(web, slow.local_addr().unwrap());
        stream.send_whole(1, &content).await;
        stream.answer().await;

        let mut tasks = JoinSet::new();
        tasks.spawn_local(async move { get(web, "a.example", "/").await });
        let (mut upstream, _) = slow.accept().await.unwrap();
        let id = i32::try_from(program.child.id().unwrap()).unwrap();
        kill_process(Pid::from_raw(id).unwrap(), Signal::TERM).unwrap();
        while !get(program.admin, "admin", "/readyz")
            .await
            .contains("its end")
        {
            sleep(Duration::from_millis(10)).await;
        }
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nlate";
        upstream.write_all(answer).await.unwrap();
        assert!(tasks.join_next().await.unwrap().unwrap().ends_with("late"));
        assert!(program.child.wait().await.unwrap().success());
    })
    .await;
}

#[tokio::test]
async fn a_configuration_that_cannot_be_used_ends_the_program_and_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config.yaml");
    std::fs::write(&file, "treads: 3").unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_roadstead-data-plane"))
        .arg("--config")
        .arg(&file)
        .output()
        .await
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success());
    assert!(
        said.contains("treads") && said.contains("threads"),
        "{said}"
    );
}

#[tokio::test]
async fn an_error_names_its_cause_once() {
    let output = Command::new(env!("CARGO_BIN_EXE_roadstead-data-plane"))
        .args(["--config", "/nowhere/config.yaml"])
        .output()
        .await
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(said.matches("No such file").count(), 1, "{said}");
}
