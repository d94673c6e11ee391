//! From a request to its response: answer a CA, or route, choose, forward, and say what went wrong.
//!
//! Apart from the codecs on either side, and the only place that knows both routing and
//! connections.

mod challenge;
mod forward;
mod redirect;
mod rescue;
mod retry;
mod upgrade;

use std::{cell::RefCell, rc::Rc, sync::Arc};

use bytes::Bytes;
use tokio::sync::{Notify, futures::Notified};

use crate::active::{Active, Certificates};
use crate::balance::Draws;
use crate::challenge::Asking;
use crate::front::{Handler, RequestError};
use crate::message::{Duplex, Meter, Request, Response, Tunnel};
use crate::resolve::Resolved;
use crate::snapshot::KeyAuthorization;
use crate::thread::Thread;
use crate::tls::Shows;
use crate::upstream::{PoolOptions, Pools, Serial};

/// One traffic thread's proxy.
#[derive(Debug)]
pub struct Proxy {
    thread: Rc<Thread>,
    /// What is served by now. Requests hold what they began with by a count of this thread's
    /// own, so that no count shared between threads moves with a request.
    active: RefCell<Rc<Held>>,
    /// Told when other certificates are shown.
    shown: Notify,
    resolved: RefCell<Arc<Resolved>>,
    /// Told when `resolved` has changed.
    resolution: Notify,
    pools: Pools,
    draws: Draws,
    asking: Asking,
}

/// A version that requests of this thread hold on to.
#[derive(Debug)]
struct Held {
    active: Arc<Active>,
    serial: Serial,
}

impl Proxy {
    /// `index` is the thread's number. Challenges that no version has brought are asked for by
    /// `asking`.
    pub fn new(
        thread: Rc<Thread>,
        active: Arc<Active>,
        index: usize,
        pools: PoolOptions,
        asking: Asking,
    ) -> Self {
        Self {
            pools: Pools::new(Rc::clone(&thread), index, pools),
            thread,
            active: RefCell::new(Rc::new(Held { active, serial: 1 })),
            shown: Notify::new(),
            resolved: RefCell::default(),
            resolution: Notify::new(),
            draws: Draws::new(index as u64),
            asking,
        }
    }

    /// Serves by `active` from the next request on.
    pub fn publish(&self, active: Arc<Active>) {
        let certificates = active.certificates.clone();
        let before = self.active.replace_with(|before| {
            Rc::new(Held {
                active,
                serial: before.serial + 1,
            })
        });
        if !certificates.are(&before.active.certificates) {
            self.shown.notify_waiters();
        }
    }

    /// Uses these addresses of external upstreams from now on.
    pub fn resolved(&self, resolved: Arc<Resolved>) {
        self.resolved.replace(resolved);
        self.resolution.notify_waiters();
    }

    /// Closes connections to upstreams that are not needed any more.
    pub fn sweep(&self) {
        let held = Rc::clone(&self.active.borrow());
        self.pools.sweep(&held.active.upstreams);
    }
}

impl Shows for Proxy {
    fn certificates(&self) -> Certificates {
        self.active.borrow().active.certificates.clone()
    }

    fn changed(&self) -> Notified<'_> {
        self.shown.notified()
    }

    async fn challenge(&self, host: &str) -> Option<KeyAuthorization> {
        self.challenge_by_tls(host).await
    }
}

impl Handler for Proxy {
    async fn handle(&self, request: Request) -> Response {
        let Request {
            mut head,
            mut body,
            mut meter,
        } = request;
        meter.trace(&mut head);
        let held = Rc::clone(&self.active.borrow());
        meter.version(&held.active.version);
        // Apart from the rest, so that no other request is larger for it.
        if let Some(token) = challenge::token(&head)
            && let Some(found) = Box::pin(self.challenge(&held, head.host(), token)).await
        {
            return challenge::response(&found, &head.method, meter);
        }
        match self.forward(&held, &mut head, &mut body, &mut meter).await {
            Ok(answer) => Response {
                status: answer.status,
                headers: answer.headers,
                body: answer.body,
                declared_length: answer.declared_length,
                close: false,
                tunnel: answer.tunnel,
                meter,
            },
            Err(failure) => rescue::response(failure, meter),
        }
    }

    fn refuse(&self, error: RequestError, mut meter: Meter) -> Response {
        meter.version(&self.active.borrow().active.version);
        rescue::response(error.into(), meter)
    }

    async fn join(&self, client: (Box<dyn Duplex>, Bytes), tunnel: Tunnel, meter: Meter) {
        upgrade::join(&self.thread, client, tunnel, meter).await;
    }
}
