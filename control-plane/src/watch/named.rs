//! Objects that are asked for by name, again and again, within a budget.
//!
//! Apart from lists and watches: for what these do not show, or where they are not allowed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use crate::backoff::delay;
use crate::model::key::ObjectKey;

/// Asks for an object; `None` if there is none.
pub(super) type Ask<T> =
    Arc<dyn Fn(&ObjectKey) -> BoxFuture<'static, kube::Result<Option<T>>> + Send + Sync>;

/// What is asked for. Each is asked for at once when it is new, and then every 30 seconds; all
/// together at most ten a second.
pub(super) struct Named<T> {
    ask: Ask<T>,
    wanted: BTreeMap<ObjectKey, Turn>,
    due: BTreeSet<(Instant, ObjectKey)>,
    asking: JoinSet<Answered<T>>,
    /// How often anything was wanted: an answer is for the question that was asked last.
    questions: u64,
}

/// What was asked for, by which question, and the answer.
type Answered<T> = (ObjectKey, u64, kube::Result<Option<T>>);

/// When an object is asked for.
#[derive(Clone, Copy, Debug)]
struct Turn {
    due: Option<Instant>,
    question: u64,
    failures: u32,
}

impl<T: Send + 'static> Named<T> {
    pub(super) fn new(ask: Ask<T>) -> Self {
        Self {
            ask,
            wanted: BTreeMap::new(),
            due: BTreeSet::new(),
            asking: JoinSet::new(),
            questions: 0,
        }
    }

    /// Nothing is wanted any more.
    pub(super) fn clear(&mut self) {
        self.wanted.clear();
        self.due.clear();
        self.asking = JoinSet::new();
    }

    /// Wants an object from now on: asks for it at once, whatever it was told before.
    pub(super) fn want(&mut self, key: ObjectKey) {
        self.leave(&key);
        self.questions += 1;
        let turn = Turn {
            due: None,
            question: self.questions,
            failures: 0,
        };
        self.wanted.insert(key.clone(), turn);
        self.schedule(key, Instant::now());
    }

    /// No longer wants it: an answer that is on its way is not heard.
    pub(super) fn leave(&mut self, key: &ObjectKey) {
        if let Some(turn) = self.wanted.remove(key)
            && let Some(due) = turn.due
        {
            self.due.remove(&(due, key.clone()));
        }
    }

    /// The next answer. Nothing is lost if it is not waited for to the end.
    pub(super) async fn next(&mut self) -> (ObjectKey, kube::Result<Option<T>>) {
        loop {
            let now = Instant::now();
            while self.asking.len() < AT_ONCE
                && let Some((due, key)) = self.due.first().cloned()
                && due <= now
            {
                self.due.remove(&(due, key.clone()));
                if let Some(turn) = self.wanted.get_mut(&key) {
                    turn.due = None;
                    let (question, asking) = (turn.question, (self.ask)(&key));
                    self.asking
                        .spawn(async move { (key, question, asking.await) });
                }
            }
            let first = self.due.first().map(|(due, _)| *due);
            let next = first.filter(|_| self.asking.len() < AT_ONCE);
            let answer = tokio::select! {
                Some(answered) = self.asking.join_next() => answered,
                () = until(next) => continue,
            };
            let (key, question, answer) = match answer {
                Ok(answered) => answered,
                Err(error) => match error.try_into_panic() {
                    Ok(panic) => std::panic::resume_unwind(panic),
                    // It was dropped with the others.
                    Err(_) => continue,
                },
            };
            let every = self.every();
            let Some(turn) = self.wanted.get_mut(&key) else {
                continue;
            };
            if turn.question != question {
                continue;
            }
            let pause = if answer.is_ok() {
                turn.failures = 0;
                every
            } else {
                turn.failures += 1;
                delay(turn.failures)
            };
            self.schedule(key.clone(), Instant::now() + pause);
            return (key, answer);
        }
    }

    fn schedule(&mut self, key: ObjectKey, due: Instant) {
        if let Some(turn) = self.wanted.get_mut(&key) {
            turn.due = Some(due);
            self.due.insert((due, key));
        }
    }

    fn every(&self) -> Duration {
        let wanted = u32::try_from(self.wanted.len()).unwrap_or(u32::MAX);
        EVERY.max(BUDGET.saturating_mul(wanted))
    }
}

async fn until(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due).await,
        None => std::future::pending().await,
    }
}

/// Questions at once.
const AT_ONCE: usize = 8;
const EVERY: Duration = Duration::from_secs(30);
/// For each.
const BUDGET: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures::FutureExt as _;
    use tokio::time::sleep;

    use super::*;
    use crate::model::key::{Kind, Origin};

    fn key(name: &str) -> ObjectKey {
        ObjectKey {
            origin: Origin::Kubernetes,
            kind: Kind::Service,
            namespace: "default".into(),
            name: name.into(),
        }
    }

    /// Answers with the number of the question; names that begin with "x" are not answered, and
    /// those that begin with "s" only after ten seconds.
    fn counting() -> (Named<usize>, Arc<AtomicUsize>) {
        let asked = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&asked);
        let ask: Ask<usize> = Arc::new(move |key: &ObjectKey| {
            let number = count.fetch_add(1, Ordering::Relaxed);
            if key.name.starts_with('x') {
                return std::future::pending().boxed();
            }
            if key.name.starts_with('s') {
                return sleep(Duration::from_secs(10))
                    .map(move |()| Ok(Some(number)))
                    .boxed();
            }
            std::future::ready(Ok(Some(number))).boxed()
        });
        (Named::new(ask), asked)
    }

    async fn next(named: &mut Named<usize>) -> ObjectKey {
        named.next().await.0
    }

    #[tokio::test(start_paused = true)]
    async fn each_is_asked_for_at_once_and_then_within_the_budget() {
        let (mut named, _) = counting();
        let begun = Instant::now();
        named.want(key("a"));
        assert_eq!(next(&mut named).await, key("a"));
        assert_eq!(begun.elapsed(), Duration::ZERO);
        next(&mut named).await;
        assert_eq!(begun.elapsed().as_secs(), EVERY.as_secs());
        named.clear();
        for number in 0..1000 {
            named.want(key(&number.to_string()));
        }
        for _ in 0..1000 {
            next(&mut named).await;
        }
        let begun = Instant::now();
        for _ in 0..1000 {
            next(&mut named).await;
        }
        let took = begun.elapsed().as_secs();
        assert!((100..=101).contains(&took), "{took}");
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_is_no_longer_wanted_is_not_heard() {
        let (mut named, asked) = counting();
        for number in 0..AT_ONCE {
            named.want(key(&format!("x{number}")));
        }
        named.want(key("y"));
        let waited = tokio::time::timeout(EVERY / 2, named.next()).await;
        assert!(waited.is_err(), "more than that at once");
        assert_eq!(asked.load(Ordering::Relaxed), AT_ONCE);
        named.clear();
        named.want(key("a"));
        named.want(key("b"));
        named.leave(&key("a"));
        assert_eq!(next(&mut named).await, key("b"));
        named.want(key("a"));
        assert_eq!(named.next().await.1.unwrap(), Some(AT_ONCE + 1));
        // What is wanted anew while it is asked for is asked for once more.
        named.clear();
        named.want(key("s"));
        let waited = tokio::time::timeout(Duration::from_secs(1), named.next()).await;
        assert!(waited.is_err());
        named.want(key("s"));
        assert_eq!(named.next().await.1.unwrap(), Some(AT_ONCE + 3));
    }
}
