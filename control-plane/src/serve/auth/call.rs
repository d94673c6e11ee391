//! What a call needs, by its path.

use roadstead_proto::v1::{
    certificate_service_server::SERVICE_NAME as CERTIFICATES,
    challenge_service_server::SERVICE_NAME as CHALLENGES,
    distribution_service_server::SERVICE_NAME as DISTRIBUTION,
    event_service_server::SERVICE_NAME as EVENTS, guard_service_server::SERVICE_NAME as GUARD,
    host_service_server::SERVICE_NAME as HOSTS, proxy_service_server::SERVICE_NAME as PROXIES,
    secret_service_server::SERVICE_NAME as SECRETS,
    snapshot_service_server::SERVICE_NAME as SNAPSHOTS,
    tls_certificate_service_server::SERVICE_NAME as TLS_CERTIFICATES,
};

use crate::review::Right;

/// Whose call it is, and what it takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Call {
    /// A proxy's stream.
    Stream,
    /// A replica's.
    Replica,
    /// A proxy's or a replica's, for private keys.
    Secrets,
    /// A proxy's, for what a CA asks it.
    Challenge,
    /// For a certificate: the service itself asks for proof.
    Certificate,
    /// An operator's, who needs this right; none to learn what services there are.
    Operator(Option<Right>),
}

impl Call {
    /// What does not exist is for operators with every right to find out, so that a service
    /// that is forgotten here is closed.
    pub(super) fn of(path: &str) -> Self {
        let call = path.strip_prefix('/').and_then(|path| path.split_once('/'));
        let (service, method) = call.unwrap_or_default();
        let (verb, resource) = match (service, method) {
            (DISTRIBUTION, _) => return Self::Stream,
            (REPLICATION, _) => return Self::Replica,
            (SECRETS, _) => return Self::Secrets,
            (CHALLENGES, _) => return Self::Challenge,
            (CERTIFICATES, _) => return Self::Certificate,
            (REFLECTION | REFLECTION_ALPHA, _) => return Self::Operator(None),
            (SNAPSHOTS, "GetSnapshot" | "StreamSnapshot" | "DiffVersions") => ("get", "snapshots"),
            (SNAPSHOTS, "ListVersions") => ("list", "snapshots"),
            (EVENTS, "ListEvents") => ("list", "events"),
            (EVENTS, "WatchEvents") => ("watch", "events"),
            (HOSTS, "ListHosts") => ("list", "hosts"),
            (TLS_CERTIFICATES, "ListCertificates") => ("list", "certificates"),
            (TLS_CERTIFICATES, "GetCertificate") => ("get", "certificates"),
            (TLS_CERTIFICATES, "RenewCertificate" | "RevokeCertificate") => {
                ("update", "certificates")
            }
            (PROXIES, "ListProxies") => ("list", "proxies"),
            (GUARD, "ListHolds") => ("list", "holds"),
            // As one would delete what is held.
            (GUARD, "ConfirmDeletions") => ("update", "holds"),
            _ => ("*", "*"),
        };
        Self::Operator(Some(Right { verb, resource }))
    }
}

const REPLICATION: &str = "roadstead.v1.ReplicationService";
const REFLECTION: &str = "grpc.reflection.v1.ServerReflection";
const REFLECTION_ALPHA: &str = "grpc.reflection.v1alpha.ServerReflection";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_call_has_its_own_rule_and_an_unknown_one_needs_all_rights() {
        let right = |verb, resource| Call::Operator(Some(Right { verb, resource }));
        for (path, call) in [
            ("/roadstead.v1.DistributionService/Stream", Call::Stream),
            ("/roadstead.v1.ReplicationService/Follow", Call::Replica),
            ("/roadstead.v1.SecretService/FetchSecrets", Call::Secrets),
            ("/roadstead.v1.CertificateService/Issue", Call::Certificate),
            (
                "/roadstead.v1.ChallengeService/GetChallenge",
                Call::Challenge,
            ),
            (
                "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
                Call::Operator(None),
            ),
            (
                "/roadstead.v1.SnapshotService/GetSnapshot",
                right("get", "snapshots"),
            ),
            (
                "/roadstead.v1.EventService/WatchEvents",
                right("watch", "events"),
            ),
            (
                "/roadstead.v1.TlsCertificateService/ListCertificates",
                right("list", "certificates"),
            ),
            (
                "/roadstead.v1.TlsCertificateService/GetCertificate",
                right("get", "certificates"),
            ),
            (
                "/roadstead.v1.TlsCertificateService/RenewCertificate",
                right("update", "certificates"),
            ),
            (
                "/roadstead.v1.TlsCertificateService/RevokeCertificate",
                right("update", "certificates"),
            ),
            ("/roadstead.v1.EventService/Delete", right("*", "*")),
            ("/roadstead.v1.DistributionService", right("*", "*")),
            ("/roadstead.v1.DistributionServiceX/Stream", right("*", "*")),
            ("/", right("*", "*")),
            ("", right("*", "*")),
        ] {
            assert_eq!(Call::of(path), call, "{path}");
        }
    }

    #[test]
    fn every_method_that_operators_call_is_in_the_table() {
        use prost::Message as _;
        let files = roadstead_proto::DESCRIPTORS;
        let files = prost_types::FileDescriptorSet::decode(files).unwrap();
        let services = files.file.iter().flat_map(|file| {
            let package = file.package();
            file.service.iter().map(move |service| (package, service))
        });
        let mut paths = services.flat_map(|(package, service)| {
            let methods = service.method.iter();
            methods.map(move |m| format!("/{package}.{}/{}", service.name(), m.name()))
        });
        let unknown = Call::of("");
        assert_eq!(paths.find(|path| Call::of(path) == unknown), None);
    }
}
