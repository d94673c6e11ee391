//! Challenges of a CA that no version has brought yet: a traffic thread asks, and the control thread
//! finds out.
//!
//! Apart from the traffic threads, which call nobody, and from the calls, of which this knows only
//! that they may be made: what a stranger's requests can cause is bounded here.

mod known;

use std::{collections::HashMap, sync::Arc};

use futures::{StreamExt, stream::FuturesUnordered};
use tokio::{
    sync::{mpsc, oneshot},
    time::{Duration, timeout},
};

use self::known::{Known, Verdict};
use crate::clock;
use crate::snapshot::{KeyAuthorization, Token};

/// What a CA wants to be answered.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Question {
    /// In canonical form.
    pub host: Arc<str>,
    /// The token, by HTTP; by TLS a CA says none.
    pub token: Option<Token>,
}

/// What became of a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    Given(KeyAuthorization),
    /// There is no such challenge.
    Missing,
    /// Nobody could be asked, or nobody said anything of use.
    Unheard,
}

/// Asks whoever leads.
pub trait Leader {
    fn ask(&self, question: Question) -> impl Future<Output = Answer>;
}

/// A traffic thread's way to ask. One that is made of nothing asks nobody.
#[derive(Clone, Debug, Default)]
pub struct Asking(Option<mpsc::Sender<Asked>>);

/// A question, and where its answer is waited for.
#[derive(Debug)]
pub struct Asked {
    question: Question,
    answer: oneshot::Sender<KeyAuthorization>,
}

/// A way to ask, and where the questions come out.
pub fn asking() -> (Asking, mpsc::Receiver<Asked>) {
    let (asking, asked) = mpsc::channel(QUEUED);
    (Asking(Some(asking)), asked)
}

impl Asking {
    /// The answer, if there is one and it is there in [`PATIENCE`].
    pub async fn ask(&self, question: Question) -> Option<KeyAuthorization> {
        let (answer, answered) = oneshot::channel();
        let asked = Asked { question, answer };
        self.0.as_ref()?.try_send(asked).ok()?;
        timeout(PATIENCE, answered).await.ok()?.ok()
    }
}

/// Answers until nobody can ask any more. Whoever gets no answer sees its sender dropped.
pub async fn answer(leader: impl Leader, mut asked: mpsc::Receiver<Asked>) {
    let mut known = Known::new(clock::now());
    let mut waiting: HashMap<Question, Vec<oneshot::Sender<KeyAuthorization>>> = HashMap::new();
    let mut calls = FuturesUnordered::new();
    loop {
        tokio::select! {
            next = asked.recv() => {
                let Some(Asked { question, answer }) = next else { return };
                if let Some(others) = waiting.get_mut(&question) {
                    if others.len() < TOGETHER {
                        others.push(answer);
                    }
                    continue;
                }
                match known.verdict(&question, calls.len() < AT_A_TIME, clock::now()) {
                    Verdict::Given(found) => tell([answer], &found),
                    Verdict::Ask => {
                        waiting.insert(question.clone(), vec![answer]);
                        let call = timeout(PATIENCE, leader.ask(question.clone()));
                        calls.push(async move { (question, call.await.unwrap_or(Answer::Unheard)) });
                    }
                    Verdict::Nothing => {}
                }
            }
            Some((question, answer)) = calls.next(), if !calls.is_empty() => {
                let waiters = waiting.remove(&question).unwrap_or_default();
                if let Answer::Given(found) = &answer {
                    tell(waiters, found);
                }
                known.answered(question, answer, clock::now());
            }
        }
    }
}

fn tell(
    waiters: impl IntoIterator<Item = oneshot::Sender<KeyAuthorization>>,
    found: &KeyAuthorization,
) {
    for waiter in waiters {
        // Its client may have gone.
        let _gone: Result<(), _> = waiter.send(found.clone());
    }
}

/// For which a request waits in all: a CA has patience for some seconds, and whoever else asks, such
/// as for the challenge of another ACME client behind us, hardly notices.
pub const PATIENCE: Duration = Duration::from_millis(250);

/// Questions of all threads that the control thread has not looked at yet.
const QUEUED: usize = 64;

/// Calls under way: enough for the questions that are free, each of which is over in [`PATIENCE`].
const AT_A_TIME: usize = 8;

/// Requests that wait for the same answer: a CA asks from some places at once.
const TOGETHER: usize = 16;

#[cfg(test)]
mod tests;
