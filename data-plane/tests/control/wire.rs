//! What the control plane would send: resources, and their digest.

use std::{collections::BTreeMap, net::SocketAddr};

use prost::Message;
use roadstead_proto::{
    digest::{self, Digest},
    v1::{self, proxy_message},
};

/// All resources of a version, by type and name.
#[derive(Clone, Default)]
pub(crate) struct Content(BTreeMap<(i32, String), v1::Resource>);

impl Content {
    pub(crate) fn put(&mut self, resource: v1::Resource) {
        let key = (resource.r#type, resource.name.clone());
        self.0.insert(key, resource);
    }

    /// Changes the content, and gives the chunk that says so.
    pub(crate) fn change(&mut self, changed: Vec<v1::Resource>, removed: &[&str]) -> v1::Chunk {
        let mut chunk = v1::Chunk {
            changed: changed.clone(),
            removed: vec![],
        };
        for resource in changed {
            self.put(resource);
        }
        for name in removed {
            let keys: Vec<_> = self
                .0
                .keys()
                .filter(|key| key.1 == *name)
                .cloned()
                .collect();
            for key in keys {
                self.0.remove(&key);
                chunk.removed.push(v1::ResourceId {
                    r#type: key.0,
                    name: key.1,
                });
            }
        }
        chunk
    }

    pub(crate) fn digest(&self) -> Digest {
        let mut digest = Digest::new();
        for resource in self.0.values() {
            digest.insert(resource.r#type, &resource.name, &resource.hash);
        }
        digest
    }

    /// The resources in these buckets.
    pub(crate) fn in_buckets(&self, buckets: &[u32]) -> v1::Chunk {
        let within = |r: &&v1::Resource| {
            let bucket = digest::bucket_of(r.r#type, &r.name);
            buckets.contains(&u32::from(bucket))
        };
        v1::Chunk {
            changed: self.0.values().filter(within).cloned().collect(),
            removed: vec![],
        }
    }
}

/// A route for the host `NAME.example`.
pub(crate) fn route(name: &str, path: &str) -> v1::Resource {
    let rule = v1::Rule {
        id: "rule".to_owned(),
        hostname: format!("{name}.example"),
        path: Some(v1::PathMatch {
            kind: v1::path_match::Kind::ElementPrefix.into(),
            value: path.to_owned(),
        }),
        fallback: false,
        backends: vec![],
        https_port: 0,
    };
    let route = v1::Route {
        rules: vec![rule],
        ..v1::Route::default()
    };
    resource(v1::ResourceType::Route, format!("route/{name}"), &route)
}

pub(crate) fn listener(name: &str, port: u32) -> v1::Resource {
    listener_of(name, port, v1::listener::Protocol::Http)
}

/// One that only proxies that can do TLS may open.
pub(crate) fn secure_listener(name: &str, port: u32) -> v1::Resource {
    let listener = listener_of(name, port, v1::listener::Protocol::Https);
    v1::Resource {
        hash: digest::resource_hash(&listener.body, ["tls"])
            .to_vec()
            .into(),
        requires: vec!["tls".to_owned()],
        ..listener
    }
}

fn listener_of(name: &str, port: u32, protocol: v1::listener::Protocol) -> v1::Resource {
    let listener = v1::Listener {
        name: name.to_owned(),
        address: "127.0.0.1".to_owned(),
        port,
        protocol: protocol.into(),
        proxy_protocol: Vec::new(),
        tls: None,
    };
    resource(v1::ResourceType::Listener, name.to_owned(), &listener)
}

pub(crate) fn certificate(name: &str, bundle: &[u8]) -> v1::Resource {
    let certificate = v1::Certificate {
        source: None,
        bundle: bundle.to_vec(),
        key_type: v1::KeyType::Ecdsa.into(),
    };
    let kind = v1::ResourceType::Certificate;
    resource(kind, format!("secret/{name}"), &certificate)
}

/// Has the certificate of this name shown for the host `NAME.example`.
pub(crate) fn server_name(name: &str) -> v1::Resource {
    let hostname = format!("{name}.example");
    let server_name = v1::ServerName {
        hostname: hostname.clone(),
        certificates: vec![format!("secret/{name}")],
        expected: false,
    };
    resource(v1::ResourceType::ServerName, hostname, &server_name)
}

/// An answer to whoever asks `NAME.example` for this token.
pub(crate) fn challenge(name: &str, token: &str) -> v1::Resource {
    let hostname = format!("{name}.example");
    let challenge = v1::Challenge {
        answers: vec![v1::ChallengeAnswer {
            hostname: hostname.clone(),
            token: token.to_owned(),
            key_authorization: format!("{token}.of-a-version"),
            r#type: v1::ChallengeType::Http01.into(),
        }],
    };
    let kind = v1::ResourceType::Challenge;
    resource(kind, format!("certificate//{hostname}"), &challenge)
}

/// Rewrites a route so that its requests go to this upstream.
pub(crate) fn to(route: v1::Resource, upstream: &str) -> v1::Resource {
    let mut message = v1::Route::decode(route.body).unwrap();
    for rule in &mut message.rules {
        rule.backends = vec![v1::Backend {
            upstream: upstream.to_owned(),
            weight: 1,
        }];
    }
    resource(v1::ResourceType::Route, route.name, &message)
}

pub(crate) fn upstream(name: &str) -> v1::Resource {
    let upstream = v1::Upstream {
        source: None,
        target: Some(v1::upstream::Target::Discovered(v1::DiscoveredTarget {})),
    };
    resource(v1::ResourceType::Upstream, name.to_owned(), &upstream)
}

/// An upstream whose name each proxy looks up.
pub(crate) fn external(name: &str, hostname: &str, port: u16, allow_local: bool) -> v1::Resource {
    let target = v1::ExternalTarget {
        hostname: hostname.to_owned(),
        port: port.into(),
        allow_local,
    };
    let upstream = v1::Upstream {
        source: None,
        target: Some(v1::upstream::Target::External(target)),
    };
    resource(v1::ResourceType::Upstream, name.to_owned(), &upstream)
}

pub(crate) fn endpoints(name: &str, address: SocketAddr) -> v1::Resource {
    let endpoint = v1::Endpoint {
        address: address.ip().to_string(),
        port: address.port().into(),
        condition: v1::endpoint::Condition::Ready.into(),
        uid: "a pod".to_owned(),
    };
    let endpoints = v1::Endpoints {
        endpoints: vec![endpoint],
    };
    resource(v1::ResourceType::Endpoints, name.to_owned(), &endpoints)
}

fn resource(kind: v1::ResourceType, name: String, body: &impl Message) -> v1::Resource {
    let body = body.encode_to_vec();
    v1::Resource {
        r#type: kind.into(),
        name,
        hash: digest::resource_hash(&body, []).to_vec().into(),
        body: body.into(),
        changed_at: None,
        requires: vec![],
    }
}

/// The sequence number and the faults of an Ack, each as name and reason.
pub(crate) fn ack(message: v1::ProxyMessage) -> (u64, Vec<(String, String)>) {
    let Some(proxy_message::Message::Ack(ack)) = message.message else {
        panic!("not an Ack: {message:?}");
    };
    let faults = ack.faults.into_iter().map(|fault| {
        let name = fault.resource.unwrap_or_default().name;
        (name, fault.reason)
    });
    (ack.version.unwrap_or_default().seq, faults.collect())
}

/// What an Ack says of all that is held, if it does.
pub(crate) fn counted(message: v1::ProxyMessage) -> Option<v1::Digest> {
    let Some(proxy_message::Message::Ack(ack)) = message.message else {
        panic!("not an Ack: {message:?}");
    };
    ack.digest
}

/// The sequence number, the reason and the digest of a Nack.
pub(crate) fn nack(message: v1::ProxyMessage) -> (u64, String, v1::Digest) {
    let Some(proxy_message::Message::Nack(nack)) = message.message else {
        panic!("not a Nack: {message:?}");
    };
    let seq = nack.version.unwrap_or_default().seq;
    (seq, nack.reason, nack.digest.unwrap_or_default())
}
