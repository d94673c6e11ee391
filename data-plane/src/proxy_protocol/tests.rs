//! How long a header is waited for, by a clock that the test moves.

use std::{
    cell::{Cell, RefCell},
    pin::pin,
    sync::Arc,
    task::Waker,
    time::Duration,
};

use super::*;
use crate::access_log::{AccessLog, LogFormat, ThreadLog};
use crate::clock::Ticks;
use crate::drain::Phase;
use crate::limits::Limits;
use crate::metrics::ListenerMetrics;
use crate::protocol::Scheme;

/// A client that has sent so much of a header.
struct Slow<'a> {
    sent: &'a Cell<usize>,
    read: usize,
}

impl Slow<'_> {
    fn copy(&self, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let here = &HEADER[self.read..self.sent.get()];
        if here.is_empty() {
            return Poll::Pending;
        }
        buf.put_slice(&here[..here.len().min(buf.remaining())]);
        Poll::Ready(Ok(()))
    }
}

impl Peek for Slow<'_> {
    fn poll_peek(&mut self, _cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.copy(buf)
    }
}

impl AsyncRead for Slow<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let copied = self.copy(buf);
        self.read += buf.filled().len();
        copied
    }
}

struct Scene {
    thread: Thread,
    listener: Listener,
    sent: Cell<usize>,
}

impl Scene {
    fn new() -> Self {
        let (log, _writer) = AccessLog::start(LogFormat::Off, Box::new(io::sink())).unwrap();
        let listener = Listener {
            name: "http".into(),
            port: 80,
            scheme: Scheme::Http,
            metrics: Arc::new(ListenerMetrics::new("http".into())),
            closing: false.into(),
            terms: RefCell::default(),
        };
        Self {
            thread: Thread::new(Limits::default(), ThreadLog::new(log), Arc::default()),
            listener,
            sent: Cell::new(0),
        }
    }

    /// Has `each` happen before each second; gives the second in which it is decided, and how. The
    /// coarse clock cuts no wait short, and so what takes ten seconds ends with the eleventh.
    fn seconds(&self, each: impl Fn(u64)) -> (u64, Beginning) {
        let mut client = Slow {
            sent: &self.sent,
            read: 0,
        };
        let mut reading = pin!(read(&mut client, &self.listener, &self.thread));
        let mut cx = Context::from_waker(Waker::noop());
        for second in 0..60 {
            let now = Ticks::ZERO.after(Duration::from_secs(second));
            self.thread.alarms.advance(now);
            each(second);
            if let Poll::Ready(beginning) = reading.as_mut().poll(&mut cx) {
                return (second, beginning);
            }
        }
        panic!("it is waited for without end");
    }

    fn send_one(&self) {
        self.sent.set(self.sent.get() + 1);
    }
}

#[test]
fn a_header_is_late_as_a_whole_however_fast_its_bytes_come() {
    let scene = Scene::new();
    let late = Beginning::Bad(BadHeader::TimedOut);
    assert_eq!(scene.seconds(|_| scene.send_one()), (11, late));
    let scene = Scene::new();
    assert_eq!(scene.seconds(|_| {}), (11, Beginning::Silence));
    let scene = Scene::new();
    let whole = Beginning::Header(Some("192.0.2.1:5".parse().unwrap()));
    assert_eq!(
        scene.seconds(|second| if second == 9 {
            scene.sent.set(HEADER.len());
        }),
        (9, whole)
    );
}

#[test]
fn a_client_of_a_thread_or_a_listener_that_ends_has_the_time_of_a_last_request() {
    for listener in [false, true] {
        let scene = Scene::new();
        let limits = &scene.thread.limits.client;
        assert_eq!(limits.last_request, Duration::from_secs(5));
        let ended = scene.seconds(|second| {
            scene.send_one();
            match (second, listener) {
                (2, true) => scene.listener.closing.set(true),
                (2, false) => scene.thread.drain.advance(Phase::Draining),
                (0..=1 | 3.., _) => {}
            }
        });
        assert_eq!(ended, (8, Beginning::Bad(BadHeader::TimedOut)));
    }
}

const HEADER: &[u8] = b"PROXY TCP4 192.0.2.1 192.0.2.2 5 80\r\n";
