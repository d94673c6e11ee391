//! The calls about an order, from its placing to its certificate.
//!
//! instant-acme cannot read an authorization by its URL, nor change an order that it has not read:
//! what is changed is read on the way to it.

use std::net::IpAddr;

use instant_acme::{
    CertificateIdentifier, ChallengeStatus, Identifier, NewOrder, Order, OrderStatus,
};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use crate::acme::client::call::Call;
use crate::acme::client::failure::{Effect, Failure, FailureKind};
use crate::acme::client::seen::{AuthorizationSeen, OrderSeen, Placed, Problem, wire};
use crate::acme::client::{BODY, Client};
use crate::model::managed::ChallengeType;

impl Client {
    /// Places an order for DNS names (A-labels) and addresses. `replaces` names the certificate
    /// in whose place it is, by its [`certificate_id`](crate::acme::client::certificate_id), and
    /// is sent if the CA knows of such.
    ///
    /// An order of which only the URL came counts as placed; of which not even that came is
    /// [`FailureKind::Unknown`].
    pub async fn place(
        &self,
        names: &[String],
        replaces: Option<&str>,
        profile: Option<&str>,
    ) -> Result<Placed, Failure> {
        let identifiers: Vec<Identifier> = names.iter().map(|name| identifier(name)).collect();
        let mut order = NewOrder::new(&identifiers);
        if let Some(profile) = profile {
            order = order.profile(profile);
        }
        let replaces = replaces.filter(|_| self.offers_renewal_info());
        if let Some((authority, serial)) = replaces.and_then(|id| id.split_once('.')) {
            order = order.replaces(CertificateIdentifier {
                authority_key_identifier: authority.into(),
                serial: serial.into(),
            });
        }
        let (account, call) = self.begin(BODY).await?;
        let placed = Box::pin(account.new_order(&order)).await;
        match (Placed::of(&call.last()), placed) {
            (Some(placed), _) => Ok(placed),
            (None, Err(error)) => Err(call.failed(Effect::Changes)(error)),
            (None, Ok(_)) => {
                let message = "the CA's answer names no order that can be asked for";
                Err(Failure::new(FailureKind::Unknown, message))
            }
        }
    }

    /// Looks at an order.
    pub async fn order(&self, url: &str) -> Result<OrderSeen, Failure> {
        let (_, order, _) = self.look(url, BODY).await?;
        Ok(order)
    }

    /// Looks at an order and then at each of its authorizations, which are as many requests.
    pub async fn authorizations(
        &self,
        order_url: &str,
    ) -> Result<(OrderSeen, Vec<AuthorizationSeen>), Failure> {
        let (account, _) = self.begin(BODY).await?;
        let (mut order, order_seen, call) = self.look(order_url, BODY).await?;
        let mut seen = Vec::new();
        let mut authorizations = order.authorizations();
        while let Some(authorization) = Box::pin(authorizations.next()).await {
            let authorization = authorization.map_err(call.failed(Effect::Reads))?;
            seen.push(AuthorizationSeen::of(
                &authorization,
                account.key_thumbprint(),
            )?);
        }
        Ok((order_seen, seen))
    }

    /// Tells the CA to validate these authorizations of an order (URLs), each by its challenge of
    /// this type, one after the other; one that has been told of is left alone. Reads the order's
    /// authorizations up to the last of these.
    ///
    /// [`FailureKind::Unknown`]: some may have been told of.
    pub async fn validate(
        &self,
        order_url: &str,
        which: &[(Box<str>, ChallengeType)],
    ) -> Result<(), Failure> {
        let (mut order, _, call) = self.look(order_url, BODY).await?;
        let mut left = which.to_vec();
        let mut authorizations = order.authorizations();
        while !left.is_empty()
            && let Some(authorization) = Box::pin(authorizations.next()).await
        {
            let mut authorization = authorization.map_err(call.failed(Effect::Reads))?;
            let place = left
                .iter()
                .position(|(url, _)| **url == *authorization.url());
            let Some(place) = place else {
                continue;
            };
            let (_, challenge_type) = left.swap_remove(place);
            let name = authorization.identifier().to_string();
            let Some(mut challenge) = authorization.challenge(wire(challenge_type)) else {
                let message =
                    format!("the CA offers no challenge of type {challenge_type} for {name}");
                return Err(Failure::refused(&message));
            };
            if challenge.status == ChallengeStatus::Pending {
                let told = Box::pin(challenge.set_ready()).await;
                told.map_err(call.failed(Effect::Changes))?;
            }
        }
        if left.is_empty() {
            return Ok(());
        }
        let message = "the order has no such authorization";
        Err(Failure::new(FailureKind::Gone, message))
    }

    /// Asks for the certificate of a request ([`Key::request`](crate::acme::key::Key::request)), if
    /// the order is ready for it; one that is not is left as it is. Says what the order is then.
    pub async fn finalize(&self, order_url: &str, request: &[u8]) -> Result<OrderSeen, Failure> {
        let (mut order, seen, call) = self.look(order_url, BODY).await?;
        if seen.status != OrderStatus::Ready {
            return Ok(seen);
        }
        let asked = Box::pin(order.finalize_csr(request)).await;
        asked.map_err(call.failed(Effect::Changes))?;
        OrderSeen::of(order.state(), &call.last())
    }

    /// Fetches the chain (PEM, at most 128 KiB, the certificate first); none while the order has
    /// none yet. An invalid order is refused.
    pub async fn certificate(&self, order_url: &str) -> Result<Option<String>, Failure> {
        let (mut order, seen, call) = self.look(order_url, CHAIN).await?;
        match seen.status {
            OrderStatus::Pending | OrderStatus::Ready | OrderStatus::Processing => return Ok(None),
            OrderStatus::Invalid => {
                let problem = seen.problem.unwrap_or_else(|| Problem {
                    kind: None,
                    text: "the order is invalid".to_owned(),
                });
                let kind = FailureKind::Refused {
                    problem: problem.kind,
                };
                return Err(Failure::new(kind, &problem.text));
            }
            OrderStatus::Valid => {}
        }
        let chain = Box::pin(order.certificate()).await;
        let chain = chain.map_err(call.failed(Effect::Reads))?;
        let chain = chain.filter(|pem| CertificateDer::from_pem_slice(pem.as_bytes()).is_ok());
        let message = "the CA's answer has no certificate in it";
        chain
            .map(Some)
            .ok_or_else(|| Failure::new(FailureKind::Unavailable, message))
    }

    async fn look(&self, url: &str, most: usize) -> Result<(Order, OrderSeen, Call), Failure> {
        let (account, call) = self.begin(most).await?;
        let order = Box::pin(account.order(url.to_owned())).await;
        let mut order = order.map_err(call.failed(Effect::Reads))?;
        let seen = OrderSeen::of(order.state(), &call.last())?;
        Ok((order, seen, call))
    }
}

fn identifier(name: &str) -> Identifier {
    match name.parse::<IpAddr>() {
        Ok(address) => Identifier::Ip(address),
        Err(_) => Identifier::Dns(name.to_owned()),
    }
}

/// Bytes of a chain that are taken in: with its keys it has to fit into what is kept of it.
const CHAIN: usize = 128 * 1024;
