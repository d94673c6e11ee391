//! What is to be done next to obtain a certificate: one call to its CA, or nothing until something
//! changes.
//!
//! Pure, so that every step of an order can be tried out without a CA: whoever makes the calls
//! keeps what [`begin`] and [`after()`] come to before and after each, and asks again.

mod after;
pub mod answering;
mod demand;
pub mod ledger;
mod queue;
pub mod scheduler;
#[cfg(test)]
mod tests;
mod txt;

pub use after::{abandon, adopted, after};
pub use demand::demanded;

use crate::model::certificate::Certificate;
use crate::model::managed::{ChallengeType, Managed, Order, Progress, Renewal, Revocation, Step};
use crate::model::time::Timestamp;

/// What is known beside the certificate.
#[derive(Clone, Copy, Debug)]
pub struct Circumstances<'a> {
    pub now: Timestamp,
    /// Somebody wants it, and nothing else has it.
    pub wanted: bool,
    /// The directory of the CA that orders go to.
    pub ca: &'a str,
    /// That CA suggests when to renew.
    pub suggests: bool,
    /// There is no order before.
    pub allowed: Timestamp,
    /// All proxies answer by the challenges of its order.
    pub answered: bool,
}

/// What is next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Nothing before this time.
    Wait(Timestamp),
    /// The proxies have to answer first.
    Barrier,
    /// An order is to be begun: what [`begin`] makes of it is kept, then there is a call.
    Begin,
    /// The order is of no use any more.
    Abandon,
    /// Nobody wants it, and it has expired.
    Forget,
    Call(Call),
}

/// One call to the CA, or to the DNS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    /// newOrder for its names. Replaces the certificate of this name, if one is given.
    Place { replaces: Option<Box<str>> },
    /// How does the order stand?
    Look { order: Box<str> },
    /// How do the order and its authorizations stand?
    Prove { order: Box<str> },
    /// These authorizations of it can be validated, each by this way.
    Validate {
        order: Box<str>,
        authorizations: Vec<(Box<str>, ChallengeType)>,
    },
    /// Here is the certificate's key.
    Finalize { order: Box<str> },
    /// The certificate.
    Fetch { order: Box<str> },
    /// When does it want to renew this certificate?
    AskRenewal,
    /// What it issued is not to be believed any more.
    Revoke { reason: Revocation },
    /// Not to the CA: what it is to find in the DNS, or was to find, by what that says.
    Txt { text: Box<str>, step: TxtStep },
}

/// What is done about a record of the DNS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TxtStep {
    /// Where does it belong?
    Locate,
    Add,
    /// Who shows it?
    Look,
    Remove,
}

impl Call {
    /// For metrics.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Place { .. } => "place",
            Self::Look { .. } => "look",
            Self::Prove { .. } => "prove",
            Self::Validate { .. } => "validate",
            Self::Finalize { .. } => "finalize",
            Self::Fetch { .. } => "fetch",
            Self::AskRenewal => "renewal_info",
            Self::Revoke { .. } => "revoke",
            Self::Txt { step, .. } => match step {
                TxtStep::Locate => "dns_locate",
                TxtStep::Add => "dns_add",
                TxtStep::Look => "dns_look",
                TxtStep::Remove => "dns_remove",
            },
        }
    }
}

/// What is next for a certificate.
pub fn next(managed: &Managed, circumstances: &Circumstances<'_>) -> Next {
    let now = circumstances.now;
    let next = next_but_revocation(managed, circumstances);
    let next = demand::revoke_first(managed, circumstances.ca, now, next);
    txt::or_removal(managed, now, next)
}

fn next_but_revocation(managed: &Managed, circumstances: &Circumstances<'_>) -> Next {
    match &managed.order {
        Some(order) => next_of_order(managed, order, circumstances),
        None if !circumstances.wanted => unwanted(managed, circumstances.now),
        None => next_order(managed, circumstances),
    }
}

fn next_of_order(managed: &Managed, order: &Order, c: &Circumstances<'_>) -> Next {
    if *order.ca != *c.ca || order.begun.later(LONGEST) <= c.now {
        return Next::Abandon;
    }
    if !c.wanted {
        // It may be wanted again at once, as if its Ingress was made anew.
        let until = order.begun.later(UNWANTED);
        return match until > c.now {
            true => Next::Wait(until),
            false => Next::Abandon,
        };
    }
    if order.not_before > c.now {
        return Next::Wait(order.not_before);
    }
    Next::Call(match &order.step {
        Step::Intended => Call::Place {
            replaces: replaced(managed, c.ca),
        },
        Step::Placed { url } => Call::Prove { order: url.clone() },
        Step::Proving { url, proofs } => {
            let open = proofs.iter().filter_map(|proof| match &proof.progress {
                Progress::Open(challenge) => Some((proof.url.clone(), challenge.challenge_type)),
                Progress::Asked(_) | Progress::Proved => None,
            });
            let authorizations: Vec<_> = open.collect();
            let order = url.clone();
            if let Some(next) = txt::before_validation(managed, c.now) {
                return next;
            }
            let by_proxies = managed.is_answered_by_proxies();
            match authorizations.is_empty() {
                true => Call::Prove { order },
                false if by_proxies && !c.answered => return Next::Barrier,
                false => Call::Validate {
                    order,
                    authorizations,
                },
            }
        }
        Step::Issuing { url } => Call::Look { order: url.clone() },
        Step::Ready { url } => Call::Finalize { order: url.clone() },
        Step::Issued { url } => Call::Fetch { order: url.clone() },
    })
}

fn next_order(managed: &Managed, c: &Circumstances<'_>) -> Next {
    let issued = managed.issued.as_ref().filter(|issued| *issued.ca == *c.ca);
    if let Some(issued) = issued.filter(|_| managed.demand.is_none()) {
        let Renewal { at, ask, .. } = issued.renewal;
        let asks = c.suggests && !issued.id.is_empty();
        if asks && ask <= c.now {
            return Next::Call(Call::AskRenewal);
        }
        if at > c.now {
            return Next::Wait(if asks { at.min(ask) } else { at });
        }
    }
    let trouble = managed.trouble.as_ref();
    let earliest = trouble.map_or(c.allowed, |trouble| trouble.not_before.max(c.allowed));
    if earliest > c.now {
        return Next::Wait(earliest);
    }
    Next::Begin
}

/// It is kept for as long as it may be wanted again, and as its orders count.
fn unwanted(managed: &Managed, now: Timestamp) -> Next {
    let expires = managed.issued.as_ref();
    let expires = expires.map(|issued| issued.certificate.not_after);
    let counted = managed.placed.last();
    let counted = counted.map(|placed| placed.later(ledger::WEEK));
    match expires.max(counted) {
        Some(time) if time > now => Next::Wait(time),
        Some(_) | None => Next::Forget,
    }
}

/// The certificate with an order that is to be placed now.
#[must_use]
pub fn begin(managed: &Managed, ca: &str, now: Timestamp) -> Managed {
    let mut begun = managed.clone();
    begun
        .placed
        .retain(|placed| placed.later(ledger::WEEK) > now);
    begun.placed.push(now);
    begun.order = Some(Order {
        ca: ca.into(),
        begun: now,
        step: Step::Intended,
        not_before: Timestamp::default(),
        way: None,
    });
    begun
}

/// The certificate that the next one replaces, as its CA calls it.
fn replaced(managed: &Managed, ca: &str) -> Option<Box<str>> {
    let issued = managed.issued.as_ref().filter(|issued| *issued.ca == *ca)?;
    Some(issued.id.clone()).filter(|id| !id.is_empty())
}

/// Without a suggestion of the CA: with a third of its life left, or half of it if that is shorter
/// than ten days.
fn by_lifetime(certificate: &Certificate) -> Timestamp {
    let life = certificate
        .not_after
        .0
        .saturating_sub(certificate.not_before.0)
        .max(0);
    let left = if life < 10 * DAY { life / 2 } else { life / 3 };
    Timestamp(certificate.not_after.0.saturating_sub(left))
}

/// In milliseconds, after a call that a CA did not answer.
const AGAIN: i64 = 10_000;
/// In milliseconds.
const DAY: i64 = 86_400_000;
/// CAs forget an order after that, or after longer.
const LONGEST: i64 = DAY;
/// How long an order waits for somebody who wants it.
const UNWANTED: i64 = 3_600_000;
