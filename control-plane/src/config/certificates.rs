//! Certificates that are kept in files.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;

use crate::config::ConfigError;

/// A certificate and its key. Both files are read again when they change; what cannot be used keeps
/// the last that could.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct CertificateFiles {
    /// The server's own certificate first, then those that lead to a CA, in PEM: as tls.crt of a
    /// Secret.
    pub certificate_file: PathBuf,
    /// Its private key in PEM, without a passphrase: as tls.key of a Secret.
    pub key_file: PathBuf,
}

/// By names that can stand in the names of resources.
pub(super) fn check(
    certificates: &BTreeMap<Box<str>, CertificateFiles>,
) -> Result<(), ConfigError> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-.".contains(c);
    let fits = |name: &str| {
        (1..=MAX_NAME).contains(&name.len())
            && name.chars().all(plain)
            && name.starts_with(|first: char| first.is_ascii_alphanumeric())
    };
    let invalid = |key: String, problem: String, remedy| {
        Err(ConfigError::Invalid {
            key,
            problem,
            remedy,
        })
    };
    if let Some(name) = certificates.keys().find(|name| !fits(name)) {
        let problem = format!("{name:?} cannot be its name");
        let remedy = "use 1 to 63 lower-case letters, digits, - and ., the first no sign";
        return invalid("certificates".to_owned(), problem, remedy);
    }
    if certificates.len() > MOST {
        let problem = format!("{} are too many", certificates.len());
        let remedy = "name at most 1000, or use Secrets";
        return invalid("certificates".to_owned(), problem, remedy);
    }
    Ok(())
}

const MAX_NAME: usize = 63;
const MOST: usize = 1000;
