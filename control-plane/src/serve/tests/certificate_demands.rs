//! What operators demand of certificates, on its way to who obtains them.

use roadstead_proto::v1;
use roadstead_proto::v1::tls_certificate_service_client::TlsCertificateServiceClient;
use tokio::task::JoinSet;
use tonic::Code;

use crate::acme::{Demanded, Undemandable};
use crate::model::key::{Kind, Origin};
use crate::model::managed::Revocation;
use crate::serve::Role as Duty;
use crate::serve::tests::world::{World, key};
use crate::tokens::Role;

fn renewal(name: &str, reason: &str) -> v1::RenewCertificateRequest {
    v1::RenewCertificateRequest {
        name: name.to_owned(),
        reason: reason.to_owned(),
    }
}

#[tokio::test]
async fn a_demand_goes_to_who_obtains_the_certificate_and_is_answered_as_that_does() {
    let mut world = World::begun().await;
    for (answer, code) in [
        (Ok(()), Code::Ok),
        (Err(Undemandable::NoCa), Code::FailedPrecondition),
        (
            Err(Undemandable::Unknown(key(Kind::Certificate, "a"))),
            Code::NotFound,
        ),
        (
            Err(Undemandable::Changed(key(Kind::Certificate, "a"))),
            Code::Aborted,
        ),
    ] {
        let channel = world.channel(Role::Operator).await;
        let mut client = TlsCertificateServiceClient::new(channel);
        let mut call = JoinSet::new();
        call.spawn(async move {
            let request = v1::RevokeCertificateRequest {
                name: "certificate//a.example@folder".to_owned(),
                reason: " the key was lost ".to_owned(),
                because: v1::RevocationReason::KeyCompromise.into(),
                serial: "0a".to_owned(),
            };
            client.revoke_certificate(request).await
        });
        let Demanded {
            key,
            demand,
            answer: to,
        } = world.demanded.recv().await.unwrap();
        assert_eq!((key.origin, &*key.name), (Origin::Folder, "a.example"));
        assert_eq!(&*demand.reason, "the key was lost");
        assert!(demand.by.contains("operator"), "{}", demand.by);
        let revokes = demand.revokes.unwrap();
        let expected = (Revocation::KeyCompromise, "0a");
        assert_eq!((revokes.because, &*revokes.serial), expected);
        to.send(answer).unwrap();
        let answered = call.join_next().await.unwrap().unwrap();
        assert_eq!(
            answered.map_or_else(|status| status.code(), |_| Code::Ok),
            code
        );
    }
}

#[tokio::test]
async fn what_cannot_be_demanded_is_said_and_goes_nowhere() {
    let mut world = World::begun().await;
    let mut client = TlsCertificateServiceClient::new(world.channel(Role::Operator).await);
    let long = "x".repeat(1_001);
    for (name, reason, code) in [
        ("secret/a/b", "why", Code::NotFound),
        ("certificate//a", " ", Code::InvalidArgument),
        ("certificate//a", &long, Code::InvalidArgument),
    ] {
        let refused = client.renew_certificate(renewal(name, reason)).await;
        assert_eq!(refused.unwrap_err().code(), code, "{name} {reason}");
    }
    for (because, serial) in [(99, "0a"), (1, ""), (1, "0A"), (1, "secret")] {
        let request = v1::RevokeCertificateRequest {
            name: "certificate//a".to_owned(),
            reason: "why".to_owned(),
            because,
            serial: serial.to_owned(),
        };
        let refused = client.revoke_certificate(request).await;
        assert_eq!(
            refused.unwrap_err().code(),
            Code::InvalidArgument,
            "{serial}"
        );
    }
    world.duty.send_replace(Duty::Following {
        leader: Some("roadstead-1".into()),
    });
    let refused = client
        .renew_certificate(renewal("certificate//a", "why"))
        .await;
    let refused = refused.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert!(refused.message().contains("roadstead-1"), "{refused}");
    assert!(world.demanded.try_recv().is_err());
}
