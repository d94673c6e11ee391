//! From what is held to what is served by: only what was touched is compiled anew.
//!
//! Apart from both: what is held knows no ids, and what is served by never changes.

use std::sync::Arc;

use roadstead_proto::v1::ResourceType;

use super::{
    Active, Certificates, Challenges, ShownChanges, TicketSecrets, Upstream, UpstreamTable,
};
use crate::router::{Names, RouteChange, Router};
use crate::snapshot::{
    ChallengeAnswer, Endpoint, Form, Held, Key, Route, Target, Touched, Version,
};

/// The tables of the last version, and the names in them.
#[derive(Debug, Default)]
pub struct Compiler {
    names: Names,
    router: Router,
    certificates: Certificates,
    challenges: Challenges,
    ticket_secrets: TicketSecrets,
    upstreams: UpstreamTable,
    routes: usize,
}

impl Compiler {
    /// Follows a change of what is held.
    pub fn apply(&mut self, touched: &[Touched], held: &Held) {
        // All names that are used now before any that were: one that goes from one route to
        // another must keep its id.
        for change in touched {
            names_in(change, change.after.as_ref(), &mut |name| {
                self.names.acquire(name);
            });
        }
        self.change_routes(touched);
        for change in touched {
            if let Some(Form::ServerName(before)) = &change.before {
                self.certificates.forget(&before.host);
            }
            if let Some(Form::ServerName(after)) = &change.after {
                self.certificates.name(after);
            }
        }
        for change in touched {
            answers(change.before.as_ref()).for_each(|answer| self.challenges.remove(answer));
            answers(change.after.as_ref()).for_each(|answer| self.challenges.put(answer));
        }
        for change in touched {
            if is_of(
                &change.key,
                [ResourceType::Upstream, ResourceType::Endpoints],
            ) {
                self.change_upstream(&change.key.name, held);
            }
        }
        for change in touched {
            names_in(change, change.before.as_ref(), &mut |name| {
                self.names.release(name);
            });
        }
    }

    /// Follows a change of certificates, and of what tickets are made by. They are apart from the rest
    /// of what is held: one that is told is shown only once its bundle has come.
    pub fn show(&mut self, changes: &ShownChanges) {
        for change in &changes.certificates {
            self.certificates.change(change);
        }
        if let Some(secrets) = &changes.ticket_secrets {
            self.ticket_secrets = secrets.clone();
        }
    }

    /// What is served by from now on.
    pub fn active(&self, version: Version) -> Active {
        Active {
            version,
            router: self.router.clone(),
            certificates: self.certificates.clone(),
            challenges: self.challenges.clone(),
            ticket_secrets: self.ticket_secrets.clone(),
            upstreams: self.upstreams.clone(),
        }
    }

    /// Number of routes that are served.
    pub fn routes(&self) -> usize {
        self.routes
    }

    /// Number of upstreams that are known.
    pub fn upstreams(&self) -> usize {
        self.upstreams.len()
    }

    /// Number of certificates that are shown.
    pub fn certificates(&self) -> usize {
        self.certificates.len()
    }

    fn change_routes(&mut self, touched: &[Touched]) {
        let routes: Vec<_> = touched
            .iter()
            .filter(|change| is_of(&change.key, [ResourceType::Route]))
            .map(|change| RouteChange {
                name: &change.key.name,
                before: route(change.before.as_ref()),
                after: route(change.after.as_ref()),
            })
            .collect();
        if routes.is_empty() {
            return;
        }
        let come = routes.iter().filter(|r| r.after.is_some()).count();
        let gone = routes.iter().filter(|r| r.before.is_some()).count();
        self.routes = (self.routes + come).saturating_sub(gone);
        self.router = self.router.with_changes(&routes, &self.names);
    }

    /// Puts the upstream together with its endpoints. Without an id nobody names it.
    fn change_upstream(&mut self, name: &Arc<str>, held: &Held) {
        let Some(id) = self.names.find(name) else {
            return;
        };
        match target(held, name) {
            Some(target) => self.upstreams.insert(Arc::new(Upstream {
                id,
                name: name.clone(),
                target: target.clone(),
                endpoints: endpoints(held, name),
            })),
            None => {
                self.upstreams.remove(id);
            }
        }
    }
}

/// The upstreams that a form names: a route its backends, an upstream itself.
fn names_in(change: &Touched, form: Option<&Form>, each: &mut dyn FnMut(&Arc<str>)) {
    match form {
        Some(Form::Route(route)) => {
            let backends = route.rules.iter().flat_map(|rule| &rule.backends);
            backends.filter_map(|b| b.upstream.as_ref()).for_each(each);
        }
        Some(Form::Upstream(_)) => each(&change.key.name),
        Some(
            Form::Listener(_)
            | Form::Endpoints(_)
            | Form::Certificate(_)
            | Form::ServerName(_)
            | Form::Challenge(_)
            | Form::TicketSecrets(_),
        )
        | None => {}
    }
}

fn is_of<const N: usize>(key: &Key, kinds: [ResourceType; N]) -> bool {
    kinds.iter().any(|&kind| i32::from(kind) == key.kind)
}

fn route(form: Option<&Form>) -> Option<&Route> {
    match form? {
        Form::Route(route) => Some(route),
        Form::Listener(_)
        | Form::Upstream(_)
        | Form::Endpoints(_)
        | Form::Certificate(_)
        | Form::ServerName(_)
        | Form::Challenge(_)
        | Form::TicketSecrets(_) => None,
    }
}

fn answers(form: Option<&Form>) -> impl Iterator<Item = &ChallengeAnswer> {
    let answers = match form {
        Some(Form::Challenge(answers)) => &**answers,
        Some(
            Form::Listener(_)
            | Form::Route(_)
            | Form::Upstream(_)
            | Form::Endpoints(_)
            | Form::Certificate(_)
            | Form::ServerName(_)
            | Form::TicketSecrets(_),
        )
        | None => &[],
    };
    answers.iter()
}

fn target<'a>(held: &'a Held, name: &Arc<str>) -> Option<&'a Target> {
    match held.form(&key(ResourceType::Upstream, name))? {
        Form::Upstream(target) => Some(target),
        Form::Listener(_)
        | Form::Route(_)
        | Form::Endpoints(_)
        | Form::Certificate(_)
        | Form::ServerName(_)
        | Form::Challenge(_)
        | Form::TicketSecrets(_) => None,
    }
}

fn endpoints(held: &Held, name: &Arc<str>) -> Arc<[Endpoint]> {
    match held.form(&key(ResourceType::Endpoints, name)) {
        Some(Form::Endpoints(endpoints)) => endpoints.clone(),
        Some(
            Form::Listener(_)
            | Form::Route(_)
            | Form::Upstream(_)
            | Form::Certificate(_)
            | Form::ServerName(_)
            | Form::Challenge(_)
            | Form::TicketSecrets(_),
        )
        | None => [].into(),
    }
}

fn key(kind: ResourceType, name: &Arc<str>) -> Key {
    Key {
        kind: kind.into(),
        name: name.clone(),
    }
}

#[cfg(test)]
mod tests;
