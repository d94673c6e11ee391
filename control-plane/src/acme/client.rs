//! The calls to a CA (RFC 8555), over instant-acme: one account at one CA.
//!
//! Each call changes at most one thing at the CA, and names what it is about by a URL that any
//! process can keep. So an order can be gone on with by whoever knows its URL and the account's
//! key, and what a lost answer leaves unknown is one thing. When to call is decided elsewhere.
//!
//! instant-acme alone signs, and reads what the CA says of orders.

mod call;
mod directory;
mod external;
mod failure;
mod orders;
mod renewal;
mod seen;

use std::fmt;
use std::sync::Arc;

use instant_acme::{Account, RevocationRequest};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

use crate::acme::client::call::Call;
use crate::acme::client::directory::Directory;
use crate::acme::client::failure::Effect;
use crate::acme::key::Key;
use crate::acme::transport::Transport;

pub use external::ExternalAccount;
pub use failure::{Failure, FailureKind};
pub use instant_acme::{AuthorizationStatus, ChallengeStatus, OrderStatus, RevocationReason};
pub use renewal::{RenewalWindow, certificate_id};
pub use seen::{AuthorizationSeen, ChallengeSeen, OrderSeen, Placed, Problem};

/// Where a CA is, and by what it is believed.
#[derive(Clone, Debug)]
pub struct Ca {
    /// The URL of its directory; https.
    pub directory: String,
    /// The roots of its certificate; without, the well-known ones.
    pub roots: Option<Vec<CertificateDer<'static>>>,
    /// What an account that is made is bound to.
    pub external: Option<ExternalAccount>,
}

/// One account at one CA.
pub struct Client {
    transport: Transport,
    directory: Arc<Directory>,
    key: Box<[u8]>,
    account: String,
}

impl Client {
    /// Reads the CA's directory, and registers the key or finds its account, which is the same
    /// call (RFC 8555, 7.3) and accepts the CA's terms. None is made if the account's URL is
    /// known.
    pub async fn open(ca: &Ca, key: &Key, known: Option<&str>) -> Result<Self, Failure> {
        let transport = Transport::new(ca.roots.as_deref());
        let transport =
            transport.map_err(|error| Failure::refused(&format!("cannot set up TLS: {error}")))?;
        let directory = Arc::new(Directory::read(&transport, &ca.directory).await?);
        let mut client = Self {
            transport,
            directory,
            key: key.der().into(),
            account: String::new(),
        };
        client.account = match known {
            Some(url) => url.to_owned(),
            None => client.register(ca.external.as_ref()).await?,
        };
        Ok(client)
    }

    async fn register(&self, external: Option<&ExternalAccount>) -> Result<String, Failure> {
        if let Some(external) = external {
            return external::register(&self.transport, &self.directory, &self.key, external).await;
        }
        if self.directory.listed.meta.external_account_required {
            let message = "the CA wants an external account (RFC 8555, 7.3.4): set \
                           acme.externalAccount to what it gave you";
            return Err(Failure::refused(message));
        }
        let der = self.der();
        let key = instant_acme::Key::from_pkcs8_der(der.clone_key());
        let key = key.map_err(|error| Failure::refused(&error.to_string()))?;
        let call = self.call(BODY);
        let account = Account::builder_with_http(Box::new(call.clone())).create_from_key(
            (key, PrivateKeyDer::Pkcs8(der.clone_key())),
            self.directory.url.clone(),
        );
        let (account, _) = Box::pin(account)
            .await
            .map_err(call.failed(Effect::Changes))?;
        Ok(account.id().to_owned())
    }

    /// The account's URL.
    pub fn account(&self) -> &str {
        &self.account
    }

    /// Whether [`Self::renewal_info`] can be asked.
    pub fn offers_renewal_info(&self) -> bool {
        self.directory.listed.renewal_info.is_some()
    }

    /// The kinds of certificates to choose from, with what the CA says of each.
    pub fn profiles(&self) -> impl Iterator<Item = (&str, &str)> {
        let profiles = self.directory.listed.meta.profiles.iter();
        profiles.map(|(name, text)| (name.as_str(), text.as_str()))
    }

    /// Where the CA's terms are, which an account accepts.
    pub fn terms(&self) -> Option<&str> {
        self.directory.listed.meta.terms_of_service.as_deref()
    }

    /// Replaces who is written to (`mailto:` URLs).
    pub async fn set_contact(&self, contact: &[&str]) -> Result<(), Failure> {
        let (account, call) = self.begin(BODY).await?;
        let done = Box::pin(account.update_contacts(contact)).await;
        done.map_err(call.failed(Effect::Changes))
    }

    /// Asks when a certificate is to be renewed, by its name ([`certificate_id`]).
    pub async fn renewal_info(&self, id: &str) -> Result<RenewalWindow, Failure> {
        let Some(resource) = &self.directory.listed.renewal_info else {
            return Err(Failure::refused("the CA offers no renewal information"));
        };
        renewal::ask(&self.transport, resource, id).await
    }

    /// Revokes a certificate of this account; one that is revoked already stays so.
    pub async fn revoke(
        &self,
        leaf: &CertificateDer<'_>,
        reason: RevocationReason,
    ) -> Result<(), Failure> {
        let (account, call) = self.begin(BODY).await?;
        let request = RevocationRequest {
            certificate: leaf,
            reason: Some(reason),
        };
        match Box::pin(account.revoke(&request)).await {
            Err(instant_acme::Error::Api(problem))
                if problem.r#type.as_deref() == Some(ALREADY_REVOKED) =>
            {
                Ok(())
            }
            done => done.map_err(call.failed(Effect::Changes)),
        }
    }

    fn call(&self, most: usize) -> Call {
        Call::new(&self.transport, &self.directory, most)
    }

    /// Makes no request: the directory is known.
    async fn begin(&self, most: usize) -> Result<(Account, Call), Failure> {
        let call = self.call(most);
        let account = Account::builder_with_http(Box::new(call.clone())).from_parts(
            self.account.clone(),
            self.der(),
            self.directory.url.clone(),
        );
        let account = Box::pin(account).await;
        let account = account.map_err(call.failed(Effect::Reads))?;
        Ok((account, call))
    }

    fn der(&self) -> PrivatePkcs8KeyDer<'_> {
        PrivatePkcs8KeyDer::from(&*self.key)
    }
}

/// Without the key.
impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("directory", &self.directory.url)
            .field("account", &self.account)
            .finish_non_exhaustive()
    }
}

const ALREADY_REVOKED: &str = "urn:ietf:params:acme:error:alreadyRevoked";

/// Bytes of an answer that are taken in, unless it is a chain.
const BODY: usize = 64 * 1024;

#[cfg(test)]
mod tests;
