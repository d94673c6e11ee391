//! The main loop of a traffic thread: does what it is told, and keeps time.
//!
//! Apart from accepting and serving, which run beside it as tasks.

use std::{collections::BTreeMap, future::pending, io, rc::Rc, sync::Arc, time::Duration};

use futures::{FutureExt, future::join_all};
use tokio::{
    runtime::{Builder, LocalOptions, LocalRuntime},
    sync::{mpsc, oneshot},
    time::{MissedTickBehavior, interval, timeout},
};

use super::{
    Command, WorkerOptions,
    accept::Acceptor,
    peers::{Given, Peers},
    server::Server,
};
use crate::access_log::ThreadLog;
use crate::active::Active;
use crate::clock::{self, TICK};
use crate::drain::Phase;
use crate::metrics::ThreadMetrics;
use crate::proxy::Proxy;
use crate::thread::Thread;

pub(super) fn runtime() -> io::Result<LocalRuntime> {
    Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build_local(LocalOptions::default())
}

/// Runs until everything is drained or nobody is left who tells what to do. What is open then is
/// cut when the runtime ends.
pub(super) async fn run(
    options: WorkerOptions,
    active: Arc<Active>,
    metrics: Arc<ThreadMetrics>,
    mut inbox: mpsc::UnboundedReceiver<(Command, oneshot::Sender<()>)>,
) -> Rc<Thread> {
    let log = ThreadLog::new(options.log);
    let thread = Thread::new(options.limits, log, metrics);
    let thread = Rc::new(thread.traced(options.traces, options.index as u64));
    let proxy = Rc::new(Proxy::new(
        Rc::clone(&thread),
        active,
        options.index,
        options.pools,
        options.asking,
    ));
    let (sharing, mut given) = match options.peers {
        Some(Peers { sharing, given }) => (Some(sharing), Some(given)),
        None => (None, None),
    };
    let server = Rc::new(Server::new(
        Rc::clone(&thread),
        Rc::clone(&proxy),
        options.tls,
        sharing,
    ));
    let mut acceptors = BTreeMap::new();
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut count = 0_u32;
    loop {
        tokio::select! {
            biased;
            due = ticks.tick() => {
                let late = clock::now().saturating_duration_since(due);
                tick(&thread, late);
                count = count.wrapping_add(1);
                if count.is_multiple_of(TICKS_PER_SWEEP) {
                    proxy.sweep();
                }
            }
            told = inbox.recv() => {
                let Some((command, acknowledge)) = told else { break };
                match command {
                    Command::Publish(active) => proxy.publish(active),
                    Command::Resolved(resolved) => proxy.resolved(resolved),
                    Command::Open(port, terms, sockets) => {
                        let name = Arc::clone(&port.name);
                        match Acceptor::start(&server, port, terms, sockets) {
                            Ok(acceptor) => {
                                if let Some(before) = acceptors.insert(name, acceptor) {
                                    let (closed, _) = oneshot::channel();
                                    before.close(closed);
                                }
                            }
                            Err(error) => tracing::error!(listener = %name, "accept: {error}"),
                        }
                    }
                    Command::Terms(name, terms) => {
                        if let Some(acceptor) = acceptors.get(&name) {
                            acceptor.set_terms(terms);
                        }
                    }
                    Command::Close(name) => {
                        if let Some(acceptor) = acceptors.remove(&name) {
                            // Only then can the control thread have the address again.
                            acceptor.close(acknowledge);
                            thread.alarms.wake_all();
                            continue;
                        }
                    }
                    Command::Ping => {}
                    Command::Drain(grace) => {
                        thread.drain.advance(Phase::Draining);
                        take_last(&server, &acceptors, given.take()).await;
                        let acceptors = std::mem::take(&mut acceptors);
                        drain(&thread, acceptors, &mut ticks, grace).await;
                        let _gone = acknowledge.send(());
                        break;
                    }
                }
                let _gone = acknowledge.send(());
            }
            taken = next(&mut given) => take(&server, &acceptors, taken),
        }
    }
    thread.drain.advance(Phase::Cutting);
    thread
}

/// What another thread gives; with nobody to give anything, never.
async fn next(given: &mut Option<mpsc::Receiver<Given>>) -> Given {
    match given {
        // The channel's other end is also here, and so it does not end.
        Some(given) => match given.recv().await {
            Some(given) => given,
            None => pending().await,
        },
        None => pending().await,
    }
}

/// Takes what other threads have given, and nothing from then on.
async fn take_last(
    server: &Rc<Server>,
    acceptors: &BTreeMap<Arc<str>, Acceptor>,
    given: Option<mpsc::Receiver<Given>>,
) {
    let Some(mut given) = given else { return };
    given.close();
    while let Some(given) = given.recv().await {
        take(server, acceptors, given);
    }
}

fn take(server: &Rc<Server>, acceptors: &BTreeMap<Arc<str>, Acceptor>, given: Given) {
    server.take(given, |port| {
        let acceptor = acceptors.get(&port.name);
        acceptor.and_then(|acceptor| acceptor.listener_of(port))
    });
}

fn tick(thread: &Thread, late: Duration) {
    let late = i64::try_from(late.as_micros()).unwrap_or(i64::MAX);
    thread.metrics.lag.set(late);
    if late > thread.metrics.lag_max.read() {
        thread.metrics.lag_max.set(late);
    }
    thread.tick();
}

/// Accepts what has come, closes the listeners, and lets connections end by themselves, for at
/// most `grace`. In this order, so that whoever is sent away finds no open port.
async fn drain(
    thread: &Thread,
    acceptors: BTreeMap<Arc<str>, Acceptor>,
    ticks: &mut tokio::time::Interval,
    grace: Duration,
) {
    let closed = acceptors.into_values().map(|acceptor| {
        let (closed, is_closed) = oneshot::channel();
        acceptor.close(closed);
        is_closed
    });
    let emptied = join_all(closed).then(|_| {
        thread.alarms.wake_all();
        thread.drain.emptied()
    });
    let time = async {
        loop {
            let due = ticks.tick().await;
            tick(thread, clock::now().saturating_duration_since(due));
        }
    };
    let ended = async {
        tokio::select! {
            () = emptied => {}
            () = time => {}
        }
    };
    if timeout(grace, ended).await.is_err() {
        tracing::warn!(
            open = thread.drain.open(),
            "connections cut at the end of the grace period"
        );
    }
}

/// Unused connections are looked at once a second.
const TICKS_PER_SWEEP: u32 = 10;
