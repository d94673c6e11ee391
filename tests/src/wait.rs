//! Waiting for a condition, with an end.
//!
//! Every wait of the tests goes through here, so that none sleeps for a while and hopes, and so
//! that one that ends in vain says what it was waiting for.

use std::time::Duration;

use anyhow::bail;
use tokio::time::{Instant, sleep};

/// Asks until there is an answer; an error says what was awaited.
pub async fn until<T>(
    what: &str,
    limit: Duration,
    mut ask: impl AsyncFnMut() -> Option<T>,
) -> anyhow::Result<T> {
    let end = Instant::now() + limit;
    loop {
        if let Some(answer) = ask().await {
            return Ok(answer);
        }
        if Instant::now() >= end {
            bail!("waited {limit:?} in vain: {what}");
        }
        sleep(PAUSE).await;
    }
}

/// Tries until it succeeds; an error carries that of the last try.
pub async fn until_ok<T>(
    what: &str,
    limit: Duration,
    mut attempt: impl AsyncFnMut() -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let end = Instant::now() + limit;
    loop {
        match attempt().await {
            Ok(answer) => return Ok(answer),
            Err(error) if Instant::now() >= end => {
                return Err(error.context(format!("waited {limit:?} in vain: {what}")));
            }
            Err(_) => sleep(PAUSE).await,
        }
    }
}

/// Long enough to leave the two cores of a small machine to what is awaited.
const PAUSE: Duration = Duration::from_millis(20);

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::*;

    #[tokio::test]
    async fn an_answer_ends_the_wait() {
        let mut asked = 0;
        let answer = until("the third time", Duration::from_secs(1), async || {
            asked += 1;
            (asked == 3).then_some("yes")
        });
        assert_eq!(answer.await.unwrap(), "yes");
    }

    #[tokio::test]
    async fn a_wait_in_vain_says_for_what_and_why() {
        let limit = Duration::from_millis(50);
        let error = until("godot", limit, async || None::<()>)
            .await
            .unwrap_err();
        assert_eq!(error.to_string(), "waited 50ms in vain: godot");
        let error = until_ok("godot", limit, async || Err::<(), _>(anyhow!("he is late")))
            .await
            .unwrap_err();
        assert_eq!(
            format!("{error:#}"),
            "waited 50ms in vain: godot: he is late"
        );
    }
}
