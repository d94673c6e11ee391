//! All hosts: who claims each, and what of each is not served as it is written.
//!
//! Apart from the standings, which are told by object and kept up to date with each change:
//! this is made as a whole, for who asks.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::event::Seq;
use crate::model::key::{Kind, ObjectKey};
use crate::project::Fold;
use crate::project::finding::Finding;
use crate::project::standing::Standing;
use crate::snapshot::Version;
use crate::state::State;
use crate::state::claims::wish::{Position, wishes};

/// What there is at a record.
#[derive(Debug)]
pub struct Hosts {
    /// The record.
    pub seq: Seq,
    /// The configuration that was served then.
    pub version: Version,
    /// Id of the installation.
    pub lineage: Box<str>,
    /// In order of their text.
    pub hosts: Vec<Host>,
    /// Ingresses that are refused, and of which no earlier version is served: what hosts they are
    /// meant to claim is not known.
    pub refused: Vec<Found>,
}

/// A host that is claimed.
#[derive(Debug)]
pub struct Host {
    /// As in an Ingress; empty for any host.
    pub host: Box<str>,
    /// The namespace of its oldest claimant.
    pub owner: Box<str>,
    /// Who claims anything of it, in order of their keys.
    pub claimants: Vec<Claimant>,
    pub findings: Vec<Found>,
}

/// An Ingress that claims a host.
#[derive(Debug, PartialEq, Eq)]
pub struct Claimant {
    pub ingress: ObjectKey,
    /// Whether it has any of the paths that it claims there.
    pub served: bool,
}

/// What was found of an Ingress. What holds of all its hosts is shared by them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    pub ingress: ObjectKey,
    pub finding: Arc<Finding>,
}

impl Hosts {
    /// Those of a fold.
    pub fn of(fold: &Fold) -> Self {
        let state = fold.state();
        let mut hosts = BTreeMap::new();
        let mut refused = Vec::new();
        let standings = fold.standings().iter();
        for (key, standing) in standings.filter(|(key, _)| key.kind == Kind::Ingress) {
            if standing.served {
                enter(&mut hosts, state, key, standing);
            } else {
                refused.extend(of_all_hosts(key, standing));
            }
        }
        Self {
            seq: state.seq(),
            version: fold.snapshot().version(),
            lineage: state.head().lineage.clone(),
            hosts: hosts.into_values().collect(),
            refused,
        }
    }
}

fn enter(
    hosts: &mut BTreeMap<Box<str>, Host>,
    state: &State,
    key: &ObjectKey,
    standing: &Standing,
) {
    let Some((_, ingress)) = state.ingress(key) else {
        return;
    };
    let lost = standing.lost.iter().map(|lost| lost.position);
    let lost: BTreeSet<Position> = lost.collect();
    let mut served = BTreeMap::new();
    let mut of_position = BTreeMap::new();
    for wish in wishes(ingress) {
        *served.entry(wish.host.clone()).or_default() |= !lost.contains(&wish.position);
        of_position.insert(wish.position, wish.host);
    }
    let common: Vec<Found> = of_all_hosts(key, standing).collect();
    for (host, served) in served {
        let text: Box<str> = host.to_string().into();
        let entry = hosts.entry(text.clone()).or_insert_with(|| Host {
            host: text,
            owner: state.claims().owner(&host).unwrap_or_default().into(),
            claimants: Vec::new(),
            findings: Vec::new(),
        });
        entry.claimants.push(Claimant {
            ingress: key.clone(),
            served,
        });
        entry.findings.extend(common.iter().cloned());
    }
    let lost = standing.lost.iter();
    let lost = lost.map(|lost| (lost.position, Finding::of_lost(lost)));
    let missing = standing.missing.iter();
    let missing = missing.map(|missing| (missing.position, Finding::of_missing(missing)));
    for (position, finding) in lost.chain(missing) {
        let host = of_position.get(&position).map(ToString::to_string);
        if let Some(entry) = host.and_then(|host| hosts.get_mut(&*host)) {
            entry.findings.push(found(key, finding));
        }
    }
}

/// What holds of all that an Ingress claims.
fn of_all_hosts(key: &ObjectKey, standing: &Standing) -> impl Iterator<Item = Found> {
    let refusal = standing.refusal.iter();
    let refusal = refusal.map(|refusal| Finding::of_refusal(refusal, standing.served));
    let ignored = standing.ignored.iter();
    let ignored = ignored.map(|field| Finding::of_ignored(field));
    let lacking = standing.lacking.iter().map(Finding::of_lacking);
    refusal
        .chain(lacking)
        .chain(ignored)
        .map(|finding| found(key, finding))
}

fn found(key: &ObjectKey, finding: Finding) -> Found {
    Found {
        ingress: key.clone(),
        finding: Arc::new(finding),
    }
}
