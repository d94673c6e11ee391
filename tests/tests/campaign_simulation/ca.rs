//! A CA, as far as orders go, and where leaders keep what they obtain of it: both outlive every
//! replica.

use std::collections::BTreeMap;

use roadstead_control_plane::event::Epoch;
use roadstead_control_plane::model::bundle::Bundle;
use roadstead_control_plane::model::certificate::{Certificate, KeyType};
use roadstead_control_plane::model::key::ObjectKey;
use roadstead_control_plane::model::managed::{
    Answer, Challenge, ChallengeType, Managed, Outcome, Progress, Proof, Status,
};
use roadstead_control_plane::model::time::Timestamp;
use roadstead_control_plane::plan::issuance::Call;

/// Its directory.
pub(crate) const DIRECTORY: &str = "https://ca.example/directory";

/// The CA. It takes every order, and finds every host to be ours.
#[derive(Default)]
pub(crate) struct Ca {
    orders: Vec<Placed>,
}

/// An order, as the CA knows it, and what became known of it.
struct Placed {
    of: ObjectKey,
    at: Timestamp,
    proved: bool,
    /// Its URL was kept.
    known: bool,
    /// Its certificate was kept.
    done: bool,
}

impl Ca {
    /// Does what it is asked for a certificate.
    pub(crate) fn ask(
        &mut self,
        (key, managed): (&ObjectKey, &Managed),
        call: &Call,
        now: Timestamp,
    ) -> Outcome {
        match call {
            Call::Place { .. } => {
                self.orders.push(Placed {
                    of: key.clone(),
                    at: now,
                    proved: false,
                    known: false,
                    done: false,
                });
                Outcome::Placed(format!("{ORDER}{}", self.orders.len() - 1).into())
            }
            Call::Prove { order } => {
                let (status, progress) = match self.order(order).proved {
                    true => (Status::Ready, Progress::Proved),
                    false => (Status::Pending, Progress::Open(challenge(key, order))),
                };
                let proof = Proof {
                    url: format!("{order}/proof").into(),
                    progress,
                };
                Outcome::Proofs {
                    answer: answer(status),
                    proofs: vec![proof],
                }
            }
            Call::Validate { order, .. } => {
                self.order(order).proved = true;
                Outcome::Validating
            }
            Call::Finalize { .. } => Outcome::Order(answer(Status::Processing)),
            Call::Look { .. } => Outcome::Order(answer(Status::Valid)),
            Call::Fetch { order } => Outcome::Certificate {
                certificate: certificate(managed, order, self.order(order).at),
                id: order.clone(),
            },
            Call::AskRenewal => unreachable!("it suggests nothing"),
            Call::Revoke { .. } => unreachable!("nobody demands it"),
            Call::Txt { .. } => unreachable!("it asks proxies"),
        }
    }

    /// Why another order for this certificate is one too many, if it is: one is under way, or,
    /// where no two can believe that they lead, may be.
    pub(crate) fn objects(&self, key: &ObjectKey, now: Timestamp, two: bool) -> Option<String> {
        let of_it = self.orders.iter().enumerate();
        let mut open = of_it.filter(|(_, order)| order.of == *key && !order.done);
        let (number, order) =
            open.find(|(_, order)| order.known || !two && order.at.later(UNKNOWN) > now)?;
        let (at, known) = (order.at, order.known);
        Some(format!(
            "{key} was ordered again at {now}: order {number} of {at} is under way (kept: {known})"
        ))
    }

    /// How many certificates it issued that are, or were, kept.
    pub(crate) fn issued(&self) -> usize {
        self.orders.iter().filter(|order| order.done).count()
    }

    /// This is kept of a certificate.
    fn kept(&mut self, managed: &Managed) {
        if let Some(url) = managed.order.as_ref().and_then(|order| order.step.url()) {
            self.order(url).known = true;
        }
        if let Some(issued) = &managed.issued {
            self.order(&issued.id).done = true;
        }
    }

    fn order(&mut self, url: &str) -> &mut Placed {
        let number = url.strip_prefix(ORDER).unwrap().parse::<usize>().unwrap();
        &mut self.orders[number]
    }
}

/// What is kept of certificates, as the API server has it.
#[derive(Default)]
pub(crate) struct Records {
    by_key: BTreeMap<ObjectKey, Record>,
    revision: u64,
}

#[derive(Clone)]
pub(crate) struct Record {
    pub(crate) managed: Managed,
    pub(crate) revision: Box<str>,
    /// Of whose term it is.
    pub(crate) epoch: Epoch,
}

impl Records {
    /// Keeps this over that revision; `None`: another one is there.
    pub(crate) fn put(
        &mut self,
        ca: &mut Ca,
        key: &ObjectKey,
        (managed, epoch): (&Managed, Epoch),
        over: Option<&str>,
    ) -> Option<Box<str>> {
        let there = self.by_key.get(key).map(|record| &*record.revision);
        if there != over {
            return None;
        }
        ca.kept(managed);
        self.revision += 1;
        let revision: Box<str> = self.revision.to_string().into();
        let record = Record {
            managed: managed.clone(),
            revision: revision.clone(),
            epoch,
        };
        self.by_key.insert(key.clone(), record);
        Some(revision)
    }

    /// Removes it, or says what is there instead of that revision.
    pub(crate) fn remove(&mut self, key: &ObjectKey, revision: Option<&str>) -> Option<Record> {
        let there = self.by_key.get(key);
        let other = there.filter(|record| Some(&*record.revision) != revision);
        if other.is_none() {
            self.by_key.remove(key);
            return None;
        }
        other.cloned()
    }

    pub(crate) fn get(&self, key: &ObjectKey) -> Option<Record> {
        self.by_key.get(key).cloned()
    }

    pub(crate) fn all(&self) -> &BTreeMap<ObjectKey, Record> {
        &self.by_key
    }
}

/// The chain and the key of a certificate, which are of no interest here.
pub(crate) fn bundle(of_order: &str) -> Bundle {
    Bundle::new(vec![of_order.as_bytes().to_vec()], vec![0])
}

fn certificate(managed: &Managed, order: &str, not_before: Timestamp) -> Certificate {
    Certificate {
        bundle: bundle(order).name(),
        names: managed.names.clone(),
        key_type: KeyType::Ecdsa,
        not_before,
        not_after: not_before.later(LIFE),
        issuer: "CN=simulated".into(),
        serial: order.into(),
    }
}

fn challenge(key: &ObjectKey, order: &str) -> Challenge {
    let token = order.replace(|char: char| !char.is_ascii_alphanumeric(), "-");
    Challenge {
        challenge_type: ChallengeType::Http01,
        host: key.name.as_ref().into(),
        key_authorization: format!("{token}.thumbprint").into(),
        token: token.into(),
    }
}

fn answer(status: Status) -> Answer {
    Answer {
        status,
        not_before: Timestamp::default(),
    }
}

const ORDER: &str = "https://ca.example/order/";
/// How long nobody places an order after one of which it is not known whether the CA has it, in
/// milliseconds.
const UNKNOWN: i64 = 60_000;
/// Of a certificate: short, so that all are renewed once or twice within a schedule.
const LIFE: i64 = 160_000;
