//! Behind load balancers that say for whom they connect, by the PROXY protocol.

#![cfg(test)]

use std::{
    io::ErrorKind,
    net::{IpAddr, SocketAddr},
};

use anyhow::{Context, ensure};
use http::Method;
use roadstead_tests::{
    echo::{Echo, Seen},
    http::{Connection, Protocol, request},
    planes::{ControlPlane, HTTP, Proxy, SOON, answers, metric_is, objects::Site},
    sandbox::{self, Sandbox},
    wait,
};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    time::timeout,
};

#[test]
fn the_client_is_whom_a_listed_balancer_names() {
    sandbox::run(async |sandbox| {
        let scene = Scene::start(sandbox, &[BALANCER, "::1"]).await?;
        let mut proxy = Proxy::start(sandbox, "proxy", ADMIN, "accessLog: json").await?;
        let v2 = |command, family, rest: &[u8]| binary(command, family, rest);
        let v4_pair = [192, 0, 2, 5, 198, 51, 100, 1, 0xdc, 4, 0, 80];
        let v6_pair = [
            &[0x20, 1, 0xd, 0xb8][..],
            &[0; 11],
            &[9],
            &[0; 16],
            &[1, 0, 0, 80],
        ]
        .concat();
        let with_more = [&v4_pair[..], b"\x03\0\x04abcd\xea\0\x03vpc"].concat();
        for (from, header, client) in [
            (
                BALANCER,
                b"PROXY TCP4 192.0.2.1 198.51.100.1 56324 80\r\n".to_vec(),
                Some("192.0.2.1:56324"),
            ),
            (
                BALANCER,
                b"PROXY TCP6 2001:db8::7 2001:db8::1 56324 80\r\n".to_vec(),
                Some("[2001:db8::7]:56324"),
            ),
            (BALANCER, b"PROXY UNKNOWN\r\n".to_vec(), None),
            (BALANCER, v2(0x21, 0x11, &v4_pair), Some("192.0.2.5:56324")),
            (
                BALANCER,
                v2(0x21, 0x11, &with_more),
                Some("192.0.2.5:56324"),
            ),
            (
                BALANCER,
                v2(0x21, 0x21, &v6_pair),
                Some("[2001:db8::9]:256"),
            ),
            (BALANCER, v2(0x20, 0x00, &[]), None),
            ("::1", v2(0x21, 0x11, &v4_pair), Some("192.0.2.5:56324")),
            ("::1", v2(0x20, 0x21, &v6_pair), None),
        ] {
            for at_once in [true, false] {
                let mut stream = connect(from).await?;
                let client = match client {
                    Some(client) => client.parse()?,
                    None => stream.local_addr()?,
                };
                let path = format!("/{}-{}", client.port(), client.ip());
                let asked = [&*header, get(&path).as_bytes()].concat();
                let pieces = if at_once { asked.len() } else { 1 };
                for piece in asked.chunks(pieces) {
                    stream.write_all(piece).await?;
                }
                let seen = seen(&answer(&mut stream).await?)?;
                let ip = client.ip().to_string();
                for name in ["x-forwarded-for", "x-real-ip"] {
                    assert_eq!(seen.header(name), ip, "{header:?}");
                }
                let line = proxy
                    .program()
                    .logged(&format!("\"path\":\"{path}\""), SOON)
                    .await?;
                let line: Value = serde_json::from_str(&line)?;
                assert_eq!(line["client"], client.to_string(), "{line}");
            }
        }
        for reason in REASONS {
            metric_is(proxy.admin(), &refused(reason), 0.0).await?;
        }
        drop(scene);
        Ok(())
    });
}

#[test]
fn who_is_listed_and_sends_no_header_is_closed_and_who_is_not_listed_is_not_believed() {
    sandbox::run(async |sandbox| {
        let _scene = Scene::start(sandbox, &[BALANCER]).await?;
        let limits = "limits: {client: {firstByte: 300ms}}";
        let proxy = Proxy::start(sandbox, "proxy", ADMIN, limits).await?;
        let header = "PROXY TCP4 192.0.2.1 198.51.100.1 56324 80\r\n";
        let whole = format!("{header}{}", get("/"));

        let mut stream = connect(CLIENT).await?;
        stream.write_all(whole.as_bytes()).await?;
        let reply = answer(&mut stream).await?;
        ensure!(reply.starts_with("HTTP/1.1 400 "), "{reply}");

        // The last one waits to be told that its time is over.
        let malformed = get("/");
        for (sent, reason) in [(&*malformed, "malformed"), (&header[..20], "timed-out")] {
            let mut stream = connect(BALANCER).await?;
            stream.write_all(sent.as_bytes()).await?;
            let reply = answer(&mut stream).await?;
            ensure!(reply.is_empty(), "{reply}");
            metric_is(proxy.admin(), &refused(reason), 1.0).await?;
        }
        let mut stream = connect(BALANCER).await?;
        stream.write_all(&header.as_bytes()[..20]).await?;
        drop(stream);
        metric_is(proxy.admin(), &refused("cut-short"), 1.0).await?;

        // A look whether somebody listens is no fault, however it ends.
        drop(connect(BALANCER).await?);
        let silent = connect(BALANCER).await?;
        answers(HTTP, HOST, "/", "backend").await?;
        drop(silent);
        metric_is(proxy.admin(), OPEN, 0.0).await?;
        for reason in REASONS {
            metric_is(proxy.admin(), &refused(reason), 1.0).await?;
        }
        Ok(())
    });
}

#[test]
fn the_list_is_edited_while_connections_go_on() {
    sandbox::run(async |sandbox| {
        let scene = Scene::start(sandbox, &[]).await?;
        let mut proxy = Proxy::start(sandbox, "proxy", ADMIN, "").await?;
        answers(HTTP, HOST, "/", "backend").await?;
        let mut direct = kept(BALANCER, b"").await?;
        assert_eq!(direct.ask().await?, BALANCER);

        scene.control.configure(&listener(&[BALANCER]))?;
        let header = b"PROXY TCP4 192.0.2.1 198.51.100.1 56324 80\r\n";
        let mut named = wait::until_ok("a header is read", SOON, async || {
            let mut connection = kept(BALANCER, header).await?;
            let client = connection.ask().await?;
            ensure!(client == "192.0.2.1", "{client}");
            Ok(connection)
        })
        .await?;
        for _ in 0..3 {
            assert_eq!(direct.ask().await?, BALANCER);
            assert_eq!(named.ask().await?, "192.0.2.1");
        }
        assert_eq!(kept(CLIENT, b"").await?.ask().await?, CLIENT);

        scene.control.configure(&listener(&[CLIENT]))?;
        wait::until_ok("its connections begin without a header", SOON, async || {
            let client = kept(BALANCER, b"").await?.ask().await?;
            ensure!(client == BALANCER, "{client}");
            Ok(())
        })
        .await?;
        assert_eq!(direct.ask().await?, BALANCER);
        assert_eq!(named.ask().await?, "192.0.2.1");
        // No port was closed for it.
        let log = proxy.program().log()?;
        ensure!(log.contains("listener changed"), "{log}");
        ensure!(!log.contains("listener closed"), "{log}");
        Ok(())
    });
}

/// A control plane with one site, and a listener that expects headers from some addresses.
struct Scene {
    control: ControlPlane,
    _backend: Echo,
}

impl Scene {
    async fn start(sandbox: &Sandbox, balancers: &[&str]) -> anyhow::Result<Self> {
        let backend = Echo::start("backend", "10.1.0.1:80".parse()?).await?;
        let site = Site {
            name: "site",
            host: HOST,
            path: "/",
            backends: &[backend.address()],
        };
        site.save(sandbox)?;
        Ok(Self {
            control: ControlPlane::start(sandbox, &listener(balancers)).await?,
            _backend: backend,
        })
    }
}

/// Settings with a listener of both families, so that IPv4 comes as IPv6 has it.
fn listener(balancers: &[&str]) -> String {
    let networks = balancers.iter().map(|address| {
        let length = if address.contains(':') { 128 } else { 32 };
        format!("\"{address}/{length}\"")
    });
    let networks: Vec<_> = networks.collect();
    let networks = networks.join(", ");
    format!("listeners: {{http: {{port: 8080, proxyProtocol: [{networks}]}}}}")
}

/// A connection that is kept open, and sees which client the backend is told.
struct Kept(Connection);

async fn kept(from: &str, header: &[u8]) -> anyhow::Result<Kept> {
    let mut stream = connect(from).await?;
    stream.write_all(header).await?;
    let connection = Connection::over(stream, Protocol::Http1).await?;
    Ok(Kept(connection))
}

impl Kept {
    async fn ask(&mut self) -> anyhow::Result<String> {
        let reply = self.0.send(request(Method::GET, HOST, "/")).await?;
        Ok(Seen::from_reply(&reply)?.header("x-real-ip").to_owned())
    }
}

/// Connects to the listener from an address of this machine.
async fn connect(from: &str) -> anyhow::Result<TcpStream> {
    let from: IpAddr = from.parse()?;
    let (socket, to) = match from {
        IpAddr::V4(_) => (TcpSocket::new_v4()?, HTTP.ip()),
        IpAddr::V6(_) => (TcpSocket::new_v6()?, from),
    };
    socket.bind(SocketAddr::new(from, 0))?;
    let stream = socket.connect(SocketAddr::new(to, HTTP.port())).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n")
}

/// All that comes back until the connection ends; a reset is an end, too.
async fn answer(stream: &mut TcpStream) -> anyhow::Result<String> {
    let mut reply = Vec::new();
    let read = timeout(SOON, stream.read_to_end(&mut reply)).await;
    match read.context("the connection does not end")? {
        Err(error) if error.kind() != ErrorKind::ConnectionReset => Err(error.into()),
        Ok(_) | Err(_) => Ok(String::from_utf8(reply)?),
    }
}

/// What the backend saw, of an answer as it came.
fn seen(reply: &str) -> anyhow::Result<Seen> {
    let (head, body) = reply.split_once("\r\n\r\n").context("no answer")?;
    ensure!(head.starts_with("HTTP/1.1 200 "), "{reply}");
    serde_json::from_str(body).with_context(|| reply.to_owned())
}

/// A header of version 2.
fn binary(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
    let begin = b"\r\n\r\n\0\r\nQUIT\n".as_slice();
    [begin, &[command, family], &length, rest].concat()
}

fn refused(reason: &str) -> String {
    let series = "roadstead_proxy_headers_refused_total";
    format!("{series}{{listener=\"http\",reason=\"{reason}\"}}")
}

const REASONS: [&str; 3] = ["malformed", "cut-short", "timed-out"];
const OPEN: &str = "roadstead_connections_open{listener=\"http\"}";
const HOST: &str = "site.example";
const ADMIN: u16 = 8082;
const BALANCER: &str = "127.0.0.3";
/// Not listed.
const CLIENT: &str = "127.0.0.2";
