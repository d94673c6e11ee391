//! Long steps, done beside the traffic threads: what takes milliseconds would keep every other
//! connection of its thread waiting.
//!
//! Apart from those who need it. One pool for the process, of few threads: the machine's cores are
//! for traffic. It is bounded, and who finds it full is told at once.

use std::{
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
};

use tokio::sync::oneshot;

/// Threads that do what they are given, one thing after the other.
#[derive(Clone, Debug)]
pub struct Aside {
    lanes: Arc<[Lane]>,
}

/// One thread, and what waits for it.
#[derive(Debug)]
struct Lane {
    steps: SyncSender<Step>,
    /// Steps that it has not done yet.
    load: Arc<AtomicUsize>,
}

/// Too many steps wait already.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too many long steps wait")]
pub struct Full;

type Step = Box<dyn FnOnce() + Send>;

impl Aside {
    /// So many threads, and so many steps that may wait for each. They end with the last handle.
    pub fn start(threads: usize, waiting: usize) -> io::Result<Self> {
        let lane = |index| {
            let (steps, inbox) = sync_channel(waiting);
            let load = Arc::<AtomicUsize>::default();
            let left = Arc::clone(&load);
            let thread = std::thread::Builder::new().name(format!("aside-{index}"));
            thread.spawn(move || work(&inbox, &left))?;
            Ok(Lane { steps, load })
        };
        let lanes = (0..threads).map(lane);
        Ok(Self {
            lanes: lanes.collect::<io::Result<_>>()?,
        })
    }

    /// Does this, and gives what it came to; an error means that it panicked.
    pub fn run<T: Send + 'static>(
        &self,
        step: impl FnOnce() -> T + Send + 'static,
    ) -> Result<oneshot::Receiver<T>, Full> {
        let (done, result) = oneshot::channel();
        let step = Box::new(move || {
            // Whoever waited for it may have gone.
            let _gone: Result<(), T> = done.send(step());
        });
        let lanes = self.lanes.iter();
        let lane = lanes
            .min_by_key(|lane| lane.load.load(Relaxed))
            .ok_or(Full)?;
        lane.load.fetch_add(1, Relaxed);
        lane.steps.try_send(step).map_err(|_| {
            lane.load.fetch_sub(1, Relaxed);
            Full
        })?;
        Ok(result)
    }
}

fn work(inbox: &Receiver<Step>, load: &AtomicUsize) {
    for step in inbox {
        // What the step held is dropped, and that is what its owner sees.
        if catch_unwind(AssertUnwindSafe(step)).is_err() {
            tracing::error!("a long step panicked");
        }
        load.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_done_on_other_threads_and_a_panic_takes_no_other_with_it() {
        let aside = Aside::start(1, 4).unwrap();
        let panicked = aside.run(|| panic!("on purpose")).unwrap();
        let here = std::thread::current().id();
        let there = aside.run(|| std::thread::current().id()).unwrap();
        assert_ne!(there.blocking_recv().unwrap(), here);
        assert!(panicked.blocking_recv().is_err());
    }

    #[test]
    fn who_finds_it_full_is_told_at_once() {
        let aside = Aside::start(1, 1).unwrap();
        let (begun, has_begun) = std::sync::mpsc::channel();
        let (go, wait) = std::sync::mpsc::channel::<()>();
        let first = aside
            .run(move || {
                begun.send(()).unwrap();
                wait.recv().unwrap();
            })
            .unwrap();
        has_begun.recv().unwrap();
        let second = aside.run(|| 2).unwrap();
        assert_eq!(aside.run(|| 3).unwrap_err(), Full);
        go.send(()).unwrap();
        first.blocking_recv().unwrap();
        assert_eq!(second.blocking_recv(), Ok(2));
    }
}
