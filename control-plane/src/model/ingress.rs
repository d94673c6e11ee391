//! What of an Ingress and an IngressClass is routed on (`networking.k8s.io/v1`).
//!
//! Hosts and paths are the matcher's own types: what the proxies compare is what is stored.

use roadstead_matcher::host::HostPattern;
use roadstead_matcher::path::PathPattern;
use serde::{Deserialize, Serialize};

/// The specification of an Ingress.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Ingress {
    pub class: ClassRef,
    /// `spec.defaultBackend`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_backend: Option<BackendRef>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<Rule>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tls: Vec<Tls>,
    /// Namespaces whose objects may claim paths of this Ingress' hosts
    /// (annotation `roadstead.dev/share-hosts-with`), sorted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shares_hosts_with: Vec<Box<str>>,
    /// Paths of fields that ask for what Roadstead does not do, for example
    /// `metadata.annotations[nginx.ingress.kubernetes.io/rewrite-target]`, sorted and bounded:
    /// nothing is routed on them, and their owner is told.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ignored: Vec<Box<str>>,
    /// cert-manager is asked for the certificates of its hosts (annotations `cert-manager.io/issuer`,
    /// `cert-manager.io/cluster-issuer`, `kubernetes.io/tls-acme: "true"`): they are not ours to
    /// obtain for it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub certificates_elsewhere: bool,
    /// Whether unencrypted requests are sent to HTTPS (annotation `roadstead.dev/redirect-to-https`),
    /// where the settings shall not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redirects_to_https: Option<bool>,
}

impl Ingress {
    /// Whether it wants HTTPS for a host of its rules.
    pub fn wants_https(&self, host: &HostPattern) -> bool {
        *host != HostPattern::Any && self.tls.iter().any(|tls| tls.is_for(host))
    }
}

/// How an Ingress names its class.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ClassRef {
    /// Neither field nor annotation.
    #[default]
    Unset,
    /// `spec.ingressClassName`.
    Field(Box<str>),
    /// The annotation `kubernetes.io/ingress.class`, which stands above the field.
    Annotation(Box<str>),
}

/// One entry of `spec.rules`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rule {
    #[serde(with = "as_text")]
    pub host: HostPattern,
    /// `None` where the rule has no `http`: its host goes to the default backend.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paths: Option<Vec<PathRule>>,
}

/// One entry of `spec.tls`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Tls {
    /// Empty: the hosts of the rules.
    #[serde(
        default,
        skip_serializing_if = "Vec::is_empty",
        with = "crate::model::hosts"
    )]
    pub hosts: Vec<HostPattern>,
    /// Of the same namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<Box<str>>,
}

impl Tls {
    /// Whether it is for a host of the rules.
    pub fn is_for(&self, host: &HostPattern) -> bool {
        self.hosts.is_empty() || self.hosts.iter().any(|listed| listed.covers(host))
    }
}

/// One entry of `spec.rules[].http.paths`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PathRule {
    #[serde(with = "path_text")]
    pub path: PathPattern,
    pub backend: BackendRef,
}

/// A port of a Service of the same namespace.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct BackendRef {
    pub service: Box<str>,
    pub port: PortRef,
}

/// A Service's port by number or by name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum PortRef {
    Name(Box<str>),
    Number(u16),
}

impl std::fmt::Display for PortRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Number(number) => write!(f, "{number}"),
        }
    }
}

/// The specification of an IngressClass.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IngressClass {
    /// `spec.controller`.
    pub controller: Box<str>,
    /// The annotation `ingressclass.kubernetes.io/is-default-class`.
    pub is_default: bool,
}

/// A host as its text.
mod as_text {
    use roadstead_matcher::host::HostPattern;
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    pub(super) fn serialize<S: Serializer>(
        host: &HostPattern,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_str(host)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<HostPattern, D::Error> {
        let text = String::deserialize(deserializer)?;
        HostPattern::parse(&text).map_err(D::Error::custom)
    }
}

/// A path pattern as its kind and text.
mod path_text {
    use roadstead_matcher::path::PathPattern;
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

    #[derive(Serialize, Deserialize)]
    #[serde(rename_all = "camelCase")]
    enum Text<'a> {
        Exact(std::borrow::Cow<'a, str>),
        Prefix(std::borrow::Cow<'a, str>),
        BytePrefix(std::borrow::Cow<'a, str>),
    }

    pub(super) fn serialize<S: Serializer>(
        path: &PathPattern,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match path {
            PathPattern::Exact(text) => Text::Exact((&**text).into()),
            PathPattern::ElementPrefix(text) => Text::Prefix((&**text).into()),
            PathPattern::BytePrefix(text) => Text::BytePrefix((&**text).into()),
        }
        .serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<PathPattern, D::Error> {
        match Text::deserialize(deserializer)? {
            Text::Exact(text) => PathPattern::exact(&text),
            Text::Prefix(text) => PathPattern::element_prefix(&text),
            Text::BytePrefix(text) => PathPattern::byte_prefix(&text),
        }
        .map_err(D::Error::custom)
    }
}
