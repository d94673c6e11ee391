//! From where on the log is whole: as a whole, and for each class of records.
//!
//! Apart, because readers, compaction and opening must agree on what a gap means: a record
//! that is missing was compacted if this says so, and is damage if not.

use std::{collections::BTreeMap, ops::Bound};

use crate::event::Seq;
use crate::event_log::{
    class::ClassCode,
    frame::{self, FrameError},
    pen::Pen,
    store::{Store, StoreError, Tree},
};

/// From where on records are there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Retained {
    /// Nothing is there before this; `Seq(0)` if nothing ever was.
    pub(super) begin: Seq,
    /// Of these classes everything is there from here on, before it perhaps something.
    pub(super) classes: BTreeMap<ClassCode, Seq>,
}

impl Retained {
    /// From where on everything of a class, or of all, is there.
    pub(super) fn oldest(&self, class: Option<ClassCode>) -> Seq {
        let of_class = |(code, seq): (&ClassCode, &Seq)| {
            class.is_none_or(|class| class == *code).then_some(*seq)
        };
        let classes = self.classes.iter().filter_map(of_class);
        classes.chain([self.begin]).max().unwrap_or(self.begin)
    }

    pub(super) fn load(store: &Store) -> Result<Self, LoadError> {
        let mut retained = Self::default();
        if let Some(stored) = store.get(Tree::Marks, BEGIN)? {
            retained.begin = Seq(frame::unseal(&stored)?);
        }
        for pair in store.range(Tree::Marks, Bound::Included(CLASS), Bound::Unbounded) {
            let (key, stored) = pair?;
            let Some(&[code]) = key.strip_prefix(CLASS) else {
                break;
            };
            let seq = Seq(frame::unseal(&stored)?);
            retained.classes.insert(ClassCode(code), seq);
        }
        Ok(retained)
    }

    pub(super) fn store_begin(pen: &mut Pen, begin: Seq) -> Result<(), StoreError> {
        pen.put(Tree::Marks, BEGIN, &frame::seal(begin.0))
    }

    pub(super) fn store_class(
        pen: &mut Pen,
        class: ClassCode,
        from: Seq,
    ) -> Result<(), StoreError> {
        let key = [CLASS, &[class.0]].concat();
        pen.put(Tree::Marks, &key, &frame::seal(from.0))
    }
}

/// Notes that nothing from the first to the last is there any more.
pub(super) fn put_hole(pen: &mut Pen, first: Seq, last: Seq) -> Result<(), StoreError> {
    pen.put(Tree::Holes, &first.0.to_be_bytes(), &frame::seal(last.0))
}

/// Forgets the holes that begin in this range: another covers them, or `begin` does.
pub(super) fn remove_holes(pen: &mut Pen, from: Seq, to: Seq) -> Result<(), StoreError> {
    let (from, to) = (from.0.to_be_bytes(), to.0.to_be_bytes());
    let range = (Bound::Included(&from[..]), Bound::Included(&to[..]));
    let found: Vec<_> = pen.store().range(Tree::Holes, range.0, range.1).collect();
    for hole in found {
        pen.remove(Tree::Holes, &hole?.0)?;
    }
    Ok(())
}

/// The hole that this place lies in: its first and last.
pub(super) fn hole_at(store: &Store, seq: Seq) -> Result<Option<(Seq, Seq)>, LoadError> {
    let key = seq.0.to_be_bytes();
    let mut before = store.range(Tree::Holes, Bound::Unbounded, Bound::Included(&key));
    let Some(hole) = before.next_back() else {
        return Ok(None);
    };
    let (first, last) = hole?;
    let first = first.first_chunk::<8>().ok_or(FrameError::Short)?;
    let hole = (Seq(u64::from_be_bytes(*first)), Seq(frame::unseal(&last)?));
    Ok((hole.1 >= seq).then_some(hole))
}

/// The first place from one up to before another that lies in no hole.
pub(super) fn first_missing(store: &Store, from: Seq, to: Seq) -> Result<Option<Seq>, LoadError> {
    let mut seq = from;
    while seq < to {
        match hole_at(store, seq)? {
            Some((_, last)) => seq = last.next(),
            None => return Ok(Some(seq)),
        }
    }
    Ok(None)
}

/// What is noted cannot be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum LoadError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Frame(#[from] FrameError),
}

const BEGIN: &[u8] = b"begin";
const CLASS: &[u8] = b"class ";
