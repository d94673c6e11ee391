//! Memory to read into and to write from, which the connections of a thread lend each other.
//!
//! Apart from connections: of ten thousand open ones few are at work. Those that wait hold
//! nothing, and what one has just used is still in the core's caches when the next one needs it.

use std::{
    cell::{RefCell, RefMut},
    collections::VecDeque,
};

use bytes::BytesMut;

/// One thread's memory that nobody uses at the moment.
#[derive(Debug, Default)]
pub struct Buffers {
    /// An input that nothing was read into: nearly every wait for bytes begins and ends with it.
    unused: RefCell<BytesMut>,
    /// Inputs of messages that may not be over; the one given back first is at the front.
    used: RefCell<VecDeque<BytesMut>>,
    outputs: RefCell<Vec<Vec<u8>>>,
    /// Read into and emptied within one call.
    scratch: RefCell<Vec<u8>>,
}

impl Buffers {
    /// Puts memory behind `input`, which has none: room for [`INPUT`] bytes.
    pub fn lend(&self, input: &mut BytesMut) {
        std::mem::swap(input, &mut self.unused.borrow_mut());
        if input.capacity() == 0 {
            *input = self.used_before();
        }
    }

    /// Takes back what was lent and nothing was read into.
    pub fn take_back_unused(&self, input: &mut BytesMut) {
        std::mem::swap(input, &mut self.unused.borrow_mut());
    }

    /// Takes back what is left of an input; messages may still hold parts of it.
    pub fn take_back_input(&self, input: BytesMut) {
        let mut used = self.used.borrow_mut();
        if used.len() < KEPT && input.is_empty() {
            used.push_back(input);
        }
    }

    /// Empty, with some room.
    pub fn output(&self) -> Vec<u8> {
        let last = self.outputs.borrow_mut().pop();
        last.unwrap_or_else(|| Vec::with_capacity(OUTPUT))
    }

    /// Takes back an output that was written.
    pub fn take_back_output(&self, mut output: Vec<u8>) {
        let mut outputs = self.outputs.borrow_mut();
        if outputs.len() < KEPT && (1..=LARGEST_OUTPUT).contains(&output.capacity()) {
            output.clear();
            outputs.push(output);
        }
    }

    /// Room for what is passed on at once; nobody else may ask for it meanwhile.
    pub fn scratch(&self) -> RefMut<'_, Vec<u8>> {
        let mut scratch = self.scratch.borrow_mut();
        scratch.resize(SCRATCH, 0);
        scratch
    }

    /// What was given back first, unless a message still holds a part of it.
    fn used_before(&self) -> BytesMut {
        let first = self.used.borrow_mut().pop_front();
        if let Some(mut first) = first {
            if first.try_reclaim(INPUT) {
                return first;
            }
            self.take_back_input(first);
        }
        BytesMut::with_capacity(INPUT)
    }
}

/// Room of an input: a head of ordinary size fits, with a small body.
pub const INPUT: usize = 8 * 1024;

/// Room that an output begins with.
const OUTPUT: usize = 1024;

/// Room for what is passed on at once: two full records of TLS, with what is around them.
const SCRATCH: usize = 34 * 1024;

/// An output that has grown beyond this is not kept.
const LARGEST_OUTPUT: usize = 16 * 1024;

/// Inputs and outputs that a thread keeps: at most 3 MiB in all.
const KEPT: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;

    fn read(input: &mut BytesMut, bytes: &[u8]) -> bytes::Bytes {
        input.extend_from_slice(bytes);
        input.split().freeze()
    }

    #[test]
    fn memory_goes_round_and_is_never_in_two_hands() {
        let buffers = Buffers::default();
        let lent = || {
            let mut input = BytesMut::new();
            buffers.lend(&mut input);
            input
        };
        let mut first = lent();
        let place = first.as_ptr();
        let held = read(&mut first, b"held");
        buffers.take_back_input(first);
        // A message still holds a part of it.
        let mut second = lent();
        second.extend_from_slice(b"other");
        assert_eq!(held, "held");

        drop(held);
        let mut again = lent();
        assert_eq!((again.as_ptr(), again.len()), (place, 0));
        assert!(again.capacity() >= INPUT);
        buffers.take_back_unused(&mut again);
        assert_eq!(again.capacity(), 0);
        assert_eq!(lent().as_ptr(), place);
    }

    #[test]
    fn no_more_is_kept_than_is_said() {
        let buffers = Buffers::default();
        buffers.take_back_output(Vec::with_capacity(2 * LARGEST_OUTPUT));
        assert!(buffers.output().capacity() <= LARGEST_OUTPUT);
        for _ in 0..2 * KEPT {
            buffers.take_back_input(BytesMut::with_capacity(INPUT));
            buffers.take_back_output(Vec::with_capacity(OUTPUT));
        }
        assert_eq!(buffers.used.borrow().len(), KEPT);
        assert_eq!(buffers.outputs.borrow().len(), KEPT);
    }
}
