//! HTTP/2 with prior knowledge, by hyper's client: the same verdicts as HTTP/1, many at a time.

use std::{
    convert::Infallible,
    io::{Read, Write},
    net::TcpStream,
    sync::{Arc, Barrier},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt, Either, Empty, Full, StreamBody};
use hyper::{
    body::{Frame, Incoming},
    client::conn::http2::{Builder, SendRequest},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use roadstead_data_plane::limits::Limits;
use serde_json::json;
use tokio::{runtime::Runtime, task::JoinSet, time::timeout};
use tokio_stream::wrappers::ReceiverStream;

use super::drain::assert_cut;
use super::support::{Origin, PATIENCE, Proxy, Step, plain};

type Body = Either<Either<Full<Bytes>, Empty<Bytes>>, StreamBody<Frames>>;

type Frames = ReceiverStream<Result<Frame<Bytes>, Infallible>>;

/// A client's connection, and what drives it.
struct Connection {
    send: SendRequest<Body>,
    driving: JoinSet<hyper::Result<()>>,
}

impl Connection {
    async fn new(proxy: &Proxy) -> Self {
        let stream = tokio::net::TcpStream::connect(proxy.address).await.unwrap();
        let (send, connection) = Builder::new(TokioExecutor::new())
            .handshake(TokioIo::new(stream))
            .await
            .unwrap();
        let mut driving = JoinSet::new();
        driving.spawn(connection);
        Self { send, driving }
    }

    async fn ask(&mut self, request: Request<Body>) -> hyper::Result<Response<Incoming>> {
        self.send.ready().await?;
        timeout(PATIENCE, self.send.send_request(request))
            .await
            .unwrap()
    }

    /// Waits for the connection's end.
    async fn ended(&mut self) -> hyper::Result<()> {
        let ended = timeout(PATIENCE, self.driving.join_next()).await.unwrap();
        ended.unwrap().unwrap()
    }
}

fn get(target: &str) -> Request<Body> {
    let request = Request::get(target).body(Empty::new());
    request
        .unwrap()
        .map(|body| Either::Left(Either::Right(body)))
}

fn post(target: &str, body: &'static str) -> Request<Body> {
    let request = Request::post(target).body(Full::new(Bytes::from_static(body.as_bytes())));
    request
        .unwrap()
        .map(|body| Either::Left(Either::Left(body)))
}

async fn text(response: Response<Incoming>) -> String {
    let body = timeout(PATIENCE, response.into_body().collect())
        .await
        .unwrap();
    String::from_utf8(body.unwrap().to_bytes().to_vec()).unwrap()
}

fn reason(headers: &HeaderMap) -> Option<&str> {
    headers.get("x-roadstead-reason")?.to_str().ok()
}

fn run(test: impl Future<Output = ()>) {
    Runtime::new().unwrap().block_on(test);
}

#[test]
fn a_request_is_passed_on_as_http_1() {
    let origin = Origin::new(|seen| plain(std::str::from_utf8(&seen.body).unwrap()));
    let proxy = Proxy::new(&origin.backends());
    run(async {
        let mut client = Connection::new(&proxy).await;
        let mut request = post("http://A.example/b/../c?d=e", "hello");
        let fields = request.headers_mut();
        for (name, value) in [
            ("cookie", "a=1"),
            ("cookie", "b=2"),
            ("x-forwarded-for", "6.6.6.6"),
            ("x_real_ip", "6.6.6.6"),
            ("te", "trailers"),
            ("x-id", "7"),
        ] {
            fields.append(name, value.parse().unwrap());
        }
        let response = client.ask(request).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        assert!(response.headers().contains_key("date"));
        assert_eq!(text(response).await, "hello");
        let seen = origin.seen();
        assert_eq!(seen.line(), "POST /c?d=e HTTP/1.1");
        let port = proxy.address.port();
        assert_eq!(
            seen.fields(),
            [
                "connection: te",
                "content-length: 5",
                "cookie: a=1; b=2",
                "host: a.example",
                "te: trailers",
                "x-forwarded-for: 127.0.0.1",
                "x-forwarded-host: a.example",
                &format!("x-forwarded-port: {port}"),
                "x-forwarded-proto: http",
                "x-id: 7",
                "x-real-ip: 127.0.0.1",
            ]
        );
    });
}

#[test]
fn verdicts_are_those_of_http_1() {
    let origin = Origin::new(|_| plain("ok"));
    let proxy = Proxy::new(&origin.backends());
    let many = (0..200).map(|_| ("x", "y")).collect::<Vec<_>>();
    let long = format!("http://a.example/{}", "a".repeat(9000));
    run(async {
        let mut client = Connection::new(&proxy).await;
        for (target, fields, status, why) in [
            ("http://a.example/", &[][..], 200, None),
            ("http://a.example/", &[("host", "A.EXAMPLE.")], 200, None),
            ("http://b.example/", &[], 404, Some("no-route")),
            (
                "http://a.example/",
                &[("host", "b.example")],
                400,
                Some("bad-host"),
            ),
            (
                "http://a.example/",
                &[("host", "a.example"), ("host", "a.example")],
                400,
                Some("bad-host"),
            ),
            ("http://u@a.example/", &[], 400, Some("bad-host")),
            ("http://a.example/%2f", &[], 400, Some("bad-path")),
            ("http://a.example/..;/x", &[], 400, Some("bad-path")),
            ("http://a.example/", &many, 431, Some("headers-too-large")),
            (&long, &[], 414, Some("target-too-long")),
        ] {
            let mut request = get(target);
            for (name, value) in fields {
                request.headers_mut().append(*name, value.parse().unwrap());
            }
            let response = client.ask(request).await.unwrap();
            let found = (response.status().as_u16(), reason(response.headers()));
            assert_eq!(found, (status, why), "{target} {fields:?}");
        }
        for method in ["TRACE", "PURGE"] {
            let mut request = get("http://a.example/");
            *request.method_mut() = method.parse().unwrap();
            let status = client.ask(request).await.unwrap().status();
            assert_eq!(status == 405, method == "TRACE", "{method}");
        }
    });
}

#[test]
fn many_requests_share_a_connection() {
    let origin = Origin::new(|seen| plain(seen.line()));
    let proxy = Proxy::new(&origin.backends());
    run(async {
        let mut client = Connection::new(&proxy).await;
        let mut answers = JoinSet::new();
        for place in 0..100 {
            client.send.ready().await.unwrap();
            let answer = client
                .send
                .send_request(get(&format!("http://a.example/{place}")));
            answers.spawn(async move { (place, text(answer.await.unwrap()).await) });
        }
        while let Some(answer) = answers.join_next().await {
            let (place, text) = answer.unwrap();
            assert_eq!(text, format!("GET /{place} HTTP/1.1"));
        }
    });
    assert_eq!(proxy.totals().listeners["http"].connections, 1);
}

#[test]
fn bodies_and_trailers_stream_both_ways() {
    let go = Arc::new(Barrier::new(2));
    let wait = Arc::clone(&go);
    let origin = Origin::of_heads(move |_| {
        let wait = Arc::clone(&wait);
        Step::Take(Box::new(move |mut stream: TcpStream| {
            stream
                .write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
                .unwrap();
            wait.wait();
            // By now the request has begun to arrive, although its end is not known.
            let mut bytes = [0; 10];
            stream.read_exact(&mut bytes).unwrap();
            assert_eq!(&bytes, b"5\r\nfirst\r\n");
            stream
                .write_all(b"5\r\nworld\r\n0\r\nGrpc-Status: 0\r\nHost: x\r\n\r\n")
                .unwrap();
        }))
    });
    let proxy = Proxy::new(&origin.backends());
    run(async {
        let mut client = Connection::new(&proxy).await;
        let (upload, frames) = tokio::sync::mpsc::channel(4);
        let body = StreamBody::new(ReceiverStream::new(frames));
        let request = Request::post("http://a.example/").body(Either::Right(body));
        let response = client.ask(request.unwrap()).await.unwrap();
        let mut body = response.into_body();
        let first = body.frame().await.unwrap().unwrap();
        assert_eq!(first.data_ref().unwrap(), "hello");
        let first = Frame::data(Bytes::from_static(b"first"));
        upload.send(Ok(first)).await.unwrap();
        go.wait();
        let rest = body.collect().await.unwrap();
        let trailers = rest.trailers().unwrap().clone();
        assert_eq!(rest.to_bytes(), "world");
        assert_eq!(trailers.len(), 1);
        assert_eq!(trailers["grpc-status"], "0");
    });
}

#[test]
fn a_body_that_is_cut_resets_its_stream_and_no_other() {
    let origin = Origin::new(|seen| match seen.line() {
        "GET /cut HTTP/1.1" => {
            Step::Last("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello".into())
        }
        _ => plain("ok"),
    });
    let proxy = Proxy::new(&origin.backends());
    run(async {
        let mut client = Connection::new(&proxy).await;
        // The reset may overtake what there was of the answer.
        let cut = match client.ask(get("http://a.example/cut")).await {
            Ok(answer) => answer.into_body().collect().await.is_err(),
            Err(_) => true,
        };
        assert!(cut);
        let whole = client.ask(get("http://a.example/")).await.unwrap();
        assert_eq!(text(whole).await, "ok");
    });
}

#[test]
fn a_large_body_passes_whole() {
    let origin = Origin::new(|_| plain(&"x".repeat(3_000_000)));
    let proxy = Proxy::new(&origin.backends());
    run(async {
        let mut client = Connection::new(&proxy).await;
        let response = client.ask(get("http://a.example/")).await.unwrap();
        assert_eq!(text(response).await.len(), 3_000_000);
    });
    proxy.until("counted", |totals| {
        totals.listeners["http"].sent == 3_000_000
    });
}

#[test]
fn a_stream_that_its_client_does_not_take_is_reset_and_others_go_on() {
    let origin = Origin::new(|seen| match seen.line() {
        "GET /large HTTP/1.1" => plain(&"x".repeat(10_000_000)),
        _ => plain("ok"),
    });
    let mut limits = Limits::default();
    limits.client.write_progress = Duration::from_millis(300);
    let proxy = Proxy::with(&origin.backends(), limits);
    run(async {
        let mut client = Connection::new(&proxy).await;
        let stalled = client.ask(get("http://a.example/large")).await.unwrap();
        // Nobody reads it: its window closes.
        proxy.until("given up", |totals| totals.upstream_open == 0);
        let other = client.ask(get("http://a.example/")).await.unwrap();
        assert_eq!(text(other).await, "ok");
        assert!(stalled.into_body().collect().await.is_err());
    });
    let reasons: Vec<_> = proxy
        .lines(2)
        .into_iter()
        .map(|line| line["reason"].clone())
        .collect();
    assert_eq!(reasons, [json!("client-timeout"), json!(null)]);
}

#[test]
fn an_answer_that_its_client_resets_did_not_come_whole() {
    let origin = Origin::new(|_| {
        Step::Answer("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello".to_owned())
    });
    let proxy = Proxy::new(&origin.backends());
    run(async {
        let mut client = Connection::new(&proxy).await;
        let mut answer = client.ask(get("http://a.example/")).await.unwrap();
        let frame = answer.body_mut().frame().await.unwrap().unwrap();
        assert_eq!(frame.into_data().unwrap(), "hello");
        drop(answer);
        proxy.until("ended", |totals| totals.upstream_open == 0);
        assert!(client.send.is_ready());
    });
    let line = &proxy.lines(1)[0];
    assert_eq!(
        (&line["status"], &line["reason"]),
        (&json!(200), &json!("client-gone"))
    );
}

#[test]
fn a_request_that_its_client_resets_ends() {
    let origin = Origin::new(|_| Step::Answer(String::new()));
    let proxy = Proxy::new(&origin.backends());
    run(async {
        let mut client = Connection::new(&proxy).await;
        let asked = client.send.send_request(get("http://a.example/"));
        let asked = tokio::select! {
            biased;
            _ = asked => panic!("answered"),
            seen = async { origin.seen() } => seen,
        };
        assert_eq!(asked.line(), "GET / HTTP/1.1");
        proxy.until("ended", |totals| totals.upstream_open == 0);
        assert!(client.send.is_ready());
    });
    let line = &proxy.lines(1)[0];
    assert_eq!(
        (&line["status"], &line["reason"]),
        (&json!(499), &json!("client-gone"))
    );
    assert_eq!(
        (&line["version"], &line["route"]),
        (&json!("1.1"), &json!("ingress/a/b#rule"))
    );
}

#[test]
fn a_drain_lets_requests_finish_and_takes_no_new_ones() {
    let origin = Origin::new(|seen| match seen.line() {
        "GET / HTTP/1.1" => plain("ok"),
        _ => Step::Take(Box::new(|mut stream: TcpStream| {
            std::thread::sleep(Duration::from_millis(300));
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\nslow").unwrap();
        })),
    });
    let proxy = Proxy::new(&origin.backends());
    run(async {
        let (mut busy, mut idle) = (Connection::new(&proxy).await, Connection::new(&proxy).await);
        let answer = idle.ask(get("http://a.example/")).await.unwrap();
        assert_eq!(text(answer).await, "ok");
        origin.seen();
        let asked = busy.send.send_request(get("http://a.example/slow"));
        let draining = async {
            origin.seen();
            proxy.drain(PATIENCE).await.unwrap();
        };
        let answering = async {
            idle.ended().await.unwrap();
            assert_eq!(text(asked.await.unwrap()).await, "slow");
            busy.ended().await.unwrap();
        };
        tokio::join!(draining, answering);
    });
}

#[test]
fn what_does_not_finish_in_time_is_cut_and_told_to_be() {
    let origin = Origin::new(|_| {
        Step::Take(Box::new(|mut stream: TcpStream| {
            stream
                .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello")
                .unwrap();
            // Until the proxy closes.
            let _closed = stream.read(&mut [0]);
        }))
    });
    let proxy = Proxy::new(&origin.backends());
    run(async {
        let mut client = Connection::new(&proxy).await;
        let answer = client.ask(get("http://a.example/")).await.unwrap();
        assert_eq!(answer.status(), 200);
        proxy.drain(Duration::from_millis(300)).await.unwrap();
        assert!(answer.into_body().collect().await.is_err());
    });
    assert_cut(&proxy, 200);
}

#[test]
fn a_connection_without_requests_ends_after_a_while() {
    let origin = Origin::new(|_| plain("ok"));
    let mut limits = Limits::default();
    limits.http2.idle = Duration::from_millis(300);
    let proxy = Proxy::with(&origin.backends(), limits);
    run(async {
        let mut client = Connection::new(&proxy).await;
        let answer = client.ask(get("http://a.example/")).await.unwrap();
        assert_eq!(text(answer).await, "ok");
        client.ended().await.unwrap();
    });
}

#[test]
fn an_old_connection_is_asked_to_end() {
    let origin = Origin::new(|_| plain("ok"));
    let mut limits = Limits::default();
    limits.http2.age = Duration::from_millis(300);
    let proxy = Proxy::with(&origin.backends(), limits);
    run(async {
        let mut client = Connection::new(&proxy).await;
        let mut served = 0;
        while let Ok(answer) = client.ask(get("http://a.example/")).await {
            assert_eq!(text(answer).await, "ok");
            served += 1;
        }
        assert!(served > 0);
        client.ended().await.unwrap();
    });
}
