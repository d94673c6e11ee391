//! Which values of limits can work.
//!
//! Apart from the limits: a value that would refuse every request, or that a codec cannot have,
//! is found when the configuration is read, and not by the first client.

use std::{fmt::Debug, ops::RangeInclusive, time::Duration};

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

/// Checks each field, by its key in the configuration, against its range.
macro_rules! check {
    ($limits:ident: $($part:ident.$field:ident $key:literal $range:expr;)*) => {{
        $(within(concat!("limits.", stringify!($part), ".", $key), &$limits.$part.$field, $range)?;)*
        Ok(())
    }};
}

impl Limits {
    /// Finds the first value that cannot work.
    pub fn check(&self) -> Result<(), LimitError> {
        check! { self:
            client.connections_per_thread "connectionsPerThread" 1..=MANY;
            client.handshake "handshake" TICK..=YEAR;
            client.first_byte "firstByte" TICK..=YEAR;
            client.header "header" TICK..=YEAR;
            client.idle "idle" TICK..=YEAR;
            client.last_request "lastRequest" TICK..=YEAR;
            client.body_progress "bodyProgress" TICK..=YEAR;
            client.write_progress "writeProgress" TICK..=YEAR;
            client.tunnel_idle "tunnelIdle" TICK..=YEAR;
            client.linger "linger" TICK..=YEAR;
            http2.streams "streams" 1..=WINDOW;
            http2.stream_window "streamWindow" 1..=WINDOW;
            http2.connection_window "connectionWindow" LEAST_WINDOW..=WINDOW;
            http2.send_buffer "sendBuffer" 1..=WINDOW as usize;
            http2.pending_resets "pendingResets" 1..=MANY;
            http2.local_resets "localResets" 1..=MANY;
            http2.idle "idle" TICK..=YEAR;
            http2.age "age" TICK..=YEAR;
            upstream.connect "connect" TICK..=YEAR;
            upstream.response_header "responseHeader" TICK..=YEAR;
            upstream.progress "progress" TICK..=YEAR;
            upstream.idle "idle" TICK..=YEAR;
            upstream.connections_per_thread "connectionsPerThread" 1..=MANY;
            upstream.connections_per_process "connectionsPerProcess" 1..=MANY;
            upstream.connections_per_endpoint "connectionsPerEndpoint" 1..=MANY;
            upstream.idle_per_endpoint "idlePerEndpoint" 0..=MANY;
            upstream.tries "tries" 1..=MANY;
            upstream.resolve "resolve" TICK..=YEAR;
            message.target "target" 1..=LARGE;
            message.header_bytes "headerBytes" 1..=LARGE;
            message.header_fields "headerFields" 1..=FIELDS;
            message.chunk_extensions "chunkExtensions" 0..=LARGE;
            message.trailer_bytes "trailerBytes" 0..=LARGE;
        }
    }
}

fn within<T: PartialOrd + Debug>(
    key: &'static str,
    value: &T,
    range: RangeInclusive<T>,
) -> Result<(), LimitError> {
    if range.contains(value) {
        return Ok(());
    }
    let shown = |value: &T| format!("{value:?}");
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
const WINDOW: u32 = (1 << 31) - 1;

/// A connection begins with it, and it can only grow (RFC 9113, 6.9.2).
const LEAST_WINDOW: u32 = 65_535;

/// What the parser of HTTP/1 has room for.
const FIELDS: usize = 128;

#[cfg(test)]
mod tests {
    use serde_json::json;

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
        let written = serde_json::to_value(Limits::default()).unwrap();
        let mut checked = 0;
        for (part, fields) in written.as_object().unwrap() {
            for (key, value) in fields.as_object().unwrap() {
                // Each can be written, and is beyond every range.
                let most = match value.is_number() {
                    true => json!(u32::MAX),
                    false => json!("10000h"),
                };
                let mut limits = written.clone();
                limits[part][key] = most;
                let limits: Limits = serde_json::from_value(limits).unwrap();
                let key = format!("limits.{part}.{key}");
                assert_eq!(limits.check().unwrap_err().key, key);
                checked += 1;
            }
        }
        assert!(checked > 30, "{checked}");
    }
}
