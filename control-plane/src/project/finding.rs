//! What keeps an Ingress from being served as it is written, in words.
//!
//! One place, so that an Event on the object and the report of all hosts say the same.

use std::fmt::{self, Write as _};

use roadstead_matcher::host::HostPattern;

use crate::model::refusal::Refusal;
use crate::model::settings::Hindrance;
use crate::project::standing::tls::{Lacking, Why};
use crate::project::standing::{Lost, Missing, Standing};
use crate::state::claims::wish::Slot;

/// One thing, at one field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// From a closed list: those of [`Reason`](crate::model::refusal::Reason), and those below.
    pub reason: &'static str,
    /// Path of the field, for example `spec.rules[0].host`; empty for the object.
    pub field: Box<str>,
    /// What is so, and where there is one, the remedy.
    pub message: String,
}

/// The host of a rule belongs to another namespace.
const HOST_OF_ANOTHER: &str = "HostOwnedByAnother";
/// Another Ingress has the host and path of a rule.
const PATH_TAKEN: &str = "PathTaken";
const SERVICE_NOT_FOUND: &str = "ServiceNotFound";
const PORT_NOT_FOUND: &str = "PortNotFound";
/// A Secret has no certificate that can be used.
const SECRET_REFUSED: &str = "SecretRefused";
const SECRET_NOT_FOUND: &str = "SecretNotFound";
/// A certificate is not for a host that it is named for.
const CERTIFICATE_MISMATCH: &str = "CertificateMismatch";
/// A host's certificate is another's to name.
const CERTIFICATE_OF_ANOTHER: &str = "CertificateOfAnother";
/// Hosts without a certificate.
const NO_CERTIFICATE: &str = "NoCertificate";
/// A field asks for what Roadstead does not do.
pub const IGNORED: &str = "Ignored";

impl Finding {
    /// The version that exists now is not used.
    pub fn of_refusal(refusal: &Refusal, served: bool) -> Self {
        let standing = if served {
            "its last good version keeps serving"
        } else {
            "nothing of it is served"
        };
        Self {
            reason: refusal.reason.as_str(),
            field: refusal.field.clone(),
            message: format!("{}; {standing}", refusal.message),
        }
    }

    /// A rule is another's.
    pub fn of_lost(lost: &Lost) -> Self {
        let place = place(lost);
        let (reason, message) = match &lost.winner {
            Some(winner) => (
                PATH_TAKEN,
                format!("{winner} is older and has {place}; this rule takes over when it goes"),
            ),
            None => (
                HOST_OF_ANOTHER,
                format!(
                    "{place} is not served: the host belongs to namespace {}, which can share it \
                     with the annotation roadstead.dev/share-hosts-with",
                    lost.owner
                ),
            ),
        };
        Self {
            reason,
            field: lost.position.to_string().into(),
            message,
        }
    }

    /// A backend does not exist.
    pub fn of_missing(missing: &Missing) -> Self {
        let service = &missing.service;
        let (reason, what) = match &missing.port {
            Some(port) => (
                PORT_NOT_FOUND,
                format!("Service {service} has no port {port}"),
            ),
            None => (SERVICE_NOT_FOUND, format!("there is no Service {service}")),
        };
        Self {
            reason,
            field: missing.position.to_string().into(),
            message: format!("{what}; answered with 503"),
        }
    }

    /// A certificate is not shown.
    pub fn of_lacking(lacking: &Lacking) -> Self {
        let entry = lacking.entry;
        let secret_name = || format!("spec.tls[{entry}].secretName");
        let (reason, field, what) = match &lacking.why {
            Why::NoSecret => (
                NO_CERTIFICATE,
                format!("spec.tls[{entry}]"),
                "names no Secret, and no Secret in use here has a certificate".to_owned(),
            ),
            Why::NotFound { secret } => (
                SECRET_NOT_FOUND,
                secret_name(),
                format!("there is no Secret {secret}"),
            ),
            Why::Awaited { secret } => (
                SECRET_NOT_FOUND,
                secret_name(),
                format!("there is no Secret {secret}: by an annotation cert-manager obtains it"),
            ),
            Why::Refused { secret, message } => (
                SECRET_REFUSED,
                secret_name(),
                format!("Secret {secret} cannot be used: {message}"),
            ),
            Why::NotFor { secret, hosts } => (
                CERTIFICATE_MISMATCH,
                secret_name(),
                format!(
                    "the certificate of Secret {secret} is not for {}",
                    some(hosts)
                ),
            ),
            Why::Others { secret, hosts } => (
                CERTIFICATE_OF_ANOTHER,
                secret_name(),
                format!(
                    "Secret {secret} is not used for {}: another is named for it before, or the \
                     host belongs to another namespace",
                    some(hosts)
                ),
            ),
        };
        let comes_to = match &*lacking.unserved {
            [] => "another certificate is shown".to_owned(),
            hosts => format!("HTTPS is not served for {}", some(hosts)),
        };
        let comes_to = lacking
            .not_obtained
            .iter()
            .fold(comes_to, |text, (host, why)| {
                let why = match why {
                    Hindrance::NotPermitted => "it is not below one of acme.onlyFor",
                    Hindrance::NotInNamespace => {
                        "it is not below one of its namespace's in acme.namespaces"
                    }
                    Hindrance::Wildcard => {
                        "it is a wildcard, and not below one of acme.dns01.zones"
                    }
                    Hindrance::OnlyByDns => "it is not below one of acme.dns01.zones",
                    Hindrance::Any => "it is no host",
                };
                format!("{text}; none is obtained for {host}: {why}")
            });
        Self {
            reason,
            field: field.into(),
            message: format!("{what}; {comes_to}"),
        }
    }

    /// A field means nothing.
    pub fn of_ignored(field: &str) -> Self {
        Self {
            reason: IGNORED,
            field: field.into(),
            message: "means nothing here; the Ingress is served without it".to_owned(),
        }
    }
}

/// As one sentence.
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.field.is_empty() {
            write!(f, "{}: ", self.field)?;
        }
        f.write_str(&self.message)
    }
}

/// All fields that mean nothing, as one sentence; none if there are none.
pub fn all_ignored(standing: &Standing) -> Option<String> {
    match &*standing.ignored {
        [] => None,
        [field] => Some(Finding::of_ignored(field).to_string()),
        fields => Some(format!(
            "{}: mean nothing here; the Ingress is served without them",
            fields.join(", ")
        )),
    }
}

/// The first of some hosts.
fn some(hosts: &[HostPattern]) -> String {
    let first = hosts.iter().take(MOST).map(ToString::to_string);
    let mut text = first.collect::<Vec<_>>().join(", ");
    if let more @ 1.. = hosts.len().saturating_sub(MOST) {
        let _ = write!(text, " and {more} more");
    }
    text
}

/// Enough to see which are meant.
const MOST: usize = 4;

/// What a rule is about, in words.
pub fn place(lost: &Lost) -> String {
    let mut place = lost.host.to_string();
    if place.is_empty() {
        place.push_str("any host");
    }
    // Writing to a String does not fail.
    let _ = match &lost.slot {
        Slot::Path(path) => write!(place, ", {path}"),
        Slot::Fallback => write!(place, ", the default backend"),
    };
    place
}
