//! Tests of the way of an order: what is next after each answer of a CA.

mod demands;
mod txt;

use roadstead_matcher::host::HostPattern;

use super::*;
use crate::model::bundle::BundleName;
use crate::model::certificate::KeyType;
use crate::model::key::{Kind, ObjectKey, Origin};
use crate::model::managed::{
    Answer, Challenge, Failure, FailureKind, Outcome, Progress, Proof, Status, Window,
};
use crate::plan::issuance::answering::Answering;
use crate::plan::issuance::scheduler::{Conditions, Limits, Scheduler};

const CA: &str = "https://ca.example/directory";
const NOW: Timestamp = Timestamp(1_000_000_000_000);

fn circumstances(now: Timestamp) -> Circumstances<'static> {
    Circumstances {
        now,
        wanted: true,
        ca: CA,
        suggests: true,
        allowed: Timestamp(i64::MIN),
        answered: true,
    }
}

fn wanted() -> Managed {
    Managed::new(vec![HostPattern::parse("a.example").unwrap()])
}

fn certificate(days: i64) -> Certificate {
    Certificate {
        bundle: BundleName::of(b"bundle"),
        names: vec![HostPattern::parse("a.example").unwrap()],
        key_type: KeyType::Ecdsa,
        not_before: NOW,
        not_after: NOW.later(days * DAY),
        issuer: "CN=ca".into(),
        serial: "01".into(),
    }
}

fn challenge(number: u32) -> Challenge {
    Challenge {
        challenge_type: ChallengeType::Http01,
        host: "a.example".into(),
        token: format!("token{number}").into(),
        key_authorization: format!("token{number}.thumb").into(),
    }
}

fn answer(status: Status) -> Answer {
    Answer {
        status,
        not_before: NOW.later(5),
    }
}

fn proofs(proofs: Vec<(&str, Progress)>) -> Outcome {
    let proofs = proofs.into_iter().map(|(url, progress)| Proof {
        url: url.into(),
        progress,
    });
    Outcome::Proofs {
        answer: answer(Status::Pending),
        proofs: proofs.collect(),
    }
}

fn open(number: u32) -> Progress {
    Progress::Open(challenge(number))
}

fn failed(kind: FailureKind, not_before: Option<Timestamp>) -> Outcome {
    Outcome::Failed(Failure {
        kind,
        not_before,
        message: "no".into(),
    })
}

fn call(managed: &Managed, now: Timestamp) -> Call {
    let next = next(managed, &circumstances(now));
    let Next::Call(call) = next else {
        panic!("{next:?}");
    };
    call
}

/// Takes these answers in, each to what was next; returns the calls.
fn go(managed: &mut Managed, answers: Vec<Outcome>) -> Vec<Call> {
    let mut calls = Vec::new();
    for answer in answers {
        let now = NOW.later(10 * MINUTE);
        calls.push(call(managed, now));
        *managed = after(managed, answer, now, 0);
        if let Some(order) = &mut managed.order {
            order.not_before = NOW;
        }
    }
    calls
}

const MINUTE: i64 = 60_000;

#[test]
fn an_order_goes_its_way_by_one_call_at_a_time() {
    let managed = wanted();
    assert_eq!(next(&managed, &circumstances(NOW)), Next::Begin);
    let mut managed = begin(&managed, CA, NOW);
    let url = || "order".into();
    let asked = |number| Progress::Asked(challenge(number));
    let answers = vec![
        Outcome::Placed(url()),
        proofs(vec![
            ("one", open(1)),
            ("two", Progress::Proved),
            ("three", open(3)),
        ]),
        Outcome::Validating,
        proofs(vec![("one", Progress::Proved), ("three", asked(3))]),
        Outcome::Proofs {
            answer: answer(Status::Ready),
            proofs: vec![],
        },
        Outcome::Order(answer(Status::Processing)),
        Outcome::Order(answer(Status::Processing)),
        Outcome::Order(answer(Status::Valid)),
        Outcome::Certificate {
            certificate: certificate(90),
            id: "id".into(),
        },
    ];
    let prove = || Call::Prove { order: url() };
    let look = || Call::Look { order: url() };
    let expected = [
        Call::Place { replaces: None },
        prove(),
        Call::Validate {
            order: url(),
            authorizations: ["one", "three"]
                .map(|url| (url.into(), ChallengeType::Http01))
                .into(),
        },
        prove(),
        prove(),
        Call::Finalize { order: url() },
        look(),
        look(),
        Call::Fetch { order: url() },
    ];
    assert_eq!(go(&mut managed, answers), expected);
    assert_eq!((&managed.order, &managed.trouble), (&None, &None));
    assert_eq!(managed.placed, [NOW]);
    let issued = managed.issued.as_ref().unwrap();
    assert_eq!(issued.renewal.at, NOW.later(60 * DAY));
    // It asks at once what the CA suggests, and draws of that.
    let now = NOW.later(11 * MINUTE);
    assert_eq!(call(&managed, now), Call::AskRenewal);
    let window = Window {
        start: NOW.later(50 * DAY),
        end: NOW.later(52 * DAY),
    };
    let ask = now.later(DAY / 4);
    let told = |draw| after(&managed, Outcome::Renewal { window, ask }, now, draw);
    let drawn = told(7).issued.unwrap().renewal;
    assert_eq!((drawn.at, drawn.ask), (NOW.later(50 * DAY + 7), ask));
    assert_eq!(
        told(u64::MAX).issued.unwrap().renewal.at.max(window.end),
        window.end
    );
    // Of the same it draws once.
    let again = after(&told(7), Outcome::Renewal { window, ask }, now, 9);
    assert_eq!(again, told(7));
    assert_eq!(next(&again, &circumstances(now)), Next::Wait(ask));
    let due = Circumstances {
        suggests: false,
        ..circumstances(drawn.at)
    };
    assert_eq!(next(&again, &due), Next::Begin);
    let renewing = begin(&again, CA, drawn.at);
    let replaces = Some("id".into());
    assert_eq!(call(&renewing, drawn.at), Call::Place { replaces });
    assert_eq!(renewing.placed, [drawn.at]);
}

#[test]
fn nothing_is_validated_before_all_proxies_answer() {
    let mut managed = begin(&wanted(), CA, NOW);
    let challenges = proofs(vec![("one", open(1)), ("two", open(2))]);
    go(
        &mut managed,
        vec![Outcome::Placed("order".into()), challenges],
    );
    let unanswered = Circumstances {
        answered: false,
        ..circumstances(NOW)
    };
    assert_eq!(next(&managed, &unanswered), Next::Barrier);
    assert_eq!(managed.challenges().count(), 2);
}

#[test]
fn who_does_not_answer_is_waited_for_in_bounds_and_with_nobody_there_for_good() {
    let mut managed = begin(&wanted(), CA, NOW);
    let challenges = proofs(vec![("one", open(1))]);
    go(
        &mut managed,
        vec![Outcome::Placed("order".into()), challenges],
    );
    let key = ObjectKey {
        name: "a.example".into(),
        ..ObjectKey::before_all(Origin::Folder, Kind::Certificate)
    };
    for (answering, asked_after) in [
        (Answering::All, Some(0)),
        (Answering::Some, Some(5)),
        (Answering::NotAllReady, Some(30)),
        (Answering::Nobody, None),
    ] {
        let mut scheduler = Scheduler::new(Limits {
            orders: 0,
            same_names: 0,
            settled: 0,
        });
        scheduler.keep(key.clone(), managed.clone(), "1".into());
        scheduler.want(&key, NOW, || managed.clone());
        let minutes = |minutes: i64| NOW.later(minutes * 60_000);
        let asked = (0..60).find(|minute| {
            let conditions = Conditions {
                now: minutes(*minute),
                ca: CA,
                suggests: true,
            };
            scheduler.take(&conditions, |_, _| answering).is_some()
        });
        assert_eq!(asked, asked_after, "{answering:?}");
        // With nobody there time alone changes nothing, until the order is too old.
        let due = scheduler.next_due(minutes(60));
        let end = asked_after.is_none().then_some(NOW.later(LONGEST));
        assert_eq!(due, end, "{answering:?}");
    }
}

#[test]
fn a_renewal_that_fails_is_late_when_half_of_its_time_is_over() {
    let late = |days: i64| {
        let begun = begin(&issued(90), CA, NOW.later(days * DAY));
        let failed = failed(FailureKind::Refused, None);
        let after = after(&begun, failed, NOW.later(days * DAY), 0);
        after.trouble.unwrap().late
    };
    // It was due from the sixtieth day on.
    assert!(!late(74));
    assert!(late(75));
}

#[test]
fn failures_wait_for_longer_each_time_and_what_the_ca_says_is_obeyed() {
    let mut managed = wanted();
    for (number, minutes) in [1, 10, 100, 1000, 1440, 1440].into_iter().enumerate() {
        managed = begin(&managed, CA, NOW);
        managed = after(&managed, Outcome::Placed("order".into()), NOW, 0);
        let invalid = Status::Invalid("nobody answers".into());
        managed = after(&managed, Outcome::Order(answer(invalid)), NOW, 0);
        let trouble = managed.trouble.as_ref().unwrap();
        assert_eq!(usize::try_from(trouble.failures), Ok(number + 1));
        assert_eq!(&*trouble.message, "nobody answers");
        let until = NOW.later(minutes * MINUTE);
        assert_eq!(next(&managed, &circumstances(NOW)), Next::Wait(until));
        assert_eq!(next(&managed, &circumstances(until)), Next::Begin);
    }
    let begun = begin(&wanted(), CA, NOW);
    let limited = failed(FailureKind::RateLimited, Some(NOW.later(3 * DAY)));
    let limited = after(&begun, limited, NOW, 0);
    assert_eq!(limited.trouble.unwrap().not_before, NOW.later(3 * DAY));
}

#[test]
fn an_order_counts_unless_the_ca_surely_has_none() {
    let begun = begin(&wanted(), CA, NOW);
    for (kind, counts) in [
        (FailureKind::RateLimited, false),
        (FailureKind::Refused, false),
        (FailureKind::Unavailable, false),
        (FailureKind::Unknown, true),
    ] {
        let after = after(&begun, failed(kind, None), NOW, 0);
        assert_eq!(after.order, None);
        assert_eq!(after.placed.len(), usize::from(counts), "{kind:?}");
        assert_eq!(after.trouble.unwrap().failures, 1);
    }
}

#[test]
fn what_goes_wrong_on_the_way_is_tried_again_until_it_is_no_use() {
    let mut managed = begin(&wanted(), CA, NOW);
    go(&mut managed, vec![Outcome::Placed("order".into())]);
    let later = NOW.later(MINUTE);
    for kind in [
        FailureKind::Unavailable,
        FailureKind::RateLimited,
        FailureKind::Unknown,
    ] {
        let told = later.later(MINUTE);
        let after = after(&managed, failed(kind, Some(told)), later, 0);
        assert_eq!(after.order.as_ref().unwrap().not_before, told);
        assert_eq!(next(&after, &circumstances(later)), Next::Wait(told));
    }
    for kind in [FailureKind::Refused, FailureKind::Gone] {
        let after = after(&managed, failed(kind, None), later, 0);
        assert_eq!((after.order, after.placed), (None, vec![NOW]));
    }
    // And not for ever, whatever the CA says.
    let tomorrow = NOW.later(DAY);
    assert_eq!(next(&managed, &circumstances(tomorrow)), Next::Abandon);
    let failed = abandon(&managed, tomorrow).trouble.unwrap();
    assert_eq!(failed.failures, 1);
    assert!(failed.message.contains("within a day"), "{failed:?}");
}

#[test]
fn that_a_ca_is_away_is_held_against_nobody() {
    let mut managed = wanted();
    for _ in 0..5 {
        managed = begin(&managed, CA, NOW);
        managed = after(&managed, failed(FailureKind::Unavailable, None), NOW, 0);
        let minute = NOW.later(MINUTE);
        assert_eq!(next(&managed, &circumstances(NOW)), Next::Wait(minute));
    }
    assert_eq!(managed.trouble.unwrap().failures, 1);
}

#[test]
fn what_stands_as_it_stood_is_not_asked_for_again_at_once() {
    let mut managed = begin(&wanted(), CA, NOW);
    let answers = vec![
        Outcome::Placed("order".into()),
        Outcome::Order(answer(Status::Ready)),
    ];
    go(&mut managed, answers);
    let asked = |managed: &Managed, status| {
        let after = after(managed, Outcome::Order(answer(status)), NOW, 0);
        after.order.unwrap().not_before
    };
    let hurried = NOW.later(3_000);
    assert_eq!(asked(&managed, Status::Ready), hurried);
    assert_eq!(asked(&managed, Status::Pending), hurried);
    assert_eq!(asked(&managed, Status::Processing), hurried);
    assert!(asked(&managed, Status::Valid) <= NOW);
}

#[test]
fn nobody_pays_for_what_nobody_wants() {
    let unwanted = |now| Circumstances {
        wanted: false,
        ..circumstances(now)
    };
    assert_eq!(next(&wanted(), &unwanted(NOW)), Next::Forget);
    // It may be wanted again in a moment, and the order goes on.
    let begun = begin(&wanted(), CA, NOW);
    let hour = NOW.later(UNWANTED);
    assert_eq!(next(&begun, &unwanted(NOW)), Next::Wait(hour));
    assert_eq!(next(&begun, &unwanted(hour)), Next::Abandon);
    // Orders count for a week, and what is valid may be wanted again.
    let abandoned = abandon(&begun, hour);
    assert_eq!(abandoned.trouble, None);
    let week = NOW.later(ledger::WEEK);
    assert_eq!(next(&abandoned, &unwanted(hour)), Next::Wait(week));
    assert_eq!(next(&abandoned, &unwanted(week)), Next::Forget);
    let issued = issued(90);
    let end = NOW.later(90 * DAY);
    assert_eq!(
        next(&issued, &unwanted(NOW.later(80 * DAY))),
        Next::Wait(end)
    );
    assert_eq!(next(&issued, &unwanted(end)), Next::Forget);
}

fn issued(days: i64) -> Managed {
    let certificate = certificate(days);
    let id = "id".into();
    after(
        &begin(&wanted(), CA, NOW),
        Outcome::Certificate { certificate, id },
        NOW,
        0,
    )
}

#[test]
fn without_a_suggestion_the_life_of_a_certificate_says_when_it_is_renewed() {
    for (days, after) in [(90, 60 * DAY), (45, 30 * DAY), (6, 3 * DAY)] {
        let issued = issued(days).issued.unwrap();
        assert_eq!(issued.renewal.at, NOW.later(after), "{days}");
    }
}

#[test]
fn another_ca_issues_each_once_and_what_was_replaced_is_not_named_again() {
    let issued = issued(90);
    let other = Circumstances {
        ca: "https://other.example/",
        ..circumstances(NOW)
    };
    assert_eq!(next(&issued, &other), Next::Begin);
    let begun = begin(&issued, other.ca, NOW);
    let place = Next::Call(Call::Place { replaces: None });
    assert_eq!(next(&begun, &other), place);
    // Back again in the midst of it.
    assert_eq!(next(&begun, &circumstances(NOW)), Next::Abandon);
    let begun = begin(&issued, CA, NOW);
    let replaced = after(&begun, failed(FailureKind::AlreadyReplaced, None), NOW, 0);
    let again = begin(&replaced, CA, NOW);
    assert_eq!(call(&again, NOW), Call::Place { replaces: None });
}

#[test]
fn what_the_cas_limits_do_not_allow_waits() {
    let later = NOW.later(5);
    let limited = Circumstances {
        allowed: later,
        ..circumstances(NOW)
    };
    assert_eq!(next(&wanted(), &limited), Next::Wait(later));
}
