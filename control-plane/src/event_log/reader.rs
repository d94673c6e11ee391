//! Reading the log in order, a page at a time.
//!
//! Apart from `EventLog`, because a reader checks that nothing is missing between two
//! records, and holds the store only while it fetches a page: compaction and reopening go
//! on meanwhile.

use std::vec;

use crate::event::Seq;
use crate::event_log::{
    Entry, EventLog, class::ClassCode, error::ReadError, records, store::Store,
};

/// Records in order. Ends at what was the last record when reading began, or after an error.
#[derive(Debug)]
pub struct Records {
    log: EventLog,
    wanted: Wanted,
    next: Seq,
    last: Seq,
    page: vec::IntoIter<Entry>,
}

/// Which records, and whether all of them must be there.
#[derive(Clone, Copy, Debug)]
enum Wanted {
    All,
    Class(ClassCode),
    Remaining,
}

impl Records {
    pub(super) fn new(
        log: EventLog,
        from: Seq,
        last: Seq,
        class: Option<ClassCode>,
    ) -> Result<Self, ReadError> {
        let records = Self {
            next: from.max(Seq(1)),
            last,
            wanted: class.map_or(Wanted::All, Wanted::Class),
            log,
            page: Vec::new().into_iter(),
        };
        records.check_retained(records.next)?;
        Ok(records)
    }

    /// Whatever is there, with gaps where something was compacted.
    pub(super) fn all(log: EventLog, last: Seq) -> Self {
        Self {
            next: log.first().unwrap_or_else(|| last.next()),
            last,
            wanted: Wanted::Remaining,
            log,
            page: Vec::new().into_iter(),
        }
    }

    /// Fetches the next page and moves on behind it.
    fn fetch(&mut self) -> Result<Vec<Entry>, ReadError> {
        let store = self.log.store()?;
        let from = self.next;
        let mut page = Vec::new();
        let mut bytes = 0;
        for found in records::range(&store, from, self.last) {
            let found = found.map_err(|error| self.log.read_error(error))?;
            self.check_gap(&store, from, self.next, found.seq)?;
            self.next = found.seq.next();
            let entry = match found.record {
                Ok((entry, _)) => entry,
                Err(error) => {
                    self.log.check_unreadable(&store, found.seq, &error)?;
                    continue;
                }
            };
            bytes += entry.bytes.len();
            page.push(entry);
            if page.len() >= PAGE_RECORDS || bytes >= PAGE_BYTES {
                self.check_retained(from)?;
                return Ok(page);
            }
        }
        self.check_gap(&store, from, self.next, self.last.next())?;
        self.next = self.last.next();
        self.check_retained(from)?;
        Ok(page)
    }

    /// Nothing may be missing from a place up to before another but what was compacted.
    fn check_gap(&self, store: &Store, page: Seq, from: Seq, to: Seq) -> Result<(), ReadError> {
        let checked = self.log.check_hole(store, from, to);
        if checked.is_err() {
            // Compaction may have taken it since the page was begun.
            self.check_retained(page)?;
        }
        checked
    }

    fn check_retained(&self, from: Seq) -> Result<(), ReadError> {
        let oldest = match self.wanted {
            Wanted::All => self.log.oldest(None),
            Wanted::Class(class) => self.log.oldest(Some(class)),
            Wanted::Remaining => return Ok(()),
        };
        if from < oldest && from <= self.last {
            return Err(ReadError::Compacted { oldest });
        }
        Ok(())
    }
}

impl Iterator for Records {
    type Item = Result<Entry, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let wanted = |entry: &Entry| match self.wanted {
                Wanted::Class(class) => class == entry.class,
                Wanted::All | Wanted::Remaining => true,
            };
            if let Some(entry) = self.page.find(wanted) {
                return Some(Ok(entry));
            }
            if self.next > self.last {
                return None;
            }
            match self.fetch() {
                Ok(page) => self.page = page.into_iter(),
                Err(error) => {
                    self.next = self.last.next();
                    return Some(Err(error));
                }
            }
        }
    }
}

const PAGE_RECORDS: usize = 256;
const PAGE_BYTES: usize = 1 << 20;
