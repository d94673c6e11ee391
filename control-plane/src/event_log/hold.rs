//! Locks on files, and waiting for whoever has them.
//!
//! Apart, because a lock can outlive the handle that took it, twice over: sled's threads keep
//! its file open for a moment after the store was dropped, and a process that another thread
//! forks shares every open file until it executes its program. Neither may keep a restart from
//! its log.

use std::{
    fs::{File, TryLockError},
    thread,
    time::Duration,
};

/// A lock on a file, given back when dropped.
#[derive(Debug)]
pub(super) struct Hold(File);

impl Hold {
    /// Takes the lock, and waits for it if it must; says so once, by `waiting`.
    pub(super) fn take(
        file: File,
        patience: Duration,
        waiting: impl FnOnce(),
    ) -> Result<Self, TryLockError> {
        let mut waiting = Some(waiting);
        let taken = patiently(patience, || match file.try_lock() {
            Err(TryLockError::WouldBlock) => {
                if let Some(waiting) = waiting.take() {
                    waiting();
                }
                None
            }
            taken => Some(taken),
        });
        taken.unwrap_or(Err(TryLockError::WouldBlock))?;
        Ok(Self(file))
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        // Said, not left to closing: a forked process may share the file for a while. If it
        // fails, closing is all that is left.
        let _ = self.0.unlock();
    }
}

/// Tries until it succeeds or so much time has gone by, and at least once.
pub(super) fn patiently<T>(
    patience: Duration,
    mut attempt: impl FnMut() -> Option<T>,
) -> Option<T> {
    let mut waited = Duration::ZERO;
    loop {
        let done = attempt();
        if done.is_some() || waited >= patience {
            return done;
        }
        thread::sleep(PAUSE);
        waited = waited.saturating_add(PAUSE);
    }
}

/// Far more than sled takes to let go of its file, or anybody to read a checkpoint.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(2);

#[cfg(test)]
mod tests {
    use std::{
        cell::Cell,
        process::{Command, Stdio},
    };

    use super::*;

    /// A folder, and what opens a file in it anew each time.
    fn lockable() -> (tempfile::TempDir, impl Fn() -> File) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let mut options = File::options();
        options.create(true).append(true);
        (folder, move || options.open(&path).unwrap())
    }

    #[test]
    fn a_lock_that_is_held_is_waited_for_and_that_is_said_once() {
        let (_folder, open) = lockable();
        let held = open();
        held.lock().unwrap();
        let said = Cell::new(0);
        let refused = Hold::take(open(), Duration::ZERO, || said.set(said.get() + 1));
        assert!(
            matches!(refused, Err(TryLockError::WouldBlock)),
            "{refused:?}"
        );
        assert_eq!(said.get(), 1);
        Hold::take(open(), PATIENCE, || drop(held)).unwrap();
    }

    /// A process that is forked and has not executed its program yet shares all open files;
    /// one that was given the file keeps it as long as the test wants.
    #[test]
    fn a_lock_that_is_given_back_is_free_whoever_shares_the_file() {
        let (_folder, open) = lockable();
        let hold = Hold::take(open(), Duration::ZERO, || {}).unwrap();
        let mut sharing = Command::new("cat")
            .stdin(Stdio::piped())
            .stdout(hold.0.try_clone().unwrap())
            .spawn()
            .unwrap();
        drop(hold);
        Hold::take(open(), Duration::ZERO, || {}).unwrap();
        drop(sharing.stdin.take());
        sharing.wait().unwrap();
    }
}
