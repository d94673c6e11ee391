//! What somebody demands comes before what is planned, and is over when there is another certificate.

use super::*;
use crate::model::managed::{Demand, Revokes, Trouble};

fn demand(revokes: Option<Revocation>) -> Demand {
    Demand {
        by: "somebody".into(),
        reason: "said so".into(),
        at: NOW,
        revokes: revokes.map(|because| Revokes {
            serial: "01".into(),
            because,
            attempts: 0,
            not_before: Timestamp::default(),
        }),
        refused: None,
    }
}

fn not_revoked(kind: FailureKind) -> Outcome {
    Outcome::NotRevoked(Failure {
        kind,
        not_before: None,
        message: "no".into(),
    })
}

const COMPROMISED: Option<Revocation> = Some(Revocation::KeyCompromise);
const REVOKE: Call = Call::Revoke {
    reason: Revocation::KeyCompromise,
};

#[test]
fn a_renewal_that_is_demanded_waits_neither_for_its_time_nor_for_failures_of_before() {
    let mut failing = issued(90);
    failing.trouble = Some(Trouble {
        late: false,
        way: None,
        asked: None,
        failures: 5,
        message: "no".into(),
        not_before: NOW.later(DAY),
    });
    for (managed, back_off) in [(issued(90), MINUTE), (failing, DAY)] {
        let demanded = demanded(&managed, demand(None));
        let said = "to be renewed now, says somebody: said so; ";
        assert!(demanded.to_string().starts_with(said), "{demanded}");
        assert_eq!(next(&demanded, &circumstances(NOW)), Next::Begin);
        let limited = Circumstances {
            allowed: NOW.later(5),
            ..circumstances(NOW)
        };
        assert_eq!(next(&demanded, &limited), Next::Wait(NOW.later(5)));
        let begun = begin(&demanded, CA, NOW);
        let replaces = Some("id".into());
        assert_eq!(call(&begun, NOW), Call::Place { replaces });
        // What fails from then on waits as ever.
        let failed = after(&begun, failed(FailureKind::Refused, None), NOW, 0);
        assert_eq!(
            next(&failed, &circumstances(NOW)),
            Next::Wait(NOW.later(back_off))
        );
        let done = Outcome::Certificate {
            certificate: certificate(90),
            id: "other".into(),
        };
        let done = after(&begun, done, NOW, 0);
        assert_eq!(done.demand, None);
        assert_ne!(next(&done, &circumstances(NOW)), Next::Begin);
    }
}

#[test]
fn what_is_to_be_revoked_is_before_anything_else_and_then_it_is_renewed() {
    let demanded = demanded(&issued(90), demand(COMPROMISED));
    assert_eq!(call(&demanded, NOW), REVOKE);
    let unwanted = Circumstances {
        wanted: false,
        ..circumstances(NOW)
    };
    assert_eq!(next(&demanded, &unwanted), Next::Call(REVOKE));
    let begun = begin(&demanded, CA, NOW);
    assert_eq!(
        call(&begun, NOW),
        REVOKE,
        "also while an order is under way"
    );

    // Until the CA has done it, nothing takes the place of what is to be revoked.
    for managed in [&demanded, &begun] {
        let again = after(managed, not_revoked(FailureKind::Unavailable), NOW, 0);
        for circumstances in [circumstances(NOW), unwanted] {
            assert_eq!(next(&again, &circumstances), Next::Wait(NOW.later(AGAIN)));
        }
        assert_eq!(call(&again, NOW.later(AGAIN)), REVOKE);
    }

    let revoked = after(&demanded, Outcome::Revoked, NOW, 0);
    assert_eq!(revoked.issued.as_ref().unwrap().revoked, Some(NOW));
    assert_eq!(next(&revoked, &circumstances(NOW)), Next::Begin);
    // What is revoked is not replaced.
    let begun = begin(&revoked, CA, NOW);
    assert_eq!(call(&begun, NOW), Call::Place { replaces: None });
    let done = after(&begun, another(), NOW, 0);
    assert_eq!(done.issued.unwrap().revoked, None);
}

fn another() -> Outcome {
    let certificate = Certificate {
        serial: "02".into(),
        ..certificate(90)
    };
    Outcome::Certificate {
        certificate,
        id: "other".into(),
    }
}

#[test]
fn a_ca_that_does_not_revoke_is_not_asked_for_ever_and_what_was_demanded_first_still_holds() {
    let both = demanded(&demanded(&issued(90), demand(COMPROMISED)), demand(None));
    assert_eq!(call(&both, NOW), REVOKE);
    let refused = after(&both, not_revoked(FailureKind::Refused), NOW, 0);
    assert_eq!(next(&refused, &circumstances(NOW)), Next::Begin);
    let said = "not revoked: no; to be renewed now, says somebody: said so; issued until ";
    assert!(refused.to_string().starts_with(said), "{refused}");
    // One that is silent is asked for some hours.
    let (mut silent, mut now, mut times) = (both.clone(), NOW, 0);
    while next(&silent, &circumstances(now)) == Next::Call(REVOKE) {
        silent = after(&silent, not_revoked(FailureKind::Unavailable), now, 0);
        times += 1;
        if let Next::Wait(until) = next(&silent, &circumstances(now)) {
            now = until;
        }
    }
    assert_eq!(times, 13);
    assert!((4 * 60..6 * 60).contains(&((now.0 - NOW.0) / MINUTE)));
    assert_eq!(next(&silent, &circumstances(now)), Next::Begin);
    // Another CA knows nothing of it.
    let other = Circumstances {
        ca: "https://other.example/",
        ..circumstances(NOW)
    };
    assert_eq!(next(&both, &other), Next::Begin);
}

#[test]
fn one_that_took_the_place_of_what_was_to_be_revoked_is_not_revoked_for_it() {
    let mut other = demanded(&issued(90), demand(COMPROMISED));
    other.issued.as_mut().unwrap().certificate.serial = "02".into();
    assert_eq!(next(&other, &circumstances(NOW)), Next::Begin);
}

#[test]
fn what_the_ca_said_of_when_to_come_back_is_obeyed_and_what_failed_is_remembered() {
    let begun = begin(&wanted(), CA, NOW);
    let later = NOW.later(60 * MINUTE);
    let limited = failed(FailureKind::RateLimited, Some(later));
    let mut limited = after(&begun, limited, NOW, 0);
    limited.trouble.as_mut().unwrap().way = Some(ChallengeType::Http01);
    let demanded = demanded(&limited, demand(None));
    assert_eq!(next(&demanded, &circumstances(NOW)), Next::Wait(later));
    let trouble = demanded.trouble.unwrap();
    assert_eq!(trouble.way, Some(ChallengeType::Http01));
    assert_eq!(trouble.failures, 1);
}
