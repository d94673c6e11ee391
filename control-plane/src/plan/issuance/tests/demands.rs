//! What somebody demands comes before what is planned, and is over when there is another certificate.

use super::*;
use crate::model::managed::{Demand, Trouble};

fn demand(revokes: Option<Revocation>) -> Demand {
    Demand {
        by: "somebody".into(),
        reason: "said so".into(),
        at: NOW,
        revokes,
        not_before: Timestamp::default(),
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
        way: None,
        failures: 5,
        message: "no".into(),
        not_before: NOW.later(DAY),
    });
    for managed in [issued(90), failing] {
        let demanded = demanded(&managed, demand(None));
        assert_eq!(
            demanded.to_string(),
            "to be renewed now, says somebody: said so"
        );
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
            Next::Wait(NOW.later(MINUTE))
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
    assert_eq!(
        call(&begin(&demanded, CA, NOW), NOW),
        REVOKE,
        "also while an order is under way"
    );

    let again = after(&demanded, not_revoked(FailureKind::Unavailable), NOW, 0);
    // The renewal waits for nothing.
    assert_eq!(next(&again, &circumstances(NOW)), Next::Begin);
    let waits = next(&again, &unwanted);
    assert_eq!(waits, Next::Wait(NOW.later(AGAIN)));
    assert_eq!(call(&again, NOW.later(AGAIN)), REVOKE);

    let revoked = after(&demanded, Outcome::Revoked, NOW, 0);
    assert_eq!(revoked.issued.as_ref().unwrap().revoked, Some(NOW));
    assert_eq!(next(&revoked, &circumstances(NOW)), Next::Begin);
    // What is revoked is not replaced.
    let begun = begin(&revoked, CA, NOW);
    assert_eq!(call(&begun, NOW), Call::Place { replaces: None });
    let done = Outcome::Certificate {
        certificate: certificate(90),
        id: "other".into(),
    };
    assert_eq!(after(&begun, done, NOW, 0).issued.unwrap().revoked, None);
}

#[test]
fn a_ca_that_does_not_revoke_is_not_asked_for_ever_and_what_was_demanded_first_still_holds() {
    let both = demanded(&demanded(&issued(90), demand(COMPROMISED)), demand(None));
    assert_eq!(call(&both, NOW), REVOKE);
    let refused = after(&both, not_revoked(FailureKind::Refused), NOW, 0);
    assert_eq!(next(&refused, &circumstances(NOW)), Next::Begin);
    let said = "not revoked: no; to be renewed now, says somebody: said so";
    assert_eq!(refused.to_string(), said);
    // Another CA knows nothing of it.
    let other = Circumstances {
        ca: "https://other.example/",
        ..circumstances(NOW)
    };
    assert_eq!(next(&both, &other), Next::Begin);
}
