//! A leader of a newer release, as far as other replicas see it: the Lease names it, it is believed,
//! and what it logs nobody here can read.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context;
use futures::stream::{self, BoxStream, StreamExt as _};
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use rcgen::{CertificateParams, Issuer, KeyPair};
use roadstead_proto::v1::replication_service_server::{
    ReplicationService, ReplicationServiceServer,
};
use roadstead_proto::v1::{self, follow_message::Message};
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinSet, time::sleep};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::{Identity, Server, ServerTlsConfig};
use tonic::{Request, Response, Status};

use super::replicas::Replicas;

/// It runs until this is dropped. The Lease is its for as long as it is renewed.
#[derive(Debug)]
pub struct Newer {
    address: SocketAddr,
    _server: JoinSet<Result<(), tonic::transport::Error>>,
}

impl Newer {
    /// Starts at this address, with a certificate of the installation's authority.
    pub async fn start(replicas: &Replicas, address: SocketAddr) -> anyhow::Result<Self> {
        let identity = identity(replicas, address).await?;
        let listener = TcpListener::bind(address).await?;
        let server = Server::builder()
            .tls_config(ServerTlsConfig::new().identity(identity))?
            .add_service(ReplicationServiceServer::new(Log));
        let mut running = JoinSet::new();
        running.spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
        Ok(Self {
            address,
            _server: running,
        })
    }

    /// Holds the Lease, in the term of this epoch, for as long as this is polled.
    pub async fn lead(&self, replicas: &Replicas, epoch: u64) -> anyhow::Result<()> {
        for renewal in 0_u64.. {
            let annotations = json!({
                "roadstead.dev/epoch": epoch.to_string(),
                "roadstead.dev/address": format!("https://{}", self.address),
                "test/renewal": renewal.to_string(),
            });
            let lease = json!({
                "metadata": {"annotations": annotations},
                "spec": {"holderIdentity": "newer_1"},
            });
            replicas.edit_lease(&lease).await?;
            sleep(RENEWAL).await;
        }
        Ok(())
    }
}

/// A log of which each knows all but the last record, which is of a later schema.
struct Log;

#[tonic::async_trait]
impl ReplicationService for Log {
    async fn get_place(
        &self,
        _: Request<v1::GetPlaceRequest>,
    ) -> Result<Response<v1::GetPlaceResponse>, Status> {
        Ok(Response::new(v1::GetPlaceResponse {
            leads: true,
            ..v1::GetPlaceResponse::default()
        }))
    }

    async fn list_proxies(
        &self,
        _: Request<v1::ListProxiesRequest>,
    ) -> Result<Response<v1::ListProxiesResponse>, Status> {
        Ok(Response::new(v1::ListProxiesResponse::default()))
    }

    type FollowStream = BoxStream<'static, Result<v1::FollowMessage, Status>>;

    async fn follow(
        &self,
        request: Request<v1::FollowRequest>,
    ) -> Result<Response<Self::FollowStream>, Status> {
        let after = request.into_inner().after.unwrap_or_default();
        let record = v1::StoredRecord {
            seq: after.seq + 1,
            schema: u16::MAX.into(),
            bytes: br#"{"shape":"unheard of"}"#.to_vec(),
        };
        let records = v1::Records {
            records: vec![record],
        };
        let message = Some(Message::Records(records));
        let said = stream::iter([Ok(v1::FollowMessage { message })]);
        Ok(Response::new(said.chain(stream::pending()).boxed()))
    }
}

/// A certificate for this address, signed by the authority in the installation's Secret.
async fn identity(replicas: &Replicas, address: SocketAddr) -> anyhow::Result<Identity> {
    let secrets: Api<Secret> = Api::namespaced(replicas.cluster.client(), "default");
    let secret = secrets.get("roadstead-control-plane-ca").await?;
    let text = secret.data.into_iter().flatten().next();
    let stored: Value = serde_json::from_slice(&text.context("an empty Secret")?.1.0)?;
    let part = |name: &str| {
        let part = stored.pointer(&format!("/current/{name}"));
        part.and_then(Value::as_str).context("no authority")
    };
    let issuer = Issuer::from_ca_cert_pem(part("certificate")?, KeyPair::from_pem(part("key")?)?)?;
    let key = KeyPair::generate()?;
    let names = vec![address.ip().to_string()];
    let certificate = CertificateParams::new(names)?.signed_by(&key, &issuer)?;
    Ok(Identity::from_pem(certificate.pem(), key.serialize_pem()))
}

const RENEWAL: Duration = Duration::from_millis(300);
