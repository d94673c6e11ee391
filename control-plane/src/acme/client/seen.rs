//! What a CA says of orders and authorizations, as far as anything is decided by it.

use std::time::Duration;

use instant_acme::{
    AuthorizationHandle, AuthorizationStatus, ChallengeStatus, OrderState, OrderStatus,
};
use jiff::Timestamp as Time;
use serde::Deserialize;

use crate::acme::answer::{Answer, is_url};
use crate::acme::client::failure::{Failure, FailureKind, said};
use crate::acme::words::printable;
use crate::model::managed::ChallengeType;
use crate::model::time::Timestamp;

/// An order that was placed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placed {
    /// By which it is known from now on; at most 2048 bytes.
    pub url: String,
    /// When the CA forgets it, if it said so.
    pub expires: Option<Timestamp>,
}

/// An order as the CA sees it (RFC 8555, 7.1.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderSeen {
    pub status: OrderStatus,
    /// URLs, one for each name, in no order that means something; at most 256.
    pub authorizations: Vec<String>,
    /// Why it is invalid.
    pub problem: Option<Problem>,
    /// When the CA forgets it, if it said so.
    pub expires: Option<Timestamp>,
    /// When it is worth while to look again, if the CA said so.
    pub retry_after: Option<Duration>,
}

/// An authorization as the CA sees it (RFC 8555, 7.1.4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthorizationSeen {
    pub url: String,
    /// The name or address, `*.` before it if it is for all names below.
    pub name: String,
    pub status: AuthorizationStatus,
    /// Of each type that the CA offers and we know.
    pub challenges: Vec<ChallengeSeen>,
}

/// A challenge (RFC 8555, 8; RFC 8737).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChallengeSeen {
    pub challenge_type: ChallengeType,
    /// Letters, digits, `-` and `_`, at most 256.
    pub token: String,
    /// What is to be answered. It holds no secret.
    pub key_authorization: String,
    pub status: ChallengeStatus,
    /// Why it is invalid.
    pub problem: Option<Problem>,
}

/// What went wrong at the CA's side of an order. Both texts are printable, at most 512 bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// RFC 8555, 6.7.
    pub kind: Option<String>,
    pub text: String,
}

impl Placed {
    /// Of the answer to a request for a new order, even if no more than its head came.
    pub(super) fn of(answer: &Answer) -> Option<Self> {
        Some(Self {
            url: answer.made()?.to_owned(),
            expires: expires(answer),
        })
    }
}

impl OrderSeen {
    pub(super) fn of(order: &OrderState, answer: &Answer) -> Result<Self, Failure> {
        let urls = order.authorizations.iter();
        let authorizations: Vec<String> = urls.map(|entry| entry.url.clone()).collect();
        if authorizations.len() > MOST_AUTHORIZATIONS || !authorizations.iter().all(|u| is_url(u)) {
            let message = "the CA's answer has too many authorizations, or some not at https://";
            return Err(Failure::new(FailureKind::Unavailable, message));
        }
        Ok(Self {
            status: order.status,
            authorizations,
            problem: order.error.as_ref().map(Problem::of),
            expires: expires(answer),
            retry_after: answer.retry_after(),
        })
    }
}

impl AuthorizationSeen {
    /// As the account whose key has this thumbprint (RFC 7638) sees it.
    pub(super) fn of(
        authorization: &AuthorizationHandle<'_>,
        thumbprint: &str,
    ) -> Result<Self, Failure> {
        let url = authorization.url().to_owned();
        let name = printable(&authorization.identifier().to_string());
        let status = authorization.status;
        let mut challenges = Vec::new();
        for challenge_type in ChallengeType::ALL {
            let mut offered = authorization.challenges.iter();
            let of_type = wire(challenge_type);
            let Some(challenge) = offered.find(|challenge| challenge.r#type == of_type) else {
                continue;
            };
            if !is_token(&challenge.token) {
                let message = format!("the CA's token for {name} is none (RFC 8555, 8.3)");
                return Err(Failure::new(FailureKind::Unavailable, &message));
            }
            challenges.push(ChallengeSeen {
                challenge_type,
                token: challenge.token.clone(),
                key_authorization: format!("{}.{thumbprint}", challenge.token),
                status: challenge.status,
                problem: challenge.error.as_ref().map(Problem::of),
            });
        }
        Ok(Self {
            url,
            name,
            status,
            challenges,
        })
    }
}

/// As instant-acme calls it.
pub(super) fn wire(challenge_type: ChallengeType) -> instant_acme::ChallengeType {
    match challenge_type {
        ChallengeType::Http01 => instant_acme::ChallengeType::Http01,
        ChallengeType::TlsAlpn01 => instant_acme::ChallengeType::TlsAlpn01,
        ChallengeType::Dns01 => instant_acme::ChallengeType::Dns01,
    }
}

impl Problem {
    pub(super) fn of(problem: &instant_acme::Problem) -> Self {
        Self {
            kind: problem.r#type.as_deref().map(printable),
            text: said(problem),
        }
    }
}

/// It becomes part of a path that proxies answer: nothing else than RFC 8555, 8.3 allows.
fn is_token(token: &str) -> bool {
    let base64url = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    (1..=LONGEST_TOKEN).contains(&token.len()) && token.bytes().all(base64url)
}

/// Of an order's body, of which instant-acme does not read it.
fn expires(answer: &Answer) -> Option<Timestamp> {
    #[derive(Deserialize)]
    struct Expires {
        expires: Time,
    }
    let body: Expires = serde_json::from_slice(&answer.body).ok()?;
    Some(Timestamp(body.expires.as_millisecond()))
}

const LONGEST_TOKEN: usize = 256;
/// CAs sign no more than 100 names.
const MOST_AUTHORIZATIONS: usize = 256;
