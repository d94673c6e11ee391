//! One traffic thread: a runtime of its own, and no request that another knows of.
//!
//! Apart from what it runs: here is only how the control thread speaks to it. Whatever is told
//! is acknowledged once the thread acts by it.

mod accept;
mod peers;
mod run;
mod server;

use std::{
    io,
    net::TcpListener,
    sync::{Arc, mpsc::sync_channel},
    thread::JoinHandle,
    time::Duration,
};

use tokio::sync::{mpsc, oneshot};

pub use peers::Peers;

use crate::access_log::AccessLog;
use crate::active::Active;
use crate::challenge::Asking;
use crate::limits::Limits;
use crate::metrics::ThreadMetrics;
use crate::protocol::Scheme;
use crate::resolve::Resolved;
use crate::snapshot::Terms;
use crate::telemetry::RequestTraces;
use crate::tls::Tls;
use crate::upstream::PoolOptions;

/// What a thread is started with.
#[derive(Debug)]
pub struct WorkerOptions {
    pub index: usize,
    /// The other threads, if there are any.
    pub peers: Option<Peers>,
    pub limits: Limits,
    pub pools: PoolOptions,
    /// What all threads do handshakes by.
    pub tls: Arc<Tls>,
    pub log: AccessLog,
    /// By what challenges are asked for that no version has brought.
    pub asking: Asking,
    /// Makes spans of requests, if anyone wants some.
    pub traces: Option<RequestTraces>,
}

/// What a thread has to know of a listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Port {
    /// The listener's name.
    pub name: Arc<str>,
    pub number: u16,
    pub scheme: Scheme,
}

/// A traffic thread, as the control thread has it. It ends when this is dropped, and cuts what
/// is still open.
#[derive(Debug)]
pub struct Worker {
    commands: mpsc::UnboundedSender<(Command, oneshot::Sender<()>)>,
    metrics: Arc<ThreadMetrics>,
    thread: JoinHandle<()>,
}

/// Resolves when the thread acts by what it was told; an error means that it has ended.
pub type Acknowledged = oneshot::Receiver<()>;

/// What a thread can be told.
#[derive(Debug)]
enum Command {
    Publish(Arc<Active>),
    Resolved(Arc<Resolved>),
    Open(Port, Terms, Vec<TcpListener>),
    Terms(Arc<str>, Terms),
    Close(Arc<str>),
    Drain(Duration),
    Ping,
}

impl Worker {
    /// Starts a thread that serves by `active`.
    pub fn spawn(options: WorkerOptions, active: Arc<Active>) -> io::Result<Self> {
        let (commands, inbox) = mpsc::unbounded_channel();
        let metrics = Arc::new(ThreadMetrics::default());
        let shared = Arc::clone(&metrics);
        let (started, start) = sync_channel(1);
        let thread = std::thread::Builder::new()
            .name(format!("traffic-{}", options.index))
            .spawn(move || match run::runtime() {
                Ok(runtime) => {
                    // Whoever waits for it may have given up; then the inbox is closed too.
                    let _gone = started.send(Ok(()));
                    let thread = runtime.block_on(run::run(options, active, shared, inbox));
                    // Cuts what is open still, which is told, too.
                    drop(runtime);
                    thread.log.flush(&thread.metrics.log_lines_dropped);
                }
                Err(error) => {
                    let _gone = started.send(Err(error));
                }
            })?;
        start
            .recv()
            .unwrap_or_else(|_| Err(io::Error::other("the thread ended at once")))?;
        Ok(Self {
            commands,
            metrics,
            thread,
        })
    }

    /// Serves by `active` from the next request on. The caller keeps the versions before until
    /// no thread has them, and so drops them itself.
    pub fn publish(&self, active: Arc<Active>) -> Acknowledged {
        self.tell(Command::Publish(active))
    }

    /// Uses these addresses of external upstreams.
    pub fn resolved(&self, resolved: Arc<Resolved>) -> Acknowledged {
        self.tell(Command::Resolved(resolved))
    }

    /// Accepts connections on sockets of this thread's own.
    pub fn open(&self, port: Port, terms: Terms, sockets: Vec<TcpListener>) -> Acknowledged {
        self.tell(Command::Open(port, terms, sockets))
    }

    /// Those that the listener accepts from now on are taken on these terms.
    pub fn set_terms(&self, name: &Arc<str>, terms: Terms) -> Acknowledged {
        self.tell(Command::Terms(Arc::clone(name), terms))
    }

    /// Accepts no more on the listener; its connections end as soon as they can.
    pub fn close(&self, name: &Arc<str>) -> Acknowledged {
        self.tell(Command::Close(Arc::clone(name)))
    }

    /// Does nothing, and so shows that the thread does what it is told.
    pub fn ping(&self) -> Acknowledged {
        self.tell(Command::Ping)
    }

    /// Accepts no more at all, and ends: when the last connection has, or after `grace`, which
    /// cuts those that remain.
    pub fn drain(&self, grace: Duration) -> Acknowledged {
        self.tell(Command::Drain(grace))
    }

    /// The figures of this thread, to be read at any time.
    pub fn metrics(&self) -> &Arc<ThreadMetrics> {
        &self.metrics
    }

    /// Waits for the thread's end, which must be under way. Blocks.
    pub fn join(self) -> io::Result<()> {
        drop(self.commands);
        self.thread
            .join()
            .map_err(|_| io::Error::other("a traffic thread panicked"))
    }

    fn tell(&self, command: Command) -> Acknowledged {
        let (acknowledge, acknowledged) = oneshot::channel();
        // A thread that has ended drops the sender, and that is what the caller sees.
        let _ended = self.commands.send((command, acknowledge));
        acknowledged
    }
}
