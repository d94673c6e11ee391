//! Which checkpoints can be spared: the further back, the fewer are needed.
//!
//! Apart, because it is a choice and not a mechanism. A start needs the newest one alone; who
//! asks for the past needs one not too far before it. Each keeps a version of every value that
//! changed until the next, on disk and in the way of whoever looks for another.

use std::collections::BTreeSet;

use crate::event::Seq;

/// Those of some checkpoints, oldest first, that can be spared, so that there is one at most an
/// eighth of the way back before any place that one lies before now. The first and the last stay.
pub fn spare_checkpoints(checkpoints: &[Seq]) -> BTreeSet<Seq> {
    let mut spare = BTreeSet::new();
    let Some(&newest) = checkpoints.last() else {
        return spare;
    };
    let mut kept = newest;
    for pair in checkpoints.windows(2).rev() {
        let [older, this] = *pair else { continue };
        if this == newest {
            continue;
        }
        let (without, way_back) = (kept.0.abs_diff(older.0), newest.0.abs_diff(kept.0));
        if without <= way_back / SHARE {
            spare.insert(this);
        } else {
            kept = this;
        }
    }
    spare
}

/// Folding a hundred thousand records takes a second or two; and of a million records some
/// thirty checkpoints stay of a hundred.
const SHARE: u64 = 8;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn of_a_hundred_checkpoints_some_thirty_stay_and_those_of_late_all() {
        let mut there: Vec<Seq> = Vec::new();
        for seq in (10_000..=1_000_000).step_by(10_000) {
            there.push(Seq(seq));
            let spare = spare_checkpoints(&there);
            there.retain(|seq| !spare.contains(seq));
        }
        assert!((20..40).contains(&there.len()), "{there:?}");
        assert_eq!(there.first(), Some(&Seq(10_000)));
        let late: Vec<_> = (91..=100).map(|number| Seq(number * 10_000)).collect();
        assert!(there.ends_with(&late), "{there:?}");
    }

    proptest! {
        /// However they came to be: no gap grows beyond what is allowed now, but those that were.
        #[test]
        fn no_place_is_too_far_behind_a_checkpoint(steps in proptest::collection::vec(1_u64..50, 1..200)) {
            let (mut there, mut longest) = (Vec::new(), 0);
            let mut newest = Seq(0);
            for step in steps {
                newest = Seq(newest.0 + step);
                longest = longest.max(step);
                there.push(newest);
                let first = there.first().copied();
                let spare = spare_checkpoints(&there);
                there.retain(|seq| !spare.contains(seq));
                prop_assert_eq!((there.first().copied(), there.last()), (first, Some(&newest)));
                for pair in there.windows(2) {
                    let (gap, way_back) = (pair[1].0 - pair[0].0, newest.0 - pair[1].0);
                    prop_assert!(gap <= longest.max(way_back / SHARE), "{:?}", there);
                }
            }
        }
    }
}
