//! gRPC: the stream to proxies and the services for operators, behind tokens
//! and certificates.
//!
//! Apart from what is served: this knows of connections, calls and limits, and of publications
//! and the past only what their handles say.

mod auth;
mod certificates;
mod challenges;
mod distribution;
mod error;
mod events;
mod followers;
mod guard;
mod hosts;
mod leader;
pub mod listen;
mod operator;
mod page;
mod proxies;
mod rates;
mod replicas;
mod role;
mod secrets;
mod shares;
mod snapshots;
mod stop;
mod tls_certificates;
mod wire;

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use roadstead_proto::DESCRIPTORS;
use roadstead_proto::v1::certificate_service_server::CertificateServiceServer;
use roadstead_proto::v1::challenge_service_server::ChallengeServiceServer;
use roadstead_proto::v1::event_service_server::EventServiceServer;
use roadstead_proto::v1::guard_service_server::GuardServiceServer;
use roadstead_proto::v1::host_service_server::HostServiceServer;
use roadstead_proto::v1::proxy_service_server::ProxyServiceServer;
use roadstead_proto::v1::replication_service_server::ReplicationServiceServer;
use roadstead_proto::v1::secret_service_server::SecretServiceServer;
use roadstead_proto::v1::snapshot_service_server::SnapshotServiceServer;
use roadstead_proto::v1::tls_certificate_service_server::TlsCertificateServiceServer;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tonic::service::Routes;
use tonic::transport::Server;

use crate::history::History;
use crate::keys::Keys;
use crate::metrics::secrets::SecretMetrics;
use crate::metrics::streams::StreamMetrics;
use crate::presence::Presence;
use crate::serve::auth::Authenticate;
use crate::serve::certificates::Certificates;
use crate::serve::challenges::Challenges;
use crate::serve::distribution::{Common, Distribution};
use crate::serve::events::Events;
use crate::serve::guard::Guard;
use crate::serve::hosts::HostReport;
use crate::serve::listen::Listener;
use crate::serve::proxies::{Connected, Proxies};
use crate::serve::replicas::Replicas;
use crate::serve::secrets::{Giver, Secrets};
use crate::serve::snapshots::Snapshots;
use crate::serve::stop::{Stop, Stopper};
use crate::serve::tls_certificates::CertificateReport;
use crate::snapshot::publication::Publication;
use crate::state::hold::Holding;

pub use auth::Access;
pub use certificates::Issuing;
pub use distribution::Patience;
pub use followers::Followers;
pub use leader::Leader;
pub use role::Role;

/// What is served, and to whom.
#[derive(Debug)]
pub struct Parts {
    pub publications: watch::Receiver<Arc<Publication>>,
    pub presence: watch::Receiver<Presence>,
    /// What the guard against mass deletion holds.
    pub holding: watch::Receiver<Holding>,
    /// Whether the log cannot be written.
    pub frozen: watch::Receiver<bool>,
    /// Whether this replica leads.
    pub role: watch::Receiver<Role>,
    /// How whoever does is asked.
    pub leader: Leader,
    pub followers: Followers,
    pub history: History,
    pub access: Access,
    /// By what proxies get certificates, if they do.
    pub issuing: Option<Issuing>,
    /// What proxies and replicas are given.
    pub keys: Keys,
    pub metrics: StreamMetrics,
    pub secret_metrics: SecretMetrics,
    pub patience: Patience,
}

/// gRPC cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    #[error("server reflection: {0}")]
    Reflection(#[from] tonic_reflection::server::Error),
    #[error("gRPC on {address}: {source}")]
    Listener {
        address: String,
        source: tonic::transport::Error,
    },
    #[error("gRPC: a task failed: {0}")]
    Task(#[from] tokio::task::JoinError),
    #[error("gRPC stopped by itself")]
    Ended,
}

/// Serves on these listeners until the end of `shutdown`; then streams are told to end, and
/// those that do not are left behind after a few seconds.
pub async fn run(
    listeners: Vec<Listener>,
    parts: Parts,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<(), ServeError> {
    let (stopper, stop) = Stopper::new();
    let access = Arc::new(parts.access.clone());
    let metrics = parts.metrics.clone();
    let (distribution, giver, routes) = services(parts, &stop)?;
    let mut tasks: JoinSet<Result<(), ServeError>> = JoinSet::new();
    let (streams, answers) = (stop.clone(), stop.clone());
    tasks.spawn(async move {
        giver.run(answers).await;
        Ok(())
    });
    tasks.spawn(async move {
        distribution.run(streams).await;
        Ok(())
    });
    for listener in listeners {
        let authenticate = Authenticate::new(Arc::clone(&access), metrics.clone());
        let (routes, stop) = (routes.clone(), stop.clone());
        tasks.spawn(serve(listener, authenticate, routes, stop));
    }
    tokio::pin!(shutdown);
    tokio::select! {
        () = &mut shutdown => {}
        ended = tasks.join_next() => {
            // Each of them is needed.
            return Err(match ended {
                Some(Ok(Err(error))) => error,
                Some(Err(error)) => error.into(),
                Some(Ok(Ok(()))) | None => ServeError::Ended,
            });
        }
    }
    stopper.stop();
    let drained = timeout(GRACE, async {
        while let Some(ended) = tasks.join_next().await {
            ended??;
        }
        Ok(())
    });
    drained.await.unwrap_or_else(|_| {
        tracing::warn!("some gRPC connections did not end in time");
        Ok(())
    })
}

fn services(parts: Parts, stop: &Stop) -> Result<(Distribution, Giver, Routes), ServeError> {
    let Parts {
        publications,
        presence,
        holding,
        frozen,
        role,
        leader,
        followers,
        history,
        access: _,
        issuing,
        keys,
        metrics,
        secret_metrics,
        patience,
    } = parts;
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(DESCRIPTORS)
    };
    let certificates = Certificates::new(issuing, metrics.clone());
    let guard = Guard::new(holding, frozen, role.clone());
    let challenges = Challenges::new(publications.clone(), role.clone(), metrics.clone());
    let common = Common::new(publications.clone(), role.clone(), metrics, patience);
    let (distribution, server) = Distribution::new(common);
    let (giver, secrets) = Secrets::new(keys, publications.clone(), secret_metrics);
    let snapshots = Snapshots::new(publications.clone(), history.clone());
    let connected = Connected::new(presence, publications, role.clone());
    let proxies = Proxies::new(connected.clone(), leader);
    let tls_certificates = CertificateReport::new(history.clone(), role.clone());
    let replicas = Replicas::new(&history, stop.clone(), followers, role, connected);
    let hosts = HostReport::new(history.clone());
    let events = Events::new(history, stop.clone());
    let routes = Routes::new(server)
        .add_service(SnapshotServiceServer::new(snapshots).max_decoding_message_size(REQUEST_BYTES))
        .add_service(EventServiceServer::new(events).max_decoding_message_size(REQUEST_BYTES))
        .add_service(GuardServiceServer::new(guard).max_decoding_message_size(REQUEST_BYTES))
        .add_service(HostServiceServer::new(hosts).max_decoding_message_size(REQUEST_BYTES))
        .add_service(
            TlsCertificateServiceServer::new(tls_certificates)
                .max_decoding_message_size(REQUEST_BYTES),
        )
        .add_service(ProxyServiceServer::new(proxies).max_decoding_message_size(REQUEST_BYTES))
        .add_service(
            ReplicationServiceServer::new(replicas).max_decoding_message_size(REQUEST_BYTES),
        )
        .add_service(SecretServiceServer::new(secrets).max_decoding_message_size(REQUEST_BYTES))
        .add_service(ChallengeServiceServer::new(challenges).max_decoding_message_size(TOKEN_BYTES))
        .add_service(
            CertificateServiceServer::new(certificates)
                .max_decoding_message_size(CERTIFICATE_BYTES),
        )
        .add_service(reflection().build_v1()?)
        .add_service(reflection().build_v1alpha()?);
    Ok((distribution, giver, routes.prepare()))
}

async fn serve(
    listener: Listener,
    authenticate: Authenticate,
    routes: Routes,
    stop: Stop,
) -> Result<(), ServeError> {
    let address = listener.address();
    let address = address.map_or_else(|error: io::Error| error.to_string(), |a| a.to_string());
    tracing::info!(address, tls = listener.is_tls(), "serving gRPC");
    let served = Server::builder()
        .http2_keepalive_interval(Some(KEEPALIVE))
        .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
        .http2_max_header_list_size(HEADER_BYTES)
        .max_concurrent_streams(STREAMS)
        .layer(authenticate)
        .add_routes(routes)
        .serve_with_incoming_shutdown(listener.incoming(), stop.stopped());
    let served = Box::pin(served).await;
    served.map_err(|source| ServeError::Listener { address, source })
}

/// A proxy behind a cable that was pulled is found dead after their sum.
const KEEPALIVE: Duration = Duration::from_secs(10);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);
/// A token has about 1 KiB.
const HEADER_BYTES: u32 = 16 * 1024;
/// Of one connection.
const STREAMS: u32 = 64;
/// Operators' requests are names and numbers.
const REQUEST_BYTES: usize = 64 * 1024;
/// A request for a certificate is a key and a signature.
const CERTIFICATE_BYTES: usize = 8 * 1024;
/// A host of 253 bytes at most, and a token of 256.
const TOKEN_BYTES: usize = 1024;
const GRACE: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests;
