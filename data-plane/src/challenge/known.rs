//! What was answered a moment ago, and how many questions are still free.
//!
//! Pure, and apart from the asking: time is an argument.

use std::{collections::HashMap, time::Duration};

use tokio::time::Instant;

use super::{Answer, Question};
use crate::snapshot::KeyAuthorization;

#[derive(Debug)]
pub(super) struct Known {
    /// The answers, none where there is no such challenge, and until when each is good.
    answers: HashMap<Question, (Option<KeyAuthorization>, Instant)>,
    /// When the bucket of questions is full again; in the past if it is full.
    full: Instant,
}

/// What is to be done about a question.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Given(KeyAuthorization),
    Ask,
    /// It is known that there is no answer, or there may be no more questions now.
    Nothing,
}

impl Known {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            answers: HashMap::new(),
            full: now,
        }
    }

    /// Takes a place in the bucket if it says to ask; never without `room`.
    pub(super) fn verdict(&mut self, question: &Question, room: bool, now: Instant) -> Verdict {
        match self.answers.get(question) {
            Some((Some(answer), until)) if *until > now => return Verdict::Given(answer.clone()),
            Some((None, until)) if *until > now => return Verdict::Nothing,
            Some(_) | None => {}
        }
        let full = self.full.max(now) + INTERVAL;
        if !room || full.duration_since(now) > INTERVAL * BURST {
            return Verdict::Nothing;
        }
        self.full = full;
        Verdict::Ask
    }

    /// An answer has come. Who was not heard is asked again.
    pub(super) fn answered(&mut self, question: Question, answer: Answer, now: Instant) {
        let answer = match answer {
            Answer::Given(answer) => Some(answer),
            Answer::Missing => None,
            Answer::Unheard => return,
        };
        // A host alone can be guessed: whoever asks for it early must not decide for long.
        let good = if question.token.is_some() {
            GOOD
        } else {
            GUESSABLE
        };
        self.answers.retain(|_, (_, until)| *until > now);
        if self.answers.len() < MOST {
            self.answers.insert(question, (answer, now + good));
        }
    }
}

/// One question in so long for the whole process, in the long run: ten a second.
const INTERVAL: Duration = Duration::from_millis(100);

/// Questions at once after a pause.
const BURST: u32 = 20;

/// For which an answer is good. A CA asks only what the control plane has known for some time, so
/// that this could be long; it is as short as another ACME client's pause between looks at its own
/// challenge, which then costs a question each at most.
const GOOD: Duration = Duration::from_secs(10);

/// For which an answer to a question without a token is good: of a CA that asks from some places.
const GUESSABLE: Duration = Duration::from_secs(1);

/// Answers that are kept. The bucket lets about 120 be good at a time; this is for whoever changes it.
const MOST: usize = 1_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;
    use crate::snapshot::Token;

    fn question(token: &str) -> Question {
        Question {
            host: "a.example".into(),
            token: Token::parse(token).ok(),
        }
    }

    fn given() -> KeyAuthorization {
        KeyAuthorization::parse("t.x", &Token::parse("t").unwrap()).unwrap()
    }

    #[test]
    fn questions_are_free_at_first_and_then_ten_a_second() {
        let begun = clock::now();
        let mut known = Known::new(begun);
        let mut asked = |seconds: u64| {
            let now = begun + Duration::from_secs(seconds);
            let verdicts = (0..100).map(|number| {
                let question = question(&number.to_string());
                known.verdict(&question, true, now)
            });
            verdicts.filter(|verdict| *verdict == Verdict::Ask).count()
        };
        assert_eq!(
            [asked(0), asked(0), asked(1), asked(2), asked(60)],
            [20, 0, 10, 10, 20]
        );
    }

    #[test]
    fn without_room_nothing_is_asked_and_no_place_is_taken() {
        let now = clock::now();
        let mut known = Known::new(now);
        for _ in 0..100 {
            assert_eq!(known.verdict(&question("t"), false, now), Verdict::Nothing);
        }
        assert_eq!(known.verdict(&question("t"), true, now), Verdict::Ask);
    }

    #[test]
    fn an_answer_is_good_for_ten_seconds_and_whoever_was_not_heard_is_asked_again() {
        let now = clock::now();
        let later = |seconds| now + Duration::from_secs(seconds);
        for (answer, meanwhile) in [
            (Answer::Given(given()), Verdict::Given(given())),
            (Answer::Missing, Verdict::Nothing),
            (Answer::Unheard, Verdict::Ask),
        ] {
            let question = question("t");
            let mut known = Known::new(now);
            known.answered(question.clone(), answer, now);
            assert_eq!(known.verdict(&question, true, later(9)), meanwhile);
            assert_eq!(known.verdict(&question, true, later(10)), Verdict::Ask);
        }
        let mut known = Known::new(now);
        let by_tls = Question {
            token: None,
            ..question("t")
        };
        known.answered(by_tls.clone(), Answer::Missing, now);
        assert_eq!(known.verdict(&by_tls, true, now), Verdict::Nothing);
        assert_eq!(known.verdict(&by_tls, true, later(1)), Verdict::Ask);
        known.answered(question("t"), Answer::Missing, now);
        let other = Question {
            host: "b.example".into(),
            ..question("t")
        };
        assert_eq!(known.verdict(&other, true, now), Verdict::Ask);
    }

    #[test]
    fn answers_are_bounded_and_those_that_are_no_longer_good_make_room() {
        let now = clock::now();
        let mut known = Known::new(now);
        for number in 0..2 * MOST {
            known.answered(question(&number.to_string()), Answer::Missing, now);
        }
        assert_eq!(known.answers.len(), MOST);
        known.answered(question("t"), Answer::Missing, now + GOOD);
        assert_eq!(known.answers.len(), 1);
    }
}
