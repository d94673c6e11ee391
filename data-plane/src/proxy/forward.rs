//! Sends a request to one of its upstream's endpoints and brings the answer.
//!
//! Apart from the rules of repetition, which are in `retry`, and from what a failure looks
//! like, which is in `rescue`.

use std::{borrow::Cow, rc::Rc, sync::Arc};

use roadstead_matcher::address::is_local;
use tokio::time::timeout;

use super::{Held, Proxy, redirect, rescue::Failure, retry};
use crate::active::{Endpoint, Target, Upstream};
use crate::balance::{self, Rotation};
use crate::message::{Body, Client, Head, Meter};
use crate::router::{RouteRule, UpstreamId};
use crate::upstream::{Answer, Pool};

impl Proxy {
    pub(super) async fn forward(
        &self,
        held: &Held,
        head: &mut Head,
        body: &mut Body,
        meter: &mut Meter,
    ) -> Result<Answer, Failure> {
        let client = Rc::clone(meter.client());
        let rule = held
            .active
            .router
            .route(&client.listener.name, head.host(), head.path())
            .ok_or(Failure::NoRoute)?;
        meter.route(&rule.id);
        if let Some(answer) = redirect::to_https(held, rule, head, &client) {
            return Ok(answer);
        }
        self.send(held, rule, (head, body, &client), meter).await
    }

    /// Tries endpoints in turn, as far as the request may be repeated.
    async fn send(
        &self,
        held: &Held,
        rule: &RouteRule,
        (head, body, client): (&mut Head, &mut Body, &Client),
        meter: &mut Meter,
    ) -> Result<Answer, Failure> {
        let id = balance::backend(&rule.backends, self.draws.draw())
            .and_then(|backend| backend.upstream)
            .ok_or(Failure::NoService)?;
        let pools = match self.pools.known(id, held.serial) {
            Some(pools) => pools,
            None => {
                let upstream = held.active.upstreams.find(id);
                let upstream = upstream.ok_or(Failure::NoService)?;
                let endpoints = self.endpoints(upstream).await?;
                self.pools.of(upstream, &endpoints, held.serial)
            }
        };
        let tries = self.thread.limits.upstream.tries;
        let mut failure = Failure::NoEndpoints;
        for (number, place) in Rotation::new(pools.len(), pools.turn(), tries).enumerate() {
            let Some(pool) = pools.get(place) else {
                continue;
            };
            if number > 0 {
                self.thread.metrics.upstream.retries.add(1);
            }
            meter.upstream(pool.endpoint.address);
            // Also before an open connection is used: it may be from when this was permitted.
            if pools.no_local() && is_local(pool.endpoint.address.ip()) {
                failure = Failure::Forbidden;
                continue;
            }
            failure = match self.try_endpoint(pool, head, body, client).await {
                Err(failure) if retry::may_go_elsewhere(&failure) => failure,
                result => return result,
            };
        }
        Err(failure)
    }

    async fn try_endpoint(
        &self,
        pool: &Rc<Pool>,
        head: &mut Head,
        body: &mut Body,
        client: &Client,
    ) -> Result<Answer, Failure> {
        let repeatable = retry::may_be_repeated(&head.method, body);
        if let Some(connection) = pool.take(!repeatable) {
            match connection.exchange(head, client, body).await {
                Err(error) if retry::was_stale(error) && repeatable && body.is_untouched() => {
                    self.thread.metrics.upstream.retries.add(1);
                }
                result => return Ok(result?),
            }
        }
        let permit = self.pools.permit(pool).ok_or(Failure::Overloaded)?;
        let connection = pool.connect(permit).await?;
        Ok(connection.exchange(head, client, body).await?)
    }

    /// The addresses of an upstream; those of a name that is not resolved yet are waited for.
    async fn endpoints<'a>(
        &self,
        upstream: &'a Upstream,
    ) -> Result<Cow<'a, Arc<[Endpoint]>>, Failure> {
        match upstream.target {
            Target::Discovered => Ok(Cow::Borrowed(&upstream.endpoints)),
            Target::External { .. } => {
                let patience = self.thread.limits.upstream.resolve;
                match timeout(patience, self.resolution_of(upstream.id)).await {
                    Ok(found) if !found.is_empty() => Ok(Cow::Owned(found)),
                    Ok(_) | Err(_) => Err(Failure::Unresolved),
                }
            }
        }
    }

    async fn resolution_of(&self, id: UpstreamId) -> Arc<[Endpoint]> {
        loop {
            let changed = self.resolution.notified();
            if let Some(known) = self.resolved.borrow().endpoints(id) {
                return Arc::clone(known);
            }
            changed.await;
        }
    }
}
