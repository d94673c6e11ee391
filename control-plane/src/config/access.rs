//! Who may connect, as an operator can set it.

use std::ops::RangeInclusive;

use serde::Deserialize;

use crate::config::ConfigError;

/// Who may connect to a control plane that watches the Kubernetes API.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Access {
    /// The Secret of our own namespace (`sources.kubernetes.ownNamespace`) that holds the
    /// certificate authority. Made at the first start, and kept in order by all replicas.
    /// Default: roadstead-control-plane-ca.
    pub authority_secret: String,
    /// The ConfigMap of our own namespace with the certificates, without keys, of all
    /// authorities that are to be believed, in its entry `ca.pem`: what proxies mount. Default:
    /// roadstead-ca.
    pub authority_config_map: String,
    /// The audience of the tokens of proxies and operators, as in
    /// `kubectl create token --audience`. Default: roadstead.
    pub audience: String,
    /// The ServiceAccounts of proxies, each as NAMESPACE/NAME. Empty: `roadstead-data-plane` of
    /// our own namespace.
    pub proxy_accounts: Vec<String>,
    /// How long a proxy's certificate lasts, in seconds: 600 to 604800. A proxy renews it after
    /// two thirds of that, and a stream ends with the certificate that it was opened by. Default:
    /// 86400, a day.
    pub certificate_seconds: u32,
    /// Whether the tokens in files among our keys (`operator.token`, `proxy.token`) are good for
    /// calls, for a control plane and proxies outside of the cluster. Left out: only with a
    /// folder as a source.
    pub file_tokens: Option<bool>,
}

impl Default for Access {
    fn default() -> Self {
        Self {
            authority_secret: "roadstead-control-plane-ca".to_owned(),
            authority_config_map: "roadstead-ca".to_owned(),
            audience: "roadstead".to_owned(),
            proxy_accounts: Vec::new(),
            certificate_seconds: 24 * 3600,
            file_tokens: None,
        }
    }
}

impl Access {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let invalid = |key: &str, problem: String, remedy| {
            Err(ConfigError::Invalid {
                key: key.to_owned(),
                problem,
                remedy,
            })
        };
        if !CERTIFICATE_SECONDS.contains(&self.certificate_seconds) {
            let problem = format!("{} is too short or too long", self.certificate_seconds);
            return invalid("access.certificateSeconds", problem, "use 600 to 604800");
        }
        if self.audience.is_empty() {
            return invalid(
                "access.audience",
                "it is empty".to_owned(),
                "name one, or leave the key out",
            );
        }
        for (key, name) in [
            ("access.authoritySecret", &self.authority_secret),
            ("access.authorityConfigMap", &self.authority_config_map),
        ] {
            if !is_name(name) {
                let problem = format!("{name:?} is no name that an object can have");
                return invalid(
                    key,
                    problem,
                    "use a-z, 0-9, \".\" and \"-\", or leave the key out",
                );
            }
        }
        for account in &self.proxy_accounts {
            if !is_account(account) {
                let problem = format!("{account:?} is no ServiceAccount");
                return invalid("access.proxyAccounts", problem, "write NAMESPACE/NAME");
            }
        }
        Ok(())
    }

    /// The names by which the API server knows the proxies' accounts.
    pub fn proxy_users(&self, own_namespace: &str) -> Vec<String> {
        if self.proxy_accounts.is_empty() {
            return vec![format!("{USER}{own_namespace}:{PROXY_ACCOUNT}")];
        }
        let accounts = self.proxy_accounts.iter();
        accounts
            .map(|account| format!("{USER}{}", account.replace('/', ":")))
            .collect()
    }
}

fn is_account(account: &str) -> bool {
    account
        .split_once('/')
        .is_some_and(|(namespace, name)| is_name(namespace) && is_name(name))
}

fn is_name(name: &str) -> bool {
    let fit = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b".-".contains(&b);
    !name.is_empty() && name.bytes().all(fit)
}

const USER: &str = "system:serviceaccount:";
const PROXY_ACCOUNT: &str = "roadstead-data-plane";
/// Shorter, and a proxy would do little else; longer, and the authority would outlive its time.
const CERTIFICATE_SECONDS: RangeInclusive<u32> = 600..=7 * 24 * 3600;
