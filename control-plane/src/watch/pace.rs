//! How soon a watch that failed tries again: soon at first, then ever later, never together.
//!
//! Our own, because kube's begins with almost a second, in which an API server that restarts
//! is back already.

use std::time::Duration;

use futures::stream::{self, Stream, StreamExt as _};
use kube::runtime::watcher::{Error, Event};
use tokio::time::{Instant, sleep};

use crate::backoff::delay;

/// A list or watch that failed.
#[derive(Debug)]
pub(super) struct Failed {
    pub(super) error: Box<Error>,
    /// How often in a row, this time included.
    pub(super) in_a_row: u32,
}

/// The stream, which pauses after each error before it is polled again.
pub(super) fn paced<K, S>(stream: S) -> impl Stream<Item = Result<Event<K>, Failed>> + Send
where
    K: Send + 'static,
    S: Stream<Item = Result<Event<K>, Error>> + Send + 'static,
{
    let begin = (stream.boxed(), Pace::default());
    stream::unfold(begin, |(mut stream, mut pace)| async move {
        if let Some(pause) = pace.pause.take() {
            sleep(pause).await;
        }
        let begun = Instant::now();
        let item = stream.next().await?;
        let item = pace.note(begun.elapsed(), item);
        Some((item, (stream, pace)))
    })
}

#[derive(Default)]
struct Pace {
    in_a_row: u32,
    /// Before the next attempt.
    pause: Option<Duration>,
}

impl Pace {
    /// Takes note of what came after this time.
    fn note<K>(
        &mut self,
        after: Duration,
        item: Result<Event<K>, Error>,
    ) -> Result<Event<K>, Failed> {
        match item {
            // A list begins before it is asked for: that proves nothing.
            Ok(Event::Init) => Ok(Event::Init),
            Ok(event) => {
                self.in_a_row = 0;
                Ok(event)
            }
            Err(error) => {
                // A watch that had nothing to tell shows only by its age that it stood.
                let before = if after < STOOD { self.in_a_row } else { 0 };
                self.in_a_row = before.saturating_add(1);
                self.pause = Some(delay(self.in_a_row));
                let in_a_row = self.in_a_row;
                Err(Failed {
                    error: Box::new(error),
                    in_a_row,
                })
            }
        }
    }
}

/// Longer than an attempt to connect may take.
const STOOD: Duration = Duration::from_secs(15);

#[cfg(test)]
mod tests {
    use super::*;

    fn fail(pace: &mut Pace, after: u64) -> (u32, Duration) {
        let failure = Err::<Event<()>, _>(Error::NoResourceVersion);
        let failed = pace.note(Duration::from_secs(after), failure).unwrap_err();
        (failed.in_a_row, pace.pause.unwrap())
    }

    #[test]
    fn the_pause_doubles_up_to_its_bound_and_begins_anew_after_a_success() {
        let mut pace = Pace::default();
        for (before, bound) in [200, 400, 800, 1600, 3200, 6400, 12800, 25600, 30000, 30000]
            .into_iter()
            .enumerate()
        {
            let _ = pace.note(Duration::ZERO, Ok(Event::<()>::Init));
            let (in_a_row, pause) = fail(&mut pace, 1);
            let bound = Duration::from_millis(bound);
            assert!(pause <= bound && pause >= bound / 2, "{pause:?}");
            assert_eq!(usize::try_from(in_a_row).unwrap(), before + 1);
        }
        let _ = pace.note(Duration::ZERO, Ok(Event::Apply(())));
        assert_eq!(fail(&mut pace, 1).0, 1);
    }

    #[test]
    fn a_quiet_watch_that_stood_for_a_while_is_a_success() {
        let mut pace = Pace::default();
        fail(&mut pace, 1);
        assert_eq!(fail(&mut pace, 1).0, 2);
        assert_eq!(fail(&mut pace, 60).0, 1);
    }
}
