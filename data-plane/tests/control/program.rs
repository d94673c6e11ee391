//! The program itself: real ports, real requests, real signals.

use std::{net::SocketAddr, path::Path, process::Stdio};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    process::{Child, Command},
    task::JoinSet,
    time::{Duration, sleep},
};

use crate::{
    plane::Plane,
    proxy::local,
    wire::{Content, ack, endpoints, external, listener, route, to, upstream},
};

const UPSTREAM: &str = "service/a/b:80";

/// A running proxy and its folder.
struct Program {
    child: Child,
    admin: SocketAddr,
    folder: TempDir,
}

impl Program {
    async fn start(plane: SocketAddr) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("token"), "a token").unwrap();
        Self::start_in(folder, plane).await
    }

    async fn start_in(folder: TempDir, plane: SocketAddr) -> Self {
        let admin = free_address().await;
        let path = |name| folder.path().join(name);
        let config = format!(
            "proxy: node-1\n\
             controlPlane: {{addresses: ['http://{plane}'], tokenFile: {token}}}\n\
             stateFolder: {state}\n\
             threads: 2\n\
             admin: {{address: '{admin}'}}\n\
             gracePeriod: 5s\n",
            token = path("token").display(),
            state = path("state").display(),
        );
        std::fs::write(path("config.yaml"), config).unwrap();
        Self {
            child: spawn(&path("config.yaml")),
            admin,
            folder,
        }
    }

    async fn is_ready(&self) -> bool {
        get(self.admin, "admin", "/readyz")
            .await
            .starts_with("HTTP/1.1 200")
    }

    async fn wait_until_ready(&self) {
        while !self.is_ready().await {
            sleep(Duration::from_millis(10)).await;
        }
    }

    /// Ends the program by this signal; gives its folder and whether it said that all is well.
    async fn end(mut self, signal: Signal) -> (TempDir, bool) {
        let id = i32::try_from(self.child.id().unwrap()).unwrap();
        kill_process(Pid::from_raw(id).unwrap(), signal).unwrap();
        let status = self.child.wait().await.unwrap();
        (self.folder, status.success())
    }
}

fn spawn(config: &Path) -> Child {
    Command::new(env!("CARGO_BIN_EXE_roadstead-data-plane"))
        .arg("--config")
        .arg(config)
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

async fn free_address() -> SocketAddr {
    let probe = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    probe.local_addr().unwrap()
}

/// A whole answer, head and body; empty if there is none.
async fn get(address: SocketAddr, host: &str, path: &str) -> String {
    let Ok(mut stream) = TcpStream::connect(address).await else {
        return String::new();
    };
    let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    let mut answer = Vec::new();
    if stream.write_all(request.as_bytes()).await.is_err()
        || stream.read_to_end(&mut answer).await.is_err()
    {
        return String::new();
    }
    String::from_utf8(answer).unwrap()
}

/// Answers every request by its name.
async fn answer_as(name: &'static str, tasks: &mut JoinSet<()>) -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tasks.spawn_local(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            tokio::task::spawn_local(async move {
                let mut buffer = [0; 4096];
                while stream.read(&mut buffer).await.is_ok_and(|read| read > 0) {
                    let length = name.len();
                    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
                    let answer = head + name;
                    if stream.write_all(answer.as_bytes()).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}

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
