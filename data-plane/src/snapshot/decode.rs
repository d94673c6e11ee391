//! From a resource as it was told to the form that is used, or the reason why there is none.
//!
//! Apart, because here alone the wire's types are read, and this is what is fuzzed.

mod certificate;
mod challenge;
mod endpoints;
mod listener;
mod route;
mod server_name;
mod ticket_secrets;
mod upstream;

use std::fmt::Display;

use prost::Message;
use roadstead_proto::{digest, v1};

use super::{Fault, Form, Reason, Told};

/// What this proxy can do beyond the messages' plain meaning; a resource may require some of it.
pub const CAPABILITIES: &[&str] = &[
    "challenge",
    "http",
    "proxy-protocol",
    "ticket-secrets",
    "tls",
    "tls-alpn-01",
    "tls-policy",
];

/// What decoding came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decoded {
    Usable(Form),
    Faulty {
        fault: Fault,
        /// What to use if there is no last good form: a route that answers 503 to all that it
        /// claims, so that no other route serves it without the filter that is missing here.
        closed: Option<Form>,
    },
}

impl Decoded {
    pub fn from_told(told: &Told) -> Self {
        let checked = check_hash(told).and_then(|()| read(told));
        match (checked, missing(told)) {
            (Ok(form), None) => Self::Usable(form),
            (Ok(form), Some(fault)) => Self::Faulty {
                fault,
                closed: closed(form),
            },
            // That something is missing explains why the body may not be understood.
            (Err(_), Some(fault)) | (Err(fault), None) => Self::Faulty {
                fault,
                closed: None,
            },
        }
    }
}

fn check_hash(told: &Told) -> Result<(), Fault> {
    let requires = told.requires.iter().map(String::as_str);
    if digest::resource_hash(&told.body, requires) == told.hash {
        return Ok(());
    }
    Err(Fault::new(
        Reason::HashMismatch,
        "the resource does not have the hash that was sent with it",
    ))
}

fn read(told: &Told) -> Result<Form, Fault> {
    let name = &*told.key.name;
    match v1::ResourceType::try_from(told.key.kind) {
        Ok(v1::ResourceType::Listener) => listener::read(name, &body(told)?),
        Ok(v1::ResourceType::Route) => route::read(name, body(told)?),
        Ok(v1::ResourceType::Upstream) => upstream::read(body(told)?),
        Ok(v1::ResourceType::Endpoints) => endpoints::read(&body(told)?),
        Ok(v1::ResourceType::Certificate) => certificate::read(&body(told)?),
        Ok(v1::ResourceType::ServerName) => server_name::read(name, &body(told)?),
        Ok(v1::ResourceType::Challenge) => challenge::read(&body(told)?),
        Ok(v1::ResourceType::TicketSecrets) => ticket_secrets::read(&body(told)?),
        Ok(v1::ResourceType::Unspecified) | Err(_) => Err(Fault::new(
            Reason::UnknownType,
            format!("this release knows no resource type {}", told.key.kind),
        )),
    }
}

fn body<M: Message + Default>(told: &Told) -> Result<M, Fault> {
    M::decode(told.body.clone()).map_err(|error| Fault::new(Reason::Undecodable, error.to_string()))
}

fn missing(told: &Told) -> Option<Fault> {
    let unknown = |name: &&String| !CAPABILITIES.contains(&name.as_str());
    let missing: Vec<_> = told.requires.iter().filter(unknown).cloned().collect();
    (!missing.is_empty()).then(|| {
        let message = format!("this release cannot do {}", missing.join(", "));
        Fault::new(Reason::MissingCapability, message)
    })
}

fn closed(form: Form) -> Option<Form> {
    match form {
        Form::Route(route) => Some(Form::Route(route.closed().into())),
        Form::Listener(_)
        | Form::Upstream(_)
        | Form::Endpoints(_)
        | Form::Certificate(_)
        | Form::ServerName(_)
        | Form::Challenge(_)
        | Form::TicketSecrets(_) => None,
    }
}

/// Collects every fault of one body, so that its author need not find them one by one.
#[derive(Debug, Default)]
struct Faults {
    /// The element of a list that is being read: the list's name and the place in it.
    element: Option<(&'static str, usize)>,
    count: usize,
    message: String,
}

impl Faults {
    /// The fields that follow belong to this element of a list.
    fn at(&mut self, list: &'static str, index: usize) {
        self.element = Some((list, index));
    }

    /// The value, or its error noted under the field's name.
    fn field<T, E: Display>(&mut self, name: &str, value: Result<T, E>) -> Option<T> {
        value.map_err(|error| self.note(name, &error)).ok()
    }

    fn note(&mut self, name: &str, error: &dyn Display) {
        self.count += 1;
        if self.count > MAX_REPORTED {
            return;
        }
        if self.count > 1 {
            self.message.push_str("; ");
        }
        if let Some((list, index)) = self.element {
            self.message.push_str(&format!("{list}[{index}]."));
        }
        self.message.push_str(&format!("{name}: {error}"));
    }

    /// The form, unless a fault was found.
    fn finish(mut self, form: Option<Form>) -> Result<Form, Fault> {
        if let (Some(form), 0) = (form, self.count) {
            return Ok(form);
        }
        if let more @ 1.. = self.count.saturating_sub(MAX_REPORTED) {
            self.message.push_str(&format!("; and {more} more"));
        }
        Err(Fault::new(Reason::InvalidField, self.message))
    }
}

fn port(port: u32) -> Result<u16, &'static str> {
    match u16::try_from(port) {
        Ok(0) | Err(_) => Err("not between 1 and 65535"),
        Ok(port) => Ok(port),
    }
}

/// Faults that the message about one resource has at most.
const MAX_REPORTED: usize = 8;

#[cfg(test)]
mod tests;
