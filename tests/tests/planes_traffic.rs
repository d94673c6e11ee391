//! Requests through both planes: what passes, what is told of it, and why one is refused.

#![cfg(test)]

use std::net::SocketAddr;

use anyhow::{Context, ensure};
use http::Method;
use roadstead_tests::{
    echo::{Echo, Seen},
    http::{self as client, Connection, Protocol, request},
    planes::{
        CONTROL_ADMIN, ControlPlane, HTTP, ONE_LISTENER, Proxy, SOON, answers,
        collector::{Collector, Span},
        metric, metric_is,
        objects::Site,
        refuses,
    },
    sandbox, wait,
};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

const ADMIN: u16 = 8082;

#[test]
fn both_protocols_reach_the_backend_and_leave_a_line_with_version_and_route() {
    sandbox::run(async |sandbox| {
        let echo = Echo::start("apple", "10.1.0.1:80".parse()?).await?;
        let backends = [echo.address()];
        site("apple", "/", &backends).save(sandbox)?;
        let control = ControlPlane::start(sandbox, ONE_LISTENER).await?;
        let mut proxy = Proxy::start(sandbox, "proxy", ADMIN, "accessLog: json").await?;
        let version = control.operator()?.version().await?;
        let version = version.context("a version")?;

        for (protocol, label) in [(Protocol::Http1, "http/1.1"), (Protocol::Http2, "http/2")] {
            let mut connection = Connection::open(HTTP, protocol).await?;
            for path in ["/one?secret=1", "/two"] {
                let asked = request(Method::GET, "apple.example", path);
                let seen = Seen::from_reply(&connection.send(asked).await?)?;
                assert_eq!(
                    (&*seen.who, &*seen.path, &*seen.version),
                    ("apple", path, "1.1")
                );
                for (header, value) in [
                    ("host", "apple.example"),
                    ("x-forwarded-for", "127.0.0.1"),
                    ("x-forwarded-host", "apple.example"),
                    ("x-forwarded-port", "8080"),
                    ("x-forwarded-proto", "http"),
                    ("x-real-ip", "127.0.0.1"),
                ] {
                    assert_eq!(seen.header(header), value, "{header}");
                }
            }
            let words = format!(
                "\"protocol\":\"{label}\",\"method\":\"GET\",\"host\":\"apple.example\",\"path\":\"/two\""
            );
            let line = proxy.program().logged(&words, SOON).await?;
            let line: Value = serde_json::from_str(&line)?;
            for (key, value) in [
                ("listener", "http"),
                (
                    "route",
                    "ingress/default/apple@folder#spec.rules[0].http.paths[0]",
                ),
                ("version", &format!("{}.{}", version.epoch, version.seq)),
                ("upstream", "10.1.0.1:80"),
            ] {
                assert_eq!(line[key], value, "{line}");
            }
            assert_eq!(line["status"], 200);
            let series = format!(
                "roadstead_requests_total{{class=\"2xx\",listener=\"http\",protocol=\"{label}\"}}"
            );
            metric_is(proxy.admin(), &series, 2.0).await?;
        }
        assert!(
            !proxy.program().log()?.contains("secret"),
            "a query may hold what is secret"
        );
        Ok(())
    });
}

#[test]
fn a_websocket_passes_both_ways() {
    sandbox::run(async |sandbox| {
        let backend: SocketAddr = "10.1.0.1:80".parse()?;
        let listener = TcpListener::bind(backend).await?;
        let mut server = JoinSet::new();
        server.spawn(async move { serve_one_websocket(&listener).await });
        site("chat", "/", &[backend]).save(sandbox)?;
        let _control = ControlPlane::start(sandbox, ONE_LISTENER).await?;
        let proxy = Proxy::start(sandbox, "proxy", ADMIN, "").await?;

        let mut stream = wait::until_ok("the listener", SOON, async || {
            Ok(TcpStream::connect(HTTP).await?)
        })
        .await?;
        stream.write_all(HANDSHAKE.as_bytes()).await?;
        let head = read_head(&mut stream).await?;
        ensure!(head.starts_with("HTTP/1.1 101 "), "{head}");
        let lower = head.to_ascii_lowercase();
        for line in ["upgrade: websocket\r\n", "connection: upgrade\r\n"] {
            assert!(lower.contains(line), "{head}");
        }
        assert!(head.contains(ACCEPT), "{head}");
        metric_is(proxy.admin(), TUNNELS, 1.0).await?;

        stream.write_all(MASKED_HELLO).await?;
        let mut frame = [0; HELLO.len()];
        stream.read_exact(&mut frame).await?;
        assert_eq!(&frame, HELLO);
        // The end passes, too.
        stream.shutdown().await?;
        assert_eq!(stream.read(&mut [0]).await?, 0);
        server.join_next().await.context("the backend")???;
        metric_is(proxy.admin(), TUNNELS, 0.0).await?;
        Ok(())
    });
}

#[test]
fn who_gets_no_answer_of_a_backend_is_told_why() {
    sandbox::run(async |sandbox| {
        let (mute, hasty) = ("10.1.0.1:80".parse()?, "10.1.0.2:80".parse()?);
        let mut backends = JoinSet::new();
        let listener = TcpListener::bind(mute).await?;
        // Takes connections, and says nothing.
        backends.spawn(async move {
            let mut open = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                open.spawn(async move {
                    let _held = stream;
                    std::future::pending::<()>().await;
                });
            }
        });
        let listener = TcpListener::bind(hasty).await?;
        // Hears a request, and hangs up.
        backends.spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                drop(read_head(&mut stream).await);
            }
        });
        let nobody = "10.1.0.3:80".parse()?;
        for (name, path, backends) in [
            ("mute", "/mute", &[mute][..]),
            ("hasty", "/hasty", &[hasty]),
            ("nobody", "/nobody", &[nobody]),
            ("empty", "/empty", &[]),
        ] {
            site(name, path, backends).save(sandbox)?;
        }
        let lacking = site("lacking", "/lacking", &[]);
        let ingress = lacking.yaml();
        let (ingress, _) = ingress.split_once("---").context("several objects")?;
        lacking.replace(sandbox, ingress)?;
        let _control = ControlPlane::start(sandbox, ONE_LISTENER).await?;
        let limits = "limits: {upstream: {responseHeader: 300ms}}";
        let proxy = Proxy::start(sandbox, "proxy", ADMIN, limits).await?;

        for (path, status, reason) in [
            ("/elsewhere", 404, "no-route"),
            ("/lacking", 503, "no-service"),
            ("/empty", 503, "no-endpoints"),
            ("/nobody", 502, "connect-refused"),
            ("/hasty", 502, "upstream-closed"),
            ("/mute", 504, "upstream-timeout"),
        ] {
            let reply = refuses(HTTP, "fruit.example", path, reason).await?;
            assert_eq!(reply.status, status, "{path}");
            let series = format!("roadstead_requests_failed_total{{reason=\"{reason}\"}}");
            metric_is(proxy.admin(), &series, 1.0).await?;
        }
        Ok(())
    });
}

#[test]
fn the_admin_ports_tell_the_truth() {
    sandbox::run(async |sandbox| {
        let echo = Echo::start("apple", "10.1.0.1:80".parse()?).await?;
        let backends = [echo.address()];
        site("apple", "/", &backends).save(sandbox)?;
        let mut control = ControlPlane::start(sandbox, ONE_LISTENER).await?;
        let proxy = Proxy::start(sandbox, "proxy", ADMIN, "").await?;
        answers(HTTP, "apple.example", "/", "apple").await?;
        for admin in [CONTROL_ADMIN, proxy.admin()] {
            for (path, status) in [("/livez", 200), ("/readyz", 200), ("/nothing", 404)] {
                let reply = client::get(admin, "localhost", path).await?;
                assert_eq!(reply.status, status, "{admin}{path}");
            }
        }
        let version = control.operator()?.version().await?.context("a version")?;
        let seq = version.seq as f64;
        for (admin, series, value) in [
            (CONTROL_ADMIN, "roadstead_published_seq", seq),
            (CONTROL_ADMIN, "roadstead_proxies{state=\"current\"}", 1.0),
            (CONTROL_ADMIN, "roadstead_resources{type=\"route\"}", 1.0),
            (proxy.admin(), "roadstead_version_seq", seq),
            (proxy.admin(), "roadstead_control_plane_connected", 1.0),
            (proxy.admin(), "roadstead_resources{kind=\"route\"}", 1.0),
        ] {
            metric_is(admin, series, value).await?;
        }

        // With nothing to serve a proxy is alive and not ready.
        control.kill()?;
        let mut empty = Proxy::begin(sandbox, "empty", 8083, "")?;
        let admin = empty.admin();
        empty
            .program()
            .logged("control plane not reached", SOON)
            .await?;
        let alive = client::get(admin, "localhost", "/livez").await?;
        assert_eq!(alive.status, 200);
        let ready = client::get(admin, "localhost", "/readyz").await?;
        assert_eq!(
            (ready.status.as_u16(), &*ready.text()),
            (503, "waiting for listeners, snapshot\n")
        );
        assert_eq!(metric(admin, "roadstead_version_seq").await?, None);
        Ok(())
    });
}

#[test]
fn the_log_says_when_a_service_gains_its_first_endpoint_and_loses_its_last() {
    sandbox::run(async |sandbox| {
        let backends = ["10.1.0.1:80".parse()?];
        site("apple", "/", &[]).save(sandbox)?;
        let mut control = ControlPlane::start(sandbox, ONE_LISTENER).await?;
        let listeners = control.program().logged("listeners:", SOON).await?;
        ensure!(listeners.contains("http"), "{listeners}");
        for (backends, words) in [
            (&backends[..], "has endpoints now"),
            (&[], "has no endpoints"),
        ] {
            site("apple", "/", backends).save(sandbox)?;
            let line = control.program().logged(words, SOON).await?;
            ensure!(line.contains("apple") && line.contains("INFO"), "{line}");
        }
        Ok(())
    });
}

#[test]
fn what_both_planes_tell_reaches_a_collector() {
    sandbox::run(async |sandbox| {
        let echo = Echo::start("apple", "10.1.0.1:80".parse()?).await?;
        let collector = Collector::start("127.0.0.1:4317".parse()?).await?;
        let backends = [echo.address()];
        site("apple", "/", &backends).save(sandbox)?;
        let otlp = "otlp: {endpoint: \"http://127.0.0.1:4317\"}";
        let settings = format!("{ONE_LISTENER}\n{otlp}");
        let mut control = ControlPlane::start(sandbox, &settings).await?;
        let traced = otlp.replace('}', ", requestShare: 1}");
        let mut proxy = Proxy::start(sandbox, "proxy", ADMIN, &traced).await?;
        answers(HTTP, "apple.example", "/", "apple").await?;
        // A change, seen live, whose trace is one from the turn to the acknowledgement.
        site("apple", "/pear", &backends).save(sandbox)?;
        answers(HTTP, "apple.example", "/pear", "apple").await?;
        // What was not sent yet is sent at the end.
        proxy.stop().await?;
        control.stop().await?;
        let received = collector.received();
        for expected in [
            "roadstead-control-plane roadstead.published.seq",
            "roadstead-control-plane roadstead.log.append",
            "roadstead-data-plane roadstead_requests",
            "roadstead-data-plane roadstead_request_duration_seconds_bucket",
            "roadstead-data-plane roadstead_version_seq",
            "roadstead-data-plane version",
            "roadstead-data-plane request",
            "roadstead-control-plane turn",
        ] {
            assert!(
                received.iter().any(|line| line == expected),
                "{expected:?} is missing of {received:#?}"
            );
        }
        let publishes = collector.spans("publish");
        let is_part = |span: &Span, of: &Span| span.trace == of.trace && span.parent == of.id;
        let whole = publishes.iter().any(|publish| {
            let has =
                |name: &str, of: &Span| collector.spans(name).iter().any(|span| is_part(span, of));
            let turns = collector.spans("turn");
            let turn = turns.iter().find(|turn| is_part(publish, turn));
            turn.is_some_and(|turn| {
                turn.attributes.contains("seq") && has("append", turn) && has("apply", turn)
            }) && has("transfer", publish)
                && has("version", publish)
        });
        ensure!(whole, "no change is one trace: {publishes:#?}");
        let requests = collector.spans("request");
        let routed = requests
            .iter()
            .find(|span| span.attributes.contains("roadstead.route"));
        let routed = routed.context("no request is traced")?;
        for attribute in [
            "roadstead.version",
            "roadstead.upstream",
            "http.response.status_code",
        ] {
            ensure!(
                routed.attributes.contains(attribute),
                "{attribute}: {routed:#?}"
            );
        }
        Ok(())
    });
}

fn site<'a>(name: &'a str, path: &'a str, backends: &'a [SocketAddr]) -> Site<'a> {
    Site {
        name,
        host: match name {
            "apple" => "apple.example",
            "chat" => "server.example.com",
            _ => "fruit.example",
        },
        path,
        backends,
    }
}

/// Accepts one WebSocket, answers its first message, and waits for its end.
async fn serve_one_websocket(listener: &TcpListener) -> anyhow::Result<()> {
    let (mut stream, _) = listener.accept().await?;
    let head = read_head(&mut stream).await?.to_ascii_lowercase();
    for line in [
        "upgrade: websocket\r\n",
        "connection: upgrade\r\n",
        "sec-websocket-version: 13\r\n",
    ] {
        ensure!(head.contains(line), "{head}");
    }
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {ACCEPT}\r\n\r\n"
    );
    stream.write_all(answer.as_bytes()).await?;
    let mut frame = [0; MASKED_HELLO.len()];
    stream.read_exact(&mut frame).await?;
    ensure!(&frame == MASKED_HELLO, "{frame:?}");
    stream.write_all(HELLO).await?;
    ensure!(stream.read(&mut [0]).await? == 0, "more than one message");
    Ok(())
}

async fn read_head(stream: &mut TcpStream) -> anyhow::Result<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    Ok(String::from_utf8(head)?)
}

// RFC 6455, sections 1.3 and 5.7.
const HANDSHAKE: &str = "GET /chat HTTP/1.1\r\n\
    Host: server.example.com\r\n\
    Upgrade: websocket\r\n\
    Connection: Upgrade\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
    Origin: http://example.com\r\n\
    Sec-WebSocket-Version: 13\r\n\r\n";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
const MASKED_HELLO: &[u8; 11] = b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58";
const HELLO: &[u8; 7] = b"\x81\x05Hello";

const TUNNELS: &str = "roadstead_tunnels_open{listener=\"http\"}";
