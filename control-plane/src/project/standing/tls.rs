//! Which entries of `spec.tls` are not served as they are written, and why.

use roadstead_matcher::host::HostPattern;

use crate::model::ingress::{Ingress, Tls};
use crate::model::key::{Kind, ObjectKey};
use crate::model::managed::TxtRecord;
use crate::model::settings::{Hindrance, Settings};
use crate::state::State;

/// An entry of `spec.tls` whose own certificate is not shown for all of its hosts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lacking {
    /// Which entry of `spec.tls`.
    pub entry: usize,
    pub why: Why,
    /// Of these hosts of it HTTPS is not served at all, in order.
    pub unserved: Vec<HostPattern>,
    /// For these of them certificates are obtained in general, and none is, and why.
    pub not_obtained: Vec<(HostPattern, Hindrance)>,
}

/// Why a certificate is not shown. The Secret is named as in the Ingress.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// The entry names no Secret, and no other has a certificate for all of its hosts.
    NoSecret,
    NotFound {
        secret: Box<str>,
    },
    /// It is not there, and cert-manager is to write it.
    Awaited {
        secret: Box<str>,
    },
    /// It never had a certificate that can be used; of its newest version this is said.
    Refused {
        secret: Box<str>,
        message: Box<str>,
    },
    /// It is not for these hosts.
    NotFor {
        secret: Box<str>,
        hosts: Vec<HostPattern>,
    },
    /// These hosts are another namespace's, or an older Ingress names another Secret for them.
    Others {
        secret: Box<str>,
        hosts: Vec<HostPattern>,
    },
}

/// A certificate that we obtain for a host of an Ingress.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Obtained {
    pub host: HostPattern,
    pub progress: Progress,
    /// How far it has come, for people.
    pub text: Box<str>,
}

/// How it goes with that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    UnderWay,
    /// The same, and something does not go as it should.
    Hindered,
    Failed,
    Issued,
}

/// The certificates that we obtain for an Ingress that is served.
pub(super) fn obtained(state: &State, ingress: &Ingress) -> Vec<Obtained> {
    let mut wanted: Vec<HostPattern> = ingress
        .tls
        .iter()
        .flat_map(|tls| hosts(ingress, tls))
        .collect();
    wanted.sort_unstable();
    wanted.dedup();
    wanted.retain(|host| state.certificates().obtained_as(host).is_some());
    let obtained = wanted.into_iter().map(|host| {
        let managed = state.managed_for(&host);
        let progress = match managed {
            Some(managed) if managed.unshown().any(TxtRecord::is_failing) => Progress::Hindered,
            Some(managed) if managed.order.is_some() => Progress::UnderWay,
            Some(managed) if managed.trouble.is_some() => Progress::Failed,
            Some(managed) if managed.issued.is_some() => Progress::Issued,
            Some(_) | None => Progress::UnderWay,
        };
        let text = managed.map_or_else(|| "wanted".to_owned(), ToString::to_string);
        Obtained {
            host,
            progress,
            text: text.into(),
        }
    });
    obtained.collect()
}

/// What is lacking of an Ingress that is served, in order of its text. Of what is being obtained
/// something else is said.
pub(super) fn lacking(state: &State, key: &ObjectKey, ingress: &Ingress) -> Vec<Lacking> {
    let entries = ingress.tls.iter().enumerate();
    let lacking = entries.filter_map(|(entry, tls)| {
        let hosts = hosts(ingress, tls);
        let is_obtained = |host| state.certificates().obtained_as(host).is_some();
        if !hosts.is_empty() && hosts.iter().all(is_obtained) {
            return None;
        }
        let why = why(state, key, ingress, tls, &hosts)?;
        let unserved = only(&hosts, |host| {
            state.certificates().shown_for(host).is_empty()
        });
        Some(Lacking {
            entry,
            why,
            not_obtained: not_obtained(state, key, &unserved),
            unserved,
        })
    });
    lacking
        .filter(|lacking| lacking.why != Why::NoSecret || !lacking.unserved.is_empty())
        .collect()
}

fn why(
    state: &State,
    key: &ObjectKey,
    ingress: &Ingress,
    tls: &Tls,
    hosts: &[HostPattern],
) -> Option<Why> {
    let Some(secret) = tls.secret.clone() else {
        return Some(Why::NoSecret);
    };
    let of = key.sibling(Kind::Secret, &secret);
    let Some(certificate) = state.certificate(&of) else {
        let refused = state.object(&of).and_then(|held| held.refused.as_ref());
        return Some(match refused {
            Some(refused) => Why::Refused {
                secret,
                message: refused.refusal.to_string().into(),
            },
            None if ingress.certificates_elsewhere => Why::Awaited { secret },
            None => Why::NotFound { secret },
        });
    };
    let not_for = only(hosts, |host| !certificate.covers(host));
    if !not_for.is_empty() {
        let hosts = not_for;
        return Some(Why::NotFor { secret, hosts });
    }
    let others = only(hosts, |host| {
        let shown = state.certificates().shown_for(host);
        // Beside one with another type of key it is shown, too.
        !shown.contains(&of)
    });
    (!others.is_empty()).then_some(Why::Others {
        secret,
        hosts: others,
    })
}

fn not_obtained(
    state: &State,
    key: &ObjectKey,
    unserved: &[HostPattern],
) -> Vec<(HostPattern, Hindrance)> {
    let settings = state.settings();
    let Some(obtains) = settings.and_then(Settings::obtains) else {
        return Vec::new();
    };
    let hindered = unserved
        .iter()
        .filter_map(|host| Some((host.clone(), obtains.permits(host, &key.namespace).err()?)));
    hindered.collect()
}

/// What an entry is about.
fn hosts(ingress: &Ingress, tls: &Tls) -> Vec<HostPattern> {
    if !tls.hosts.is_empty() {
        return tls.hosts.clone();
    }
    let hosts = ingress.rules.iter().map(|rule| &rule.host);
    let mut hosts: Vec<HostPattern> = hosts
        .filter(|host| **host != HostPattern::Any)
        .cloned()
        .collect();
    hosts.sort_unstable();
    hosts.dedup();
    hosts
}

fn only(hosts: &[HostPattern], is: impl Fn(&HostPattern) -> bool) -> Vec<HostPattern> {
    hosts.iter().filter(|host| is(host)).cloned().collect()
}
