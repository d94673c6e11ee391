//! Certificates that we obtain, of hosts that Ingresses want.

use proptest::prelude::*;
use roadstead_control_plane::model::bundle::BundleName;
use roadstead_control_plane::model::certificate::{Certificate, KeyType};
use roadstead_control_plane::model::key::{Kind, ObjectKey, Origin};
use roadstead_control_plane::model::managed::{
    Challenge, ChallengeType, Issued, Managed, Order, Progress, Proof, Renewal, Step as StepOfOrder,
};
use roadstead_control_plane::model::object::Spec;
use roadstead_control_plane::model::time::Timestamp;
use roadstead_matcher::host::HostPattern;

use crate::world::{Step, meta};

/// A certificate that we obtain, or do not any more.
pub(crate) fn step() -> impl Strategy<Value = Step> {
    let host = prop::sample::select(vec!["x.example", "y.example", "*.example"]);
    let now = prop::option::weighted(0.8, any::<bool>());
    (host, now, 0..3_u8).prop_map(|(name, now, version)| {
        let host = HostPattern::parse(name).unwrap();
        let mut meta = meta(0, "", name);
        meta.resource_version = version.to_string().into();
        let key = ObjectKey {
            origin: Origin::Kubernetes,
            kind: Kind::Certificate,
            namespace: "".into(),
            name: name.into(),
        };
        let now = now.map(|issued| (meta, Ok(Spec::Managed(Box::new(at(host, issued))))));
        Step { key, now }
    })
}

/// It was issued, or its order is at its challenge.
pub(crate) fn at(host: HostPattern, issued: bool) -> Managed {
    let mut managed = Managed::new(vec![host.clone()]);
    if issued {
        managed.issued = Some(Issued {
            way: None,
            certificate: Certificate {
                bundle: BundleName::of(host.to_string().as_bytes()),
                names: vec![host],
                key_type: KeyType::Ecdsa,
                not_before: Timestamp(0),
                not_after: Timestamp(9),
                issuer: "CN=ca".into(),
                serial: "01".into(),
            },
            ca: "https://ca.example/".into(),
            id: "id".into(),
            revoked: None,
            renewal: Renewal {
                at: Timestamp(6),
                window: None,
                ask: Timestamp(3),
            },
        });
    } else {
        let challenge = Challenge {
            challenge_type: ChallengeType::Http01,
            host: host.to_string().into(),
            token: "token".into(),
            key_authorization: "token.thumb".into(),
        };
        managed.order = Some(Order {
            way: None,
            ca: "https://ca.example/".into(),
            begun: Timestamp(0),
            step: StepOfOrder::Proving {
                url: "https://ca.example/order".into(),
                proofs: vec![Proof {
                    url: "https://ca.example/proof".into(),
                    progress: Progress::Open(challenge),
                }],
            },
            not_before: Timestamp(0),
        });
    }
    managed
}
