//! Deadlines of one traffic thread: plain fields, looked at once per tick.
//!
//! Apart from the runtime's timers, because a timer per request costs more than routing it:
//! to move an alarm is to write one field.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use crate::clock::Ticks;

/// All alarms of a thread.
#[derive(Debug)]
pub struct Alarms {
    now: Cell<Ticks>,
    /// No alarm is due before this; it may be earlier than the first one.
    next: Cell<Ticks>,
    entries: RefCell<Vec<Rc<Entry>>>,
}

impl Alarms {
    pub fn new() -> Rc<Self> {
        Rc::new(Self {
            now: Cell::new(Ticks::ZERO),
            next: Cell::new(Ticks::NEVER),
            entries: RefCell::new(Vec::new()),
        })
    }

    /// An alarm that is not set.
    pub fn alarm(self: &Rc<Self>) -> Alarm {
        let mut entries = self.entries.borrow_mut();
        let entry = Rc::new(Entry {
            due: Cell::new(Ticks::NEVER),
            place: Cell::new(entries.len()),
            waker: RefCell::new(None),
        });
        entries.push(Rc::clone(&entry));
        Alarm {
            alarms: Rc::clone(self),
            entry,
        }
    }

    /// Moves time on and wakes whoever waits for an alarm that is due.
    pub fn advance(&self, now: Ticks) {
        self.now.set(now);
        if now < self.next.get() {
            return;
        }
        let mut next = Ticks::NEVER;
        for entry in self.entries.borrow().iter() {
            let due = entry.due.get();
            if due <= now {
                entry.wake();
            } else {
                next = next.min(due);
            }
        }
        self.next.set(next);
    }

    /// Wakes everybody who waits, so that they look at what else has changed.
    pub fn wake_all(&self) {
        for entry in self.entries.borrow().iter() {
            entry.wake();
        }
    }
}

/// A deadline that can be moved, and waited for.
#[derive(Debug)]
pub struct Alarm {
    alarms: Rc<Alarms>,
    entry: Rc<Entry>,
}

impl Alarm {
    pub fn set(&self, wait: Duration) {
        let due = self.alarms.now.get().after(wait);
        self.entry.due.set(due);
        if due < self.alarms.next.get() {
            self.alarms.next.set(due);
        }
    }

    pub fn clear(&self) {
        self.entry.due.set(Ticks::NEVER);
    }

    /// Ready once the alarm is due, and until it is set anew or cleared.
    pub fn poll(&self, cx: &Context<'_>) -> Poll<()> {
        if self.entry.due.get() <= self.alarms.now.get() {
            return Poll::Ready(());
        }
        let mut waker = self.entry.waker.borrow_mut();
        match &*waker {
            Some(known) if known.will_wake(cx.waker()) => {}
            Some(_) | None => *waker = Some(cx.waker().clone()),
        }
        Poll::Pending
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        let mut entries = self.alarms.entries.borrow_mut();
        let place = self.entry.place.get();
        entries.swap_remove(place);
        if let Some(moved) = entries.get(place) {
            moved.place.set(place);
        }
    }
}

#[derive(Debug)]
struct Entry {
    due: Cell<Ticks>,
    place: Cell<usize>,
    waker: RefCell<Option<Waker>>,
}

impl Entry {
    fn wake(&self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    };
    use std::task::Wake;

    use super::*;

    #[derive(Default)]
    struct Wakes(AtomicUsize);

    impl Wake for Wakes {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn at(seconds: u64) -> Ticks {
        Ticks::ZERO.after(Duration::from_secs(seconds))
    }

    #[test]
    fn an_alarm_wakes_its_waiter_once_it_is_due_and_not_before() {
        let alarms = Alarms::new();
        let (early, late) = (alarms.alarm(), alarms.alarm());
        early.set(Duration::from_secs(1));
        late.set(Duration::from_secs(9));
        let wakes = [Arc::new(Wakes::default()), Arc::new(Wakes::default())];
        let wakers = wakes.clone().map(Waker::from);
        let [first, second] = wakers.each_ref().map(Context::from_waker);
        let counts = || {
            wakes
                .each_ref()
                .map(|wakes| wakes.0.load(Ordering::Relaxed))
        };
        assert!(early.poll(&first).is_pending());
        assert!(late.poll(&second).is_pending());

        alarms.advance(Ticks::ZERO);
        assert_eq!(counts(), [0, 0]);
        alarms.advance(at(1));
        assert_eq!(counts(), [1, 0]);
        assert!(early.poll(&first).is_ready());
        assert!(late.poll(&second).is_pending());

        late.set(Duration::from_secs(20));
        alarms.advance(at(9));
        assert_eq!(counts(), [1, 0]);
        late.clear();
        alarms.advance(at(99));
        assert_eq!(counts(), [1, 0]);
        assert!(late.poll(&second).is_pending());
    }

    #[test]
    fn alarms_may_go_in_any_order() {
        let alarms = Alarms::new();
        let mut all: Vec<Alarm> = (0..5).map(|_| alarms.alarm()).collect();
        for place in [3, 0, 1, 0, 0] {
            drop(all.remove(place));
            for alarm in &all {
                let kept = &alarms.entries.borrow()[alarm.entry.place.get()];
                assert!(Rc::ptr_eq(kept, &alarm.entry));
            }
        }
        assert!(alarms.entries.borrow().is_empty());
    }
}
