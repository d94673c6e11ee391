//! The form of a line of the access log.
//!
//! Apart from the buffers: a line grows as things become known, so that nothing of a request
//! needs to be kept until its last byte is gone.

use std::{fmt, io::Write, net::SocketAddr, time::Duration};

use jiff::Timestamp;

use super::LogFormat;
use crate::protocol::Protocol;
use crate::reason::Reason;
use crate::snapshot::Version;

/// What is known when a request has been read.
#[derive(Debug)]
pub struct Start<'a> {
    pub time: Timestamp,
    pub listener: &'a str,
    pub client: SocketAddr,
    pub protocol: Protocol,
    /// These three are empty where the request could not be read. The query is left out of the
    /// path: it may hold what is secret.
    pub method: &'a str,
    pub host: &'a str,
    pub path: &'a str,
}

/// What is known when the last byte of the response is gone.
#[derive(Clone, Copy, Debug)]
pub struct Outcome {
    /// Where the request went last.
    pub upstream: Option<SocketAddr>,
    pub status: u16,
    pub bytes: u64,
    pub took: Duration,
    pub reason: Option<Reason>,
}

/// A line that is still growing. In text, its fields are: time, listener, client, protocol,
/// method, host, path, version, route, upstream, status, bytes, seconds, reason.
#[derive(Debug)]
pub struct Line {
    format: LogFormat,
    bytes: Vec<u8>,
    known: Known,
}

/// How much of a line is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Known {
    Start,
    Version,
    Route,
    Outcome,
}

impl Line {
    pub(super) fn begin(format: LogFormat, start: &Start<'_>) -> Self {
        let mut line = Self {
            format,
            bytes: Vec::with_capacity(CAPACITY),
            known: Known::Start,
        };
        let Start {
            time,
            listener,
            client,
            protocol,
            method,
            host,
            path,
        } = start;
        match format {
            LogFormat::Off => {}
            LogFormat::Text => {
                line.put(format_args!("{time:.3} {listener} {client} {protocol}"));
                for text in [method, host, path] {
                    line.word(text);
                }
            }
            LogFormat::Json => {
                line.put(format_args!(r#"{{"time":"{time:.3}","listener":"#));
                line.string(listener);
                line.put(format_args!(
                    r#","client":"{client}","protocol":"{protocol}""#
                ));
                for (name, text) in [("method", method), ("host", host), ("path", path)] {
                    line.put(format_args!(r#","{name}":"#));
                    line.string(text);
                }
            }
        }
        line
    }

    /// Adds the version that decides.
    pub fn version(&mut self, version: &Version) {
        if self.reach(Known::Version) {
            match self.format {
                LogFormat::Off => {}
                LogFormat::Text => self.put(format_args!(" {version}")),
                LogFormat::Json => self.put(format_args!(r#","version":"{version}""#)),
            }
        }
    }

    /// Adds the rule that decides.
    pub fn route(&mut self, route: &str) {
        if self.reach(Known::Route) {
            match self.format {
                LogFormat::Off => {}
                LogFormat::Text => self.word(route),
                LogFormat::Json => {
                    self.put(format_args!(r#","route":"#));
                    self.string(route);
                }
            }
        }
    }

    /// Closes the line.
    pub fn finish(mut self, outcome: Outcome) -> Vec<u8> {
        let Outcome {
            upstream,
            status,
            bytes,
            took,
            reason,
        } = outcome;
        let seconds = took.as_secs_f64();
        self.reach(Known::Outcome);
        match self.format {
            LogFormat::Off => {}
            LogFormat::Text => {
                match upstream {
                    Some(upstream) => self.put(format_args!(" {upstream}")),
                    None => self.bytes.extend_from_slice(b" -"),
                }
                let reason = reason.map_or("-", Reason::as_str);
                self.put(format_args!(" {status} {bytes} {seconds:.6} {reason}\n"));
            }
            LogFormat::Json => {
                if let Some(upstream) = upstream {
                    self.put(format_args!(r#","upstream":"{upstream}""#));
                }
                self.put(format_args!(
                    r#","status":{status},"bytes":{bytes},"seconds":{seconds:.6}"#
                ));
                if let Some(reason) = reason {
                    self.put(format_args!(r#","reason":"{reason}""#));
                }
                self.put(format_args!("}}\n"));
            }
        }
        self.bytes
    }

    /// Goes on to a part of the line, with a place for each that is passed over. False if the
    /// line has it already.
    fn reach(&mut self, part: Known) -> bool {
        if self.known >= part {
            return false;
        }
        if self.format == LogFormat::Text {
            for passed in [Known::Version, Known::Route] {
                if self.known < passed && passed < part {
                    self.bytes.extend_from_slice(b" -");
                }
            }
        }
        self.known = part;
        true
    }

    fn put(&mut self, text: fmt::Arguments<'_>) {
        // Writing to memory cannot fail.
        let _always_ok = self.bytes.write_fmt(text);
    }

    /// A field of a text line: nothing in it may look like the end of a field or of the line.
    fn word(&mut self, text: &str) {
        self.bytes.push(b' ');
        if text.is_empty() {
            self.bytes.push(b'-');
        }
        for byte in text.bytes() {
            match byte {
                b'!'..=b'~' => self.bytes.push(byte),
                _ => self.put(format_args!("\\x{byte:02x}")),
            }
        }
    }

    fn string(&mut self, text: &str) {
        self.bytes.push(b'"');
        for character in text.chars() {
            match character {
                '"' | '\\' => self.put(format_args!("\\{character}")),
                '\0'..='\x1f' | '\x7f' => self.put(format_args!("\\u{:04x}", u32::from(character))),
                _ => self.put(format_args!("{character}")),
            }
        }
        self.bytes.push(b'"');
    }
}

/// Room for an ordinary line.
const CAPACITY: usize = 320;

#[cfg(test)]
mod tests {
    use super::*;

    fn line(format: LogFormat, path: &str, routed: bool, reason: Option<Reason>) -> String {
        let mut line = Line::begin(
            format,
            &Start {
                time: "2026-11-20T12:00:00.0004Z".parse().unwrap(),
                listener: "http",
                client: "192.0.2.7:5555".parse().unwrap(),
                protocol: Protocol::Http11,
                method: "GET",
                host: "a.example",
                path,
            },
        );
        if routed {
            let version = Version {
                lineage: "x".into(),
                epoch: 3,
                seq: 41,
            };
            line.version(&version);
            line.route("ingress/a/b#rule");
        }
        let upstream = routed.then(|| "10.0.0.9:8080".parse().unwrap());
        let bytes = line.finish(Outcome {
            upstream,
            status: 200,
            bytes: 128,
            took: Duration::from_micros(1500),
            reason,
        });
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn text_has_a_word_for_every_field() {
        assert_eq!(
            line(LogFormat::Text, "/a", true, None),
            "2026-11-20T12:00:00.000Z http 192.0.2.7:5555 http/1.1 GET a.example /a \
             3.41 ingress/a/b#rule 10.0.0.9:8080 200 128 0.001500 -\n"
        );
        let words = |line: String| line.split(' ').count();
        let full = words(line(LogFormat::Text, "/a", true, None));
        let bare = words(line(LogFormat::Text, "", false, Some(Reason::NoRoute)));
        assert_eq!(full, bare);
    }

    #[test]
    fn nothing_that_a_client_sends_can_forge_a_field_or_a_line() {
        let hostile = "/a b\n\"\\\u{7f}é";
        let text = line(LogFormat::Text, hostile, true, None);
        assert!(text.contains(r#" /a\x20b\x0a"\\x7f\xc3\xa9 "#), "{text}");
        let json = line(LogFormat::Json, hostile, true, Some(Reason::ClientGone));
        assert_eq!(json.lines().count(), 1);
        let parsed: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(parsed["path"], hostile);
        assert_eq!(parsed["reason"], "client-gone");
        assert_eq!(parsed["version"], "3.41");
    }
}
