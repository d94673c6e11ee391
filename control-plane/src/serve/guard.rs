//! `GuardService`: what the guard against mass deletion holds, and the word that it shall go.
//!
//! It knows the holds from what the engine shows, and tells it as any source does: by an
//! observation. What that came to is seen, too.

use std::collections::BTreeSet;
use std::time::Duration;

use roadstead_proto::v1::{self, guard_service_server::GuardService};
use tokio::sync::watch;
use tokio::time::timeout;
use tonic::{Request, Response, Status};

use crate::event::hold::HoldId;
use crate::observe::Observation;
use crate::observe::guard::{Confirmation, Holds};
use crate::serve::wire::timestamp;
use crate::serve::{Role, error, operator};
use crate::state::hold::{HoldNow, Holding};

#[derive(Clone, Debug)]
pub(super) struct Guard {
    holding: watch::Receiver<Holding>,
    frozen: watch::Receiver<bool>,
    role: watch::Receiver<Role>,
}

impl Guard {
    pub(super) fn new(
        holding: watch::Receiver<Holding>,
        frozen: watch::Receiver<bool>,
        role: watch::Receiver<Role>,
    ) -> Self {
        Self {
            holding,
            frozen,
            role,
        }
    }

    /// Tells the engine, and keeps nothing by which it could be told: a term lasts as long as
    /// anybody does, and the Lease with it.
    async fn tell(&self, confirmation: Confirmation) -> Result<(), Status> {
        let role = self.role.borrow().clone();
        let Some(inbox) = role.reports() else {
            return Err(error::not_leading(role.elsewhere().as_deref()));
        };
        let told = inbox.send(Observation::Confirmed(confirmation)).await;
        told.map_err(|_| error::stopping())
    }
}

#[tonic::async_trait]
impl GuardService for Guard {
    async fn list_holds(
        &self,
        _: Request<v1::ListHoldsRequest>,
    ) -> Result<Response<v1::ListHoldsResponse>, Status> {
        let holds = self.holding.borrow().holds.iter().map(wire).collect();
        Ok(Response::new(v1::ListHoldsResponse { holds }))
    }

    async fn confirm_deletions(
        &self,
        request: Request<v1::ConfirmDeletionsRequest>,
    ) -> Result<Response<v1::ConfirmDeletionsResponse>, Status> {
        let by = operator::caller(request.extensions());
        let v1::ConfirmDeletionsRequest { holds, reason } = request.into_inner();
        let reason = operator::reason(&reason)?;
        if holds.is_empty() || holds.len() > MOST_HOLDS {
            return Err(error::argument("holds: name 1 to 16 that ListHolds tells"));
        }
        let mut ids = BTreeSet::new();
        for hold in holds {
            let id = hold.parse::<HoldId>();
            ids.insert(id.map_err(|wrong| error::argument(&format!("holds: {wrong}")))?);
        }
        let (mut shown, mut frozen) = (self.holding.clone(), self.frozen.clone());
        if let Some(missing) = ids.iter().find(|id| !shown.borrow().stands(**id)) {
            return Err(error::no_such_hold(*missing));
        }
        // What the engine is told while it cannot write is lost.
        if *frozen.borrow_and_update() {
            return Err(error::frozen());
        }
        let confirmation = Confirmation {
            of: Holds::These(ids.clone()),
            by: by.into(),
            reason: reason.into(),
        };
        self.tell(confirmation).await?;
        let settled = shown.wait_for(|shown| {
            let mut ids = ids.iter();
            ids.all(|id| shown.is_confirmed(*id) || !shown.stands(*id))
        });
        let settled = tokio::select! {
            biased;
            settled = timeout(PATIENCE, settled) => settled,
            Ok(()) = frozen.changed() => return Err(error::frozen()),
        };
        let shown = settled.map_err(|_| error::not_recorded())?;
        let shown = shown.map_err(|_| error::stopping())?;
        match ids.iter().find(|id| !shown.is_confirmed(**id)) {
            Some(gone) => Err(error::gone_unconfirmed(*gone)),
            None => Ok(Response::new(v1::ConfirmDeletionsResponse {})),
        }
    }
}

fn wire(now: &HoldNow) -> v1::Hold {
    let HoldNow { hold, missing } = now;
    let extent = &hold.extent;
    v1::Hold {
        id: hold.id.to_string(),
        origin: extent.origin.to_string(),
        kind: extent.kind.to_string(),
        since: Some(timestamp(hold.since)),
        objects: extent.objects,
        missing: missing.and_then(|missing| u32::try_from(missing).ok()),
        routes: extent.routes,
        of_routes: extent.of_routes,
        sample: extent.sample.iter().map(ToString::to_string).collect(),
        confirmed: hold.confirmed,
    }
}

const MOST_HOLDS: usize = 16;
/// Longer than any flush of a disk that can still be used.
const PATIENCE: Duration = Duration::from_secs(10);
