//! Our account at the CA: its key is kept before the CA learns of it.
//!
//! One is enough, and it is opened when there is something to ask. A CA that does not answer is
//! tried again later, for all certificates at once.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep_until};

use crate::acme::Settings;
use crate::acme::client::{Ca, Client, Failure, FailureKind};
use crate::acme::key::{Key, KeyError};
use crate::acme::record::{Account, Pem, Record, account_name};
use crate::acme::shelf::{Found, Shelf, ShelfError};
use crate::acme::work::Reopen;
use crate::backoff::delay;
use crate::store::Store;

/// The account, or the way to it.
#[derive(Debug)]
pub(super) struct Accounts<S> {
    shelf: Shelf<S>,
    state: State,
    opening: JoinSet<Result<Client, OpenError>>,
    failures: u32,
    /// The CA does not know the one that is kept.
    is_gone: bool,
}

#[derive(Debug)]
enum State {
    Closed,
    Opening,
    /// It failed, and is tried again then.
    Again(Instant),
    Open(Arc<Client>),
}

/// The account cannot be opened.
#[derive(Debug, thiserror::Error)]
enum OpenError {
    #[error("{0}")]
    Ca(#[from] Failure),
    #[error("{0}")]
    Key(#[from] KeyError),
    #[error("what is kept of the account cannot be read or written: {0}")]
    Shelf(#[from] ShelfError),
    #[error("what is kept of the account cannot be used: see {0}")]
    Unusable(String),
}

impl<S: Store> Accounts<S> {
    pub(super) fn new(shelf: Shelf<S>) -> Self {
        Self {
            shelf,
            state: State::Closed,
            opening: JoinSet::new(),
            failures: 0,
            is_gone: false,
        }
    }

    /// The account, if it is open; else it is opened from now on.
    pub(super) fn client(&mut self, settings: &Arc<Settings>) -> Option<Arc<Client>> {
        match &self.state {
            State::Open(client) => return Some(Arc::clone(client)),
            State::Closed => {
                let (shelf, settings) = (self.shelf.clone(), Arc::clone(settings));
                self.opening.spawn(open(shelf, settings, self.is_gone));
                self.state = State::Opening;
            }
            State::Opening | State::Again(_) => {}
        }
        None
    }

    /// Whether the CA suggests when to renew, as far as that is known.
    pub(super) fn suggests_renewals(&self) -> bool {
        match &self.state {
            State::Open(client) => client.offers_renewal_info(),
            State::Closed | State::Opening | State::Again(_) => false,
        }
    }

    /// Opens it anew, unless that was done since.
    pub(super) fn reopen(&mut self, reopen: &Reopen) {
        if let State::Open(client) = &self.state
            && Arc::ptr_eq(client, &reopen.client)
        {
            self.is_gone |= reopen.is_gone;
            self.state = State::Closed;
        }
    }

    /// Waits until it can be asked for again. To be cancelled at will.
    pub(super) async fn changed(&mut self) {
        match &self.state {
            State::Again(time) => {
                sleep_until(*time).await;
                self.state = State::Closed;
            }
            State::Opening => match self.opening.join_next().await {
                Some(opened) => self.opened(opened),
                None => self.state = State::Closed,
            },
            State::Closed | State::Open(_) => std::future::pending().await,
        }
    }

    fn opened(&mut self, opened: Result<Result<Client, OpenError>, JoinError>) {
        let opened = match opened {
            Ok(opened) => opened,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(_) => return,
            },
        };
        match opened {
            Ok(client) => {
                tracing::info!(account = client.account(), "certificates can be asked for");
                self.failures = 0;
                self.is_gone = false;
                self.state = State::Open(Arc::new(client));
            }
            Err(error) => {
                self.failures = self.failures.saturating_add(1);
                tracing::error!("no certificate can be asked for: {error}");
                let again = delay(self.failures).max(error.wait());
                self.state = State::Again(Instant::now() + again);
            }
        }
    }
}

impl OpenError {
    /// For how long another attempt makes no sense.
    fn wait(&self) -> Duration {
        match self {
            Self::Ca(failure) => {
                let said = failure.retry_after.unwrap_or_default();
                let refused = matches!(failure.kind, FailureKind::Refused { .. });
                said.max(if refused { REFUSED } else { Duration::ZERO })
            }
            Self::Key(_) | Self::Unusable(_) => REFUSED,
            Self::Shelf(_) => Duration::ZERO,
        }
    }
}

/// Opens the account that is kept, or makes one.
async fn open<S: Store>(
    shelf: Shelf<S>,
    settings: Arc<Settings>,
    is_gone: bool,
) -> Result<Client, OpenError> {
    let name = account_name(&settings.directory);
    let (account, revision) = match shelf.one(&name).await? {
        Found::Record(Record::Account(account), revision) => (account, revision),
        Found::Record(Record::Certificate(_), _) | Found::Unusable => {
            return Err(OpenError::Unusable(shelf.place(&name)));
        }
        Found::Nothing => {
            let account = Account {
                ca: settings.directory.as_str().into(),
                key: Pem(Key::generate()?.pem().into()),
                url: Box::default(),
            };
            let revision = shelf.put(&Record::Account(account.clone()), None).await?;
            (account, revision)
        }
    };
    let key = Key::from_pem(&account.key.0)?;
    let ca = Ca {
        directory: settings.directory.clone(),
        roots: settings.roots.clone(),
        external: settings.external.clone(),
    };
    let known = Some(&*account.url).filter(|url| !url.is_empty() && !is_gone);
    let client = Client::open(&ca, &key, known).await?;
    if known != Some(client.account()) {
        let known = Account {
            url: client.account().into(),
            ..account
        };
        shelf.put(&Record::Account(known), Some(&revision)).await?;
        let contact: Vec<&str> = settings.contact.iter().map(String::as_str).collect();
        if !contact.is_empty()
            && let Err(failure) = client.set_contact(&contact).await
        {
            tracing::warn!("the CA does not take acme.contact: {failure}");
        }
    }
    Ok(client)
}

/// After what is not mended by trying again.
const REFUSED: Duration = Duration::from_secs(600);
