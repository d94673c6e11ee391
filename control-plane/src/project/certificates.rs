//! Certificates, and for which server names they are shown.
//!
//! Apart from the routes: a certificate that is issued anew changes no route, and what is shown
//! for a host depends on all who claim it.

use prost::Message as _;
use roadstead_matcher::host::HostPattern;
use roadstead_proto::v1::{self, ResourceType};

use crate::model::certificate::KeyType;
use crate::model::key::{Kind, ObjectKey};
use crate::model::managed::{ChallengeType, Managed};
use crate::project::resource_name;
use crate::project::routes::source;
use crate::snapshot::{Change, ResourceId};
use crate::state::State;

/// The certificate of a Secret, or one that we obtain; gone if that is, or never had one. Of one
/// that we obtain also what a CA is answered by.
pub(super) fn project(state: &State, key: &ObjectKey) -> impl Iterator<Item = Change> {
    let body = certificate(state, key).map(|found| (found.encode_to_vec(), REQUIRES));
    let certificate = Change {
        id: ResourceId::new(ResourceType::Certificate, resource_name(key)),
        body,
    };
    let challenge = (key.kind == Kind::Certificate).then(|| {
        let managed = state.managed(key);
        let answers = managed.and_then(|managed| challenge(key, managed).1);
        Change {
            id: challenge_id(key),
            body: answers.map(|answers| (answers.encode_to_vec(), requires(&answers))),
        }
    });
    std::iter::once(certificate).chain(challenge)
}

/// By what proxies answer a CA that is asked for this certificate, if they have to.
pub fn challenge(key: &ObjectKey, managed: &Managed) -> (ResourceId, Option<v1::Challenge>) {
    let answers = managed.challenges();
    let answers = answers.filter_map(|challenge| {
        let challenge_type = challenge_type(challenge.challenge_type)?;
        Some(v1::ChallengeAnswer {
            r#type: challenge_type.into(),
            hostname: challenge.host.as_ref().into(),
            token: challenge.token.as_ref().into(),
            key_authorization: challenge.key_authorization.as_ref().into(),
        })
    });
    let answers: Vec<_> = answers.collect();
    let challenge = (!answers.is_empty()).then_some(v1::Challenge { answers });
    (challenge_id(key), challenge)
}

/// As proxies are told; none of what the DNS is told.
fn challenge_type(of: ChallengeType) -> Option<v1::ChallengeType> {
    match of {
        ChallengeType::Http01 => Some(v1::ChallengeType::Http01),
        ChallengeType::TlsAlpn01 => Some(v1::ChallengeType::TlsAlpn01),
        ChallengeType::Dns01 => None,
    }
}

fn requires(challenge: &v1::Challenge) -> &'static [&'static str] {
    let by_tls = |answer: &v1::ChallengeAnswer| answer.r#type() == v1::ChallengeType::TlsAlpn01;
    match challenge.answers.iter().any(by_tls) {
        true => &["challenge", "tls-alpn-01"],
        false => &["challenge"],
    }
}

fn challenge_id(key: &ObjectKey) -> ResourceId {
    ResourceId::new(ResourceType::Challenge, resource_name(key))
}

/// What is shown for a host, or that something will be; gone if what is shown for its wildcard will
/// do.
pub(super) fn project_server_name(state: &State, host: &HostPattern) -> Change {
    let shown = state.certificates().shown_for(host);
    let expected = state.is_expected(host);
    let name = || v1::ServerName {
        hostname: host.to_string(),
        certificates: shown.iter().map(resource_name).collect(),
        expected,
    };
    let decided = state.certificates().is_server_name(host);
    let body = (decided || expected).then(|| (name().encode_to_vec(), REQUIRES));
    Change {
        id: ResourceId::new(ResourceType::ServerName, host.to_string()),
        body,
    }
}

fn certificate(state: &State, secret: &ObjectKey) -> Option<v1::Certificate> {
    let certificate = state.certificate(secret)?;
    let meta = &state.object(secret)?.good.as_ref()?.meta;
    let key_type = match certificate.key_type {
        KeyType::Rsa => v1::KeyType::Rsa,
        KeyType::Ecdsa => v1::KeyType::Ecdsa,
        KeyType::Ed25519 => v1::KeyType::Ed25519,
    };
    Some(v1::Certificate {
        source: Some(source(secret, meta)),
        bundle: certificate.bundle.as_bytes().to_vec(),
        key_type: key_type.into(),
    })
}

const REQUIRES: &[&str] = &["tls"];
