//! HTTPS of the program: what is kept of keys, and where it is not.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    sync::Arc,
};

use prost::Message as _;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use roadstead_data_plane::snapshot::BundleName;
use roadstead_proto::v1::CertificateBundle;
use rustix::process::Signal;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned, crypto::aws_lc_rs};
use tokio::task::{JoinSet, spawn_blocking};

use super::*;
use crate::{
    plane::Plane,
    proxy::local,
    wire::{
        Content, ack, certificate, endpoints, route, secure_listener, server_name, to, upstream,
    },
};

const UPSTREAM: &str = "service/a/b:80";

/// A certificate for `a.example` by a CA of its own.
struct Site {
    bundle: Vec<u8>,
    trusting: Arc<ClientConfig>,
}

impl Site {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(["a.example".to_owned()]).unwrap();
        let bundle = CertificateBundle {
            chain: vec![params.signed_by(&key, &ca).unwrap().der().to_vec()],
            private_key: key.serialize_der(),
        };
        let mut roots = RootCertStore::empty();
        roots.add(ca.der().clone()).unwrap();
        let provider = Arc::new(aws_lc_rs::default_provider());
        let trusting = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        Self {
            bundle: bundle.encode_to_vec(),
            trusting: Arc::new(trusting),
        }
    }

    fn name(&self) -> Vec<u8> {
        BundleName::of(&self.bundle).as_bytes().to_vec()
    }

    /// What is served, and where it comes from.
    fn content(&self, web: SocketAddr, address: SocketAddr) -> Content {
        let mut content = Content::default();
        content.put(secure_listener("websecure", web.port().into()));
        content.put(certificate("a", &self.name()));
        content.put(server_name("a"));
        content.put(to(route("a", "/"), UPSTREAM));
        content.put(upstream(UPSTREAM));
        content.put(endpoints(UPSTREAM, address));
        content
    }

    /// A whole answer by HTTPS, from someone who has this certificate.
    async fn get(&self, address: SocketAddr) -> Result<String, std::io::Error> {
        let trusting = Arc::clone(&self.trusting);
        let asked = spawn_blocking(move || {
            let name = "a.example".try_into().unwrap();
            let tls = ClientConnection::new(trusting, name).unwrap();
            let mut stream = StreamOwned::new(tls, TcpStream::connect(address)?);
            let request = "GET / HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n";
            stream.write_all(request.as_bytes())?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer)?;
            Ok(answer)
        });
        asked.await.unwrap()
    }
}

#[tokio::test]
async fn a_proxy_that_is_started_again_serves_https_without_a_control_plane() {
    local(async {
        let mut tasks = JoinSet::new();
        let echo = answer_as("echo", &mut tasks).await;
        let (site, web) = (Site::new(), free_address().await);
        let mut plane = Plane::start().await;
        plane.give(&site.name(), &site.bundle);
        let memory = tempfile::tempdir_in("/dev/shm").unwrap();
        let keys = memory.path().join("keys");
        let setting = format!("keysFolder: {}\n", keys.display());
        let program = Program::start_with(plane.address, &setting).await;
        let mut stream = plane.accept().await;
        stream.send_whole(1, &site.content(web, echo)).await;
        assert_eq!(ack(stream.answer().await), (1, vec![]));
        assert!(site.get(web).await.unwrap().ends_with("echo"));
        drop(stream);
        plane.stop().await;

        let (folder, well) = program.end(Signal::TERM).await;
        assert!(well);
        let program = Program::run(folder, plane.address, &setting, Stdio::null()).await;
        program.wait_until_ready().await;
        assert!(site.get(web).await.unwrap().ends_with("echo"));

        let (folder, _) = program.end(Signal::KILL).await;
        let program = Program::run(folder, plane.address, &setting, Stdio::null()).await;
        program.wait_until_ready().await;
        assert!(site.get(web).await.unwrap().ends_with("echo"));

        // As after a reboot: nothing is served by HTTPS until a control plane gives it anew.
        let (folder, _) = program.end(Signal::KILL).await;
        std::fs::remove_dir_all(&keys).unwrap();
        let program = Program::run(folder, plane.address, &setting, Stdio::null()).await;
        program.wait_until_ready().await;
        assert!(site.get(web).await.is_err());
        plane.resume().await;
        let stream = plane.accept().await;
        while site.get(web).await.is_err() {
            sleep(Duration::from_millis(10)).await;
        }
        drop(stream);
    })
    .await;
}

#[tokio::test]
async fn keys_are_not_written_to_a_disk() {
    local(async {
        let mut tasks = JoinSet::new();
        let echo = answer_as("echo", &mut tasks).await;
        let (site, web) = (Site::new(), free_address().await);
        let mut plane = Plane::start().await;
        plane.give(&site.name(), &site.bundle);
        let disk = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let setting = format!("keysFolder: {}\n", disk.path().display());
        let mut program = Program::start_to(plane.address, &setting, Stdio::piped()).await;
        let mut stream = plane.accept().await;
        stream.send_whole(1, &site.content(web, echo)).await;
        assert_eq!(ack(stream.answer().await), (1, vec![]));
        assert!(site.get(web).await.unwrap().ends_with("echo"));
        assert_eq!(std::fs::read_dir(disk.path()).unwrap().count(), 0);

        program.signal(Signal::TERM);
        let mut said = String::new();
        let mut stdout = program.child.stdout.take().unwrap();
        stdout.read_to_string(&mut said).await.unwrap();
        assert!(said.contains("keysFolder: "), "{said}");
        assert!(said.contains("is on a disk"), "{said}");
    })
    .await;
}
