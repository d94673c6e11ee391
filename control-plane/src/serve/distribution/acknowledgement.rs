//! A proxy's answer to a transfer, read with limits.
//!
//! Apart from the stream: what passes here is fit for events and for people.

use roadstead_proto::v1::{self, ResourceType};

use crate::presence::Fault;
use crate::serve::distribution::ending::Ending;
use crate::snapshot::ResourceId;

/// The faults in an acknowledgement; beyond a number of them, the first.
pub(super) fn faults(ack: v1::Ack) -> Result<Vec<Fault>, Ending> {
    if ack.faults.len() > FAULTS {
        let told = ack.faults.len();
        tracing::warn!(
            told,
            "more faults than are taken in: the first {FAULTS} are"
        );
    }
    ack.faults.into_iter().take(FAULTS).map(fault).collect()
}

/// Text from outside as part of one line.
pub(super) fn line(text: &str) -> String {
    let printable = |character: char| {
        if character.is_control() {
            ' '
        } else {
            character
        }
    };
    text.chars().take(MESSAGE).map(printable).collect()
}

fn fault(fault: v1::Fault) -> Result<Fault, Ending> {
    let resource = fault.resource.unwrap_or_default();
    let kind = ResourceType::try_from(resource.r#type).unwrap_or(ResourceType::Unspecified);
    if resource.name.is_empty() || resource.name.len() > NAME {
        return Err(Ending::Protocol("a fault without the name of a resource"));
    }
    let closed = |reason: &str| {
        reason.len() <= REASON
            && reason.starts_with(|first: char| first.is_ascii_uppercase())
            && reason.bytes().all(|byte| byte.is_ascii_alphanumeric())
    };
    if !closed(&fault.reason) {
        return Err(Ending::Protocol(
            "a fault's reason is not a word in CamelCase",
        ));
    }
    Ok(Fault {
        resource: ResourceId::new(kind, line(&resource.name)),
        reason: fault.reason.into(),
        message: line(&fault.message).into(),
    })
}

/// Each of them is an event when it begins and when it ends, for each proxy.
const FAULTS: usize = 256;
const NAME: usize = 1024;
const REASON: usize = 64;
/// Characters of a message.
const MESSAGE: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn ack(faults: Vec<v1::Fault>) -> v1::Ack {
        v1::Ack {
            version: None,
            endpoints_revision: 0,
            faults,
            digest: None,
        }
    }

    fn told(name: &str, reason: &str, message: &str) -> v1::Fault {
        v1::Fault {
            resource: Some(v1::ResourceId {
                r#type: ResourceType::Listener.into(),
                name: name.into(),
            }),
            reason: reason.into(),
            message: message.into(),
        }
    }

    #[test]
    fn a_fault_is_one_line_of_bounded_length() {
        let long = format!("in use\nERROR forged {}", "é".repeat(MESSAGE));
        let read = faults(ack(vec![told("http", "AddressInUse", &long)])).unwrap();
        let [fault] = read.as_slice() else { panic!() };
        assert_eq!(fault.to_string(), "listener http");
        assert!(fault.message.starts_with("in use ERROR forged "));
        assert_eq!(fault.message.chars().count(), MESSAGE);
    }

    #[test]
    fn reasons_are_words_and_resources_have_names() {
        for (name, reason) in [
            ("http", ""),
            ("http", "two words"),
            ("http", "lower"),
            ("", "A"),
        ] {
            let result = faults(ack(vec![told(name, reason, "")]));
            assert!(
                matches!(result, Err(Ending::Protocol(_))),
                "{name} {reason}"
            );
        }
    }

    #[test]
    fn of_too_many_faults_the_first_are_taken() {
        let many = (0..=FAULTS).map(|n| told(&format!("l{n}"), "AddressInUse", ""));
        assert_eq!(faults(ack(many.collect())).unwrap().len(), FAULTS);
    }
}
