//! Which values of limits can work.
//!
//! Apart from the limits: a value that would refuse every request, or that a codec cannot have,
//! is found when the configuration is read, and not by the first client.

use std::{ops::RangeInclusive, time::Duration};

use super::Limits;

/// A limit outside of its range.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {value} is not from {least} to {most}")]
pub struct LimitError {
    /// As in the configuration.
    pub key: &'static str,
    pub value: String,
    pub least: String,
    pub most: String,
}

impl Limits {
    /// Finds the first value that cannot work.
    pub fn check(&self) -> Result<(), LimitError> {
        self.numbers()
            .into_iter()
            .try_for_each(|(key, value, range)| {
                check(key, &value, range, |value| value.to_string())
            })?;
        self.durations().into_iter().try_for_each(|(key, value)| {
            check(key, &value, TICK..=YEAR, |value| format!("{value:?}"))
        })
    }

    fn numbers(&self) -> [(&'static str, usize, RangeInclusive<usize>); 16] {
        [
            (
                "limits.client.connectionsPerThread",
                self.client.connections_per_thread,
                1..=MANY,
            ),
            (
                "limits.http2.streams",
                self.http2.streams as usize,
                1..=WINDOW,
            ),
            (
                "limits.http2.streamWindow",
                self.http2.stream_window as usize,
                1..=WINDOW,
            ),
            (
                "limits.http2.connectionWindow",
                self.http2.connection_window as usize,
                LEAST_WINDOW..=WINDOW,
            ),
            (
                "limits.http2.sendBuffer",
                self.http2.send_buffer,
                1..=WINDOW,
            ),
            (
                "limits.http2.pendingResets",
                self.http2.pending_resets,
                1..=MANY,
            ),
            (
                "limits.http2.localResets",
                self.http2.local_resets,
                1..=MANY,
            ),
            (
                "limits.upstream.connectionsPerThread",
                self.upstream.connections_per_thread,
                1..=MANY,
            ),
            (
                "limits.upstream.connectionsPerEndpoint",
                self.upstream.connections_per_endpoint,
                1..=MANY,
            ),
            (
                "limits.upstream.idlePerEndpoint",
                self.upstream.idle_per_endpoint,
                0..=MANY,
            ),
            ("limits.upstream.tries", self.upstream.tries, 1..=MANY),
            ("limits.message.target", self.message.target, 1..=LARGE),
            (
                "limits.message.headerBytes",
                self.message.header_bytes,
                1..=LARGE,
            ),
            (
                "limits.message.headerFields",
                self.message.header_fields,
                1..=FIELDS,
            ),
            (
                "limits.message.chunkExtensions",
                self.message.chunk_extensions,
                0..=LARGE,
            ),
            (
                "limits.message.trailerBytes",
                self.message.trailer_bytes,
                0..=LARGE,
            ),
        ]
    }

    fn durations(&self) -> [(&'static str, Duration); 14] {
        [
            ("limits.client.firstByte", self.client.first_byte),
            ("limits.client.header", self.client.header),
            ("limits.client.idle", self.client.idle),
            ("limits.client.bodyProgress", self.client.body_progress),
            ("limits.client.writeProgress", self.client.write_progress),
            ("limits.client.tunnelIdle", self.client.tunnel_idle),
            ("limits.client.linger", self.client.linger),
            ("limits.http2.idle", self.http2.idle),
            ("limits.http2.age", self.http2.age),
            ("limits.upstream.connect", self.upstream.connect),
            (
                "limits.upstream.responseHeader",
                self.upstream.response_header,
            ),
            ("limits.upstream.progress", self.upstream.progress),
            ("limits.upstream.idle", self.upstream.idle),
            ("limits.upstream.resolve", self.upstream.resolve),
        ]
    }
}

fn check<T: PartialOrd>(
    key: &'static str,
    value: &T,
    range: RangeInclusive<T>,
    shown: impl Fn(&T) -> String,
) -> Result<(), LimitError> {
    if range.contains(value) {
        return Ok(());
    }
    Err(LimitError {
        key,
        value: shown(value),
        least: shown(range.start()),
        most: shown(range.end()),
    })
}

/// No time is told more finely (`clock::TICK`).
const TICK: Duration = Duration::from_millis(100);

const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

/// More than a process can have.
const MANY: usize = 1 << 24;

/// Bytes of anything that is held whole.
const LARGE: usize = 16 << 20;

/// The greatest window of HTTP/2 (RFC 9113, 6.9.1).
const WINDOW: usize = (1 << 31) - 1;

/// A connection begins with it, and it can only grow (RFC 9113, 6.9.2).
const LEAST_WINDOW: usize = 65_535;

/// What the parser of HTTP/1 has room for.
const FIELDS: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_can_work() {
        assert_eq!(Limits::default().check(), Ok(()));
    }

    #[test]
    fn what_cannot_work_is_named_with_its_range() {
        let refused = |change: fn(&mut Limits)| {
            let mut limits = Limits::default();
            change(&mut limits);
            limits.check().unwrap_err().to_string()
        };
        for (refused, said) in [
            (
                refused(|limits| limits.http2.stream_window = 1 << 31),
                "limits.http2.streamWindow: 2147483648 is not from 1 to 2147483647",
            ),
            (
                refused(|limits| limits.http2.connection_window = 65_534),
                "limits.http2.connectionWindow: 65534 is not from 65535 to 2147483647",
            ),
            (
                refused(|limits| limits.upstream.tries = 0),
                "limits.upstream.tries: 0 is not from 1 to 16777216",
            ),
            (
                refused(|limits| limits.message.header_fields = 129),
                "limits.message.headerFields: 129 is not from 1 to 128",
            ),
            (
                refused(|limits| limits.client.header = Duration::ZERO),
                "limits.client.header: 0ns is not from 100ms to 31536000s",
            ),
        ] {
            assert_eq!(refused, said);
        }
    }

    /// So that a limit that is added is checked, too.
    #[test]
    fn every_limit_is_checked_by_the_key_that_it_is_written_by() {
        let limits = Limits::default();
        let checked = limits.numbers().map(|(key, ..)| key);
        let timed = limits.durations().map(|(key, _)| key);
        let mut checked: Vec<_> = checked.into_iter().chain(timed).collect();
        checked.sort_unstable();
        let json = serde_json::to_value(&limits).unwrap();
        let mut written = Vec::new();
        for (part, fields) in json.as_object().unwrap() {
            let keys = fields.as_object().unwrap().keys();
            written.extend(keys.map(|key| format!("limits.{part}.{key}")));
        }
        written.sort_unstable();
        assert_eq!(checked, written);
    }
}
