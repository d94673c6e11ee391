//! Disk space reserved ahead of the log, so that a full disk is met before sled is.
//!
//! Apart from the store, because sled cannot be used any more once one of its writes
//! failed. With the blocks allocated beforehand a full disk is an error of ours, found
//! before anything was written, and the log goes on when there is room again.

use std::{fs::File, io, path::Path};

use rustix::{
    fs::{FallocateFlags, fallocate},
    io::Errno,
};

/// The space that is reserved behind the end of sled's file.
#[derive(Debug)]
pub(super) struct Room {
    data: File,
    length: u64,
    reserved_to: u64,
    step: u64,
}

impl Room {
    /// Watches over this file; reserves `step` bytes more than asked for, where it can.
    pub(super) fn new(data: &Path, step: u64) -> io::Result<Self> {
        Ok(Self {
            data: File::options().write(true).open(data)?,
            length: 0,
            reserved_to: 0,
            step,
        })
    }

    /// Returns when the file can grow by this many bytes. Fails if the disk is full.
    ///
    /// A file system that cannot reserve is taken at its word: there a full disk is an
    /// error of sled's, and the log must be reopened.
    pub(super) fn reserve(&mut self, bytes: u64) -> io::Result<()> {
        let length = self.data.metadata()?.len();
        if length < self.length {
            // sled gave space back, and ours behind it went with it.
            self.reserved_to = length;
        }
        self.length = length;
        let needed = length.saturating_add(bytes);
        if needed <= self.reserved_to {
            return Ok(());
        }
        let ample = bytes.saturating_add(self.step);
        match self.allocate(length, ample) {
            Ok(()) => Ok(()),
            // Not so much, then.
            Err(_) => self.allocate(length, bytes),
        }
    }

    fn allocate(&mut self, from: u64, bytes: u64) -> io::Result<()> {
        loop {
            match fallocate(&self.data, FallocateFlags::KEEP_SIZE, from, bytes) {
                Err(Errno::INTR) => {}
                Ok(()) | Err(Errno::OPNOTSUPP | Errno::NOSYS) => {
                    self.reserved_to = from.saturating_add(bytes);
                    return Ok(());
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
}
