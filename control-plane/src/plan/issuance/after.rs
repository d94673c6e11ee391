//! What an answer of a CA makes of a certificate.

use std::mem::discriminant;

use crate::model::managed::{
    Answer, ChallengeType, Failure, FailureKind, Issued, Managed, Order, Outcome, Progress, Proof,
    Renewal, Status, Step, Trouble, Window,
};
use crate::model::time::Timestamp;
use crate::plan::issuance::demand::{not_revoked, revoked};
use crate::plan::issuance::{AGAIN, DAY, LONGEST, by_lifetime, txt};

/// The certificate after a call came to this. `draw` is chance, by which an instant is chosen
/// where the CA leaves it to us.
#[must_use]
pub fn after(managed: &Managed, outcome: Outcome, now: Timestamp, draw: u64) -> Managed {
    let mut after = after_but_records(managed, outcome, now, draw);
    txt::follow(&mut after, now);
    after
}

fn after_but_records(managed: &Managed, outcome: Outcome, now: Timestamp, draw: u64) -> Managed {
    let mut after = managed.clone();
    match outcome {
        Outcome::Renewal { window, ask } => {
            if let Some(issued) = &mut after.issued {
                suggest(issued, window, ask, now, draw);
            }
            return after;
        }
        Outcome::Failed(failure) => {
            fail(&mut after, failure, now);
            return after;
        }
        Outcome::Revoked => {
            revoked(&mut after, now);
            return after;
        }
        Outcome::NotRevoked(failure) => {
            not_revoked(&mut after, failure, now);
            return after;
        }
        Outcome::Txt { text, came } => {
            if let Err(message) = txt::came(&mut after, &text, came, now) {
                give_up(&mut after, message, None, now);
                if let Some(trouble) = &mut after.trouble {
                    trouble.way = Some(ChallengeType::Dns01);
                }
            }
            return after;
        }
        Outcome::Placed(_)
        | Outcome::Order(_)
        | Outcome::Proofs { .. }
        | Outcome::Validating
        | Outcome::Certificate { .. } => {}
    }
    let Some(order) = &mut after.order else {
        return after;
    };
    let end = match outcome {
        Outcome::Placed(url) => {
            order.step = Step::Placed { url };
            None
        }
        Outcome::Order(answer) => stands(order, answer, None, now).err(),
        Outcome::Proofs { answer, proofs } => stands(order, answer, Some(proofs), now).err(),
        Outcome::Validating => {
            validates(order, now);
            None
        }
        Outcome::Certificate { certificate, id } => {
            let renewal = Renewal {
                at: by_lifetime(&certificate),
                window: None,
                ask: now,
            };
            let before = after.issued.as_ref().and_then(|issued| issued.way);
            after.issued = Some(Issued {
                certificate,
                ca: order.ca.clone(),
                id,
                renewal,
                revoked: None,
                way: order.way.or(before),
            });
            after.order = None;
            after.trouble = None;
            after.demand = None;
            None
        }
        Outcome::Renewal { .. }
        | Outcome::Failed(_)
        | Outcome::Revoked
        | Outcome::NotRevoked(_)
        | Outcome::Txt { .. } => None,
    };
    if let Some(message) = end {
        let order = managed.order.as_ref();
        let validated = order.filter(|order| matches!(order.step, Step::Proving { .. }));
        let way = validated.and_then(|order| order.way);
        give_up(&mut after, message, None, now);
        if let Some(trouble) = &mut after.trouble {
            trouble.way = way.or(trouble.way);
        }
    }
    after
}

/// Takes in how an order stands, with its proofs where these were looked at; an error is its end.
fn stands(
    order: &mut Order,
    answer: Answer,
    proofs: Option<Vec<Proof>>,
    now: Timestamp,
) -> Result<(), Box<str>> {
    let Some(url) = order.step.url().map(Box::from) else {
        return Ok(());
    };
    let step = match answer.status {
        Status::Pending => match proofs {
            Some(proofs) => Step::Proving { url, proofs },
            None => order.step.clone(),
        },
        Status::Ready => Step::Ready { url },
        Status::Processing => Step::Issuing { url },
        Status::Valid => Step::Issued { url },
        Status::Invalid(message) => return Err(message),
    };
    let is_theirs = match &step {
        Step::Proving { proofs, .. } => !proofs.iter().any(Proof::is_open),
        Step::Issuing { .. } => true,
        Step::Intended | Step::Placed { .. } | Step::Ready { .. } | Step::Issued { .. } => false,
    };
    // What the CA works at, and what stands as it stood, is not asked for again at once.
    let waits = is_theirs || discriminant(&step) == discriminant(&order.step);
    order.not_before = match waits {
        true => answer.not_before.max(now.later(POLL)),
        false => Timestamp::default(),
    };
    order.step = step;
    Ok(())
}

fn validates(order: &mut Order, now: Timestamp) {
    let Step::Proving { proofs, .. } = &mut order.step else {
        return;
    };
    for proof in proofs {
        if let Progress::Open(open) = &proof.progress {
            order.way = Some(open.challenge_type);
            proof.progress = Progress::Asked(open.clone());
            order.not_before = now.later(VALIDATION);
        }
    }
}

fn suggest(issued: &mut Issued, window: Window, ask: Timestamp, now: Timestamp, draw: u64) {
    issued.renewal.ask = ask.max(now.later(SOONEST_ASK));
    if issued.renewal.window == Some(window) {
        return;
    }
    let width = window.end.0.saturating_sub(window.start.0).max(1);
    let width = u64::try_from(width).unwrap_or(1);
    let into = i64::try_from(draw % width).unwrap_or(0);
    // A CA that always suggests the past would be asked for one certificate after the other.
    let soonest = issued.certificate.not_before.later(DAY);
    issued.renewal.at = window.start.later(into).max(soonest);
    issued.renewal.window = Some(window);
}

fn fail(managed: &mut Managed, failure: Failure, now: Timestamp) {
    let Failure {
        kind,
        not_before,
        message,
    } = failure;
    let Some(order) = &mut managed.order else {
        // It was asked about a renewal, which is due by its lifetime in any case.
        if let Some(issued) = &mut managed.issued {
            let ask = now.later(ASK_AGAIN);
            issued.renewal.ask = not_before.map_or(ask, |time| time.max(ask));
        }
        return;
    };
    if order.step != Step::Intended {
        match kind {
            FailureKind::Unavailable | FailureKind::RateLimited | FailureKind::Unknown => {
                let again = now.later(AGAIN);
                order.not_before = not_before.map_or(again, |time| time.max(again));
            }
            FailureKind::Refused | FailureKind::AlreadyReplaced | FailureKind::Gone => {
                give_up(managed, message, not_before, now);
            }
        }
        return;
    }
    match kind {
        // The CA may have the order, and may count it.
        FailureKind::Unknown => {}
        FailureKind::Unavailable
        | FailureKind::RateLimited
        | FailureKind::Refused
        | FailureKind::AlreadyReplaced
        | FailureKind::Gone => {
            managed.placed.pop();
        }
    }
    if kind == FailureKind::AlreadyReplaced
        && let Some(issued) = &mut managed.issued
    {
        issued.id = Box::default();
    }
    let before = managed
        .trouble
        .as_ref()
        .map_or(0, |trouble| trouble.failures);
    give_up(managed, message, not_before, now);
    // That the CA is away says nothing of these names.
    if kind == FailureKind::Unavailable
        && let Some(trouble) = &mut managed.trouble
    {
        let again = now.later(MINUTE);
        trouble.failures = before.max(1);
        trouble.not_before = not_before.map_or(again, |time| time.max(again));
    }
}

/// The certificate as whoever did not begin its order has to take it: of one that was being placed
/// nobody knows whether the CA has it.
#[must_use]
pub fn adopted(managed: &Managed, now: Timestamp) -> Managed {
    let order = managed.order.as_ref();
    if order.is_none_or(|order| order.step != Step::Intended) {
        return managed.clone();
    }
    let unknown = Failure {
        kind: FailureKind::Unknown,
        not_before: None,
        message: "whether the CA took the order is not known: the control plane ended meanwhile"
            .into(),
    };
    after(managed, Outcome::Failed(unknown), now, 0)
}

/// The certificate without the order that is of no use any more. One that came to nothing in all
/// the time that it had has failed.
#[must_use]
pub fn abandon(managed: &Managed, now: Timestamp) -> Managed {
    let mut abandoned = managed.clone();
    let began = managed.order.as_ref().map(|order| order.begun);
    if began.is_some_and(|begun| begun.later(LONGEST) <= now) {
        let message = format!("the order was not done within a day: {managed}");
        give_up(&mut abandoned, message.into(), None, now);
    }
    abandoned.order = None;
    txt::follow(&mut abandoned, now);
    abandoned
}

/// The order came to nothing: the next one waits for longer each time.
fn give_up(
    managed: &mut Managed,
    message: Box<str>,
    not_before: Option<Timestamp>,
    now: Timestamp,
) {
    managed.order = None;
    let trouble = managed.trouble.as_ref();
    let way = trouble.and_then(|trouble| trouble.way);
    let before = trouble.map_or(0, |trouble| trouble.failures);
    let again = now.later(back_off(before));
    managed.trouble = Some(Trouble {
        failures: before.saturating_add(1),
        message,
        not_before: not_before.map_or(again, |time| time.max(again)),
        asked: not_before,
        way,
        late: managed
            .issued
            .as_ref()
            .is_some_and(|issued| is_late(issued, now)),
    });
}

fn is_late(issued: &Issued, now: Timestamp) -> bool {
    let until = issued.certificate.not_after;
    let left = until.0.saturating_sub(issued.renewal.at.0);
    now.later(left / 2) >= until
}

/// A minute, ten, a hundred, and so on to a day (Let's Encrypt's integration guide).
fn back_off(before: u32) -> i64 {
    let minutes = 10_i64.saturating_pow(before);
    minutes.saturating_mul(MINUTE).min(DAY)
}

/// In milliseconds.
const MINUTE: i64 = 60_000;
/// As long as a validation takes at least.
const VALIDATION: i64 = 2_000;
/// Between two looks at what a CA has not done yet, at least.
const POLL: i64 = 3_000;
/// However often a CA wants to be asked when to renew.
const SOONEST_ASK: i64 = 60 * MINUTE;
/// After a CA did not say when it wants to renew.
const ASK_AGAIN: i64 = 6 * 60 * MINUTE;
