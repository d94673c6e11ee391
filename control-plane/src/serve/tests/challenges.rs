//! Who may ask for challenges, of which replica, and what is answered.

use prost::Message as _;
use roadstead_proto::v1::challenge_service_client::ChallengeServiceClient;
use roadstead_proto::v1::{self, ChallengeAnswer, GetChallengeRequest};
use tonic::transport::{Certificate, ClientTlsConfig, Identity};
use tonic::{Code, Status};

use crate::clock::now;
use crate::pki::Subject;
use crate::serve::Role as Duty;
use crate::serve::tests::world::{Authorized, World};
use crate::snapshot::{Change, ResourceId};
use crate::tokens::Role;

/// Publishes that the certificate of this name is being obtained, with these hosts and tokens; none
/// of them: that it is not.
fn publish(world: &mut World, name: &str, answers: &[(&str, &str)]) {
    let answer = |(hostname, token): &(&str, &str)| ChallengeAnswer {
        hostname: (*hostname).to_owned(),
        token: (*token).to_owned(),
        key_authorization: format!("{token}.thumbprint"),
        r#type: v1::ChallengeType::Http01.into(),
    };
    let challenge = v1::Challenge {
        answers: answers.iter().map(answer).collect(),
    };
    let body = (challenge.encode_to_vec(), ["challenge"].as_slice());
    world.change(vec![Change {
        id: ResourceId::new(v1::ResourceType::Challenge, format!("certificate//{name}")),
        body: (!answers.is_empty()).then_some(body),
    }]);
}

fn asked(hostname: &str, token: &str) -> GetChallengeRequest {
    GetChallengeRequest {
        hostname: hostname.to_owned(),
        token: token.to_owned(),
        r#type: v1::ChallengeType::Http01.into(),
    }
}

/// What a proxy with a token is told.
async fn ask(
    proxy: &mut ChallengeServiceClient<Authorized>,
    hostname: &str,
    token: &str,
) -> Result<String, Code> {
    let answer = proxy.get_challenge(asked(hostname, token)).await;
    let answer = answer.map_err(|status| status.code())?;
    Ok(answer.into_inner().key_authorization)
}

#[tokio::test]
async fn a_proxy_is_told_what_is_published_last() {
    let mut world = World::begun().await;
    let mut proxy = ChallengeServiceClient::new(world.channel(Role::Proxy).await);
    assert_eq!(ask(&mut proxy, "a.example", "t").await, Err(Code::NotFound));
    publish(&mut world, "a.example", &[("a.example", "t"), ("b", "u")]);
    publish(&mut world, "c.example", &[("c.example", "v")]);
    for (hostname, token, answer) in [
        ("a.example", "t", Ok("t.thumbprint")),
        ("b", "u", Ok("u.thumbprint")),
        ("c.example", "v", Ok("v.thumbprint")),
        ("a.example", "u", Err(Code::NotFound)),
        ("A.example", "t", Err(Code::NotFound)),
        ("", "", Err(Code::NotFound)),
    ] {
        let found = ask(&mut proxy, hostname, token).await;
        assert_eq!(found.as_deref().map_err(|code| *code), answer, "{hostname}");
    }
    publish(&mut world, "a.example", &[]);
    assert_eq!(ask(&mut proxy, "a.example", "t").await, Err(Code::NotFound));
    let found = ask(&mut proxy, "c.example", "v").await;
    assert_eq!(found.as_deref(), Ok("v.thumbprint"));
    let large = "x".repeat(2_000);
    let found = ask(&mut proxy, "a.example", &large).await;
    assert_eq!(found, Err(Code::OutOfRange), "not even read");
}

#[tokio::test]
async fn whoever_asks_too_often_is_told_so_and_keeps_nobody_else_from_asking() {
    let mut world = World::guarded().await;
    publish(&mut world, "a.example", &[("a.example", "t")]);
    let mut proxies = Vec::new();
    for node in ["node-1", "node-2"] {
        let ca = Certificate::from_pem(world.authorities().bundle());
        let signing = world.authorities().signing();
        let subject = Subject::proxy(node).unwrap();
        let (certificate, key) = signing.issue_client(&subject, now()).unwrap();
        let identity = Identity::from_pem(certificate, key);
        let tls = ClientTlsConfig::new().ca_certificate(ca).identity(identity);
        proxies.push(ChallengeServiceClient::new(world.connect(tls).await));
    }
    let [greedy, other] = proxies.as_mut_slice() else {
        panic!("there are two");
    };
    let mut refused = false;
    for _ in 0..1_000 {
        let answer = greedy.get_challenge(asked("a.example", "t")).await;
        refused |= answer.is_err_and(|status| status.code() == Code::ResourceExhausted);
    }
    assert!(refused);
    let answer = other.get_challenge(asked("a.example", "t")).await;
    assert_eq!(
        answer.unwrap().into_inner().key_authorization,
        "t.thumbprint"
    );
}

#[tokio::test]
async fn only_whoever_leads_answers() {
    let mut world = World::begun().await;
    publish(&mut world, "a.example", &[("a.example", "t")]);
    let mut proxy = ChallengeServiceClient::new(world.channel(Role::Proxy).await);
    for leader in [None, Some("https://leader:8443".into())] {
        world.duty.send_replace(Duty::Following { leader });
        let found = ask(&mut proxy, "a.example", "t").await;
        assert_eq!(found, Err(Code::Unavailable));
    }
}

#[tokio::test]
async fn only_proxies_are_told() {
    let mut world = World::guarded().await;
    publish(&mut world, "a.example", &[("a.example", "t")]);
    let refused = |answer: Result<_, Status>| answer.map(drop).map_err(|status| status.code());
    let subjects = [
        (Subject::proxy("node-1"), Ok(())),
        (Subject::replica("roadstead-1"), Err(Code::Unauthenticated)),
        (None, Err(Code::Unauthenticated)),
    ];
    for (subject, allowed) in subjects {
        let ca = Certificate::from_pem(world.authorities().bundle());
        let mut tls = ClientTlsConfig::new().ca_certificate(ca);
        if let Some(subject) = &subject {
            let signing = world.authorities().signing();
            let (certificate, key) = signing.issue_client(subject, now()).unwrap();
            tls = tls.identity(Identity::from_pem(certificate, key));
        }
        let mut client = ChallengeServiceClient::new(world.connect(tls).await);
        let answer = client.get_challenge(asked("a.example", "t")).await;
        assert_eq!(refused(answer), allowed, "{subject:?}");
    }
    let world = World::begun().await;
    let mut operator = ChallengeServiceClient::new(world.channel(Role::Operator).await);
    let answer = operator.get_challenge(asked("a.example", "t")).await;
    assert_eq!(refused(answer), Err(Code::PermissionDenied));
}
