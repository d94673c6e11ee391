//! What operators demand of a certificate: it goes to who obtains it, and is answered when it is kept.
//!
//! Apart from the reports, which any replica gives: only whoever leads can do something.

use std::time::Duration;

use roadstead_proto::v1;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{oneshot, watch};
use tokio::time::timeout;
use tonic::{Extensions, Status};

use crate::acme::{Demanded, Undemandable};
use crate::clock;
use crate::model::key::{Kind, ObjectKey, Origin};
use crate::model::managed::{Demand, Revocation, Revokes};
use crate::model::time::Timestamp;
use crate::serve::{Role, error, operator};

/// Demands that the certificate of this name is renewed, and what there is revoked, if a reason for
/// that is given.
pub(super) async fn demand(
    role: &watch::Receiver<Role>,
    by: &Extensions,
    (name, why): (&str, &str),
    revokes: Option<Revokes>,
) -> Result<(), Status> {
    let key = key(name).ok_or_else(|| error::not_obtained(name))?;
    let demand = Demand {
        by: operator::caller(by).into(),
        reason: operator::reason(why)?.into(),
        at: clock::now(),
        revokes,
        refused: None,
    };
    let (answer, answered) = oneshot::channel();
    let demanded = Demanded {
        key,
        demand,
        answer,
    };
    {
        let role = role.borrow();
        let Some(demands) = role.demands() else {
            return Err(error::not_leading(role.elsewhere().as_deref()));
        };
        demands
            .try_send(demanded)
            .map_err(|refused| match refused {
                TrySendError::Full(_) => error::too_many_demands(),
                TrySendError::Closed(_) => error::stopping(),
            })?;
    }
    match timeout(PATIENCE, answered).await {
        Err(_) => Err(error::not_kept()),
        Ok(Err(_)) => Err(error::stopping()),
        Ok(Ok(answer)) => answer.map_err(|refused| match refused {
            Undemandable::Unknown(_) => error::not_obtained(name),
            Undemandable::Changed(_) => Status::aborted(refused.to_string()),
            Undemandable::NotYet => Status::unavailable(refused.to_string()),
            Undemandable::NoCa
            | Undemandable::Unwanted(_)
            | Undemandable::NotIssued(_)
            | Undemandable::Another { .. }
            | Undemandable::OtherCa { .. } => Status::failed_precondition(refused.to_string()),
        }),
    }
}

/// That the certificate of this serial number is revoked.
pub(super) fn revokes(serial: &str, because: i32) -> Result<Revokes, Status> {
    let because = v1::RevocationReason::try_from(because);
    let because = because.map_err(|_| error::argument("because: no reason that is known"))?;
    let is_digit = |digit: u8| digit.is_ascii_digit() || (b'a'..=b'f').contains(&digit);
    if serial.is_empty() || serial.len() > LONGEST_SERIAL || !serial.bytes().all(is_digit) {
        return Err(error::argument(
            "serial: name the certificate by its serial number, as GetCertificate has it",
        ));
    }
    Ok(Revokes {
        serial: serial.into(),
        because: revocation(because),
        attempts: 0,
        not_before: Timestamp::default(),
    })
}

fn revocation(reason: v1::RevocationReason) -> Revocation {
    match reason {
        v1::RevocationReason::Unspecified => Revocation::Unspecified,
        v1::RevocationReason::KeyCompromise => Revocation::KeyCompromise,
        v1::RevocationReason::Superseded => Revocation::Superseded,
        v1::RevocationReason::CessationOfOperation => Revocation::CessationOfOperation,
    }
}

/// Of a name of a certificate that is obtained.
fn key(name: &str) -> Option<ObjectKey> {
    let host = name.strip_prefix("certificate//")?;
    let (host, origin) = match host.strip_suffix("@folder") {
        Some(host) => (host, Origin::Folder),
        None => (host, Origin::Kubernetes),
    };
    Some(ObjectKey {
        name: host.into(),
        ..ObjectKey::before_all(origin, Kind::Certificate)
    })
}

/// For as long as storing it may take, behind a call to the CA.
const PATIENCE: Duration = Duration::from_secs(20);
/// 20 octets (RFC 5280, section 4.1.2.2), and room.
const LONGEST_SERIAL: usize = 64;
