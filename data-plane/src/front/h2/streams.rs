//! The requests under way on one HTTP/2 connection, and when it ends.
//!
//! Apart from hyper, which runs each request as a task and tells nobody: here a request that
//! its client does not take any more is reset, and a connection without requests is closed.

use std::{
    cell::{Cell, RefCell},
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

use pin_project_lite::pin_project;

use crate::alarm::Alarm;
use crate::clock::Ticks;
use crate::message::Client;

/// What one connection has under way.
#[derive(Debug)]
pub(super) struct Streams {
    client: Rc<Client>,
    open: Cell<usize>,
    /// Of the whole connection: idleness, then age.
    alarm: Alarm,
    retire_at: Ticks,
    shutting_down: Cell<bool>,
    /// The request whose task hyper is about to begin.
    beginning: RefCell<Option<Rc<Progress>>>,
}

/// How a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// No new requests; those under way finish.
    Shutdown,
    /// At once.
    Cut,
}

impl Streams {
    pub(super) fn new(client: &Rc<Client>) -> Self {
        let thread = &client.thread;
        let alarm = thread.alarms.alarm();
        alarm.set(thread.limits.http2.idle);
        Self {
            client: Rc::clone(client),
            open: Cell::new(0),
            alarm,
            retire_at: thread.clock.ticks().after(thread.limits.http2.age),
            shutting_down: Cell::new(false),
            beginning: RefCell::new(None),
        }
    }

    /// A request has come. Its task begins right after this.
    pub(super) fn begin(self: &Rc<Self>) -> Slot {
        self.open.set(self.open.get() + 1);
        self.alarm.clear();
        let progress = Rc::new(Progress {
            alarm: self.client.thread.alarms.alarm(),
            late: Cell::new(false),
            received: Cell::new(0),
        });
        self.beginning.replace(Some(Rc::clone(&progress)));
        Slot {
            streams: Rc::clone(self),
            progress,
        }
    }

    /// Ready when the connection should end.
    pub(super) fn poll_end(&self, cx: &Context<'_>) -> Poll<End> {
        let late = self.alarm.poll(cx).is_ready();
        if self.shutting_down.get() {
            return match late && self.open.get() == 0 {
                true => Poll::Ready(End::Cut),
                false => Poll::Pending,
            };
        }
        let thread = &self.client.thread;
        if late || self.client.is_leaving() || thread.clock.ticks() >= self.retire_at {
            self.shutting_down.set(true);
            if self.open.get() == 0 {
                self.alarm.set(thread.limits.client.linger);
            }
            return Poll::Ready(End::Shutdown);
        }
        Poll::Pending
    }

    fn end(&self) {
        let open = self.open.get() - 1;
        self.open.set(open);
        if open == 0 {
            let limits = &self.client.thread.limits;
            self.alarm.set(match self.shutting_down.get() {
                true => limits.client.linger,
                false => limits.http2.idle,
            });
        }
    }
}

/// One request's part of its connection.
#[derive(Debug)]
pub(super) struct Slot {
    streams: Rc<Streams>,
    progress: Rc<Progress>,
}

/// How one request goes on.
#[derive(Debug)]
pub(super) struct Progress {
    /// Resets the request when it is due.
    alarm: Alarm,
    /// The client has not taken its answer in time.
    late: Cell<bool>,
    /// Bytes of its body so far.
    pub(super) received: Cell<u64>,
}

impl Slot {
    /// A piece of the answer is ready: the client has to take it.
    pub(super) fn wait_for_client(&self) {
        let limits = &self.streams.client.thread.limits;
        self.progress.alarm.set(limits.client.write_progress);
    }

    /// There is nothing for the client to take.
    pub(super) fn wait_for_upstream(&self) {
        self.progress.alarm.clear();
    }

    pub(super) fn progress(&self) -> &Rc<Progress> {
        &self.progress
    }

    /// Whether the client has not taken its answer in time.
    pub(super) fn is_late(&self) -> bool {
        self.progress.late.get()
    }

    pub(super) fn received(&self) -> u64 {
        self.progress.received.get()
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.streams.end();
    }
}

/// Runs hyper's tasks on this thread.
#[derive(Clone, Debug)]
pub(super) struct Executor(Rc<Streams>);

impl Executor {
    pub(super) fn new(streams: Rc<Streams>) -> Self {
        Self(streams)
    }
}

impl<F: Future<Output = ()> + 'static> hyper::rt::Executor<F> for Executor {
    fn execute(&self, future: F) {
        let tasks = &self.0.client.thread.tasks;
        match self.0.beginning.take() {
            Some(progress) => drop(tasks.spawn(Resettable { future, progress })),
            None => drop(tasks.spawn(future)),
        }
    }
}

pin_project! {
    /// A request's task: dropped before its end, h2 resets the stream.
    struct Resettable<F> {
        #[pin]
        future: F,
        progress: Rc<Progress>,
    }
}

impl<F: Future<Output = ()>> Future for Resettable<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.project();
        match this.future.poll(cx) {
            Poll::Ready(()) => Poll::Ready(()),
            Poll::Pending => {
                let late = this.progress.alarm.poll(cx);
                this.progress.late.set(late.is_ready());
                late
            }
        }
    }
}
