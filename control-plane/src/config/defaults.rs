//! What holds where a key is left out; each is also said in the key's documentation.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use crate::config::{
    Access, Admin, Beside, Config, Grpc, Guard, History, IngressStatus, Kubernetes, Lease,
    Listener, Log, LogFormat, Otlp, Secrets, Sources, Tls,
};
use crate::model::settings::{HostOwnership, Protocol};

pub(super) fn any_address() -> IpAddr {
    Ipv6Addr::UNSPECIFIED.into()
}

pub(super) fn http() -> Protocol {
    Protocol::Http
}

fn listener(port: u16, protocol: Protocol) -> Listener {
    Listener {
        address: any_address(),
        port,
        protocol,
        proxy_protocol: BTreeSet::new(),
        public_port: None,
        tls: Tls::default(),
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            sources: Sources::default(),
            listeners: [
                ("http".into(), listener(80, Protocol::Http)),
                ("https".into(), listener(443, Protocol::Https)),
            ]
            .into(),
            ingress_class: "roadstead".into(),
            host_ownership: HostOwnership::Namespace,
            redirect_to_https: true,
            allow_local_external_names: false,
            deletion_guard: Guard::default(),
            beside: Beside::default(),
            certificates: BTreeMap::new(),
            acme: None,
            status_writes: true,
            ingress_status: IngressStatus::default(),
            data_folder: "/var/lib/roadstead/control-plane".into(),
            grpc: Grpc::default(),
            access: Access::default(),
            lease: Lease::default(),
            admin: Admin::default(),
            log: Log::default(),
            otlp: Otlp::default(),
            history: History::default(),
            publish_interval_milliseconds: 5,
        }
    }
}

impl Default for Kubernetes {
    fn default() -> Self {
        Self {
            kubeconfig: None,
            own_namespace: None,
            namespaces: Vec::new(),
            label_selector: None,
            secrets: Secrets::default(),
            watch_seconds: 60,
        }
    }
}

impl Default for Grpc {
    fn default() -> Self {
        Self {
            address: (Ipv4Addr::LOCALHOST, 8443).into(),
            names: Vec::new(),
            operators: Some((Ipv4Addr::LOCALHOST, 8444).into()),
        }
    }
}

impl Default for Lease {
    fn default() -> Self {
        Self {
            name: "roadstead-control-plane".to_owned(),
            duration: Duration::from_secs(15),
            renew_within: Duration::from_secs(10),
            retry: Duration::from_secs(2),
            identity: None,
            address: None,
            peers: Vec::new(),
        }
    }
}

impl Default for Admin {
    fn default() -> Self {
        Self {
            address: (Ipv4Addr::LOCALHOST, 8445).into(),
        }
    }
}

impl Default for Log {
    fn default() -> Self {
        Self {
            format: LogFormat::Text,
            level: "info".to_owned(),
        }
    }
}

impl Default for History {
    fn default() -> Self {
        Self {
            records: 1_000_000,
            checkpoint_after: 10_000,
        }
    }
}
