//! Tests of who is looked at when.

use roadstead_matcher::host::HostPattern;

use super::*;
use crate::acme::record::key;
use crate::model::key::Origin;

#[test]
fn what_changed_while_the_ca_is_left_alone_is_due_when_that_is_over() {
    let mut desk = Desk::new(Limits {
        orders: 0,
        same_names: 0,
        settled: 0,
    });
    let managed = Managed::new(vec![HostPattern::parse("a.example").unwrap()]);
    let key = key(Origin::Folder, &managed);
    let (now, later) = (Timestamp(5), Timestamp(10));
    desk.be_quiet(later);
    desk.want(&key, now, || Kept::new(managed, now));
    assert_eq!(
        (desk.has_work(now), desk.next_due(now)),
        (false, Some(later))
    );
    assert!(desk.has_work(later));
    let conditions = Conditions {
        now: later,
        ca: "ca",
        suggests: false,
    };
    let answering = |_: &ObjectKey, _: &Kept| Answering::Nobody;
    let taken = desk.take(&conditions, answering);
    assert!(matches!(taken, Some((_, _, Task::Do(Next::Begin)))));
    assert_eq!((desk.has_work(later), desk.next_due(later)), (false, None));
}
