//! Tests of who is looked at when.

use roadstead_matcher::host::HostPattern;

use super::*;
use crate::model::key::{Kind, Origin};

impl Item for Managed {
    fn managed(&self) -> &Managed {
        self
    }

    fn anew(&self) -> Self {
        Self::new(self.names.clone())
    }
}

/// A scheduler without limits, and a certificate that it does not know yet.
fn nothing_yet() -> (Scheduler<Managed>, ObjectKey, Managed) {
    let scheduler = Scheduler::new(Limits {
        orders: 0,
        same_names: 0,
        settled: 0,
    });
    let key = ObjectKey {
        name: "a.example".into(),
        ..ObjectKey::before_all(Origin::Folder, Kind::Certificate)
    };
    let managed = Managed::new(vec![HostPattern::parse("a.example").unwrap()]);
    (scheduler, key, managed)
}

#[test]
fn what_changed_while_the_ca_is_left_alone_is_due_when_that_is_over() {
    let (mut scheduler, key, managed) = nothing_yet();
    let (now, later) = (Timestamp(5), Timestamp(10));
    scheduler.be_quiet(later);
    scheduler.want(&key, now, || managed);
    assert_eq!(
        (scheduler.has_work(now), scheduler.next_due(now)),
        (false, Some(later))
    );
    assert!(scheduler.has_work(later));
    let conditions = Conditions {
        now: later,
        ca: "ca",
        suggests: false,
    };
    let answering = |_: &ObjectKey, _: &Managed| Answering::Nobody;
    let taken = scheduler.take(&conditions, answering);
    assert!(matches!(taken, Some((_, _, Task::Do(Next::Begin)))));
    assert_eq!(
        (scheduler.has_work(later), scheduler.next_due(later)),
        (false, None)
    );
}

#[test]
fn what_is_changed_is_stored_first_and_not_while_somebody_is_at_it() {
    let (mut scheduler, key, managed) = nothing_yet();
    let now = Timestamp(5);
    let changed = |managed: &mut Managed| managed.placed.push(now);
    assert!(!scheduler.change(&key, now, changed));
    scheduler.keep(key.clone(), managed.clone(), "1".into());
    scheduler.want(&key, now, || managed.clone());
    assert!(scheduler.change(&key, now, changed));
    let conditions = Conditions {
        now,
        ca: "ca",
        suggests: false,
    };
    let answering = |_: &ObjectKey, _: &Managed| Answering::Nobody;
    let (taken, entry, task) = scheduler.take(&conditions, answering).unwrap();
    assert_eq!(taken, key);
    assert_eq!(task, Task::Save(Box::new(managed.clone())));
    assert_eq!(
        (entry.kept.placed.len(), entry.revision.as_deref()),
        (1, Some("1"))
    );
    assert!(!scheduler.change(&key, now, changed), "somebody is at it");
    scheduler.put(&key, Some((entry.kept, Some("2".into()))));
    assert!(scheduler.change(&key, now, changed));
    // One that could not be stored is stored over what is there.
    assert!(scheduler.change(&key, now, changed));
    let (_, entry, task) = scheduler.take(&conditions, answering).unwrap();
    let before = Managed {
        placed: vec![now],
        ..managed
    };
    assert_eq!(task, Task::Save(Box::new(before)));
    assert_eq!(entry.kept.placed.len(), 3);
}
