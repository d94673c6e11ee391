//! What is held back, and the word of an operator that it shall go.

use roadstead_proto::v1::guard_service_client::GuardServiceClient;
use roadstead_proto::v1::{ConfirmDeletionsRequest, ListHoldsRequest};
use tonic::Code;

use crate::event::hold::{Extent, HoldId};
use crate::event::{Epoch, Seq};
use crate::model::key::{Kind, Origin};
use crate::model::time::Timestamp;
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
