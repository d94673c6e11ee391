//! The certificate that this proxy opens streams by: asked for, renewed, and kept.
//!
//! Apart from streams, which need only the certificate of now: asking for one takes a token or
//! the certificate before, and may fail for long while that one still lasts.

mod held;

use std::{path::PathBuf, sync::Arc};

use roadstead_proto::causes;
use roadstead_proto::v1::{
    IssueRequest, IssueResponse, certificate_service_client::CertificateServiceClient,
};
use tokio::{
    sync::{Notify, watch},
    time::{Duration, sleep, timeout},
};
use tonic::{Request, Status};
use tracing::{info, warn};

pub(super) use held::Held;

use super::{
    Metrics,
    backoff::{Backoff, chance},
    dial::{self, DialError},
};
use crate::clock::wall;
use crate::config::{Address, ControlPlane};
use held::{Draft, HeldError};

/// What streams are opened by. A clone is another handle to the same certificate.
#[derive(Clone, Debug)]
pub struct Certificates {
    held: watch::Receiver<Option<Arc<Held>>>,
    doubt: Arc<Notify>,
}

/// The task that sees to it that there is a certificate.
#[derive(Debug)]
pub struct Renewal {
    settings: ControlPlane,
    folder: PathBuf,
    held: watch::Sender<Option<Arc<Held>>>,
    doubt: Arc<Notify>,
    metrics: Metrics,
    /// How often the certificate of now could not be kept; none: it is.
    unkept: Option<u32>,
}

/// There is no certificate.
#[derive(Debug, thiserror::Error)]
enum IssueError {
    #[error("{0}")]
    Dial(#[from] DialError),
    #[error("{address} gives none: {}", told(source))]
    Refused {
        address: Address,
        source: Box<Status>,
    },
    #[error("{address} did not answer within {} s", ANSWER_TIME.as_secs())]
    Silent { address: Address },
    #[error("{0}")]
    Held(#[from] HeldError),
    #[error("controlPlane.addresses is empty")]
    NoAddress,
}

impl Certificates {
    /// The certificate, waited for a while if there is none yet.
    pub(super) async fn get(&self) -> Option<Arc<Held>> {
        let mut held = self.held.clone();
        let found = timeout(FIRST_TIME, held.wait_for(Option::is_some)).await;
        found.ok()?.ok()?.clone()
    }

    /// Someone did not believe this one. Nothing is to be done if there is another by now.
    pub(super) fn doubt(&self, shown: &Arc<Held>) {
        let held = self.held.borrow().clone();
        if held.is_some_and(|held| Arc::ptr_eq(&held, shown)) {
            self.doubt.notify_one();
        }
    }
}

impl Renewal {
    /// The task, and what streams are opened by. None if this proxy has no folder for it.
    pub fn new(settings: &ControlPlane, metrics: Metrics) -> Option<(Self, Certificates)> {
        let folder = settings.certificate_folder.clone()?;
        let (sender, held) = watch::channel(None);
        let doubt = Arc::new(Notify::new());
        let renewal = Self {
            settings: settings.clone(),
            folder,
            held: sender,
            doubt: Arc::clone(&doubt),
            metrics,
            unkept: None,
        };
        Some((renewal, Certificates { held, doubt }))
    }

    /// Takes what was kept, and asks for another in time, for as long as it runs.
    pub async fn run(mut self) {
        match Held::read(&self.folder) {
            Ok(Some(held)) => self.take(held),
            Ok(None) => {}
            Err(error) => warn!("the kept certificate is not used: {error}; asking for another"),
        }
        let mut backoff = Backoff::new();
        let mut failing = false;
        loop {
            let doubted = self.wait().await;
            match self.ask(doubted).await {
                Ok(held) => {
                    info!(until = %held.not_after(), "this proxy has a certificate");
                    self.take(held);
                    self.unkept = Some(0);
                    self.keep();
                    self.metrics.certificate(true);
                    backoff.reset();
                    failing = false;
                    // Not at once again, whatever the clock says.
                    sleep(AT_MOST_EVERY).await;
                }
                Err(error) => {
                    self.metrics.certificate(false);
                    if !failing {
                        warn!("no new certificate: {error}; trying on");
                    }
                    failing = true;
                    let pause = backoff.pause(chance());
                    // There is time, while the one that is held is good.
                    let urgent = doubted || !self.is_good();
                    sleep(if urgent { pause } else { AT_MOST_EVERY }).await;
                }
            }
        }
    }

    /// Until another certificate is needed. True if the one that is held is not believed.
    async fn wait(&mut self) -> bool {
        loop {
            let held = self.held.borrow().clone();
            if held.is_none_or(|held| held.is_due(wall())) {
                return false;
            }
            tokio::select! {
                () = self.doubt.notified() => return true,
                // The wall clock can be set.
                () = sleep(LOOK_EVERY) => self.keep(),
            }
        }
    }

    /// Keeps the certificate for the next process, until it is kept.
    fn keep(&mut self) {
        let held = self.held.borrow().clone();
        let (Some(failures), Some(held)) = (self.unkept, held) else {
            return;
        };
        self.unkept = match held.write(&self.folder) {
            Ok(()) => None,
            Err(error) => {
                if failures == 0 {
                    warn!("the certificate is not kept: {error}; trying on");
                }
                Some(failures.saturating_add(1))
            }
        };
    }

    fn is_good(&self) -> bool {
        let held = self.held.borrow();
        held.as_ref().is_some_and(|held| wall() < held.not_after())
    }

    fn take(&self, held: Held) {
        self.metrics.certificate_until(held.not_after());
        self.held.send_replace(Some(Arc::new(held)));
    }

    /// Asks all addresses in turn: with the certificate that is held, then without it.
    async fn ask(&self, doubted: bool) -> Result<Held, IssueError> {
        let held = self.held.borrow().clone().filter(|_| !doubted);
        let ways = [held.as_deref(), None];
        let ways = ways.get(usize::from(held.is_none())..).unwrap_or_default();
        let mut last = IssueError::NoAddress;
        for address in &self.settings.addresses {
            for shown in ways {
                match self.ask_one(address, *shown).await {
                    Ok(held) => return Ok(held),
                    Err(error) => last = error,
                }
            }
        }
        Err(last)
    }

    async fn ask_one(&self, address: &Address, shown: Option<&Held>) -> Result<Held, IssueError> {
        let draft = Draft::new()?;
        let token = dial::token(&self.settings).await;
        // A token that cannot be read is not needed where there is a certificate.
        let token = if shown.is_some() {
            token.unwrap_or_default()
        } else {
            token?
        };
        let endpoint = dial::endpoint(&self.settings, address, shown).await?;
        let connected = timeout(ANSWER_TIME, endpoint.connect()).await;
        let silent = |_| IssueError::Silent {
            address: address.clone(),
        };
        let channel = connected.map_err(silent)?;
        let channel = channel.map_err(DialError::connect(address))?;
        let mut request = Request::new(IssueRequest {
            certification_request: draft.request().to_vec(),
        });
        if let Some(token) = token {
            request.metadata_mut().insert("authorization", token);
        }
        let mut client =
            CertificateServiceClient::new(channel).max_decoding_message_size(ANSWER_BYTES);
        let response = match timeout(ANSWER_TIME, client.issue(request)).await {
            Ok(Ok(response)) => response.into_inner(),
            Ok(Err(status)) => {
                return Err(IssueError::Refused {
                    address: address.clone(),
                    source: status.into(),
                });
            }
            Err(_) => {
                return Err(IssueError::Silent {
                    address: address.clone(),
                });
            }
        };
        let IssueResponse {
            certificate,
            proxy,
            not_before,
        } = response;
        info!(proxy, "a control plane knows this proxy");
        let issued = not_before.map_or(0, |at| at.seconds);
        Ok(draft.complete(&certificate, issued)?)
    }
}

/// What the other end says, or what happened on the way.
fn told(status: &Status) -> String {
    match std::error::Error::source(status) {
        Some(_) => causes(status),
        None => status.message().to_owned(),
    }
}

/// How long a stream that is to be opened waits for the first certificate.
const FIRST_TIME: Duration = Duration::from_secs(5);
/// Longer than the control plane waits for its API server.
const ANSWER_TIME: Duration = Duration::from_secs(8);
const ANSWER_BYTES: usize = 64 * 1024;
const LOOK_EVERY: Duration = Duration::from_secs(30);
/// While there is one that is good.
const AT_MOST_EVERY: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests;
