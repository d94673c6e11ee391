//! Where the log ends after a crash, and what of its tail never counted.
//!
//! Apart, because this alone decides between a torn tail, which is cut, and damage, which
//! is not touched.

use crate::event::Seq;
use crate::event_log::{
    pen::Pen,
    records,
    store::{Store, StoreError},
};

/// Records at the end of the log that were taken out again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    pub first: Seq,
    pub last: Seq,
}

/// What was found at the end of the log.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Tail {
    /// It ends with the last record of a batch, or nothing is there.
    Whole { last: Option<Seq> },
    /// What follows `last` is not all of a batch, or unreadable, and never counted.
    Torn { last: Option<Seq>, cut: Cut },
    /// A record that was acknowledged cannot be read.
    Damaged { at: Seq, what: String },
}

/// Looks at the end of the log. Up to the newest checkpoint it is not looked at, for parts of
/// batches may be compacted there; up to `acknowledged` everything counts; what comes after
/// `keep` is to go whatever it is.
pub(super) fn find(
    store: &Store,
    checkpoint: Seq,
    acknowledged: Seq,
    keep: Option<Seq>,
) -> Result<Tail, StoreError> {
    let Some(end) = records::last_before(store, Seq(u64::MAX))? else {
        return Ok(Tail::Whole { last: None });
    };
    let mut last = Some(end);
    while let Some(seq) = last.filter(|seq| *seq > checkpoint) {
        let Some(found) = records::range(store, seq, seq).next().transpose()? else {
            break;
        };
        let unwanted = keep.is_some_and(|keep| seq > keep);
        match found.record {
            Ok((_, 0)) if !unwanted => break,
            Ok(_) | Err(_) if seq > acknowledged => {}
            Ok((_, remaining)) => {
                let what = format!("{remaining} records that were written with it are missing");
                return Ok(Tail::Damaged { at: seq, what });
            }
            Err(error) => {
                let what = error.to_string();
                return Ok(Tail::Damaged { at: seq, what });
            }
        }
        // Where a cut was cut off in turn there may be a gap, and what counts lies before it.
        last = records::last_before(store, seq)?;
    }
    let first = last.unwrap_or(Seq(0)).next();
    let torn = records::range(store, first, end).next().transpose()?;
    match torn {
        None => Ok(Tail::Whole { last }),
        Some(torn) => {
            let cut = Cut {
                first: torn.seq,
                last: end,
            };
            Ok(Tail::Torn { last, cut })
        }
    }
}

/// Takes out what [`find`] found to be torn.
pub(super) fn cut(pen: &mut Pen, cut: Cut) -> Result<(), StoreError> {
    // From the end, so that a crash in between leaves a shorter tail of the same kind.
    for seq in (cut.first.0..=cut.last.0).rev() {
        records::remove(pen, Seq(seq))?;
    }
    pen.barrier()
}
