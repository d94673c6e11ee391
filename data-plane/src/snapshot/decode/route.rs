//! Routes from the wire.
//!
//! Apart, because each message's rules are an idea of their own.

use std::{num::NonZero, sync::Arc};

use roadstead_matcher::{host::HostPattern, path::PathPattern};
use roadstead_proto::v1;

use super::Faults;
use crate::snapshot::{Backend, Fault, Form, Route, Rule};

pub(super) fn read(name: &str, route: v1::Route) -> Result<Form, Fault> {
    let mut faults = Faults::default();
    let rules: Vec<_> = (0..)
        .zip(route.rules)
        .filter_map(|(index, wire)| rule(name, index, wire, &mut faults))
        .collect();
    let listeners = route.listeners.iter().map(|name| name.as_str().into());
    let form = Form::Route(Arc::new(Route {
        listeners: listeners.collect(),
        rules: rules.into(),
    }));
    faults.finish(Some(form))
}

fn rule(name: &str, index: usize, rule: v1::Rule, faults: &mut Faults) -> Option<Rule> {
    faults.at("rules", index);
    let host = faults.field("hostname", HostPattern::parse(&rule.hostname));
    let path = faults.field("path", path(rule.path));
    let https_port = faults.field("https_port", https_port(rule.https_port));
    let ((host, path), https_port) = host.zip(path).zip(https_port)?;
    Some(Rule {
        id: format!("{name}#{}", rule.id).into(),
        host,
        path,
        fallback: rule.fallback,
        backends: rule.backends.iter().map(backend).collect(),
        https_port,
    })
}

fn https_port(port: u32) -> Result<Option<NonZero<u16>>, String> {
    match u16::try_from(port) {
        Ok(port) => Ok(NonZero::new(port)),
        Err(_) => Err(format!("{port} is no port")),
    }
}

fn backend(backend: &v1::Backend) -> Backend {
    let name = backend.upstream.as_str();
    Backend {
        upstream: (!name.is_empty()).then(|| name.into()),
        weight: backend.weight,
    }
}

fn path(path: Option<v1::PathMatch>) -> Result<PathPattern, String> {
    use v1::path_match::Kind;
    let path = path.ok_or("not set")?;
    let pattern = match Kind::try_from(path.kind) {
        Ok(Kind::Exact) => PathPattern::exact(&path.value),
        Ok(Kind::ElementPrefix) => PathPattern::element_prefix(&path.value),
        Ok(Kind::BytePrefix) => PathPattern::byte_prefix(&path.value),
        Ok(Kind::Unspecified) | Err(_) => return Err("its kind is not known".to_owned()),
    };
    pattern.map_err(|error| error.to_string())
}
