//! The stream by TLS: only the control plane that the configured CA vouches for is believed.

use std::path::PathBuf;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use roadstead_data_plane::config::ControlPlane;
use tempfile::TempDir;
use tokio::time::{Duration, timeout};
use tonic::transport::Identity;

use crate::{
    plane::Plane,
    proxy::{Proxy, local},
    wire::{Content, ack, route},
};

type Ca = CertifiedIssuer<'static, KeyPair>;

fn ca() -> Ca {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

fn identity(ca: &Ca, name: &str) -> Identity {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    let certificate = params.signed_by(&key, ca).unwrap();
    Identity::from_pem(certificate.pem(), key.serialize_pem())
}

/// A file with the CA; its folder is removed when the first is dropped.
fn file(ca: &Ca) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ca.pem");
    std::fs::write(&path, ca.pem()).unwrap();
    (folder, path)
}

fn settings(addresses: &[&Plane], ca: PathBuf, server_name: Option<&str>) -> ControlPlane {
    let url = |plane: &&Plane| format!("https://{}", plane.address).parse().unwrap();
    ControlPlane {
        addresses: addresses.iter().map(url).collect(),
        ca_file: Some(ca),
        server_name: server_name.map(str::to_owned),
        ..ControlPlane::default()
    }
}

#[tokio::test]
async fn a_control_plane_of_the_configured_ca_is_believed() {
    local(async {
        for (name, server_name) in [("127.0.0.1", None), ("roadstead", Some("roadstead"))] {
            let ca = ca();
            let (_folder, path) = file(&ca);
            let mut plane = Plane::start_as(Some(identity(&ca, name))).await;
            let proxy = Proxy::start_with(settings(&[&plane], path, server_name), None).await;
            let mut stream = plane.accept().await;
            assert_eq!(stream.token.as_deref(), Some("Bearer a token"));
            let mut content = Content::default();
            content.put(route("a", "/"));
            stream.send_whole(1, &content).await;
            assert_eq!(ack(stream.answer().await), (1, vec![]));
            assert_eq!(proxy.serves("a").await, Some("1.1 route/a".to_owned()));
        }
    })
    .await;
}

#[tokio::test]
async fn others_are_passed_over_and_the_next_address_is_tried() {
    local(async {
        let ca = ca();
        let (_folder, path) = file(&ca);
        let mut stranger = Plane::start_as(Some(identity(&self::ca(), "127.0.0.1"))).await;
        let mut misnamed = Plane::start_as(Some(identity(&ca, "elsewhere"))).await;
        let mut plane = Plane::start_as(Some(identity(&ca, "127.0.0.1"))).await;
        let addresses = [&stranger, &misnamed, &plane];
        let _proxy = Proxy::start_with(settings(&addresses, path, None), None).await;
        plane.accept().await;
        for other in [&mut stranger, &mut misnamed] {
            let seen = timeout(Duration::ZERO, other.accept()).await;
            assert!(seen.is_err(), "a stranger was given the token");
        }
    })
    .await;
}
