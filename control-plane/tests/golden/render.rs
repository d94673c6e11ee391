//! What a step came to, as text for people.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use imbl::OrdSet;
use prost::Message as _;
use roadstead_control_plane::model::key::ObjectKey;
use roadstead_control_plane::project::finding::Finding;
use roadstead_control_plane::project::standing::Standing;
use roadstead_control_plane::snapshot::{ResourceId, Snapshot};
use roadstead_control_plane::state::claims::wish::Slot;
use roadstead_matcher::host::HostPattern;
use roadstead_proto::v1::{self, ResourceType};

use super::Outcome;

pub(super) fn outcome(snapshot: &Snapshot, outcome: Outcome) -> String {
    let mut out = String::new();
    let Outcome {
        events,
        resources,
        standings,
    } = outcome;
    if !events.is_empty() {
        out += "events:\n";
    }
    for event in &events {
        writeln!(out, "  {event}").unwrap();
    }
    let changed: BTreeSet<ResourceId> = resources.into_iter().collect();
    if !changed.is_empty() {
        out += "resources:\n";
    }
    for id in &changed {
        let kind = id
            .kind
            .as_str_name()
            .trim_start_matches("RESOURCE_TYPE_")
            .to_lowercase();
        match snapshot.resources().get(id) {
            Some(resource) => {
                writeln!(out, "  {kind} {}:", id.name).unwrap();
                for line in body(id.kind, &resource.body) {
                    writeln!(out, "    {line}").unwrap();
                }
                for capability in resource.requires {
                    writeln!(out, "    requires {capability}").unwrap();
                }
            }
            None => writeln!(out, "  {kind} {}: gone", id.name).unwrap(),
        }
    }
    if !standings.is_empty() {
        out += "standings:\n";
    }
    for change in &standings {
        out += &standing(&change.key, change.after.as_ref());
    }
    if out.is_empty() {
        out += "nothing\n";
    }
    out
}

fn body(kind: ResourceType, bytes: &[u8]) -> Vec<String> {
    match kind {
        ResourceType::Listener => {
            let listener = v1::Listener::decode(bytes).unwrap();
            let protocol = listener.protocol().as_str_name();
            let mut lines = vec![format!(
                "{} port {} {protocol}",
                listener.address, listener.port
            )];
            let networks = listener.proxy_protocol.iter();
            lines.extend(networks.map(|network| format!("PROXY headers from {network}")));
            lines.extend(listener.tls.map(|tls| {
                let v1::TlsPolicy {
                    cipher_suites,
                    no_session_tickets,
                    default_certificates,
                    ..
                } = &tls;
                let minimum = tls.minimum_version().as_str_name();
                let tickets = if *no_session_tickets { "no" } else { "with" };
                format!(
                    "{minimum} and above, suites {cipher_suites:x?}, {tickets} tickets, by default \
                     {default_certificates:?}"
                )
            }));
            lines
        }
        ResourceType::Route => {
            let route = v1::Route::decode(bytes).unwrap();
            route.rules.iter().map(rule).collect()
        }
        ResourceType::Upstream => {
            use v1::upstream::Target;
            let upstream = v1::Upstream::decode(bytes).unwrap();
            vec![match upstream.target.unwrap() {
                Target::Discovered(_) => "endpoints".into(),
                Target::External(name) => {
                    let local = if name.allow_local { ", also local" } else { "" };
                    format!("{} port {}{local}", name.hostname, name.port)
                }
            }]
        }
        ResourceType::Endpoints => {
            let endpoints = v1::Endpoints::decode(bytes).unwrap().endpoints;
            let show = |endpoint: &v1::Endpoint| {
                let condition = endpoint
                    .condition()
                    .as_str_name()
                    .trim_start_matches("CONDITION_");
                let line = format!(
                    "{} {} {condition} {}",
                    endpoint.address, endpoint.port, endpoint.uid
                );
                line.trim_end().to_owned()
            };
            endpoints.iter().map(show).collect()
        }
        ResourceType::Certificate => {
            let certificate = v1::Certificate::decode(bytes).unwrap();
            let bundle = certificate.bundle.iter().take(4);
            let bundle: String = bundle.map(|byte| format!("{byte:02x}")).collect();
            let key = certificate.key_type().as_str_name();
            let key = key.trim_start_matches("KEY_TYPE_");
            vec![format!("bundle {bundle}…, {key}")]
        }
        ResourceType::ServerName => {
            let v1::ServerName {
                mut certificates,
                expected,
                ..
            } = v1::ServerName::decode(bytes).unwrap();
            certificates.extend(expected.then(|| "one is expected".to_owned()));
            certificates
        }
        ResourceType::Challenge => {
            let answers = v1::Challenge::decode(bytes).unwrap().answers;
            let show = |answer: &v1::ChallengeAnswer| {
                let way = match answer.r#type() {
                    v1::ChallengeType::Http01 => "http-01",
                    v1::ChallengeType::TlsAlpn01 => "tls-alpn-01",
                };
                let v1::ChallengeAnswer {
                    hostname,
                    token,
                    key_authorization,
                    ..
                } = answer;
                format!("{hostname} by {way} {token}: {key_authorization}")
            };
            answers.iter().map(show).collect()
        }
        ResourceType::TicketSecrets => {
            let secrets = v1::TicketSecrets::decode(bytes).unwrap().secrets;
            vec![format!("{} secrets", secrets.len())]
        }
        ResourceType::Unspecified => panic!("a resource without a type"),
    }
}

fn rule(rule: &v1::Rule) -> String {
    let host = if rule.hostname.is_empty() {
        "any host"
    } else {
        &rule.hostname
    };
    let path = rule.path.as_ref().unwrap();
    let kind = match path.kind() {
        v1::path_match::Kind::Exact => "exact",
        v1::path_match::Kind::ElementPrefix => "prefix",
        v1::path_match::Kind::BytePrefix => "byte prefix",
        v1::path_match::Kind::Unspecified => panic!("a path without a kind"),
    };
    let place = if rule.fallback {
        "what no rule claims".to_owned()
    } else {
        format!("{host}, {kind} {}", path.value)
    };
    let backends: Vec<&str> = rule
        .backends
        .iter()
        .map(|backend| &*backend.upstream)
        .collect();
    let https = match rule.https_port {
        0 => String::new(),
        port => format!(", by HTTPS at {port}"),
    };
    format!("{place} -> {}{https} ({})", backends.join(", "), rule.id)
}

/// The hosts for which a certificate is ours to obtain, where these are others than before.
pub(super) fn to_obtain(before: &OrdSet<HostPattern>, now: &OrdSet<HostPattern>) -> String {
    if before == now {
        return String::new();
    }
    let hosts: Vec<String> = now.iter().map(ToString::to_string).collect();
    match &*hosts {
        [] => "to obtain: nothing\n".to_owned(),
        hosts => format!("to obtain: {}\n", hosts.join(", ")),
    }
}

fn standing(key: &ObjectKey, standing: Option<&Standing>) -> String {
    let Some(standing) = standing else {
        return format!("  {key}: none\n");
    };
    let served = if standing.served {
        "served"
    } else {
        "not served"
    };
    let mut out = format!("  {key}: {served}\n");
    if let Some(refusal) = &standing.refusal {
        writeln!(out, "    refused, {}: {refusal}", refusal.reason.as_str()).unwrap();
    }
    for lost in &standing.lost {
        let slot = match &lost.slot {
            Slot::Path(path) => path.to_string(),
            Slot::Fallback => "what no rule claims".into(),
        };
        let winner = lost
            .winner
            .as_ref()
            .map_or_else(|| "nobody".into(), ObjectKey::to_string);
        let host = if lost.host.to_string().is_empty() {
            "any host".into()
        } else {
            lost.host.to_string()
        };
        writeln!(
            out,
            "    lost {host}, {slot} ({}): {winner} has it; the host is of {}",
            lost.position, lost.owner
        )
        .unwrap();
    }
    for missing in &standing.missing {
        let port = missing
            .port
            .as_ref()
            .map_or(String::new(), |port| format!(" port {port}"));
        writeln!(
            out,
            "    missing Service {}{port} ({})",
            missing.service, missing.position
        )
        .unwrap();
    }
    for lacking in &standing.lacking {
        writeln!(out, "    lacking {}", Finding::of_lacking(lacking)).unwrap();
    }
    for field in &standing.ignored {
        writeln!(out, "    ignored {field}").unwrap();
    }
    out
}
