//! The traffic threads, as the control side sees them: one thing that switches versions and
//! has listeners.
//!
//! Apart from the threads themselves, which know nothing of each other.

use std::{
    net::{SocketAddr, TcpListener},
    rc::Rc,
    sync::Arc,
};

use futures::future::join_all;
use tokio::sync::watch;
use tracing::error;

use super::listeners::{Listeners, Ports};
use crate::active::Active;
use crate::control::{Listening, Serve};
use crate::listen::{ListenError, listen};
use crate::protocol::Scheme;
use crate::resolve::External;
use crate::snapshot::{Fault, Listener, Reason};
use crate::worker::{Acknowledged, Port, Worker};

/// Whoever tells all threads something has this.
pub(super) type Workers = Rc<Vec<Worker>>;

/// All traffic threads.
#[derive(Debug)]
pub(super) struct Traffic {
    workers: Workers,
    listeners: Listeners<Sockets>,
    /// The version that is live.
    active: Arc<Active>,
    /// Versions that a thread may still hold for a request that began with it. They are kept
    /// so that they are dropped here, where it delays nobody.
    retired: Vec<Arc<Active>>,
    /// What has to be looked up.
    externals: watch::Sender<Arc<[External]>>,
}

impl Traffic {
    pub(super) fn new(workers: Workers, active: Arc<Active>) -> Self {
        Self {
            listeners: Listeners::new(Sockets(workers.clone())),
            workers,
            active,
            retired: Vec::new(),
            externals: watch::Sender::new(Arc::default()),
        }
    }

    /// The upstreams whose names have to be looked up, now and later.
    pub(super) fn externals(&self) -> watch::Receiver<Arc<[External]>> {
        self.externals.subscribe()
    }
}

impl Serve for Traffic {
    async fn switch(&mut self, active: Arc<Active>) {
        all(&self.workers, |worker| worker.publish(active.clone())).await;
        let before = std::mem::replace(&mut self.active, active);
        self.retired.push(before);
        self.retired
            .retain(|version| Arc::strong_count(version) > 1);
        let externals = self.active.upstreams.externals();
        let externals: Arc<[_]> = externals.filter_map(|u| External::of(u)).collect();
        self.externals.send_if_modified(|known| {
            let differs = *known != externals;
            *known = externals;
            differs
        });
    }

    async fn listen(&mut self, wanted: &[Arc<Listener>]) -> Listening {
        let faults = self.listeners.set(wanted).await;
        Listening {
            open: self.listeners.len(),
            faults,
        }
    }
}

/// Tells every thread something, and waits until all of them act by it.
pub(super) async fn all(workers: &[Worker], tell: impl FnMut(&Worker) -> Acknowledged) {
    for told in join_all(workers.iter().map(tell)).await {
        if told.is_err() {
            // The heartbeat notices it too, and ends the process.
            error!("a traffic thread has ended");
        }
    }
}

/// Ports of real sockets, one for each thread.
#[derive(Debug)]
struct Sockets(Workers);

impl Ports for Sockets {
    type Bound = Vec<TcpListener>;

    fn bind(&self, listener: &Listener) -> Result<Vec<TcpListener>, Fault> {
        listen(listener.address, self.0.len()).map_err(|error| fault(&error))
    }

    async fn open(&self, listener: &Arc<Listener>, bound: Vec<TcpListener>) {
        let mut sockets = bound.into_iter();
        let mut opened = Vec::new();
        for (worker, socket) in self.0.iter().zip(&mut sockets) {
            opened.push(worker.open(port(listener), socket));
        }
        join_all(opened).await;
    }

    async fn close(&self, listener: &Arc<Listener>) {
        all(&self.0, |worker| worker.close(&listener.name)).await;
    }
}

fn port(listener: &Listener) -> Port {
    Port {
        name: listener.name.clone(),
        number: SocketAddr::port(&listener.address),
        scheme: Scheme::Http,
    }
}

fn fault(error: &ListenError) -> Fault {
    let reason = match error {
        ListenError::InUse(_) => Reason::AddressInUse,
        ListenError::NotAvailable(_) => Reason::AddressNotAvailable,
        ListenError::Forbidden(_) => Reason::PermissionDenied,
        ListenError::Failed(..) => Reason::ListenFailed,
    };
    Fault::new(reason, error.to_string())
}
