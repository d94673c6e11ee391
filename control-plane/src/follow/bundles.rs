//! Bundles of chain and key that this replica lacks, from those that may hold them.
//!
//! Apart from the log, which names bundles only: these are in the memory of replicas, and one that
//! has just been started has none. With them it can serve proxies from the moment when it leads,
//! before it has listed a single Secret, and what no Secret has any more, such as the last good
//! form of one that was broken since, outlives each replica.

use std::collections::BTreeSet;
use std::future::Future;
use std::time::Duration;

use roadstead_proto::v1::secret_service_client::SecretServiceClient;
use roadstead_proto::v1::{FetchSecretsRequest, Secret};
use tokio::time::{sleep, timeout};
use tonic::{Status, Streaming};

use crate::backoff::delay;
use crate::follow::dial::{DialError, Dialer, Peer};
use crate::keys::{Keys, Missing};
use crate::model::bundle::{Bundle, BundleName};

/// A replica gives nothing, or no more.
#[derive(Debug, thiserror::Error)]
enum FetchError {
    #[error(transparent)]
    Dial(#[from] DialError),
    #[error("{0}")]
    Refused(Box<Status>),
    #[error("nothing within {after:?}")]
    Silent { after: Duration },
    #[error("what it gave was not asked for, or is not what its name says")]
    Wrong,
}

/// Fetches what is missing from whoever is named as one who may hold it, best first, for as long as
/// something can be missing.
pub async fn run<O: Future<Output = Vec<Peer>>>(
    dialer: Dialer,
    others: impl Fn() -> O,
    keys: Keys,
) {
    let mut missing = keys.missing();
    let mut failures = 0;
    loop {
        let wanted = missing.now();
        if wanted.is_empty() {
            failures = 0;
            if !missing.changed().await {
                return;
            }
            continue;
        }
        let mut problem = None;
        for peer in others().await {
            let wanted = missing.now();
            if wanted.is_empty() {
                break;
            }
            if let Err(error) = Box::pin(fetch(&dialer, &peer, &keys, wanted)).await {
                tracing::debug!(address = &*peer.address, %error, "no secrets from this replica");
                problem = Some(error);
            }
        }
        let left = missing.now();
        let got = wanted.difference(&left).count();
        if got > 0 {
            tracing::info!(
                got,
                left = left.len(),
                "certificates with their keys came from other replicas"
            );
            failures = 0;
        }
        failures += 1;
        if failures == TOLD && !left.is_empty() {
            let problem = problem.map_or_else(
                || "no other replica holds them".to_owned(),
                |error| error.to_string(),
            );
            tracing::warn!(
                missing = left.len(),
                problem,
                "certificates are referred to whose keys this replica does not have; trying on"
            );
        }
        tokio::select! {
            () = sleep(delay(failures)) => {}
            more = others_missing(&mut missing, &left) => if !more {
                return;
            },
        }
    }
}

/// Waits until something else is missing; `false`: nothing will be.
async fn others_missing(missing: &mut Missing, known: &BTreeSet<BundleName>) -> bool {
    while missing.changed().await {
        if !missing.now().is_subset(known) {
            return true;
        }
    }
    false
}

/// Asks a replica for these.
async fn fetch(
    dialer: &Dialer,
    peer: &Peer,
    keys: &Keys,
    wanted: BTreeSet<BundleName>,
) -> Result<(), FetchError> {
    let channel = dialer.dial(peer).await?;
    let mut client = SecretServiceClient::new(channel).max_decoding_message_size(MESSAGE);
    let silent = |_| FetchError::Silent { after: ANSWER };
    let mut wanted = wanted.into_iter().peekable();
    while wanted.peek().is_some() {
        let mut asked: BTreeSet<BundleName> = wanted.by_ref().take(NAMES).collect();
        let names = asked.iter().map(|name| name.as_bytes().to_vec()).collect();
        let answer = client.fetch_secrets(FetchSecretsRequest { names });
        let answer = timeout(ANSWER, answer).await.map_err(silent)?;
        let mut secrets = answer.map_err(refused)?.into_inner();
        while let Some(secret) = next(&mut secrets).await? {
            let Secret { name, body } = secret;
            let name = BundleName::from_bytes(&name);
            let name = name.ok().filter(|name| asked.remove(name));
            let name = name.ok_or(FetchError::Wrong)?;
            if !body.is_empty() {
                keys.put(Bundle::checked(name, body).ok_or(FetchError::Wrong)?);
            }
        }
    }
    Ok(())
}

async fn next(secrets: &mut Streaming<Secret>) -> Result<Option<Secret>, FetchError> {
    let silent = |_| FetchError::Silent { after: ANSWER };
    let message = timeout(ANSWER, secrets.message()).await.map_err(silent)?;
    message.map_err(refused)
}

fn refused(status: Status) -> FetchError {
    FetchError::Refused(status.into())
}

/// In a call: as many as the service gives.
const NAMES: usize = 256;
/// The largest bundle and a little.
const MESSAGE: usize = 264 * 1024;
/// For the next message. A call may wait for others.
const ANSWER: Duration = Duration::from_secs(15);
/// Failures in a row until it is told of, half a minute: a replica that has just been started is
/// about to list Secrets itself, and one that leads may be a moment ahead of the others.
const TOLD: u32 = 8;
