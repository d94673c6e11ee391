//! How an object stands: accepted or not, and what of it is not served and why.
//!
//! Made in the same pass as the routes, so that what a user is told is what is done.

pub mod tls;

use std::sync::Arc;

use roadstead_matcher::host::HostPattern;

use crate::model::key::{Kind, ObjectKey, Origin};
use crate::model::refusal::Refusal;
use crate::project::routes;
use crate::project::standing::tls::{Lacking, Obtained};
use crate::state::State;
use crate::state::claims::wish::{Position, Slot, wishes};

/// What an object's owner is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Its uid, so that an Event reaches this object and not its successor.
    pub uid: Arc<str>,
    /// Its last good version is used; of an Ingress, because its class is ours.
    pub served: bool,
    /// Why the version that exists now is not used.
    pub refusal: Option<Refusal>,
    /// Rules that another Ingress has.
    pub lost: Vec<Lost>,
    /// Backends whose Service or port does not exist: their rules answer 503.
    pub missing: Vec<Missing>,
    /// Entries of `spec.tls` whose own certificate is not shown.
    pub lacking: Vec<Lacking>,
    /// Certificates that we obtain for its hosts.
    pub obtained: Vec<Obtained>,
    /// Fields of what is served that mean nothing here: [`Ingress::ignored`].
    ///
    /// [`Ingress::ignored`]: crate::model::ingress::Ingress::ignored
    pub ignored: Vec<Box<str>>,
}

/// An object stands otherwise than before; `None`: it does not exist, or is not ours to speak of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StandingChange {
    pub key: ObjectKey,
    pub before: Option<Standing>,
    pub after: Option<Standing>,
}

/// A rule that another Ingress has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lost {
    pub position: Position,
    pub host: HostPattern,
    pub slot: Slot,
    /// Who has it; `None` where the host belongs to another namespace and nobody has this path.
    pub winner: Option<ObjectKey>,
    /// The namespace that the host belongs to.
    pub owner: Box<str>,
}

/// A backend that does not exist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    pub position: Position,
    pub service: Box<str>,
    /// The port as written, where the Service exists and has no such port.
    pub port: Option<Box<str>>,
}

/// How an object stands; `None` for what is not ours to speak of.
///
/// Ours are the Ingresses of our classes; of other kinds an object has a standing only while
/// it is refused, and a Service or a Secret only while one of these Ingresses names it.
pub(super) fn of(state: &State, key: &ObjectKey) -> Option<Standing> {
    // Of what was not seen yet nobody knows how it stands.
    let held = state.object(key).filter(|held| !held.unseen)?;
    let refusal = held.refused.as_ref().map(|refused| refused.refusal.clone());
    let newest = held.refused.as_ref().map(|refused| &refused.meta);
    let good = state.ingress(key);
    let uid = newest.or_else(|| good.map(|(meta, _)| meta))?.uid.clone();
    let mut standing = Standing {
        uid,
        served: false,
        refusal,
        lost: Vec::new(),
        missing: Vec::new(),
        lacking: Vec::new(),
        obtained: Vec::new(),
        ignored: Vec::new(),
    };
    let ours = match key.kind {
        // A folder has no other controller that an unreadable Ingress could be meant for.
        Kind::Ingress => state
            .class_of(key)
            .map_or(key.origin == Origin::Folder, |class| {
                state.serves(key.origin, class)
            }),
        // What the configuration names is meant for us.
        Kind::Secret => key.origin == Origin::Configuration || state.certificates().is_used(key),
        Kind::Service => state.users_of(key).next().is_some(),
        Kind::EndpointSlice | Kind::IngressClass => true,
        // Nobody else writes them.
        Kind::Certificate | Kind::TicketSecret => false,
    };
    if !ours {
        return None;
    }
    if let Kind::Secret | Kind::Service = key.kind {
        standing.served = held.good.is_some();
        return standing.refusal.is_some().then_some(standing);
    }
    if let Some((_, ingress)) = good {
        standing.served = true;
        standing.ignored.clone_from(&ingress.ignored);
        standing.lacking = tls::lacking(state, key, ingress);
        standing.obtained = tls::obtained(state, ingress);
        for wish in wishes(ingress) {
            if routes::has_slot(state, key, &wish) {
                let service = key.sibling(Kind::Service, &wish.backend.service);
                let known = state.service(&service);
                let has_port = known.is_some_and(|(_, spec)| spec.offers(&wish.backend.port));
                if !has_port {
                    standing.missing.push(Missing {
                        position: wish.position,
                        service: wish.backend.service.clone(),
                        port: known.map(|_| wish.backend.port.to_string().into()),
                    });
                }
            } else {
                let claims = state.claims();
                let winner = claims.winner(&wish.host, &wish.slot);
                standing.lost.push(Lost {
                    position: wish.position,
                    winner: winner.map(|claim| claim.ingress.clone()),
                    owner: claims.owner(&wish.host).unwrap_or_default().into(),
                    host: wish.host,
                    slot: wish.slot,
                });
            }
        }
    }
    (standing.served || standing.refusal.is_some()).then_some(standing)
}
