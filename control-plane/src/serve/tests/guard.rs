//! What is held back, and the word of an operator that it shall go.

use std::time::Duration;

use roadstead_proto::v1::guard_service_client::GuardServiceClient;
use roadstead_proto::v1::guard_service_server::GuardService as _;
use roadstead_proto::v1::{ConfirmDeletionsRequest, ListHoldsRequest};
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;
use tonic::{Code, Request};

use crate::event::hold::{Extent, HoldId};
use crate::event::{Epoch, Seq};
use crate::model::key::{Kind, Origin};
use crate::model::time::Timestamp;
use crate::observe::Observation;
use crate::serve::Role as Duty;
use crate::serve::guard::Guard;
use crate::serve::tests::world::World;
use crate::state::hold::{Hold, HoldNow};
use crate::tokens::Role;

fn held() -> HoldNow {
    let extent = Extent {
        origin: Origin::Kubernetes,
        kind: Kind::Ingress,
        objects: 12,
        routes: 11,
        of_routes: 13,
        sample: vec!["a/b".into()],
        set: "".into(),
    };
    let id = HoldId {
        epoch: Epoch(3),
        seq: Seq(1204),
    };
    let hold = Hold {
        id,
        since: Timestamp(1_700_000_000_000),
        extent,
        confirmed: false,
    };
    HoldNow {
        hold,
        missing: Some(10),
    }
}

#[tokio::test]
async fn what_is_held_is_told_and_goes_when_it_is_confirmed() {
    let mut world = World::begun().await;
    let mut operator = GuardServiceClient::new(world.channel(Role::Operator).await);
    let list = operator.list_holds(ListHoldsRequest {}).await.unwrap();
    assert_eq!(list.into_inner().holds, []);

    world.holds.send_replace(vec![held()]);
    let list = operator.list_holds(ListHoldsRequest {}).await.unwrap();
    let [hold] = &list.into_inner().holds[..] else {
        panic!("one hold");
    };
    assert_eq!(
        (&*hold.id, &*hold.origin, &*hold.kind),
        ("3.1204", "kubernetes", "Ingress")
    );
    let counts = (hold.objects, hold.missing, hold.routes, hold.of_routes);
    assert_eq!(counts, (12, Some(10), 11, 13));
    assert_eq!(hold.sample, ["a/b"]);

    let confirmed = ConfirmDeletionsRequest {
        holds: vec![hold.id.clone()],
        reason: " the shop closed ".into(),
    };
    operator.confirm_deletions(confirmed.clone()).await.unwrap();
    let said = world.transitions.recv().await.unwrap();
    for words in [
        "seq: Seq(1204)",
        "an operator at 127.0.0.1",
        "\"the shop closed\"",
    ] {
        assert!(said.contains(words), "{words}: {said}");
    }
    let status = operator.confirm_deletions(confirmed).await.unwrap_err();
    assert_eq!(status.code(), Code::FailedPrecondition);
    assert!(status.message().contains("3.1204"), "{status}");
}

#[tokio::test]
async fn a_confirmation_without_a_hold_or_a_reason_is_refused() {
    let world = World::begun().await;
    world.holds.send_replace(vec![held()]);
    let mut operator = GuardServiceClient::new(world.channel(Role::Operator).await);
    let long = "x".repeat(1001);
    let many = vec!["3.1204"; 17];
    for (holds, reason, field) in [
        (&["3.1204"][..], " ", "reason"),
        (&["3.1204"], &long, "reason"),
        (&[], "meant", "holds"),
        (&many, "meant", "holds"),
        (&["3"], "meant", "holds"),
    ] {
        let request = ConfirmDeletionsRequest {
            holds: holds.iter().map(ToString::to_string).collect(),
            reason: reason.into(),
        };
        let status = operator.confirm_deletions(request).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{holds:?}");
        assert!(status.message().starts_with(field), "{status}");
    }
    assert_eq!(world.holds.borrow().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_term_ends_although_a_confirmation_waits_to_be_recorded() {
    let (reports, mut inbox) = mpsc::channel(1);
    let (_shown, holds) = watch::channel(vec![held()]);
    let duty = watch::Sender::new(Duty::Leading { reports });
    let guard = Guard::new(holds, duty.subscribe());
    let confirming = tokio::spawn(async move {
        let request = ConfirmDeletionsRequest {
            holds: vec!["3.1204".into()],
            reason: "meant".into(),
        };
        guard.confirm_deletions(Request::new(request)).await
    });
    let told = inbox.recv().await;
    assert!(matches!(told, Some(Observation::Confirmed(_))), "{told:?}");
    duty.send_replace(Duty::Following { leader: None });
    // So the engine learns that nobody can tell it anything any more.
    let ended = timeout(Duration::from_secs(1), inbox.recv()).await;
    assert_eq!(ended, Ok(None));
    assert!(!confirming.is_finished());
    confirming.await.unwrap().unwrap_err();
}
