//! The calls that `plan` wants made, by the client, and what they came to.

use std::time::Duration;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use crate::acme::client::{
    AuthorizationSeen, AuthorizationStatus, ChallengeStatus, Client, Failure as Failed,
    FailureKind as Kind, OrderSeen, OrderStatus, certificate_id,
};
use crate::acme::key::Key;
use crate::acme::record::{Kept, Pair, Pem};
use crate::model::bundle::Bundle;
use crate::model::managed::{
    Answer, Challenge, Failure, FailureKind, Outcome, Progress, Proof, Status, Window,
};
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
    profile: Option<&str>,
    kept: &Kept,
    call: &Call,
    clock: fn() -> Timestamp,
) -> Made {
    let mut left = NONCES;
    loop {
        match attempt(client, profile, kept, call, clock).await {
            Ok(made) => return made,
            Err(failed) if failed.kind == Kind::BadNonce && left > 0 => left -= 1,
            Err(failed) => {
                return Made {
                    is_gone: failed.kind == Kind::UnknownAccount,
                    outcome: Outcome::Failed(failure(failed, clock())),
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
        | Call::AskRenewal => FailureKind::Unavailable,
    };
    Made {
        outcome: Outcome::Failed(Failure {
            kind,
            not_before: None,
            message: format!("the CA took longer than {limit:?}").into(),
        }),
        issued: None,
        is_gone: false,
    }
}

async fn attempt(
    client: &Client,
    profile: Option<&str>,
    kept: &Kept,
    call: &Call,
    clock: fn() -> Timestamp,
) -> Result<Made, Failed> {
    let mut brought = None;
    let outcome = match call {
        Call::Place { replaces } => {
            let names = names(kept);
            let placed = client.place(&names, replaces.as_deref(), profile);
            Outcome::Placed(placed.await?.url.into())
        }
        Call::Look { order } => Outcome::Order(answer(&client.order(order).await?, clock())),
        Call::Prove { order } => {
            let (order, authorizations) = client.authorizations(order).await?;
            proofs(kept, &order, authorizations, clock())
        }
        Call::Validate {
            order,
            authorizations,
        } => {
            let which: Vec<String> = authorizations.iter().map(|url| (**url).into()).collect();
            client.validate(order, &which).await?;
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

/// An order is for our names, each once: what a CA says beside that is no such order.
fn proofs(kept: &Kept, order: &OrderSeen, seen: Vec<AuthorizationSeen>, now: Timestamp) -> Outcome {
    let mut answer = answer(order, now);
    let mut left = names(kept);
    let mut proofs = Vec::new();
    for authorization in seen {
        let Some(place) = left
            .iter()
            .position(|name| name.eq_ignore_ascii_case(&authorization.name))
        else {
            let message = format!("the CA wants proof for {:?}", authorization.name);
            return refused(&message);
        };
        let host = left.swap_remove(place);
        let url = authorization.url.as_str().into();
        match progress(host, authorization) {
            Ok(progress) => proofs.push(Proof { url, progress }),
            Err(why) => answer.status = Status::Invalid(why),
        }
    }
    Outcome::Proofs { answer, proofs }
}

fn progress(host: String, seen: AuthorizationSeen) -> Result<Progress, Box<str>> {
    let AuthorizationSeen { status, http01, .. } = seen;
    match (status, http01) {
        (AuthorizationStatus::Valid, _) => Ok(Progress::Proved),
        (AuthorizationStatus::Pending, Some(found)) => {
            let challenge = Challenge {
                host: host.into(),
                token: found.token.into(),
                key_authorization: found.key_authorization.into(),
            };
            Ok(match found.status {
                ChallengeStatus::Pending => Progress::Open(challenge),
                ChallengeStatus::Processing | ChallengeStatus::Valid | ChallengeStatus::Invalid => {
                    Progress::Asked(challenge)
                }
            })
        }
        (AuthorizationStatus::Pending, None) => {
            Err(format!("the CA offers no challenge of type http-01 for {host}").into())
        }
        (
            AuthorizationStatus::Invalid
            | AuthorizationStatus::Revoked
            | AuthorizationStatus::Expired
            | AuthorizationStatus::Deactivated,
            found,
        ) => {
            let problem = found.and_then(|challenge| challenge.problem);
            let why = problem.map_or_else(String::new, |problem| format!(": {}", problem.text));
            Err(format!("the CA did not find {host} to be ours{why}").into())
        }
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

fn refused(message: &str) -> Outcome {
    Outcome::Failed(Failure {
        kind: FailureKind::Refused,
        not_before: None,
        message: message.into(),
    })
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
