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

#[test]
fn what_changed_while_the_ca_is_left_alone_is_due_when_that_is_over() {
    let mut scheduler = Scheduler::new(Limits {
        orders: 0,
        same_names: 0,
        settled: 0,
    });
    let managed = Managed::new(vec![HostPattern::parse("a.example").unwrap()]);
    let key = ObjectKey {
        name: "a.example".into(),
        ..ObjectKey::before_all(Origin::Folder, Kind::Certificate)
    };
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
