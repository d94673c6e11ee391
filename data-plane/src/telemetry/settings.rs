//! What an operator can set about log lines, metrics and traces.
//!
//! Apart from the configuration, which only holds them, so that telemetry names no other part.

use serde::{Deserialize, Serialize};

/// Log lines on standard output.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Log {
    /// text or json.
    pub format: TextOrJson,
    /// error, warn, info, debug or trace; or directives for parts of the program, such as
    /// "info,roadstead_data_plane::control=debug". Applied without a restart.
    pub level: Level,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum TextOrJson {
    #[default]
    Text,
    Json,
}

/// Directives of `tracing_subscriber`'s `EnvFilter`, checked.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct Level(String);

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Otlp {
    /// The collector's gRPC endpoint, for example http://127.0.0.1:4317. Nothing is sent if it
    /// is not set.
    pub endpoint: Option<String>,
    /// The share of requests of which a trace is sent, from 0 to 1: each costs some
    /// microseconds. It is drawn here; what a client says of it in `traceparent` is passed on
    /// and not believed.
    pub request_share: Share,
}

/// A number from 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, Serialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct Share(f64);

// Never NaN.
impl Eq for Share {}

impl Share {
    /// So much of `all`.
    pub fn of(self, all: u64) -> u64 {
        (self.0 * all as f64) as u64
    }
}

impl Default for Share {
    fn default() -> Self {
        Self(0.01)
    }
}

impl TryFrom<f64> for Share {
    type Error = String;

    fn try_from(share: f64) -> Result<Self, String> {
        if (0.0..=1.0).contains(&share) {
            Ok(Self(share))
        } else {
            Err(format!("{share} is no share; write a number from 0 to 1"))
        }
    }
}

impl From<Share> for f64 {
    fn from(share: Share) -> Self {
        share.0
    }
}

impl Level {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for Level {
    fn default() -> Self {
        Self("info".to_owned())
    }
}

impl TryFrom<String> for Level {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match tracing_subscriber::EnvFilter::try_new(&text) {
            Ok(_) => Ok(Self(text)),
            Err(error) => Err(format!(
                "{text:?} is no log level ({error}); use error, warn, info, debug or trace"
            )),
        }
    }
}

impl From<Level> for String {
    fn from(level: Level) -> Self {
        level.0
    }
}
