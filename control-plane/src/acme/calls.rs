//! The calls that `plan` wants made, by the client, and what they came to.

use std::time::Duration;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use crate::acme::client::{
    Client, Failure as Failed, FailureKind as Kind, OrderSeen, OrderStatus, RevocationReason,
    certificate_id,
};
use crate::acme::key::Key;
use crate::acme::proofs::{self, Proofs};
use crate::acme::record::{Kept, Pair, Pem};
use crate::acme::{Settings, dns};
use crate::model::bundle::Bundle;
use crate::model::managed::{Answer, Failure, FailureKind, Outcome, Revocation, Status, Window};
use crate::model::time::Timestamp;
use crate::observe::certificate;
use crate::plan::issuance::Call;

/// What a call came to.
pub(super) struct Made {
    pub(super) outcome: Outcome,
    /// Of a certificate that it brought.
    pub(super) issued: Option<(Pair, Bundle)>,
    /// The CA does not know the account any more.
    pub(super) is_gone: bool,
}

/// Makes one call; once more if the CA refuses its nonces, by which it takes nothing in.
pub(super) async fn make(
    client: &Client,
    settings: &Settings,
    kept: &Kept,
    call: &Call,
    clock: fn() -> Timestamp,
) -> Made {
    let mut left = NONCES;
    loop {
        match attempt(client, settings, kept, call, clock).await {
            Ok(made) => return made,
            Err(failed) if failed.kind == Kind::BadNonce && left > 0 => left -= 1,
            Err(failed) => {
                return Made {
                    is_gone: failed.kind == Kind::UnknownAccount,
                    outcome: came_to_nothing(call, failure(failed, clock())),
                    issued: None,
                };
            }
        }
    }
}

/// What a call came to that took longer than anybody waits.
pub(super) fn too_long(call: &Call, limit: Duration) -> Made {
    let kind = match call {
        Call::Place { .. } => FailureKind::Unknown,
        Call::Look { .. }
        | Call::Prove { .. }
        | Call::Validate { .. }
        | Call::Finalize { .. }
        | Call::Fetch { .. }
        | Call::AskRenewal
        | Call::Revoke { .. }
        | Call::Txt { .. } => FailureKind::Unavailable,
    };
    let failure = Failure {
        kind,
        not_before: None,
        message: format!("no answer within {limit:?}").into(),
    };
    Made {
        outcome: came_to_nothing(call, failure),
        issued: None,
        is_gone: false,
    }
}

fn came_to_nothing(call: &Call, failure: Failure) -> Outcome {
    match call {
        Call::Revoke { .. } => Outcome::NotRevoked(failure),
        Call::Txt { text, step } => Outcome::Txt {
            text: text.clone(),
            came: dns::failed(*step, failure.message),
        },
        Call::Place { .. }
        | Call::Look { .. }
        | Call::Prove { .. }
        | Call::Validate { .. }
        | Call::Finalize { .. }
        | Call::Fetch { .. }
        | Call::AskRenewal => Outcome::Failed(failure),
    }
}

async fn attempt(
    client: &Client,
    settings: &Settings,
    kept: &Kept,
    call: &Call,
    clock: fn() -> Timestamp,
) -> Result<Made, Failed> {
    let mut brought = None;
    let outcome = match call {
        Call::Place { replaces } => {
            let names = names(kept);
            let profile = settings.profile.as_deref();
            let placed = client.place(&names, replaces.as_deref(), profile);
            Outcome::Placed(placed.await?.url.into())
        }
        Call::Look { order } => Outcome::Order(answer(&client.order(order).await?, clock())),
        Call::Prove { order } => {
            let (order, authorizations) = client.authorizations(order).await?;
            let managed = &kept.managed;
            let by_dns = managed.names.iter().all(|host| settings.dns.is_for(host));
            let ways = proofs::ways(&settings.challenges, managed, by_dns);
            match proofs::read(names(kept), &ways, authorizations) {
                Ok(Proofs { proofs, failed }) => {
                    let mut answer = answer(&order, clock());
                    if let Some(why) = failed {
                        answer.status = Status::Invalid(why);
                    }
                    Outcome::Proofs { answer, proofs }
                }
                Err(message) => refused(&message),
            }
        }
        Call::Validate {
            order,
            authorizations,
        } => {
            client.validate(order, authorizations).await?;
            Outcome::Validating
        }
        Call::Finalize { order } => match request(kept) {
            Ok(request) => {
                let seen = client.finalize(order, &request).await?;
                Outcome::Order(answer(&seen, clock()))
            }
            Err(problem) => refused(&problem),
        },
        Call::Fetch { order } => match client.certificate(order).await? {
            Some(chain) => match issued(kept, &chain) {
                Ok((outcome, found)) => {
                    brought = Some(found);
                    outcome
                }
                Err(problem) => refused(&problem),
            },
            None => Outcome::Order(Answer {
                status: Status::Processing,
                not_before: clock(),
            }),
        },
        Call::AskRenewal => {
            let id = kept.managed.issued.as_ref().map_or("", |issued| &issued.id);
            let info = client.renewal_info(id).await?;
            Outcome::Renewal {
                window: Window {
                    start: info.start,
                    end: info.end,
                },
                ask: later(clock(), info.poll_after),
            }
        }
        Call::Revoke { reason } => match leaf(kept) {
            Some(leaf) => {
                client.revoke(&leaf, revocation(*reason)).await?;
                Outcome::Revoked
            }
            None => came_to_nothing(call, failed_here("its chain is lost")),
        },
        Call::Txt { text, step } => Outcome::Txt {
            text: text.clone(),
            came: settings.dns.take(*step, text, &kept.managed).await,
        },
    };
    Ok(Made {
        outcome,
        issued: brought,
        is_gone: false,
    })
}

fn names(kept: &Kept) -> Vec<String> {
    kept.managed.names.iter().map(ToString::to_string).collect()
}

fn answer(seen: &OrderSeen, now: Timestamp) -> Answer {
    let status = match seen.status {
        OrderStatus::Pending => Status::Pending,
        OrderStatus::Ready => Status::Ready,
        OrderStatus::Processing => Status::Processing,
        OrderStatus::Valid => Status::Valid,
        OrderStatus::Invalid => {
            let problem = seen.problem.as_ref();
            let text = problem.map_or("the CA says that the order is invalid", |p| &p.text);
            Status::Invalid(text.into())
        }
    };
    let wait = seen.retry_after;
    Answer {
        status,
        not_before: wait.map_or(now, |wait| later(now, wait)),
    }
}

fn request(kept: &Kept) -> Result<Vec<u8>, String> {
    let lost = || "the key of the order is lost".to_owned();
    let Pem(pem) = kept.next_key.as_ref().ok_or_else(lost)?;
    let key = Key::from_pem(pem).map_err(|_| lost())?;
    key.request(&names(kept)).map_err(|error| error.to_string())
}

fn issued(kept: &Kept, chain: &str) -> Result<(Outcome, (Pair, Bundle)), String> {
    let key = kept
        .next_key
        .as_ref()
        .ok_or("the key of the order is lost")?;
    let read = certificate::read(chain.as_bytes(), key.0.as_bytes());
    let (certificate, bundle) =
        read.map_err(|problem| format!("the CA's certificate {problem}"))?;
    let names = kept.managed.names.iter();
    if let Some(name) = names.clone().find(|name| !certificate.covers(name)) {
        return Err(format!("the CA's certificate is not for {name}"));
    }
    let leaf = CertificateDer::from_pem_slice(chain.as_bytes()).ok();
    // Without, it is renewed all the same.
    let id = leaf.and_then(|leaf| certificate_id(&leaf).ok());
    let outcome = Outcome::Certificate {
        certificate,
        id: id.unwrap_or_default().into(),
    };
    let pair = Pair {
        chain: chain.into(),
        key: key.clone(),
    };
    Ok((outcome, (pair, bundle)))
}

fn leaf(kept: &Kept) -> Option<CertificateDer<'static>> {
    let pair = kept.pair.as_ref()?;
    CertificateDer::from_pem_slice(pair.chain.as_bytes()).ok()
}

fn revocation(reason: Revocation) -> RevocationReason {
    match reason {
        Revocation::Unspecified => RevocationReason::Unspecified,
        Revocation::KeyCompromise => RevocationReason::KeyCompromise,
        Revocation::Superseded => RevocationReason::Superseded,
        Revocation::CessationOfOperation => RevocationReason::CessationOfOperation,
    }
}

fn refused(message: &str) -> Outcome {
    Outcome::Failed(failed_here(message))
}

fn failed_here(message: &str) -> Failure {
    Failure {
        kind: FailureKind::Refused,
        not_before: None,
        message: message.into(),
    }
}

fn failure(failed: Failed, now: Timestamp) -> Failure {
    let Failed {
        kind,
        retry_after,
        message,
    } = failed;
    Failure {
        kind: match kind {
            Kind::RateLimited => FailureKind::RateLimited,
            Kind::Refused { .. } => FailureKind::Refused,
            Kind::AlreadyReplaced => FailureKind::AlreadyReplaced,
            Kind::Gone => FailureKind::Gone,
            // Another is made.
            Kind::UnknownAccount | Kind::Unavailable | Kind::BadNonce => FailureKind::Unavailable,
            Kind::Unknown => FailureKind::Unknown,
        },
        not_before: retry_after.map(|wait| later(now, wait)),
        message: message.into(),
    }
}

fn later(now: Timestamp, wait: Duration) -> Timestamp {
    now.later(i64::try_from(wait.as_millis()).unwrap_or(i64::MAX))
}

/// How often it is, each time with several.
const NONCES: u32 = 3;
