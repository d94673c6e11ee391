//! Tests of asking: one thread that asks and one that finds out, in time that is paused.

use std::{cell::RefCell, rc::Rc};

use futures::future::{join, join_all};
use tokio::runtime::Builder;

use super::*;

/// Notes who is asked for what, and answers by the token: `given`, `missing`, or never.
#[derive(Clone, Default)]
struct Script(Rc<RefCell<Vec<String>>>);

impl Leader for Script {
    async fn ask(&self, question: Question) -> Answer {
        let token = question.token.as_ref().unwrap();
        self.0.borrow_mut().push(token.to_string());
        // As long as a call may take.
        tokio::time::sleep(Duration::from_millis(5)).await;
        match &**token {
            "missing" => Answer::Missing,
            silent if silent.starts_with("silent") => std::future::pending().await,
            _ => {
                let text = format!("{}.x", &**token);
                Answer::Given(KeyAuthorization::parse(&text, token).unwrap())
            }
        }
    }
}

fn question(token: &str) -> Question {
    Question {
        host: "a.example".into(),
        token: Token::parse(token).ok(),
    }
}

/// Runs a test beside the control thread's part. Gives the tokens that the leader was asked for.
fn run<T, F: Future<Output = T>>(test: impl FnOnce(Asking) -> F) -> (T, Vec<String>) {
    let script = Script::default();
    let runtime = Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    let (asking, asked) = asking();
    let both = join(test(asking), answer(script.clone(), asked));
    let (found, ()) = runtime.block_on(both);
    (found, script.0.take())
}

#[test]
fn whoever_asks_together_or_later_is_answered_by_one_call() {
    let (found, asked) = run(|asking| async move {
        let together = (0..TOGETHER).map(|_| asking.ask(question("given")));
        let mut found = join_all(together).await;
        found.push(asking.ask(question("given")).await);
        found
    });
    assert_eq!(found.len(), TOGETHER + 1);
    for found in found {
        assert_eq!(found.as_deref(), Some("given.x"));
    }
    assert_eq!(asked, ["given"]);
}

#[test]
fn what_is_missing_is_not_asked_for_again_at_once() {
    let (found, asked) = run(|asking| async move {
        [
            asking.ask(question("missing")).await,
            asking.ask(question("missing")).await,
        ]
    });
    assert_eq!(found, [None, None]);
    assert_eq!(asked, ["missing"]);
}

#[test]
fn a_leader_that_says_nothing_is_waited_for_so_long_and_asked_again() {
    let (took, asked) = run(|asking| async move {
        let begun = clock::now();
        assert_eq!(asking.ask(question("silent")).await, None);
        let took = begun.elapsed();
        // Not with who gave up just now.
        tokio::time::sleep(Duration::from_millis(1)).await;
        asking.ask(question("silent")).await;
        took
    });
    assert!((PATIENCE..PATIENCE * 2).contains(&took), "{took:?}");
    assert_eq!(asked, ["silent", "silent"]);
}

#[test]
fn a_flood_asks_no_more_than_there_are_places_and_nobody_waits_longer() {
    let (took, asked) = run(|asking| async move {
        let begun = clock::now();
        let flood = (0..10_000).map(|number| {
            let question = question(&format!("silent{number}"));
            asking.ask(question)
        });
        let found = join_all(flood).await;
        assert!(found.iter().all(Option::is_none));
        begun.elapsed()
    });
    assert!(took < PATIENCE * 2, "{took:?}");
    assert_eq!(asked.len(), AT_A_TIME);
}

#[test]
fn without_a_control_thread_nobody_waits() {
    let runtime = Builder::new_current_thread().enable_time().build().unwrap();
    let (asking, asked) = asking();
    drop(asked);
    for asking in [Asking::default(), asking] {
        assert_eq!(runtime.block_on(asking.ask(question("given"))), None);
    }
}
