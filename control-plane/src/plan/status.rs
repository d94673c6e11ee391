//! What is to be done about the status of an Ingress.
//!
//! Only what differs is written, and only what we wrote is taken away: what another controller
//! says of its own is none of our business, and what it left behind goes only if we are told so.

use crate::model::address::{Address, Published};

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    Nothing,
    /// Write the wanted addresses.
    Write,
    /// Take away what we wrote: the Ingress is not ours any more.
    Clear,
    /// Another field manager has the addresses, and they are not what is wanted.
    Taken,
}

/// The step for an Ingress whose status is this. Without wanted addresses nothing is known of
/// how it is reached, and what was written stays.
pub fn step(
    served: bool,
    wanted: Option<&[Address]>,
    published: &Published,
    take_over: bool,
) -> Step {
    match wanted {
        _ if !served && published.ours && !published.addresses.is_empty() => Step::Clear,
        Some(wanted) if served && *published.addresses != *wanted => {
            if published.others.is_some() && !take_over {
                Step::Taken
            } else {
                Step::Write
            }
        }
        Some(_) | None => Step::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_difference_is_written_and_only_our_own_is_taken_away() {
        let addresses = |texts: &[&str]| -> Vec<Address> {
            texts.iter().map(|text| text.parse().unwrap()).collect()
        };
        let a = addresses(&["192.0.2.1"]);
        for (served, wanted, found, ours, others, take_over, expected) in [
            (true, Some(&a), &[][..], false, false, false, Step::Write),
            (
                true,
                Some(&a),
                &["192.0.2.1"],
                true,
                false,
                false,
                Step::Nothing,
            ),
            // It need not be ours to be right.
            (
                true,
                Some(&a),
                &["192.0.2.1"],
                false,
                true,
                false,
                Step::Nothing,
            ),
            (
                true,
                Some(&a),
                &["192.0.2.9"],
                true,
                false,
                false,
                Step::Write,
            ),
            (
                true,
                Some(&a),
                &["192.0.2.9"],
                false,
                true,
                false,
                Step::Taken,
            ),
            (
                true,
                Some(&a),
                &["192.0.2.9"],
                true,
                true,
                false,
                Step::Taken,
            ),
            (
                true,
                Some(&a),
                &["192.0.2.9"],
                false,
                true,
                true,
                Step::Write,
            ),
            (
                true,
                None,
                &["192.0.2.9"],
                true,
                false,
                false,
                Step::Nothing,
            ),
            (
                false,
                Some(&a),
                &["192.0.2.1"],
                true,
                false,
                false,
                Step::Clear,
            ),
            (false, None, &["192.0.2.1"], true, false, false, Step::Clear),
            (
                false,
                Some(&a),
                &["192.0.2.1"],
                false,
                true,
                true,
                Step::Nothing,
            ),
            (false, Some(&a), &[], false, false, false, Step::Nothing),
        ] {
            let published = Published {
                uid: "u".into(),
                resource_version: 1,
                addresses: addresses(found).into(),
                ours,
                others: others.then(|| "other".into()),
            };
            let found = step(served, wanted.map(Vec::as_slice), &published, take_over);
            assert_eq!(
                found, expected,
                "{served} {wanted:?} {published:?} {take_over}"
            );
        }
    }
}
