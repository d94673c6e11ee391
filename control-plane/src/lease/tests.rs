//! A Lease in memory, and replicas that want it; time is the test's.

use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use tokio::sync::watch;

use crate::event::Epoch;
use crate::lease::{Candidate, Found, Holder, LeaseError, Sight, Store, Timing};

mod refusals;

const TIMING: Timing = Timing {
    duration: Duration::from_secs(15),
    renew_within: Duration::from_secs(10),
    retry: Duration::from_millis(100),
};

fn holder(name: &str) -> Holder {
    Holder {
        identity: name.into(),
        address: format!("https://{name}:1").into(),
    }
}

fn found(name: &str, revision: u64) -> Found {
    Found {
        holder: (!name.is_empty()).then(|| holder(name)),
        epoch: Epoch(1),
        duration: Duration::from_secs(15),
        transitions: 0,
        acquired: None,
        metadata: Arc::default(),
        revision: revision.to_string().into(),
    }
}

fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// What an API server does: writes over what was read, and nothing else.
#[derive(Clone, Debug, Default)]
struct Memory {
    lease: Arc<watch::Sender<(Option<Found>, u64)>>,
}

impl Memory {
    fn edit(&self, edit: impl FnOnce(&mut Option<Found>)) {
        self.lease.send_modify(|(lease, revision)| {
            *revision += 1;
            edit(lease);
            if let Some(found) = lease {
                found.revision = revision.to_string().into();
            }
        });
    }

    fn now(&self) -> Option<Found> {
        self.lease.borrow().0.clone()
    }

    fn write(&self, over: Option<&Found>, new: Found) -> Result<Found, LeaseError> {
        if self.now().map(|found| found.revision) != over.map(|over| over.revision.clone()) {
            return Err(LeaseError::Conflict);
        }
        self.edit(|lease| *lease = Some(new));
        self.now().ok_or(LeaseError::Conflict)
    }
}

impl Store for Memory {
    async fn read(&self) -> Result<Option<Found>, LeaseError> {
        Ok(self.now())
    }

    async fn take(
        &self,
        over: Option<&Found>,
        holder: &Holder,
        epoch: Epoch,
        duration: Duration,
    ) -> Result<Found, LeaseError> {
        let new = Found {
            holder: Some(holder.clone()),
            epoch,
            duration,
            ..found("", 0)
        };
        self.write(over, new)
    }

    async fn give_back(&self, held: &Found) -> Result<(), LeaseError> {
        let free = Found {
            holder: None,
            ..held.clone()
        };
        self.write(Some(held), free).map(drop)
    }
}

fn candidate(memory: &Memory, name: &str) -> Candidate<Memory> {
    Candidate::new(memory.clone(), holder(name), TIMING)
}

#[test]
fn a_lease_is_free_when_it_did_not_change_for_as_long_as_it_says() {
    let (me, mut sight) = (holder("me"), Sight::default());
    assert!(!sight.is_free(&me, at(100)), "nobody looked");
    sight.look(Some(found("other", 1)), at(100));
    assert!(!sight.is_free(&me, at(114)));
    assert_eq!(
        sight.leader(&me, at(114)).as_deref(),
        Some("https://other:1")
    );
    sight.look(Some(found("other", 2)), at(114));
    assert!(!sight.is_free(&me, at(128)));
    sight.look(Some(found("other", 2)), at(129));
    assert!(sight.is_free(&me, at(129)));
    assert_eq!(sight.leader(&me, at(129)), None);
}

#[test]
fn a_lease_that_is_not_there_or_was_given_back_or_is_ones_own_is_free_at_once() {
    let me = holder("me");
    for free in [None, Some(found("", 1)), Some(found("me", 1))] {
        let mut sight = Sight::default();
        sight.look(free, at(1));
        assert!(sight.is_free(&me, at(1)));
    }
}

#[test]
fn a_holder_that_had_ones_own_address_is_gone_and_its_lease_is_not_free_for_that() {
    let mut me = holder("me");
    me.address = holder("before").address;
    let mut sight = Sight::default();
    sight.look(Some(found("before", 1)), at(1));
    assert_eq!(sight.leader(&me, at(2)), None);
    // It may still run, cut off from everything.
    assert!(!sight.is_free(&me, at(2)));
}

proptest! {
    /// By the two rules alone: a holder counts itself leader for less time after it asked than
    /// others wait after they saw the outcome, whatever their clocks read.
    #[test]
    fn no_two_lead_at_once_whatever_the_clocks_say(
        asked in 0_u64..1_000_000,
        seen_after in 0_u64..60_000,
        skew in 0_u64..1_000_000_000,
        looked_after in 0_u64..60_000,
    ) {
        let millis = Duration::from_millis;
        let until = millis(asked) + TIMING.renew_within;
        let mut sight = Sight::default();
        sight.look(Some(found("leader", 1)), millis(asked + seen_after + skew));
        let now = asked + seen_after + looked_after;
        if sight.is_free(&holder("other"), millis(now + skew)) {
            prop_assert!(millis(now) > until);
        }
    }
}

#[tokio::test]
async fn each_term_has_a_higher_epoch_whoever_has_it_and_whatever_became_of_the_lease() {
    let memory = Memory::default();
    let mut a = candidate(&memory, "a");
    assert!(a.look().await.unwrap());
    let first = a.take(Epoch(0)).await.unwrap().unwrap();
    assert_eq!(first.office().epoch(), Epoch(1));
    first.give_back().await;

    let mut b = candidate(&memory, "b");
    assert!(b.look().await.unwrap());
    let second = b.take(Epoch(1)).await.unwrap().unwrap();
    assert_eq!(second.office().epoch(), Epoch(2));

    // Deleted: what the replica itself knows counts.
    memory.edit(|lease| *lease = None);
    assert!(a.look().await.unwrap());
    let third = a.take(Epoch(2)).await.unwrap().unwrap();
    assert_eq!(third.office().epoch(), Epoch(3));
    // Edited to what cannot be true.
    memory.edit(|lease| {
        *lease = Some(Found {
            epoch: Epoch(u64::MAX),
            ..found("", 0)
        });
    });
    assert!(a.look().await.unwrap());
    let absurd = a.take(Epoch(3)).await.unwrap().unwrap();
    assert_eq!(absurd.office().epoch(), Epoch(4));
    // Edited to something lower.
    memory.edit(|lease| {
        *lease = Some(found("", 0));
    });
    assert!(b.look().await.unwrap());
    let fifth = b.take(Epoch(4)).await.unwrap().unwrap();
    assert_eq!(fifth.office().epoch(), Epoch(5));
}

#[tokio::test]
async fn of_two_that_saw_it_free_one_gets_it() {
    let memory = Memory::default();
    let (mut a, mut b) = (candidate(&memory, "a"), candidate(&memory, "b"));
    assert!(a.look().await.unwrap() && b.look().await.unwrap());
    assert!(a.take(Epoch(0)).await.unwrap().is_some());
    assert!(b.take(Epoch(0)).await.unwrap().is_none());
    assert!(!b.look().await.unwrap());
}

async fn held(memory: &Memory) -> crate::lease::Holding<Memory> {
    let mut candidate = candidate(memory, "me");
    candidate.look().await.unwrap();
    candidate.take(Epoch(0)).await.unwrap().unwrap()
}

#[tokio::test]
async fn a_term_is_over_when_somebody_else_has_the_lease_or_it_is_gone_or_its_epoch_is_another() {
    let edits: [fn(&mut Option<Found>); 3] = [
        |lease| *lease = Some(found("other", 0)),
        |lease| *lease = None,
        |lease| {
            if let Some(found) = lease {
                found.epoch = Epoch(0);
            }
        },
    ];
    for edit in edits {
        let memory = Memory::default();
        let mut holding = held(&memory).await;
        let office = holding.office().clone();
        assert!(office.holds());
        memory.edit(edit);
        holding.keep().await;
        assert!(!office.holds());
        office.over().await;
        let left = memory.now();
        holding.give_back().await;
        assert_eq!(memory.now(), left, "what is another's is left alone");
    }
}

#[tokio::test]
async fn a_lease_that_is_as_it_was_before_ends_the_term_and_is_ones_own_at_once() {
    let memory = Memory::default();
    let mut holding = held(&memory).await;
    // Restored from a backup of an earlier time, and much was written since.
    memory.lease.send_modify(|(lease, revision)| {
        *revision += 1_000;
        if let Some(found) = lease {
            found.revision = "0".into();
        }
    });
    let kept = tokio::time::timeout(TIMING.renew_within / 2, holding.keep());
    kept.await.unwrap();
    assert!(!holding.office().holds());
    let before = holding.office().epoch();
    holding.give_back().await;
    let mut again = candidate(&memory, "me");
    assert!(again.look().await.unwrap());
    let holding = again.take(before).await.unwrap().unwrap();
    assert!(holding.office().epoch() > before);
}

#[tokio::test]
async fn what_somebody_wrote_beside_it_does_not_end_a_term() {
    let memory = Memory::default();
    let mut holding = held(&memory).await;
    let office = holding.office().clone();
    let before = memory.now();
    memory.edit(|_| {});
    let resign = office.clone();
    let watched = memory.clone();
    let keeping = holding.keep();
    tokio::pin!(keeping);
    loop {
        tokio::select! {
            () = &mut keeping => panic!("it is over"),
            () = tokio::time::sleep(TIMING.retry) => {}
        }
        // Once for the edit, and once more for the renewal over it.
        let revision = |found: Option<Found>| found.unwrap().revision.parse::<u64>().unwrap();
        if revision(watched.now()) >= revision(before.clone()) + 2 {
            break;
        }
    }
    assert!(office.holds());
    resign.resign();
    keeping.await;
    assert!(!office.holds());
}

#[tokio::test]
async fn a_lease_is_given_back_though_its_last_renewal_arrived_unnoticed() {
    let memory = Memory::default();
    let holding = held(&memory).await;
    // As if the request had been on its way when the term ended.
    memory.edit(|_| {});
    holding.give_back().await;
    assert_eq!(memory.now().unwrap().holder, None);

    // Another's is not.
    let holding = held(&memory).await;
    memory.edit(|lease| *lease = Some(found("other", 0)));
    holding.give_back().await;
    assert_eq!(memory.now().unwrap().holder, Some(holder("other")));
}
