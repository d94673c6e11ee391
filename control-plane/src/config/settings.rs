//! Of the configuration, what decides what objects mean.

use std::collections::BTreeMap;

use crate::config::{Acme, CertificateFiles, Config};
use crate::model::settings::Settings;
use crate::observe::Observation;
use crate::observe::guard::Confirmation;

/// What applies without a restart, for who leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Live {
    pub settings: Settings,
    pub certificates: BTreeMap<Box<str>, CertificateFiles>,
    confirmation: Option<Confirmation>,
}

impl Live {
    /// What the engine is told, in order.
    pub fn observations(self) -> impl Iterator<Item = Observation> {
        let confirmed = self.confirmation.map(Observation::Confirmed);
        std::iter::once(Observation::Configured(self.settings)).chain(confirmed)
    }
}

impl Config {
    /// What applies without a restart.
    pub fn live(&self) -> Live {
        Live {
            settings: self.settings(),
            certificates: self.certificates.clone(),
            confirmation: self.deletion_guard.confirmation(),
        }
    }

    /// What applies of another configuration while the program runs that was started with this: who
    /// obtains certificates, and how, is as it was.
    pub fn live_of(&self, other: &Self) -> Live {
        let acme = match (&self.acme, &other.acme) {
            (Some(acme), Some(other)) => Some(acme.with_live_of(other)),
            (started_with, _) => started_with.clone(),
        };
        let merged = Self {
            acme,
            ..other.clone()
        };
        merged.live()
    }

    /// The part that projection depends on, and that is a fact in the log.
    pub fn settings(&self) -> Settings {
        let listeners = self.listeners.iter();
        let listeners = listeners.map(|(name, listener)| (name.clone(), listener.settings()));
        Settings {
            listeners: listeners.collect(),
            ingress_class: self.ingress_class.clone(),
            host_ownership: self.host_ownership,
            allow_local_external_names: self.allow_local_external_names,
            deletion_guard: self.deletion_guard.bounds(),
            beside: self.beside.controllers(),
            obtains: self.acme.as_ref().map(Acme::obtains),
            redirects_to_https: self.redirect_to_https,
        }
    }

    /// The keys in which another configuration differs and that need a restart.
    pub fn differs_until_restart(&self, other: &Self) -> Vec<&'static str> {
        let mut keys = Vec::new();
        let mut compare = |key, same: bool| {
            if !same {
                keys.push(key);
            }
        };
        // In full, so that a new key must be thought of here.
        let Self {
            sources,
            listeners: _,
            ingress_class: _,
            host_ownership: _,
            redirect_to_https: _,
            allow_local_external_names: _,
            deletion_guard: _,
            beside: _,
            certificates: _,
            acme,
            status_writes,
            ingress_status,
            data_folder,
            grpc,
            access,
            lease,
            admin,
            log,
            otlp,
            history,
            publish_interval_milliseconds,
        } = other;
        compare("sources", self.sources == *sources);
        compare("statusWrites", self.status_writes == *status_writes);
        compare("ingressStatus", self.ingress_status == *ingress_status);
        let lasting = |acme: &Option<Acme>| acme.as_ref().map(Acme::lasting);
        compare("acme", lasting(&self.acme) == lasting(acme));
        compare("dataFolder", self.data_folder == *data_folder);
        compare("grpc", self.grpc == *grpc);
        compare("access", self.access == *access);
        compare("lease", self.lease == *lease);
        compare("admin", self.admin == *admin);
        compare("log.format", self.log.format == log.format);
        compare("otlp", self.otlp == *otlp);
        compare("history", self.history == *history);
        compare(
            "publishIntervalMilliseconds",
            self.publish_interval_milliseconds == *publish_interval_milliseconds,
        );
        keys
    }
}
