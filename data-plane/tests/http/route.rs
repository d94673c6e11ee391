//! Nothing is awaited before a request's route is known: one poll, with nobody to wake, comes
//! from the bytes to the connection that is being made.

use std::{
    cell::RefCell,
    io,
    pin::{Pin, pin},
    rc::Rc,
    sync::mpsc,
    task::{Context, Poll, Waker},
};

use http::{HeaderMap, Method};
use roadstead_data_plane::{
    access_log::{AccessLog, LogFormat, ThreadLog},
    challenge::Asking,
    front::{self, Handler},
    limits::Limits,
    message::{Body, Client, Head, Listener, Meter, Request, Transport},
    protocol::{Protocol, Scheme},
    proxy::Proxy,
    router::Names,
    thread::Thread,
    upstream::PoolOptions,
};
use serde_json::Value;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    runtime::LocalRuntime,
};

use super::support::{Backends, BlackHole, Lines, PATIENCE, active};

/// A client whose request is there and who takes nothing.
struct Asks(&'static [u8]);

impl AsyncRead for Asks {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let bytes = std::mem::take(&mut self.0);
        buffer.put_slice(bytes);
        match bytes.is_empty() {
            true => Poll::Pending,
            false => Poll::Ready(Ok(())),
        }
    }
}

impl AsyncWrite for Asks {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Pending
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Pending
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Pending
    }
}

impl Transport for Asks {
    fn reset(&self) {}
}

/// What one poll came to.
struct Once {
    /// Connections to upstreams that are being made.
    connecting: i64,
    /// The request's line in the access log.
    line: Value,
}

/// Polls once what `begin` makes, and drops it.
fn once<F: Future>(backends: &Backends, begin: impl FnOnce(Rc<Client>, Rc<Proxy>) -> F) -> Once {
    let (lines, log) = mpsc::channel();
    let (access_log, _writer) = AccessLog::start(LogFormat::Json, Box::new(Lines(lines))).unwrap();
    let log_of_thread = ThreadLog::new(access_log);
    let connecting = LocalRuntime::new().unwrap().block_on(async {
        let thread = Rc::new(Thread::new(
            Limits::default(),
            log_of_thread,
            std::sync::Arc::default(),
        ));
        let active = active(&mut Names::default(), 1, backends);
        let pools = PoolOptions::default();
        let asking = Asking::default();
        let proxy = Rc::new(Proxy::new(Rc::clone(&thread), active, 0, pools, asking));
        let listener = Rc::new(Listener {
            name: "http".into(),
            port: 80,
            scheme: Scheme::Http,
            metrics: thread.metrics.add_listener(&"http".into()),
            closing: false.into(),
            terms: RefCell::default(),
        });
        let address = "192.0.2.1:1".parse().unwrap();
        let client = Rc::new(Client::new(address, listener, Rc::clone(&thread)));
        let connecting = {
            let mut serving = pin!(begin(client, proxy));
            let polled = serving
                .as_mut()
                .poll(&mut Context::from_waker(Waker::noop()));
            assert!(polled.is_pending());
            thread.metrics.upstream.open.read()
        };
        thread.tick();
        connecting
    });
    let line = log.recv_timeout(PATIENCE).unwrap();
    Once {
        connecting,
        line: serde_json::from_slice(&line).unwrap(),
    }
}

#[test]
fn one_poll_of_a_connection_comes_to_the_upstream_of_its_request() {
    let hole = BlackHole::new();
    let backends = Backends::At(vec![(hole.address, "pod")]);
    let once = once(&backends, |client, proxy| {
        let asks = Asks(b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n");
        front::serve(asks, None, client, proxy)
    });
    assert_eq!(once.connecting, 1);
    assert_eq!(once.line["route"], "ingress/a/b#rule");
    assert_eq!(once.line["upstream"], hole.address.to_string());
}

#[test]
fn one_poll_of_a_request_of_any_protocol_comes_to_its_upstream() {
    let hole = BlackHole::new();
    let backends = Backends::At(vec![(hole.address, "pod")]);
    for protocol in [Protocol::Http10, Protocol::Http11, Protocol::Http2] {
        let once = once(&backends, |client, proxy| handle(protocol, client, proxy));
        assert_eq!(once.connecting, 1, "{protocol:?}");
        assert_eq!(once.line["route"], "ingress/a/b#rule", "{protocol:?}");
    }
}

/// It is waited for only after that.
#[test]
fn a_name_that_is_not_resolved_yet_does_not_hide_the_route() {
    let once = once(
        &Backends::External("b.example", 80, true),
        |client, proxy| handle(Protocol::Http11, client, proxy),
    );
    assert_eq!(once.connecting, 0);
    assert_eq!(once.line["route"], "ingress/a/b#rule");
}

async fn handle(protocol: Protocol, client: Rc<Client>, proxy: Rc<Proxy>) {
    let head = Head {
        method: Method::GET,
        protocol,
        scheme: Scheme::Http,
        authority: "a.example".into(),
        host_len: "a.example".len(),
        target: "/".into(),
        path_len: 1,
        headers: HeaderMap::new(),
        takes_trailers: false,
        upgrade: false,
    };
    let meter = Meter::begin(&client, &head);
    let body = Body::Empty;
    proxy.handle(Request { head, body, meter }).await;
}
