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
