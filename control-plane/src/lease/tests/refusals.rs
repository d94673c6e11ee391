//! The Lease of an API server that refuses what is written, or says nothing to it.

use std::convert::Infallible;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use http::{Method, Request, Response};
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};
use tokio::sync::watch;
use tower::service_fn;

use crate::clock;
use crate::event::Epoch;
use crate::lease::tests::holder;
use crate::lease::{Candidate, Holding, Leases, Timing};

/// What becomes of each write.
#[derive(Clone, Copy, Debug)]
enum Fate {
    Refused(u16),
    Unanswered,
}

/// One Lease, whose revision is its number of writes.
#[derive(Clone, Debug, Default)]
struct Server {
    lease: Arc<watch::Sender<(Value, u64)>>,
    fate: Arc<watch::Sender<Option<Fate>>>,
    /// Writes that had no success.
    failed: Arc<watch::Sender<u32>>,
}

impl Server {
    fn leases(&self) -> Leases {
        let server = self.clone();
        let service = service_fn(move |request: Request<Body>| {
            let server = server.clone();
            async move { Ok::<_, Infallible>(server.answer(request).await) }
        });
        Leases::new(Client::new(service, "default"), "default", "lease")
    }

    async fn answer(&self, request: Request<Body>) -> Response<Body> {
        if *request.method() != Method::GET {
            let fate = *self.fate.borrow();
            if let Some(fate) = fate {
                self.failed.send_modify(|times| *times += 1);
                return match fate {
                    Fate::Refused(code) => refusal(code),
                    Fate::Unanswered => pending().await,
                };
            }
            let written = request.into_body().collect_bytes().await.unwrap();
            let mut written: Value = serde_json::from_slice(&written).unwrap();
            self.lease.send_modify(|(lease, revision)| {
                *revision += 1;
                written["metadata"]["resourceVersion"] = json!(revision.to_string());
                *lease = written;
            });
        }
        let lease = &self.lease.borrow().0;
        if lease.is_null() {
            return refusal(404);
        }
        Response::new(Body::from(lease.to_string().into_bytes()))
    }

    async fn held(&self, timing: Timing) -> Holding<Leases> {
        let mut candidate = Candidate::new(self.leases(), holder("me"), timing);
        assert!(candidate.look().await.unwrap());
        let taken = Box::pin(candidate.take(Epoch(0))).await;
        taken.unwrap().unwrap()
    }

    fn revision(&self) -> u64 {
        self.lease.borrow().1
    }
}

fn refusal(code: u16) -> Response<Body> {
    let reason = if code == 404 { "NotFound" } else { "Planted" };
    let status = json!({
        "apiVersion": "v1", "kind": "Status", "status": "Failure", "message": "planted",
        "reason": reason, "code": code,
    });
    let mut response = Response::new(Body::from(status.to_string().into_bytes()));
    *response.status_mut() = code.try_into().unwrap();
    response
}

/// All but a conflict, which says that somebody else wrote.
const FATES: [Fate; 5] = [
    Fate::Refused(403),
    Fate::Refused(429),
    Fate::Refused(500),
    Fate::Refused(503),
    Fate::Unanswered,
];

const TIMING: Timing = Timing {
    duration: Duration::from_secs(6),
    renew_within: Duration::from_secs(3),
    retry: Duration::from_millis(20),
};

#[tokio::test]
async fn a_term_outlasts_renewals_that_are_refused_for_a_while() {
    for fate in FATES {
        let server = Server::default();
        let mut holding = server.held(TIMING).await;
        let office = holding.office().clone();
        let keeping = async {
            holding.keep().await;
            panic!("{fate:?}: it is over");
        };
        let mended = async {
            server.fate.send_replace(Some(fate));
            let tries = if matches!(fate, Fate::Unanswered) {
                1
            } else {
                3
            };
            let mut failed = server.failed.subscribe();
            failed.wait_for(|times| *times >= tries).await.unwrap();
            let before = server.revision();
            server.fate.send_replace(None);
            let mut lease = server.lease.subscribe();
            let renewed = lease.wait_for(|(_, revision)| *revision > before);
            renewed.await.unwrap();
        };
        tokio::select! {
            () = keeping => {}
            () = mended => {}
        }
        assert!(office.holds(), "{fate:?}");
    }
}

#[tokio::test]
async fn a_leader_whose_renewals_alone_are_refused_stops_when_its_time_is_over_and_not_before() {
    let timing = Timing {
        renew_within: Duration::from_millis(600),
        ..TIMING
    };
    for fate in FATES {
        let server = Server::default();
        let asked = clock::since_boot();
        let mut holding = server.held(timing).await;
        let office = holding.office().clone();
        server.fate.send_replace(Some(fate));
        let before = server.revision();
        holding.keep().await;
        assert!(!office.holds(), "{fate:?}");
        let lasted = clock::since_boot() - asked;
        assert!(lasted >= timing.renew_within, "{fate:?}: {lasted:?}");
        assert!(*server.failed.borrow() > 0, "{fate:?}");
        // Others have to wait until it is free: nothing was written, and it does not lead.
        holding.give_back().await;
        assert_eq!(server.revision(), before, "{fate:?}");
        assert!(!office.holds(), "{fate:?}");
    }
}

#[tokio::test]
async fn a_leader_whose_renewal_is_a_conflict_though_the_lease_is_as_it_was_stops_at_once() {
    let server = Server::default();
    let timing = Timing {
        renew_within: Duration::from_secs(300),
        ..TIMING
    };
    let mut holding = server.held(timing).await;
    let office = holding.office().clone();
    server.fate.send_replace(Some(Fate::Refused(409)));
    holding.keep().await;
    assert!(!office.holds());
    // It is still its own, and can be given back.
    server.fate.send_replace(None);
    let before = server.revision();
    holding.give_back().await;
    assert_eq!(server.revision(), before + 1);
}
