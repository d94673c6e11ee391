//! When a certificate is doubted, and that it is kept.

use futures::FutureExt as _;
use opentelemetry::metrics::MeterProvider as _;
use opentelemetry_sdk::metrics::SdkMeterProvider;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use roadstead_proto::v1::ProxyMessage;
use tempfile::TempDir;
use tokio::{net::TcpListener, task::JoinSet};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{
    service::Routes,
    transport::{Certificate, Identity, Server, ServerTlsConfig},
};

use super::*;
use crate::control::Connector;

type Ca = CertifiedIssuer<'static, KeyPair>;

fn ca() -> Ca {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// A proxy that has a certificate, and trusts whom this authority vouches for.
struct Proxy {
    renewal: Renewal,
    certificates: Certificates,
    folder: TempDir,
}

impl Proxy {
    fn new(ca: &Ca, address: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let ca_file = folder.path().join("ca.pem");
        std::fs::write(&ca_file, ca.pem()).unwrap();
        let settings = ControlPlane {
            addresses: vec![address.parse().unwrap()],
            ca_file: Some(ca_file),
            certificate_folder: Some(folder.path().join("run")),
            ..ControlPlane::default()
        };
        let meter = SdkMeterProvider::default().meter("test");
        let (renewal, certificates) = Renewal::new(&settings, Metrics::new(&meter)).unwrap();
        renewal.take(held(ca));
        Self {
            renewal,
            certificates,
            folder,
        }
    }

    /// Tries to open a stream, and says whether the certificate is doubted after it.
    async fn doubts(&self) -> bool {
        let settings = self.renewal.settings.clone();
        let mut connector = Connector::new(settings, Some(self.certificates.clone()));
        let opened = connector.connect(ProxyMessage::default()).await.unwrap();
        opened.unwrap_err();
        self.is_doubted()
    }

    fn is_doubted(&self) -> bool {
        self.renewal.doubt.notified().now_or_never().is_some()
    }
}

fn held(ca: &Ca) -> Held {
    let draft = Draft::new().unwrap();
    let request = rcgen::CertificateSigningRequestParams::from_der(&draft.request().into());
    let certificate = CertificateParams::default().signed_by(&request.unwrap().public_key, ca);
    draft.complete(&certificate.unwrap().pem(), 0).unwrap()
}

/// A control plane without services, which believes clients of an authority.
async fn serve(tasks: &mut JoinSet<()>, ca: &Ca, clients: &Ca) -> String {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    let certificate = params.signed_by(&key, ca).unwrap();
    let tls = ServerTlsConfig::new()
        .identity(Identity::from_pem(certificate.pem(), key.serialize_pem()))
        .client_ca_root(Certificate::from_pem(clients.pem()));
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("https://{}", socket.local_addr().unwrap());
    let server = Server::builder().tls_config(tls).unwrap();
    let serving = { server }.add_routes(Routes::default());
    let serving = serving.serve_with_incoming(TcpListenerStream::new(socket));
    tasks.spawn(serving.map(Result::unwrap));
    address
}

#[tokio::test]
async fn only_who_looked_at_a_certificate_makes_it_doubted() {
    let (ours, other) = (ca(), ca());
    let mut tasks = JoinSet::new();
    let believing = serve(&mut tasks, &ours, &ours).await;
    let not_believing = serve(&mut tasks, &ours, &other).await;
    let stranger = serve(&mut tasks, &other, &other).await;
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let away = format!("https://{}", closed.local_addr().unwrap());
    drop(closed);
    for (address, expected) in [
        (believing, false),
        (not_believing, true),
        (stranger, false),
        (away, false),
    ] {
        let doubts = Box::pin(Proxy::new(&ours, &address).doubts()).await;
        assert_eq!(doubts, expected, "{address}");
    }
}

#[tokio::test]
async fn a_stream_that_ends_for_who_we_are_makes_the_certificate_doubted_that_opened_it() {
    let ours = ca();
    let proxy = Proxy::new(&ours, "https://127.0.0.1:1");
    let settings = proxy.renewal.settings.clone();
    let connector = Connector::new(settings, Some(proxy.certificates.clone()));
    let shown = proxy.certificates.get().await.unwrap();
    for (status, expected) in [
        (Status::permission_denied("another name"), true),
        (Status::unauthenticated("its authority is gone"), true),
        (Status::unavailable("it stops"), false),
    ] {
        connector.ended(&shown, &status);
        assert_eq!(proxy.is_doubted(), expected, "{status}");
    }
    proxy.renewal.take(held(&ours));
    connector.ended(&shown, &Status::permission_denied("another name"));
    assert!(!proxy.is_doubted(), "there is another one by now");
}

#[tokio::test(start_paused = true)]
async fn a_certificate_is_kept_as_soon_as_it_can_be() {
    let mut proxy = Proxy::new(&ca(), "https://127.0.0.1:1");
    let folder = proxy.folder.path().join("run");
    // Something is in the way of the folder.
    std::fs::write(&folder, "").unwrap();
    proxy.renewal.unkept = Some(0);
    proxy.renewal.keep();
    proxy.renewal.keep();
    assert_eq!(proxy.renewal.unkept, Some(2));
    std::fs::remove_file(&folder).unwrap();
    let due = timeout(2 * LOOK_EVERY, proxy.renewal.wait()).await;
    due.unwrap_err();
    assert!(Held::read(&folder).unwrap().is_some());
    // Once is enough.
    std::fs::remove_dir_all(&folder).unwrap();
    proxy.renewal.keep();
    assert!(!folder.exists());
}
