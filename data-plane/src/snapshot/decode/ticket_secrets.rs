//! What session tickets are made by, from the wire.
//!
//! Apart, because each message's rules are an idea of their own.

use roadstead_proto::v1;

use super::Faults;
use crate::snapshot::{BundleName, Fault, Form};

pub(super) fn read(secrets: &v1::TicketSecrets) -> Result<Form, Fault> {
    let mut faults = Faults::default();
    let names = &secrets.secrets;
    if !(1..=MOST).contains(&names.len()) {
        let error = format!("{} are not between 1 and {MOST}", names.len());
        faults.note("secrets", &error);
        return faults.finish(None);
    }
    let names = names.iter().enumerate().filter_map(|(index, name)| {
        let name = BundleName::from_bytes(name);
        faults.field(&format!("secrets[{index}]"), name)
    });
    let names: Vec<_> = names.collect();
    faults.finish(Some(Form::TicketSecrets(names.into())))
}

const MOST: usize = 8;
