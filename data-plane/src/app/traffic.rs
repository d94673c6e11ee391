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
use crate::handover::{Inherited, Offer};
use crate::listen::{ListenError, join, listen};
use crate::protocol::Scheme;
use crate::resolve::External;
use crate::snapshot::{Fault, Listener, ListenerProtocol, Reason};
use crate::tls::Tls;
use crate::worker::{Acknowledged, Port, Worker};

/// Whoever tells all threads something has this.
pub(super) type Workers = Rc<Vec<Worker>>;

/// All traffic threads.
#[derive(Debug)]
pub(super) struct Traffic {
    workers: Workers,
    tls: Arc<Tls>,
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
    pub(super) fn new(
        (workers, tls): (Workers, Arc<Tls>),
        active: Arc<Active>,
        inherited: Inherited,
        offer: Option<Offer>,
    ) -> Self {
        let sockets = Sockets {
            workers: workers.clone(),
            inherited,
            offer,
        };
        Self {
            listeners: Listeners::new(sockets),
            workers,
            tls,
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
        self.tls.make_tickets_by(&active.ticket_secrets);
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
        // The first version's listeners are those of the process before, or nobody's.
        self.listeners.ports().inherited.leave();
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

/// Ports of real sockets, one for each thread or, of those that were taken over, several.
#[derive(Debug)]
struct Sockets {
    workers: Workers,
    inherited: Inherited,
    /// Whoever takes this process' place gets them, if sockets are handed over.
    offer: Option<Offer>,
}

impl Ports for Sockets {
    type Bound = Vec<TcpListener>;

    fn bind(&mut self, listener: &Listener) -> Result<Vec<TcpListener>, Fault> {
        let (address, threads) = (listener.address, self.workers.len());
        match self.inherited.take(address) {
            Some(sockets) => join(sockets, address, threads),
            None => listen(address, threads),
        }
        .map_err(|error| {
            if let ListenError::InUse(_) = error {
                self.inherited.want(address);
            }
            fault(&error)
        })
    }

    async fn open(&mut self, listener: &Arc<Listener>, bound: Vec<TcpListener>) {
        if let Some(offer) = &self.offer {
            offer.add(&listener.name, &bound);
        }
        let threads = self.workers.len();
        let mut shares: Vec<Vec<_>> = Vec::new();
        shares.resize_with(threads, Vec::new);
        for (socket, thread) in bound.into_iter().zip((0..threads).cycle()) {
            if let Some(share) = shares.get_mut(thread) {
                share.push(socket);
            }
        }
        let opened = self.workers.iter().zip(shares);
        let open = |(worker, share): (&Worker, _)| {
            worker.open(port(listener), listener.terms.clone(), share)
        };
        join_all(opened.map(open)).await;
    }

    async fn change(&mut self, listener: &Arc<Listener>) {
        let set = |worker: &Worker| worker.set_terms(&listener.name, listener.terms.clone());
        all(&self.workers, set).await;
    }

    async fn close(&mut self, listener: &Arc<Listener>) {
        if let Some(offer) = &self.offer {
            offer.withdraw(&listener.name);
        }
        all(&self.workers, |worker| worker.close(&listener.name)).await;
    }
}

fn port(listener: &Listener) -> Port {
    Port {
        name: listener.name.clone(),
        number: SocketAddr::port(&listener.address),
        scheme: match listener.protocol {
            ListenerProtocol::Http => Scheme::Http,
            ListenerProtocol::Https => Scheme::Https,
        },
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
