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
    entries: RefCell<Entries>,
}

impl Alarms {
    pub fn new() -> Rc<Self> {
        Rc::new(Self {
            now: Cell::new(Ticks::ZERO),
            next: Cell::new(Ticks::NEVER),
            entries: RefCell::default(),
        })
    }

    /// An alarm that is not set.
    pub fn alarm(self: &Rc<Self>) -> Alarm {
        let place = self.entries.borrow_mut().take_place();
        Alarm {
            alarms: Rc::clone(self),
            place,
        }
    }

    /// Moves time on and wakes whoever waits for an alarm that is due.
    pub fn advance(&self, now: Ticks) {
        self.now.set(now);
        if now < self.next.get() {
            return;
        }
        let mut next = Ticks::NEVER;
        let wakers = self.wakers(|due| {
            if due > now {
                next = next.min(due);
            }
            due <= now
        });
        self.next.set(next);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Wakes everybody who waits, so that they look at what else has changed.
    pub fn wake_all(&self) {
        self.wakers(|_| true).into_iter().for_each(Waker::wake);
    }

    /// Takes the wakers of some alarms, to be used when nothing of this is borrowed: what is
    /// woken may drop an alarm.
    fn wakers(&self, mut is_due: impl FnMut(Ticks) -> bool) -> Vec<Waker> {
        let mut entries = self.entries.borrow_mut();
        let due = entries.all.iter_mut().filter(|entry| is_due(entry.due));
        due.filter_map(|entry| entry.waker.take()).collect()
    }
}

/// A deadline that can be moved, and waited for.
#[derive(Debug)]
pub struct Alarm {
    alarms: Rc<Alarms>,
    place: usize,
}

impl Alarm {
    pub fn set(&self, wait: Duration) {
        let due = self.alarms.now.get().after(wait);
        self.alarms.entries.borrow_mut().set(self.place, due);
        if due < self.alarms.next.get() {
            self.alarms.next.set(due);
        }
    }

    pub fn clear(&self) {
        let mut entries = self.alarms.entries.borrow_mut();
        entries.set(self.place, Ticks::NEVER);
    }

    /// Ready once the alarm is due, and until it is set anew or cleared.
    pub fn poll(&self, cx: &Context<'_>) -> Poll<()> {
        let mut entries = self.alarms.entries.borrow_mut();
        let Some(entry) = entries.all.get_mut(self.place) else {
            return Poll::Pending;
        };
        if entry.due <= self.alarms.now.get() {
            return Poll::Ready(());
        }
        let before = match &entry.waker {
            Some(known) if known.will_wake(cx.waker()) => None,
            Some(_) | None => entry.waker.replace(cx.waker().clone()),
        };
        drop(entries);
        // The last to name a task may drop it, and with it an alarm.
        drop(before);
        Poll::Pending
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        let waker = self.alarms.entries.borrow_mut().give_back(self.place);
        drop(waker);
    }
}

/// All alarms in one piece of memory: most are set and cleared by every request.
#[derive(Debug, Default)]
struct Entries {
    all: Vec<Entry>,
    /// Places of alarms that are gone.
    free: Vec<usize>,
}

#[derive(Debug)]
struct Entry {
    due: Ticks,
    waker: Option<Waker>,
}

impl Entries {
    fn take_place(&mut self) -> usize {
        self.free.pop().unwrap_or_else(|| {
            self.all.push(Entry {
                due: Ticks::NEVER,
                waker: None,
            });
            self.all.len() - 1
        })
    }

    fn set(&mut self, place: usize, due: Ticks) {
        if let Some(entry) = self.all.get_mut(place) {
            entry.due = due;
        }
    }

    fn give_back(&mut self, place: usize) -> Option<Waker> {
        self.set(place, Ticks::NEVER);
        self.free.push(place);
        self.all.get_mut(place)?.waker.take()
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
    fn alarms_may_go_in_any_order_and_leave_nothing_behind() {
        let alarms = Alarms::new();
        let mut all: Vec<Alarm> = (0..5).map(|_| alarms.alarm()).collect();
        let wakes = Arc::new(Wakes::default());
        let waker = Waker::from(Arc::clone(&wakes));
        for alarm in &all {
            alarm.set(Duration::from_secs(1));
            assert!(alarm.poll(&Context::from_waker(&waker)).is_pending());
        }
        for place in [3, 0, 1, 0] {
            drop(all.remove(place));
        }
        let fresh: Vec<Alarm> = (0..4).map(|_| alarms.alarm()).collect();
        assert_eq!(alarms.entries.borrow().all.len(), 5);
        alarms.advance(at(2));
        // Of the one that is left; those that took the places of others were never set.
        assert_eq!(wakes.0.load(Ordering::Relaxed), 1);
        let cx = Context::from_waker(&waker);
        assert!(fresh.iter().all(|alarm| alarm.poll(&cx).is_pending()));
    }
}
