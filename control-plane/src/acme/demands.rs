//! What operators demand of certificates, on its way to what is kept of them.
//!
//! Apart from the issuer's loop: a demand waits while somebody is at its certificate, and whoever made
//! it until it is kept.

use std::collections::BTreeMap;

use tokio::sync::{mpsc, oneshot};

use crate::acme::record::Kept;
use crate::model::key::ObjectKey;
use crate::model::managed::{Demand, Managed};
use crate::model::time::Timestamp;
use crate::plan::issuance::demanded;
use crate::plan::issuance::scheduler::Scheduler;

/// A demand, and where it is waited for.
#[derive(Debug)]
pub struct Demanded {
    pub key: ObjectKey,
    pub demand: Demand,
    pub answer: oneshot::Sender<Result<(), Undemandable>>,
}

/// Where demands go in.
pub type Demands = mpsc::Sender<Demanded>;

/// Why nothing comes of a demand.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Undemandable {
    #[error(
        "no certificate is obtained: the configuration names no CA (acme), or it cannot be used, \
         which the log tells"
    )]
    NoCa,
    #[error("{0} is not obtained here; ListCertificates has those that are")]
    Unknown(ObjectKey),
    #[error("no Ingress wants {0} any more, so that it is not renewed")]
    Unwanted(ObjectKey),
    #[error("{0} was not issued yet: there is nothing to revoke")]
    NotIssued(ObjectKey),
    #[error("it is not known yet which certificates are wanted: try again in a moment")]
    NotYet,
    #[error("{key} has the serial number {serial} now: what is to be revoked is shown no more")]
    Another { key: ObjectKey, serial: Box<str> },
    #[error("{key} was issued by {ca}, and the configuration names another: it is asked there")]
    OtherCa { key: ObjectKey, ca: Box<str> },
    #[error("somebody else changed what is kept of {0} meanwhile: demand it again")]
    Changed(ObjectKey),
}

/// Those that are under way.
#[derive(Debug, Default)]
pub(super) struct Pending {
    /// Somebody is at their certificates.
    waiting: Vec<Demanded>,
    /// They are being stored.
    stored: BTreeMap<ObjectKey, Vec<Demanded>>,
}

impl Pending {
    /// Takes a demand in.
    pub(super) fn add(
        &mut self,
        demanded: Demanded,
        ca: &str,
        scheduler: &mut Scheduler<Kept>,
        now: Timestamp,
    ) {
        self.waiting.push(demanded);
        self.go_on(ca, scheduler, now);
    }

    /// Enters those at whose certificates nobody is any more, as far as they make sense now.
    pub(super) fn go_on(&mut self, ca: &str, scheduler: &mut Scheduler<Kept>, now: Timestamp) {
        for waiting in std::mem::take(&mut self.waiting) {
            let key = &waiting.key;
            let refused = match scheduler.get(key) {
                None => Some(Undemandable::Unknown(key.clone())),
                Some((kept, wanted)) => problem(key, &kept.managed, &waiting.demand, wanted, ca),
            };
            if let Some(refused) = refused {
                // Whoever asked may have given up.
                let _gone = waiting.answer.send(Err(refused));
                continue;
            }
            let demand = waiting.demand.clone();
            let changed = scheduler.change(&waiting.key, now, |kept| {
                kept.managed = demanded(&kept.managed, demand);
            });
            match changed {
                true => {
                    let stored = self.stored.entry(waiting.key.clone()).or_default();
                    stored.push(waiting);
                }
                false => self.waiting.push(waiting),
            }
        }
    }

    /// This is stored of a certificate now; `None`: nothing is.
    pub(super) fn kept(&mut self, key: &ObjectKey, kept: Option<&Managed>) {
        for Demanded { answer, .. } in self.stored.remove(key).into_iter().flatten() {
            let is_in = kept.is_some_and(|managed| managed.demand.is_some());
            let _gone = answer.send(match is_in {
                true => Ok(()),
                false => Err(Undemandable::Changed(key.clone())),
            });
        }
    }
}

fn problem(
    key: &ObjectKey,
    managed: &Managed,
    demand: &Demand,
    wanted: bool,
    ca: &str,
) -> Option<Undemandable> {
    let Some(revokes) = &demand.revokes else {
        return (!wanted).then(|| Undemandable::Unwanted(key.clone()));
    };
    match &managed.issued {
        None => Some(Undemandable::NotIssued(key.clone())),
        Some(issued) if *issued.ca != *ca => Some(Undemandable::OtherCa {
            key: key.clone(),
            ca: issued.ca.clone(),
        }),
        Some(issued) if issued.certificate.serial != revokes.serial => {
            Some(Undemandable::Another {
                key: key.clone(),
                serial: issued.certificate.serial.clone(),
            })
        }
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use roadstead_matcher::host::HostPattern;

    use super::*;
    use crate::model::bundle::BundleName;
    use crate::model::certificate::{Certificate, KeyType};
    use crate::model::key::{Kind, Origin};
    use crate::model::managed::{Outcome, Revocation, Revokes};
    use crate::plan::issuance::answering::Answering;
    use crate::plan::issuance::scheduler::{Conditions, Limits, Task};
    use crate::plan::issuance::{after, begin};

    const CA: &str = "https://ca.example/directory";
    const NOW: Timestamp = Timestamp(1_000_000);

    fn key(host: &str) -> ObjectKey {
        ObjectKey {
            name: host.into(),
            ..ObjectKey::before_all(Origin::Folder, Kind::Certificate)
        }
    }

    /// One that this CA issued, or that nobody did.
    fn kept(host: &str, ca: Option<&str>) -> Kept {
        let names = vec![HostPattern::parse(host).unwrap()];
        let managed = Managed::new(names.clone());
        let certificate = Certificate {
            bundle: BundleName::of(b"bundle"),
            names,
            key_type: KeyType::Ecdsa,
            not_before: NOW,
            not_after: NOW.later(86_400_000),
            issuer: "CN=ca".into(),
            serial: "01".into(),
        };
        let id = "id".into();
        let issued = ca.map(|ca| {
            let done = Outcome::Certificate { certificate, id };
            after(&begin(&managed, ca, NOW), done, NOW, 0)
        });
        Kept::new(issued.unwrap_or(managed), NOW)
    }

    /// What is scheduled: those that are wanted, and one that nobody wants.
    fn scheduler() -> Scheduler<Kept> {
        let mut scheduler = Scheduler::new(Limits {
            orders: 0,
            same_names: 0,
            settled: 0,
        });
        for (host, ca) in [
            ("issued.example", Some(CA)),
            ("elsewhere.example", Some("https://other.example/")),
            ("never.example", None),
            ("unwanted.example", Some(CA)),
        ] {
            scheduler.keep(key(host), kept(host, ca), "1".into());
            if host != "unwanted.example" {
                scheduler.want(&key(host), NOW, || kept(host, ca));
            }
        }
        scheduler
    }

    type Answer = oneshot::Receiver<Result<(), Undemandable>>;

    fn demand(host: &str, serial: Option<&str>) -> (Demanded, Answer) {
        let (answer, answered) = oneshot::channel();
        let demand = Demand {
            by: "somebody".into(),
            reason: "said so".into(),
            at: NOW,
            revokes: serial.map(|serial| Revokes {
                serial: serial.into(),
                because: Revocation::Superseded,
                attempts: 0,
                not_before: Timestamp::default(),
            }),
            refused: None,
        };
        let key = key(host);
        let demanded = Demanded {
            key,
            demand,
            answer,
        };
        (demanded, answered)
    }

    #[test]
    fn what_makes_no_sense_is_refused_at_once() {
        let mut scheduler = scheduler();
        let mut pending = Pending::default();
        let revoke = Some("01");
        let ca = "https://other.example/".into();
        for (host, revokes, refused) in [
            (
                "none.example",
                None,
                Undemandable::Unknown(key("none.example")),
            ),
            (
                "unwanted.example",
                None,
                Undemandable::Unwanted(key("unwanted.example")),
            ),
            (
                "never.example",
                revoke,
                Undemandable::NotIssued(key("never.example")),
            ),
            (
                "elsewhere.example",
                revoke,
                Undemandable::OtherCa {
                    key: key("elsewhere.example"),
                    ca,
                },
            ),
            (
                "issued.example",
                Some("02"),
                Undemandable::Another {
                    key: key("issued.example"),
                    serial: "01".into(),
                },
            ),
        ] {
            let (demanded, mut answer) = demand(host, revokes);
            pending.add(demanded, CA, &mut scheduler, NOW);
            assert_eq!(answer.try_recv(), Ok(Err(refused)), "{host}");
        }
    }

    #[test]
    fn a_demand_is_answered_when_it_is_stored_and_waits_while_somebody_is_at_its_certificate() {
        let mut scheduler = scheduler();
        let mut pending = Pending::default();
        let conditions = Conditions {
            now: NOW,
            ca: CA,
            suggests: true,
        };
        // It is asked when it is to be renewed.
        let mut taken = Vec::new();
        while let Some((key, entry, _)) = scheduler.take(&conditions, |_, _| Answering::Nobody) {
            taken.push((key, entry));
        }
        let is_it = |(of, _): &&(ObjectKey, _)| *of == key("issued.example");
        let (of, entry) = taken.iter().find(is_it).unwrap();
        let (demanded, mut answer) = demand("issued.example", Some("01"));
        pending.add(demanded, CA, &mut scheduler, NOW);
        pending.go_on(CA, &mut scheduler, NOW);
        assert!(answer.try_recv().is_err());
        let put_back = (entry.kept.clone(), entry.revision.clone());
        scheduler.put(of, Some(put_back));
        pending.go_on(CA, &mut scheduler, NOW);
        let (_, entry, task) = scheduler
            .take(&conditions, |_, _| Answering::Nobody)
            .unwrap();
        assert!(matches!(task, Task::Save(_)) && entry.kept.managed.demand.is_some());
        assert!(answer.try_recv().is_err());
        pending.kept(of, Some(&entry.kept.managed));
        assert_eq!(answer.try_recv(), Ok(Ok(())));
    }

    #[test]
    fn whoever_demands_what_somebody_else_changed_is_told_so() {
        let mut scheduler = scheduler();
        let mut pending = Pending::default();
        let (demanded, mut answer) = demand("unwanted.example", Some("01"));
        pending.add(demanded, CA, &mut scheduler, NOW);
        let key = key("unwanted.example");
        let another = kept("unwanted.example", None);
        pending.kept(&key, Some(&another.managed));
        assert_eq!(answer.try_recv(), Ok(Err(Undemandable::Changed(key))));
    }
}
