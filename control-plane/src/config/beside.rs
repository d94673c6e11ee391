//! Keys of serving beside another controller.

use std::collections::BTreeSet;

use serde::Deserialize;

use crate::config::ConfigError;
use crate::observe::convert::is_subdomain;
use crate::state::CONTROLLER;

/// Serving beside controllers that run, for the days before Roadstead takes over from them: their
/// classes are served too, nothing is written on anybody's object whatever `statusWrites` says,
/// and `HostService/ListHosts` tells of each host what would differ. Applied without a restart.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Beside {
    /// `spec.controller` of the IngressClasses that count as ours, the cluster's default class
    /// included, for example `k8s.io/ingress-nginx`. At most 16, of at most 250 bytes each.
    /// Empty, which is the default: Roadstead is beside nobody.
    pub controllers: Vec<Box<str>>,
}

impl Beside {
    /// Of whom, each once.
    pub(super) fn controllers(&self) -> BTreeSet<Box<str>> {
        self.controllers.iter().cloned().collect()
    }

    /// Whether there is another.
    pub(super) fn is_set(&self) -> bool {
        !self.controllers.is_empty()
    }

    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let invalid = |problem: String, remedy| {
            Err(ConfigError::Invalid {
                key: "beside.controllers".to_owned(),
                problem,
                remedy,
            })
        };
        if self.controllers.len() > MOST {
            let problem = format!("{} are too many", self.controllers.len());
            return invalid(problem, "name at most 16");
        }
        for name in &self.controllers {
            if **name == *CONTROLLER {
                let problem =
                    format!("{name} is Roadstead itself, whose classes are served anyway");
                return invalid(problem, "name the controllers that it shall run beside");
            }
            if !is_controller(name) {
                let end = name.ceil_char_boundary(LONGEST);
                let shown = name.get(..end).unwrap_or_default();
                let problem = format!("{shown:?} is no controller's name");
                let remedy = "use spec.controller of the other's IngressClass, a domain and a path, \
                              such as k8s.io/ingress-nginx";
                return invalid(problem, remedy);
            }
        }
        Ok(())
    }
}

/// As the Kubernetes API has `spec.controller`: a DNS name, and behind a slash a path.
fn is_controller(name: &str) -> bool {
    let in_path = |byte: u8| byte.is_ascii_alphanumeric() || br"/-._~%!$&'()*+,;=:".contains(&byte);
    let parts = name.split_once('/');
    name.len() <= LONGEST
        && parts.is_some_and(|(domain, path)| {
            is_subdomain(domain) && !path.is_empty() && path.bytes().all(in_path)
        })
}

/// As the Kubernetes API bounds it.
const LONGEST: usize = 250;
const MOST: usize = 16;
