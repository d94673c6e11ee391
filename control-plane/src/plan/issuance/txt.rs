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
    next_of(managed.unshown(), now, |record| {
        match (&record.place, record.added) {
            (None, _) => TxtStep::Locate,
            (Some(_), None) => TxtStep::Add,
            (Some(_), Some(_)) => TxtStep::Look,
        }
    })
}

/// What is next, unless that is later than a record that nobody needs any more is to be removed.
pub(super) fn or_removal(managed: &Managed, now: Timestamp, next: Next) -> Next {
    let removal = next_of(unneeded(managed), now, |_| TxtStep::Remove);
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

/// Wants the records by which the challenges of its order are met, and forgets those that nobody
/// needs and that were never added.
pub(super) fn follow(managed: &mut Managed) {
    let wanted = managed.challenges().filter_map(TxtRecord::of);
    let known = |wanted: &TxtRecord| {
        let mut records = managed.records.iter();
        records.any(|record| record.text == wanted.text && record.host == wanted.host)
    };
    let new: Vec<TxtRecord> = wanted.filter(|record| !known(record)).collect();
    managed.records.extend(new);
    let records = std::mem::take(&mut managed.records);
    let kept = records.into_iter();
    managed.records = kept
        .filter(|record| record.place.is_some() || managed.needs(record))
        .collect();
}

/// Takes in what came of the record that says this; an error is the end of its order.
pub(super) fn came(
    managed: &mut Managed,
    text: &str,
    came: Txt,
    now: Timestamp,
) -> Result<(), Box<str>> {
    let begun = managed.order.as_ref().map(|order| order.begun);
    let is_late = begun.is_some_and(|begun| begun.later(PATIENCE) <= now);
    let known = managed
        .records
        .iter()
        .position(|known| *known.text == *text);
    let Some(index) = known else {
        return Ok(());
    };
    let mut record = managed.records.remove(index);
    let is_needed = managed.needs(&record);
    match came {
        Txt::Located(place) => went_well(&mut record, |record| record.place = Some(place)),
        Txt::Added => went_well(&mut record, |record| record.added = Some(now)),
        Txt::Seen(sight) => {
            let added = *record.added.get_or_insert(now);
            record.shown = is_enough(&sight, added, now);
            record.said = said(&sight).into();
            record.not_before = match record.shown {
                true => Timestamp::default(),
                false => now.later(look_again(added, now)),
            };
        }
        Txt::Removed => return Ok(()),
        Txt::Failed(message) => {
            record.failures = record.failures.saturating_add(1);
            record.not_before = now.later(try_again(record.failures));
            record.said = message;
            // Nobody can be asked any more, or a server that has forgotten the key refuses for ever.
            if !is_needed && record.failures >= REMOVALS {
                return Ok(());
            }
        }
    }
    let is_stuck = !record.said.is_empty() && !record.shown;
    let end = (is_needed && is_late && is_stuck).then(|| record.to_string().into());
    managed.records.insert(index, record);
    end.map_or(Ok(()), Err)
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
    let parts: Vec<&str> = sight
        .lacking
        .iter()
        .chain(&sight.silent)
        .map(|part| &**part)
        .collect();
    parts.join("; ")
}

fn unneeded(managed: &Managed) -> impl Iterator<Item = &TxtRecord> {
    let records = managed.records.iter();
    records.filter(|record| !managed.needs(record))
}

/// The first that is due.
fn next_of<'a>(
    records: impl Iterator<Item = &'a TxtRecord>,
    now: Timestamp,
    step: impl FnOnce(&TxtRecord) -> TxtStep,
) -> Option<Next> {
    let first = records.min_by_key(|record| record.not_before)?;
    Some(match first.not_before > now {
        true => Next::Wait(first.not_before),
        false => Next::Call(Call::Txt {
            text: first.text.clone(),
            step: step(first),
        }),
    })
}

/// Most servers follow within seconds.
fn look_again(added: Timestamp, now: Timestamp) -> i64 {
    match added.later(30 * SECOND) > now {
        true => 2 * SECOND,
        false => 10 * SECOND,
    }
}

/// Ten seconds, then twice that, and so on to ten minutes.
fn try_again(failures: u32) -> i64 {
    let times = 2_i64.saturating_pow(failures.saturating_sub(1));
    times.saturating_mul(10 * SECOND).min(10 * MINUTE)
}

/// In milliseconds.
const SECOND: i64 = 1_000;
const MINUTE: i64 = 60 * SECOND;
/// How long servers that do not answer are waited for.
const SILENT: i64 = 5 * MINUTE;
/// How long an order waits for its records. After it another way may be gone.
const PATIENCE: i64 = 60 * MINUTE;
/// Attempts to remove a record; all of them take about an hour and a half.
const REMOVALS: u32 = 14;
