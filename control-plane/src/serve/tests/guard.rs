//! What is held back, and the word of an operator that it shall go.

use std::time::Duration;

use roadstead_proto::v1::guard_service_client::GuardServiceClient;
use roadstead_proto::v1::guard_service_server::GuardService as _;
use roadstead_proto::v1::{ConfirmDeletionsRequest, ListHoldsRequest};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};
use tonic::{Code, Request, Status};

use crate::event::hold::{Extent, HoldId};
use crate::event::{Epoch, Seq};
use crate::model::key::{Kind, Origin};
use crate::model::time::Timestamp;
use crate::observe::Observation;
use crate::review::Account;
use crate::serve::Role as Duty;
use crate::serve::guard::Guard;
use crate::serve::tests::world::World;
use crate::state::hold::{Hold, HoldNow, Holding};
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

fn holding() -> Holding {
    Holding {
        holds: vec![held()],
        ..Holding::default()
    }
}

/// A guard, and all that it looks at and speaks to.
struct Alone {
    guard: Guard,
    shown: watch::Sender<Holding>,
    frozen: watch::Sender<bool>,
    duty: watch::Sender<Duty>,
    inbox: mpsc::Receiver<Observation>,
}

impl Alone {
    fn new() -> Self {
        let (reports, inbox) = mpsc::channel(1);
        let (demands, _) = mpsc::channel(1);
        let shown = watch::Sender::new(holding());
        let frozen = watch::Sender::new(false);
        let duty = watch::Sender::new(Duty::Leading { reports, demands });
        let guard = Guard::new(shown.subscribe(), frozen.subscribe(), duty.subscribe());
        Self {
            guard,
            shown,
            frozen,
            duty,
            inbox,
        }
    }

    fn request() -> Request<ConfirmDeletionsRequest> {
        Request::new(ConfirmDeletionsRequest {
            holds: vec!["3.1204".into()],
            reason: "meant".into(),
        })
    }

    /// What a confirmation is answered, and what the engine was told of it, if this comes of it.
    async fn confirm(
        mut self,
        request: Request<ConfirmDeletionsRequest>,
        comes: impl FnOnce(&Self),
    ) -> (Result<(), Status>, Option<Observation>) {
        let guard = self.guard.clone();
        let mut confirming = JoinSet::new();
        confirming.spawn(async move { guard.confirm_deletions(request).await });
        let told = timeout(Duration::from_secs(1), self.inbox.recv()).await;
        comes(&self);
        let answer = confirming.join_next().await.unwrap().unwrap();
        (answer.map(|_| ()), told.ok().flatten())
    }
}

#[tokio::test]
async fn what_is_held_is_told_and_goes_when_it_is_confirmed() {
    let mut world = World::begun().await;
    let mut operator = GuardServiceClient::new(world.channel(Role::Operator).await);
    let list = operator.list_holds(ListHoldsRequest {}).await.unwrap();
    assert_eq!(list.into_inner().holds, []);

    world.holding.send_replace(holding());
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
    world.holding.send_replace(holding());
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
    assert_eq!(world.holding.borrow().holds.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_term_ends_although_a_confirmation_waits_to_be_recorded() {
    let mut alone = Alone::new();
    let guard = alone.guard.clone();
    let mut confirming = JoinSet::new();
    confirming.spawn(async move { guard.confirm_deletions(Alone::request()).await });
    let told = alone.inbox.recv().await;
    assert!(matches!(told, Some(Observation::Confirmed(_))), "{told:?}");
    alone.duty.send_replace(Duty::Following { leader: None });
    // So the engine learns that nobody can tell it anything any more.
    let ended = timeout(Duration::from_secs(1), alone.inbox.recv()).await;
    assert_eq!(ended, Ok(None));
    assert!(confirming.try_join_next().is_none());
    let answer = confirming.join_next().await.unwrap().unwrap();
    answer.unwrap_err();
}

#[tokio::test(start_paused = true)]
async fn a_hold_that_makes_way_for_another_meanwhile_is_not_said_to_be_confirmed() {
    let replaced = |alone: &Alone| {
        alone
            .shown
            .send_modify(|shown| shown.holds[0].hold.id.seq = Seq(1205));
    };
    let ended = |alone: &Alone| alone.shown.send_modify(|shown| shown.holds.clear());
    let (answer, _) = Alone::new().confirm(Alone::request(), replaced).await;
    let status = answer.unwrap_err();
    assert_eq!(status.code(), Code::Aborted);
    assert!(status.message().contains("3.1204"), "{status}");
    let (answer, _) = Alone::new().confirm(Alone::request(), ended).await;
    assert_eq!(answer.unwrap_err().code(), Code::Aborted);
    let (answer, _) = Alone::new()
        .confirm(Alone::request(), |alone| {
            alone
                .shown
                .send_modify(|shown| shown.confirm(held().hold.id));
        })
        .await;
    answer.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_hold_that_was_confirmed_and_waits_for_a_list_may_be_confirmed_again() {
    let alone = Alone::new();
    let confirm = |shown: &mut Holding| shown.holds[0].hold.confirmed = true;
    alone.shown.send_modify(confirm);
    let (answer, _) = alone.confirm(Alone::request(), |_| {}).await;
    answer.unwrap();
}

#[tokio::test(start_paused = true)]
async fn while_the_log_cannot_be_written_nothing_is_confirmed_and_that_is_said_at_once() {
    let alone = Alone::new();
    alone.frozen.send_replace(true);
    let began = Instant::now();
    let (answer, told) = alone.confirm(Alone::request(), |_| {}).await;
    assert_eq!(
        (answer.unwrap_err().code(), told),
        (Code::Unavailable, None)
    );
    // Or it is found out by writing it.
    let freezes = |alone: &Alone| {
        alone.frozen.send_replace(true);
    };
    let (answer, _) = Alone::new().confirm(Alone::request(), freezes).await;
    let status = answer.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert!(status.message().contains("confirm again"), "{status}");
    assert!(began.elapsed() < Duration::from_secs(5));
}

#[tokio::test(start_paused = true)]
async fn the_account_of_the_token_is_who_confirmed() {
    let mut request = Alone::request();
    request.extensions_mut().insert(Account {
        name: "system:serviceaccount:ops:jane".into(),
        ..Account::default()
    });
    let (_, told) = Alone::new().confirm(request, |_| {}).await;
    let Some(Observation::Confirmed(confirmation)) = told else {
        panic!("{told:?}")
    };
    assert_eq!(&*confirmation.by, "system:serviceaccount:ops:jane");
}
