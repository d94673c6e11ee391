//! Encrypts tickets by keys that all who have the same secrets derive alike, each for some hours.
//!
//! Apart from what a ticket is good for: here are bytes and a context, without which they cannot be
//! read again. The form is that of RFC 5077, section 4, but for the algorithms: a name of the key,
//! a nonce, and what is encrypted with what authenticates it (AES-256-GCM-SIV, RFC 8452, of which a
//! nonce that two proxies draw betrays nothing but that two tickets were the same).

use std::sync::Arc;

use ::aws_lc_rs::{
    aead::{AES_256_GCM_SIV, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    hkdf::{HKDF_SHA256, Prk, Salt},
};
use jiff::Timestamp;
use prost::Message as _;
use roadstead_proto::v1::TicketSecret;
use rustls::{crypto::aws_lc_rs, server::ProducesTickets};

use crate::active::TicketSecrets;
use crate::bundle::Bundle;
use crate::clock;
use crate::snapshot::BundleName;

/// Makes and reads tickets.
#[derive(Debug)]
pub(super) struct Ticketer {
    of: TicketSecrets,
    by: By,
}

#[derive(Debug)]
enum By {
    /// Keys that nobody else has, others every few hours.
    Alone(Arc<dyn ProducesTickets>),
    Shared(Shared),
}

/// Secrets that others have, too.
#[derive(Debug)]
struct Shared {
    /// Tickets are made by the first.
    secrets: Vec<Secret>,
    clock: fn() -> Timestamp,
}

/// One of them. It does not show itself.
struct Secret {
    name: Name,
    derives: Prk,
}

/// The beginning of a secret's own name.
type Name = [u8; 8];

impl Ticketer {
    /// By these secrets; alone if there are none, or not one of them can be used.
    pub(super) fn of(secrets: &TicketSecrets) -> Result<Self, rustls::Error> {
        let by = match Shared::of(secrets, clock::wall) {
            Some(shared) => By::Shared(shared),
            None => By::Alone(aws_lc_rs::Ticketer::new()?),
        };
        Ok(Self {
            of: secrets.clone(),
            by,
        })
    }

    /// Whether it was made for these.
    pub(super) fn is_of(&self, secrets: &TicketSecrets) -> bool {
        self.of.are(secrets)
    }

    /// A ticket that can be read again with the same context.
    pub(super) fn encrypt(&self, context: &[u8], session: &[u8]) -> Option<Vec<u8>> {
        match &self.by {
            By::Alone(alone) => alone.encrypt(&[context, session].concat()),
            By::Shared(shared) => shared.encrypt(context, session),
        }
    }

    /// What is in a ticket that was made with this context, and not too long ago.
    pub(super) fn decrypt(&self, context: &[u8], ticket: &[u8]) -> Option<Vec<u8>> {
        match &self.by {
            By::Alone(alone) => {
                let session = alone.decrypt(ticket)?;
                session.strip_prefix(context).map(<[u8]>::to_vec)
            }
            By::Shared(shared) => shared.decrypt(context, ticket),
        }
    }
}

impl Shared {
    fn of(secrets: &TicketSecrets, clock: fn() -> Timestamp) -> Option<Self> {
        let secrets: Vec<_> = secrets.iter().filter_map(|bundle| read(bundle)).collect();
        (!secrets.is_empty()).then_some(Self { secrets, clock })
    }

    fn encrypt(&self, context: &[u8], session: &[u8]) -> Option<Vec<u8>> {
        let secret = self.secrets.first()?;
        let span = self.span();
        let mut nonce = [0; NONCE_LEN];
        getrandom::fill(&mut nonce).ok()?;
        let key = secret.key(span)?;
        let mut sealed = session.to_vec();
        let context = Aad::from(context);
        let nonce_once = Nonce::assume_unique_for_key(nonce);
        key.seal_in_place_append_tag(nonce_once, context, &mut sealed)
            .ok()?;
        Some([&secret.name[..], &span.to_be_bytes(), &nonce, &sealed].concat())
    }

    /// One of this span of time or the one before.
    fn decrypt(&self, context: &[u8], ticket: &[u8]) -> Option<Vec<u8>> {
        let (name, rest) = ticket.split_first_chunk::<{ size_of::<Name>() }>()?;
        let (span, rest) = rest.split_first_chunk()?;
        let (nonce, sealed) = rest.split_first_chunk::<NONCE_LEN>()?;
        let span = u32::from_be_bytes(*span);
        let now = self.span();
        // Clocks of others may be ahead.
        if !(now.saturating_sub(1)..=now.saturating_add(1)).contains(&span) {
            return None;
        }
        let mut secrets = self.secrets.iter();
        let secret = secrets.find(|secret| secret.name == *name)?;
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let mut sealed = sealed.to_vec();
        let key = secret.key(span)?;
        let session = key.open_in_place(nonce, Aad::from(context), &mut sealed);
        let length = session.ok()?.len();
        sealed.truncate(length);
        Some(sealed)
    }

    fn span(&self) -> u32 {
        u32::try_from((self.clock)().as_second() / SPAN).unwrap_or_default()
    }
}

impl Secret {
    fn new(name: BundleName, secret: &[u8; LENGTH]) -> Self {
        let (name, _) = name
            .as_bytes()
            .split_first_chunk()
            .unwrap_or((&[0; 8], &[]));
        Self {
            name: *name,
            derives: Salt::new(HKDF_SHA256, SALT).extract(secret),
        }
    }

    /// Its key in a span of time.
    fn key(&self, span: u32) -> Option<LessSafeKey> {
        let info = span.to_be_bytes();
        let info = [&info[..]];
        let derived = self.derives.expand(&info, &AES_256_GCM_SIV).ok()?;
        Some(LessSafeKey::new(UnboundKey::from(derived)))
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Secret").finish_non_exhaustive()
    }
}

fn read(bundle: &Bundle) -> Option<Secret> {
    let read = TicketSecret::decode(bundle.bytes().as_ref()).ok();
    let secret =
        read.and_then(|read| Some(Secret::new(bundle.name(), &read.secret.try_into().ok()?)));
    if secret.is_none() {
        tracing::error!(bundle = %bundle.name(), "not a secret of tickets: none are made by it");
    }
    secret
}

/// For which a ticket is good at least, in seconds; at most for twice as long.
pub(super) const SPAN: i64 = 6 * 60 * 60;
const LENGTH: usize = 32;
const SALT: &[u8] = b"roadstead session tickets";

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: fn() -> Timestamp = || at(0);

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 / SPAN * SPAN + seconds).unwrap()
    }

    fn bundle(secret: Vec<u8>) -> Arc<Bundle> {
        let bytes: bytes::Bytes = TicketSecret { secret }.encode_to_vec().into();
        Arc::new(Bundle::checked(BundleName::of(&bytes), bytes).unwrap())
    }

    fn shared(secrets: &[u8], clock: fn() -> Timestamp) -> Shared {
        let secrets = secrets.iter().map(|byte| bundle(vec![*byte; LENGTH]));
        Shared::of(&secrets.collect(), clock).unwrap()
    }

    #[test]
    fn who_has_the_same_secrets_reads_what_another_has_made_with_the_same_context() {
        let ticket = shared(&[1], NOON).encrypt(b"a", b"session").unwrap();
        let read = |ticketer: Shared, context: &[u8]| ticketer.decrypt(context, &ticket);
        assert_eq!(
            read(shared(&[1], NOON), b"a").as_deref(),
            Some(&b"session"[..])
        );
        // One newer has come.
        assert_eq!(
            read(shared(&[2, 1], NOON), b"a").as_deref(),
            Some(&b"session"[..])
        );
        assert_eq!(read(shared(&[1], NOON), b"b"), None);
        assert_eq!(read(shared(&[2], NOON), b"a"), None);
        let alone = Ticketer::of(&TicketSecrets::default()).unwrap();
        assert_eq!(alone.decrypt(b"a", &ticket), None);
    }

    #[test]
    fn a_ticket_is_good_for_its_span_of_time_and_the_next() {
        let ticket = shared(&[1], NOON).encrypt(b"", b"session").unwrap();
        let read = |clock| shared(&[1], clock).decrypt(b"", &ticket).is_some();
        assert!(read(|| at(2 * SPAN - 1)) && !read(|| at(2 * SPAN)));
        // Another's clock is behind by a moment, or by hours.
        assert!(read(|| at(-1)) && !read(|| at(-1 - SPAN)));
    }

    #[test]
    fn what_was_changed_or_cut_is_no_ticket() {
        let ticketer = shared(&[1], NOON);
        let ticket = ticketer.encrypt(b"", b"session").unwrap();
        for place in 0..ticket.len() {
            assert_eq!(ticketer.decrypt(b"", &ticket[..place]), None, "{place}");
            let mut changed = ticket.clone();
            changed[place] ^= 1;
            assert_eq!(ticketer.decrypt(b"", &changed), None, "{place}");
        }
    }

    #[test]
    fn what_is_no_secret_is_passed_over_and_none_is_shown() {
        let secrets = [vec![0; 31], vec![7; LENGTH]].map(bundle).into_iter();
        let ticketer = Shared::of(&secrets.collect(), NOON).unwrap();
        assert_eq!(ticketer.secrets.len(), 1);
        assert!(!format!("{ticketer:?}").contains("7, 7"));
        let none = [bundle(vec![])].into_iter();
        let none = none.collect();
        assert!(Shared::of(&none, NOON).is_none());
        // Which is found out once.
        assert!(Ticketer::of(&none).unwrap().is_of(&none));
    }
}
