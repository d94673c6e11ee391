//! Ingress (`networking.k8s.io/v1`).

use k8s_openapi::api::networking::v1::{
    HTTPIngressPath, IngressBackend, IngressRule, IngressServiceBackend, IngressSpec,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use roadstead_matcher::host::HostPattern;
use roadstead_matcher::path::PathPattern;

use crate::model::address::Published;
use crate::model::ingress::{BackendRef, ClassRef, Ingress, PathRule, PortRef, Rule};
use crate::model::key::{Kind, Origin};
use crate::model::object::Spec;
use crate::model::refusal::{Reason, Refusal};
use crate::observe::convert::ignored::ignored;
use crate::observe::convert::tls::tls;
use crate::observe::convert::{
    Convert, bad_label, is_label, is_subdomain, port, reason, shorten, types,
};

impl Convert for types::Ingress {
    const MODEL_KIND: Kind = Kind::Ingress;

    fn spec(&self, _: Origin) -> Result<Spec, Refusal> {
        let Some(spec) = &self.spec else {
            return Err(empty());
        };
        let default_backend = spec.default_backend.as_ref();
        let default_backend = default_backend
            .map(|listed| backend("spec.defaultBackend", listed))
            .transpose()?;
        let (rules, tls) = (rules(spec)?, tls(spec)?);
        if default_backend.is_none() && rules.is_empty() {
            return Err(empty());
        }
        Ok(Spec::Ingress(Ingress {
            class: class(self)?,
            default_backend,
            rules,
            certificates_elsewhere: !tls.is_empty() && has_cert_manager(&self.metadata),
            tls,
            shares_hosts_with: shares_hosts_with(&self.metadata)?,
            redirects_to_https: redirects_to_https(&self.metadata)?,
            ignored: ignored(&self.metadata),
        }))
    }

    fn class(&self) -> Option<ClassRef> {
        class(self).ok()
    }

    fn published(&self) -> Option<Published> {
        Some(super::published(self))
    }
}

/// The class that the annotation names; an empty one names none.
///
/// Other controllers' classes may be any text. What is longer than a class can be stays so.
pub(super) fn class_annotation(metadata: &ObjectMeta) -> Option<ClassRef> {
    let name = annotation(metadata, CLASS).filter(|name| !name.is_empty())?;
    let end = name.ceil_char_boundary(MAX_CLASS + 1);
    let name = name.get(..end).unwrap_or(name);
    Some(ClassRef::Annotation(name.into()))
}

fn class(ingress: &types::Ingress) -> Result<ClassRef, Refusal> {
    if let Some(class) = class_annotation(&ingress.metadata) {
        return Ok(class);
    }
    let spec = ingress.spec.as_ref();
    match spec.and_then(|spec| spec.ingress_class_name.as_deref()) {
        None => Ok(ClassRef::Unset),
        Some(name) if is_subdomain(name) => Ok(ClassRef::Field(name.into())),
        Some(name) => Err(Refusal::new(
            Reason::Malformed,
            "spec.ingressClassName",
            format!(
                "{:?} is no class; name an IngressClass, or leave the field out",
                shorten(name)
            ),
        )),
    }
}

fn shares_hosts_with(metadata: &ObjectMeta) -> Result<Vec<Box<str>>, Refusal> {
    let text = annotation(metadata, SHARE).unwrap_or_default().trim();
    if text.is_empty() {
        return Ok(Vec::new());
    }
    let refused = |message: String| {
        let field = format!("metadata.annotations[{SHARE}]");
        Refusal::new(Reason::InvalidAnnotation, field, message)
    };
    let mut namespaces = Vec::new();
    for name in text.split(',').map(str::trim) {
        if !is_label(name) {
            return Err(refused(format!(
                "{:?} is no namespace; list namespaces by name, separated by commas",
                shorten(name)
            )));
        }
        namespaces.push(name.into());
    }
    namespaces.sort_unstable();
    namespaces.dedup();
    if namespaces.len() > MAX_NAMESPACES {
        return Err(refused(format!("more than {MAX_NAMESPACES} namespaces")));
    }
    Ok(namespaces)
}

fn redirects_to_https(metadata: &ObjectMeta) -> Result<Option<bool>, Refusal> {
    match annotation(metadata, REDIRECT).map(str::trim) {
        None | Some("") => Ok(None),
        Some("true") => Ok(Some(true)),
        Some("false") => Ok(Some(false)),
        Some(other) => Err(Refusal::new(
            Reason::InvalidAnnotation,
            format!("metadata.annotations[{REDIRECT}]"),
            format!(
                "{:?} is neither true nor false; use one of them",
                shorten(other)
            ),
        )),
    }
}

/// Whether cert-manager's ingress-shim makes a Certificate of it, which writes the Secrets that it
/// names. <https://cert-manager.io/docs/usage/ingress/>
fn has_cert_manager(metadata: &ObjectMeta) -> bool {
    let issuer = ISSUERS.iter().any(|name| {
        let issuer = annotation(metadata, name);
        issuer.is_some_and(|issuer| !issuer.is_empty())
    });
    issuer || annotation(metadata, TLS_ACME).is_some_and(|text| TRUE.contains(&text))
}

fn rules(spec: &IngressSpec) -> Result<Vec<Rule>, Refusal> {
    let listed = spec.rules.as_deref().unwrap_or_default();
    let paths = listed.iter().filter_map(|rule| rule.http.as_ref());
    let paths: usize = paths.map(|http| http.paths.len()).sum();
    if listed.len().max(paths) > MAX_PATHS {
        return Err(Refusal::new(
            Reason::Unsupported,
            "spec.rules",
            format!("more than {MAX_PATHS} rules or paths; split the Ingress"),
        ));
    }
    let rules = listed.iter().enumerate();
    rules.map(|(index, listed)| rule(index, listed)).collect()
}

fn rule(index: usize, listed: &IngressRule) -> Result<Rule, Refusal> {
    let text = listed.host.as_deref().unwrap_or_default();
    let host = HostPattern::parse(text).map_err(|error| {
        let message = format!(
            "{:?} is no host: {}; write a DNS name, or *. and a DNS name",
            shorten(text),
            reason(&error)
        );
        Refusal::new(
            Reason::InvalidHost,
            format!("spec.rules[{index}].host"),
            message,
        )
    })?;
    let Some(http) = &listed.http else {
        return Ok(Rule { host, paths: None });
    };
    let field = format!("spec.rules[{index}].http.paths");
    if http.paths.is_empty() {
        return Err(Refusal::new(
            Reason::InvalidPath,
            field,
            "is empty; list a path, or leave http out to send the host to the default backend",
        ));
    }
    let paths = http.paths.iter().enumerate();
    let paths: Result<Vec<PathRule>, Refusal> = paths
        .map(|(at, listed)| path_rule(&format!("{field}[{at}]"), listed))
        .collect();
    Ok(Rule {
        host,
        paths: Some(paths?),
    })
}

fn path_rule(field: &str, listed: &HTTPIngressPath) -> Result<PathRule, Refusal> {
    // No path is every path, whatever its type.
    let text = match listed.path.as_deref() {
        None | Some("") => "/",
        Some(text) => text,
    };
    let path = match listed.path_type.as_str() {
        "Exact" => PathPattern::exact(text),
        "Prefix" | "ImplementationSpecific" => PathPattern::element_prefix(text),
        other => {
            return Err(Refusal::new(
                Reason::InvalidPath,
                format!("{field}.pathType"),
                format!(
                    "{:?} is not known; use Prefix, Exact or ImplementationSpecific",
                    shorten(other)
                ),
            ));
        }
    };
    let path = path.map_err(|error| {
        let message = format!(
            "{:?} is no path that can be matched: {}; write it as requests have it, from / on",
            shorten(text),
            reason(&error)
        );
        Refusal::new(Reason::InvalidPath, format!("{field}.path"), message)
    })?;
    let backend = backend(&format!("{field}.backend"), &listed.backend)?;
    Ok(PathRule { path, backend })
}

fn backend(field: &str, listed: &IngressBackend) -> Result<BackendRef, Refusal> {
    match (&listed.service, &listed.resource) {
        (Some(service), None) => service_backend(&format!("{field}.service"), service),
        (_, Some(_)) => Err(Refusal::new(
            Reason::Unsupported,
            format!("{field}.resource"),
            "only Services can be sent to; name one in service",
        )),
        (None, None) => Err(Refusal::new(
            Reason::InvalidBackend,
            field,
            "is empty; name a Service and its port in service",
        )),
    }
}

fn service_backend(field: &str, listed: &IngressServiceBackend) -> Result<BackendRef, Refusal> {
    if !is_subdomain(&listed.name) {
        return Err(Refusal::new(
            Reason::InvalidBackend,
            format!("{field}.name"),
            format!("{:?} is no Service's name", shorten(&listed.name)),
        ));
    }
    let port = port_ref(listed).map_err(|message| {
        Refusal::new(Reason::InvalidBackend, format!("{field}.port"), message)
    })?;
    Ok(BackendRef {
        service: listed.name.as_str().into(),
        port,
    })
}

fn port_ref(listed: &IngressServiceBackend) -> Result<PortRef, String> {
    let listed = listed.port.as_ref();
    // As in the API, 0 and "" are what is not set.
    let number = listed
        .and_then(|port| port.number)
        .filter(|port| *port != 0);
    let name = listed.and_then(|port| port.name.as_deref());
    match (number, name.filter(|name| !name.is_empty())) {
        (Some(number), None) => port(number)
            .map(PortRef::Number)
            .ok_or_else(|| format!("{number} is no port; use 1 to 65535")),
        (None, Some(name)) if is_label(name) && is_no_number(name) => {
            Ok(PortRef::Name(name.into()))
        }
        (None, Some(name)) if is_label(name) => Err(format!(
            "{name:?} as a name is no port's; write it as number"
        )),
        (None, Some(name)) => Err(bad_label(name)),
        (Some(_), Some(_)) => Err("has a number and a name; keep one".into()),
        (None, None) => Err("is missing; give the Service's port by number or by name".into()),
    }
}

fn annotation<'a>(metadata: &'a ObjectMeta, name: &str) -> Option<&'a str> {
    let annotations = metadata.annotations.as_ref()?;
    annotations.get(name).map(String::as_str)
}

fn empty() -> Refusal {
    Refusal::new(
        Reason::Malformed,
        "spec",
        "has neither rules nor a default backend; add one of them",
    )
}

/// A port's name has a letter (RFC 6335, section 5.1).
fn is_no_number(name: &str) -> bool {
    name.bytes().any(|byte| byte.is_ascii_alphabetic())
}

const CLASS: &str = "kubernetes.io/ingress.class";
const ISSUERS: [&str; 2] = ["cert-manager.io/issuer", "cert-manager.io/cluster-issuer"];
const TLS_ACME: &str = "kubernetes.io/tls-acme";
/// What it takes for true.
const TRUE: [&str; 6] = ["true", "True", "TRUE", "t", "T", "1"];
pub(super) const REDIRECT: &str = "roadstead.dev/redirect-to-https";
pub(super) const SHARE: &str = "roadstead.dev/share-hosts-with";
/// Of the name of an object.
const MAX_CLASS: usize = 253;
const MAX_NAMESPACES: usize = 100;
/// With the longest names this comes to a resource of 3 MB, which a stream can still carry.
const MAX_PATHS: usize = 2000;
