//! What came back of a request: all that is decided by, whether it came whole or not.
//!
//! Kept here because instant-acme drops most of it where a request fails.

use std::time::Duration;

use bytes::Bytes;
use http::header::{DATE, LOCATION, RETRY_AFTER};
use http::{HeaderMap, HeaderName, StatusCode};
use jiff::fmt::rfc2822::DateTimeParser;

use crate::clock;

/// The answer to the last request of a call; nothing yet of it, at first.
#[derive(Clone, Debug, Default)]
pub(super) struct Answer {
    /// What can change something is posted.
    pub(super) posted: bool,
    pub(super) status: Option<StatusCode>,
    pub(super) headers: HeaderMap,
    /// Empty unless it came whole.
    pub(super) body: Bytes,
    pub(super) trouble: Option<Trouble>,
}

/// Why there is no whole answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// There was no connection to send the request by.
    NotSent(String),
    /// The request may have arrived.
    Lost(String),
}

impl Answer {
    pub(super) fn is_success(&self) -> bool {
        self.status.is_some_and(|status| status.is_success())
    }

    /// How long the CA asks to be left alone, at most [`LONGEST`]. A date is measured by the CA's
    /// own clock, where it says what that shows.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        let text = self.header(&RETRY_AFTER)?.trim();
        let wait = if let Ok(seconds) = text.parse() {
            Duration::from_secs(seconds)
        } else {
            let until = date(text)?;
            let now = self.header(&DATE).and_then(date);
            let millis = until - now.unwrap_or_else(|| clock::now().0);
            Duration::from_millis(u64::try_from(millis).unwrap_or(0))
        };
        Some(wait.min(LONGEST))
    }

    /// The URL of what was made, if something was.
    pub(super) fn made(&self) -> Option<&str> {
        let url = self.header(&LOCATION)?;
        (self.posted && self.is_success() && is_url(url)).then_some(url)
    }

    fn header(&self, name: &HeaderName) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// Whether it can be asked for, and kept.
pub(super) fn is_url(text: &str) -> bool {
    text.starts_with("https://") && text.len() <= LONGEST_URL
}

/// Milliseconds since 1970, of a date of HTTP (RFC 9110, 5.6.7; the obsolete forms are not read).
fn date(text: &str) -> Option<i64> {
    let time = DateTimeParser::new().parse_timestamp(text).ok()?;
    Some(time.as_millisecond())
}

const LONGEST: Duration = Duration::from_secs(30 * 24 * 3600);
const LONGEST_URL: usize = 2048;

#[cfg(test)]
mod tests {
    use super::*;

    fn retry_after(value: &str, date: Option<&str>) -> Option<Duration> {
        let mut answer = Answer::default();
        answer.headers.insert(RETRY_AFTER, value.parse().unwrap());
        if let Some(date) = date {
            answer.headers.insert(DATE, date.parse().unwrap());
        }
        answer.retry_after()
    }

    #[test]
    fn a_wait_is_in_seconds_or_until_a_date_of_the_cas_clock() {
        assert_eq!(retry_after("120", None), Some(Duration::from_secs(120)));
        let now = Some("Sun, 06 Nov 1994 08:49:37 GMT");
        let until = "Sun, 06 Nov 1994 08:50:07 GMT";
        assert_eq!(retry_after(until, now), Some(Duration::from_secs(30)));
        assert_eq!(retry_after(until, None), Some(Duration::ZERO));
        assert_eq!(retry_after("soon", now), None);
    }

    #[test]
    fn no_ca_can_ask_to_be_left_alone_for_years() {
        let never = u64::MAX.to_string();
        assert_eq!(retry_after(&never, None), Some(LONGEST));
        let until = "Thu, 31 Dec 9998 23:59:59 GMT";
        assert_eq!(retry_after(until, None), Some(LONGEST));
    }
}
