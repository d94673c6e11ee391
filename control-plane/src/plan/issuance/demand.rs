//! What somebody demands of a certificate, against what is planned for it.

use crate::model::managed::{Demand, Failure, FailureKind, Managed, Revocation};
use crate::model::time::Timestamp;
use crate::plan::issuance::AGAIN;

/// The certificate with a demand. Whoever demands it has seen what the last attempts failed of: the
/// next does not wait for them.
#[must_use]
pub fn demanded(managed: &Managed, demand: Demand) -> Managed {
    let mut demanded = managed.clone();
    let before = demanded.demand.take().and_then(|before| before.revokes);
    demanded.trouble = None;
    demanded.demand = Some(Demand {
        // What was demanded before still holds.
        revokes: demand.revokes.or(before),
        ..demand
    });
    demanded
}

/// What the CA is to be told of what it issued, and from when on.
pub(super) fn revocation(managed: &Managed, ca: &str) -> Option<(Revocation, Timestamp)> {
    managed.issued.as_ref().filter(|issued| *issued.ca == *ca)?;
    let demand = managed.demand.as_ref()?;
    Some((demand.revokes?, demand.not_before))
}

/// The CA revoked it.
pub(super) fn revoked(managed: &mut Managed, now: Timestamp) {
    if let Some(issued) = &mut managed.issued {
        issued.revoked = Some(now);
        // What is revoked is not replaced by another (RFC 9773, section 5).
        issued.id = Box::default();
    }
    if let Some(demand) = &mut managed.demand {
        demand.revokes = None;
    }
}

/// The CA did not revoke it, and is told once more if that may help.
pub(super) fn not_revoked(managed: &mut Managed, failure: Failure, now: Timestamp) {
    let Some(demand) = &mut managed.demand else {
        return;
    };
    match failure.kind {
        FailureKind::Unavailable | FailureKind::RateLimited | FailureKind::Unknown => {
            let again = now.later(AGAIN);
            demand.not_before = failure.not_before.map_or(again, |time| time.max(again));
        }
        FailureKind::Refused | FailureKind::AlreadyReplaced | FailureKind::Gone => {
            demand.revokes = None;
            demand.refused = Some(failure.message);
        }
    }
}
