//! What somebody demands of a certificate, against what is planned for it.

use crate::model::managed::{Demand, Failure, FailureKind, Managed, Revokes};
use crate::model::time::Timestamp;
use crate::plan::issuance::{AGAIN, Call, Next};

/// The certificate with a demand. Whoever demands it has seen what the last attempts failed of: the
/// next waits for nothing but what the CA said of when to come back.
#[must_use]
pub fn demanded(managed: &Managed, demand: Demand) -> Managed {
    let mut demanded = managed.clone();
    let before = demanded.demand.take().and_then(|before| before.revokes);
    if let Some(trouble) = &mut demanded.trouble {
        trouble.not_before = trouble.asked.unwrap_or(demand.at);
    }
    demanded.demand = Some(Demand {
        // What was demanded before still holds.
        revokes: demand.revokes.or(before),
        ..demand
    });
    demanded
}

/// What is next where something is to be revoked first. Until that is done, or over, nothing is done
/// that would take the place of what is to be revoked.
pub(super) fn revoke_first(managed: &Managed, ca: &str, now: Timestamp, next: Next) -> Next {
    let Some(revokes) = revokes(managed, ca) else {
        return next;
    };
    if revokes.not_before <= now {
        let reason = revokes.because;
        return Next::Call(Call::Revoke { reason });
    }
    match next {
        Next::Wait(until) => Next::Wait(until.min(revokes.not_before)),
        Next::Barrier | Next::Begin | Next::Abandon | Next::Forget | Next::Call(_) => {
            Next::Wait(revokes.not_before)
        }
    }
}

/// What the CA is to be told: of what there is, and of nothing that took its place.
fn revokes<'a>(managed: &'a Managed, ca: &str) -> Option<&'a Revokes> {
    let issued = managed.issued.as_ref().filter(|issued| *issued.ca == *ca)?;
    let revokes = managed.demand.as_ref()?.revokes.as_ref()?;
    Some(revokes).filter(|revokes| revokes.serial == issued.certificate.serial)
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

/// The CA did not revoke it, and is told once more if that may help, but not for ever: a certificate
/// must not expire because a CA that is not there was to revoke it.
pub(super) fn not_revoked(managed: &mut Managed, failure: Failure, now: Timestamp) {
    let Some(demand) = &mut managed.demand else {
        return;
    };
    let Some(revokes) = &mut demand.revokes else {
        return;
    };
    let may_help = match failure.kind {
        FailureKind::Unavailable | FailureKind::RateLimited | FailureKind::Unknown => true,
        FailureKind::Refused | FailureKind::AlreadyReplaced | FailureKind::Gone => false,
    };
    if may_help && revokes.attempts < ATTEMPTS {
        let again = now.later((AGAIN << revokes.attempts).min(LONGEST_PAUSE));
        revokes.attempts += 1;
        revokes.not_before = failure.not_before.map_or(again, |time| time.max(again));
    } else {
        demand.revokes = None;
        demand.refused = Some(failure.message);
    }
}

/// With pauses that double: some hours in all.
const ATTEMPTS: u32 = 12;
/// In milliseconds.
const LONGEST_PAUSE: i64 = 3_600_000;
