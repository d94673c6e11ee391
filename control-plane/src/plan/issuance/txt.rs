//! Records of the DNS: added before a CA is told to look for them, awaited at all servers of their
//! zone, and taken out afterwards.
//!
//! Beside the steps of an order, for they outlive it: what was added is known until it is removed,
//! whatever becomes of the order and of who began it.

use crate::model::managed::{Managed, Sight, Txt, TxtRecord};
use crate::model::time::Timestamp;
use crate::plan::issuance::{Call, Next, TxtStep};

/// What is to be done before the CA can find all that it is to find; `None`: it can.
pub(super) fn before_validation(managed: &Managed, now: Timestamp) -> Option<Next> {
    let first = managed.unshown().min_by_key(|record| record.not_before)?;
    let step = match (&first.place, first.added) {
        (None, _) => TxtStep::Locate,
        (Some(_), None) => TxtStep::Add,
        (Some(_), Some(_)) => TxtStep::Look,
    };
    Some(due(first.not_before, now, &first.text, step))
}

/// What is next, unless that is later than a record that nobody needs any more is to be removed.
pub(super) fn or_removal(managed: &Managed, now: Timestamp, next: Next) -> Next {
    let leftovers = managed.leftovers.iter();
    let first = leftovers.min_by_key(|leftover| leftover.not_before);
    let removal = first.map(|first| due(first.not_before, now, &first.text, TxtStep::Remove));
    match (next, removal) {
        (Next::Wait(time), Some(Next::Wait(removal))) => Next::Wait(time.min(removal)),
        // It is not forgotten before.
        (
            Next::Wait(_) | Next::Barrier | Next::Begin | Next::Forget,
            Some(call @ Next::Call(_)),
        )
        | (Next::Forget, Some(call @ Next::Wait(_))) => call,
        (next, _) => next,
    }
}

/// Wants the records by which the challenges of its order are met, and no others. A CA may ask for the
/// same again in another order, when it may belong elsewhere.
pub(super) fn follow(managed: &mut Managed, now: Timestamp) {
    let records = std::mem::take(&mut managed.records);
    let (needed, others): (Vec<_>, Vec<_>) = records
        .into_iter()
        .partition(|record| managed.needs(record));
    managed.records = needed;
    for leftover in others.into_iter().filter_map(TxtRecord::leftover) {
        managed.leftovers.push(leftover);
    }
    let wanted = managed.challenges();
    let wanted = wanted.filter_map(|challenge| TxtRecord::of(challenge, now));
    let is_known = |wanted: &TxtRecord| {
        let mut records = managed.records.iter();
        records.any(|record| record.text == wanted.text)
    };
    let new: Vec<TxtRecord> = wanted.filter(|wanted| !is_known(wanted)).collect();
    managed.records.extend(new);
}

/// Takes in what came of the record, or the leftover, that says this; an error is the end of its
/// order.
pub(super) fn came(
    managed: &mut Managed,
    text: &str,
    came: Txt,
    now: Timestamp,
) -> Result<(), Box<str>> {
    let leftover = managed.leftover(text);
    let Managed {
        records, leftovers, ..
    } = managed;
    match came {
        Txt::Removed => {
            leftover.map(|index| leftovers.remove(index));
            return Ok(());
        }
        Txt::NotRemoved(_) => {
            let Some(index) = leftover else {
                return Ok(());
            };
            let mut those = leftovers.iter_mut().skip(index);
            let failures = those.next().map(|leftover| {
                leftover.failures = leftover.failures.saturating_add(1);
                leftover.not_before = now.later(try_again(leftover.failures).min(HOUR));
                leftover.failures
            });
            if failures.is_some_and(|failures| failures >= REMOVALS) {
                leftovers.remove(index);
            }
            return Ok(());
        }
        Txt::Located(_) | Txt::Added | Txt::Seen(_) | Txt::Failed(_) => {}
    }
    let mut those = records.iter_mut();
    let Some(record) = those.find(|record| *record.text == *text) else {
        return Ok(());
    };
    match came {
        Txt::Located(place) => {
            // What is there already is needed again; a webhook knows no zones.
            leftovers
                .retain(|leftover| *leftover.text != *text || leftover.place.name != place.name);
            went_well(record, |record| record.place = Some(place));
        }
        Txt::Added => went_well(record, |record| record.added = Some(now)),
        Txt::Seen(sight) => {
            let added = *record.added.get_or_insert(now);
            record.failures = 0;
            record.shown = is_enough(&sight, added, now);
            record.said = said(&sight).into();
            record.not_before = now.later(look_again(added, now));
        }
        Txt::Failed(message) => {
            record.failures = record.failures.saturating_add(1);
            record.not_before = now.later(try_again(record.failures).min(10 * MINUTE));
            record.said = message;
        }
        Txt::Removed | Txt::NotRemoved(_) => {}
    }
    let is_stuck = !record.said.is_empty() && !record.shown;
    match is_stuck && record.wanted.later(HOUR) <= now {
        true => Err(record.to_string().into()),
        false => Ok(()),
    }
}

fn went_well(record: &mut TxtRecord, change: impl FnOnce(&mut TxtRecord)) {
    change(record);
    record.failures = 0;
    record.said = Box::default();
    record.not_before = Timestamp::default();
}

/// Whether a CA will find it: whoever does not answer it may not ask, either.
fn is_enough(sight: &Sight, added: Timestamp, now: Timestamp) -> bool {
    let waited = added.later(SILENT) <= now;
    sight.showing > 0 && sight.lacking.is_empty() && (sight.silent.is_empty() || waited)
}

fn said(sight: &Sight) -> String {
    let parts = sight.lacking.iter().chain(&sight.silent);
    let parts: Vec<&str> = parts.map(|part| &**part).collect();
    parts.join("; ")
}

fn due(not_before: Timestamp, now: Timestamp, text: &str, step: TxtStep) -> Next {
    match not_before > now {
        true => Next::Wait(not_before),
        false => Next::Call(Call::Txt {
            text: text.into(),
            step,
        }),
    }
}

/// Most servers follow within seconds.
fn look_again(added: Timestamp, now: Timestamp) -> i64 {
    match added.later(30 * SECOND) > now {
        true => 2 * SECOND,
        false => 10 * SECOND,
    }
}

/// Ten seconds, then twice that, and so on.
fn try_again(failures: u32) -> i64 {
    let times = 2_i64.saturating_pow(failures.saturating_sub(1));
    times.saturating_mul(10 * SECOND)
}

/// In milliseconds.
const SECOND: i64 = 1_000;
const MINUTE: i64 = 60 * SECOND;
/// How long an order waits for a record. After it another way may be gone.
const HOUR: i64 = 60 * MINUTE;
/// How long servers that do not answer are waited for.
const SILENT: i64 = 5 * MINUTE;
/// Attempts to remove a record, most of them an hour apart: for a week.
const REMOVALS: u32 = 180;
