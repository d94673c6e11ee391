//! Endpoints, written behind: what a restart without an API server begins with.
//!
//! Apart from records and checkpoints, because these values are not history: losing the
//! last second of them is allowed, and each says itself how long it counts.

use std::ops::Bound;

use crate::event_log::{
    EventLog,
    checkpoint::{Change, Keyed, MAX_KEY, MAX_VALUE},
    chunks,
    error::{ReadError, WriteError},
    keyed,
    pen::Pen,
    store::Tree,
    writer::Writer,
};
use crate::model::time::Timestamp;

impl Writer {
    /// Puts values that count until a time, and takes keys away. A killed process loses none
    /// of it once this returned; a power cut may.
    ///
    /// Keys and values longer than a checkpoint's are left out: they are found again.
    pub fn endpoints_put(
        &mut self,
        changes: impl IntoIterator<Item = Change>,
        until: Timestamp,
    ) -> Result<(), WriteError> {
        for (key, value) in changes {
            let bytes = value.as_ref().map_or(0, Vec::len);
            if key.len() > MAX_KEY || bytes > MAX_VALUE {
                continue;
            }
            self.reserve(bytes)?;
            let key = keyed::escape(&key);
            self.write(|pen| match &value {
                Some(value) => {
                    let stored = encode(&key, until, value);
                    chunks::put(pen, Tree::Endpoints, &key, &stored)
                }
                None => chunks::remove(pen, Tree::Endpoints, &key),
            })?;
        }
        self.write(Pen::flush)
    }

    /// Takes away what no longer counts of up to so many values, beginning at a place, of which
    /// the first is empty. Says at which place to go on, if there is more to look at.
    pub fn endpoints_expire(
        &mut self,
        now: Timestamp,
        from: &[u8],
        most: usize,
    ) -> Result<Option<Vec<u8>>, WriteError> {
        self.reserve_to_free()?;
        self.write(|pen| {
            let (mut expired, mut next) = (Vec::new(), None);
            let values = chunks::range(pen.store(), Tree::Endpoints, from, Bound::Unbounded);
            for (looked_at, value) in values.enumerate() {
                let value = value?;
                if looked_at >= most {
                    next = Some(value.key);
                    break;
                }
                if live(&value, now).is_none() {
                    expired.push(value.key);
                }
            }
            for key in &expired {
                chunks::remove(pen, Tree::Endpoints, key)?;
            }
            if !expired.is_empty() {
                pen.flush()?;
            }
            Ok(next)
        })
    }
}

impl EventLog {
    /// Keys and values that count now. What cannot be read counts as lost, not as damage.
    pub fn endpoints_read(&self, now: Timestamp) -> Result<Vec<Keyed>, ReadError> {
        let store = self.store()?;
        let mut found = Vec::new();
        for value in chunks::range(&store, Tree::Endpoints, &[], Bound::Unbounded) {
            let value = value.map_err(|error| self.read_error(error))?;
            let Some((key, _)) = keyed::unescape(&value.key) else {
                continue;
            };
            found.extend(live(&value, now).map(|bytes| (key, bytes)));
        }
        Ok(found)
    }
}

/// Until when it counts (8 bytes), checksum (4), value.
fn encode(key: &[u8], until: Timestamp, value: &[u8]) -> Vec<u8> {
    let until = until.0.to_be_bytes();
    let sum = checksum(key, &until, value).to_be_bytes();
    [until.as_slice(), &sum, value].concat()
}

fn live(value: &chunks::Value, now: Timestamp) -> Option<Vec<u8>> {
    let (until, rest) = value.bytes.as_deref()?.split_first_chunk::<8>()?;
    let (sum, bytes) = rest.split_first_chunk::<4>()?;
    let whole = checksum(&value.key, until, bytes).to_be_bytes() == *sum;
    (whole && now < Timestamp(i64::from_be_bytes(*until))).then(|| bytes.to_vec())
}

fn checksum(key: &[u8], until: &[u8], value: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(key);
    hasher.update(until);
    hasher.update(value);
    hasher.finalize()
}
