//! Who shows a record: each server that a CA may ask.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use futures::future::join_all;
use hickory_net::proto::rr::rdata::TXT;
use hickory_net::proto::rr::{Name, Record, RecordType};

use tokio::time::timeout;

use crate::acme::dns::lookup::Lookup;
use crate::acme::dns::{Zone, name};
use crate::acme::words::printable;
use crate::model::managed::{Place, Sight};

/// What a server says.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Said {
    It,
    SomethingElse(&'static str),
    Nothing(String),
}

/// Asks all of them for the record that says this.
pub(super) async fn of(
    zone: &Zone,
    place: &Place,
    text: &str,
    lookup: &Lookup,
) -> Result<Sight, String> {
    let owner = name(&place.name)?;
    let is_named = !zone.checked_at.is_empty();
    let servers: Vec<(String, Vec<SocketAddr>)> = match &*zone.checked_at {
        [] => {
            let servers = lookup.servers(&name(&place.zone)?).await?;
            servers
                .into_iter()
                .map(|(name, addresses)| (name.to_ascii(), at_port(&addresses)))
                .collect()
        }
        servers => servers
            .iter()
            .map(|server| (server.to_string(), vec![*server]))
            .collect(),
    };
    let asked = servers.iter().map(async |(server, addresses)| {
        let all = addresses.iter().map(|at| ask(*at, &owner, text, is_named));
        (server, one_of(join_all(all).await))
    });
    let mut sight = Sight::default();
    for (server, said) in join_all(asked).await {
        let says = |what: &str| printable(&format!("{server} {what}")).into();
        match said {
            Said::It => sight.showing += 1,
            Said::SomethingElse(what) => sight.lacking.push(says(what)),
            Said::Nothing(why) => sight.silent.push(says(&format!("does not answer: {why}"))),
        }
    }
    Ok(sight)
}

/// One server may have several addresses, not all of which can be reached from here.
fn one_of(said: Vec<Said>) -> Said {
    let mut all = said.into_iter();
    let first = all.next();
    let first = first.unwrap_or_else(|| Said::Nothing("it has no address".to_owned()));
    all.fold(first, |before, said| match (&before, &said) {
        (Said::SomethingElse(_), _) | (Said::It, Said::It | Said::Nothing(_)) => before,
        (Said::It, Said::SomethingElse(_)) | (Said::Nothing(_), _) => said,
    })
}

/// What is named by the configuration may be a server that knows it from others.
async fn ask(server: SocketAddr, owner: &Name, text: &str, from_others: bool) -> Said {
    let found = match Lookup::at(server, from_others) {
        Ok(lookup) => timeout(LONGEST, lookup.records(owner, RecordType::TXT)).await,
        Err(why) => return Said::Nothing(why),
    };
    let found = match found {
        Ok(Ok(found)) => found,
        Ok(Err(why)) => return Said::Nothing(why),
        Err(late) => return Said::Nothing(late.to_string()),
    };
    if !from_others && !found.is_of_zone {
        return Said::Nothing("it is no server of the zone".to_owned());
    }
    let texts = found.records.iter().filter_map(Record::try_borrow::<TXT>);
    let texts: Vec<_> = texts
        .map(|record| record.data().txt_data.concat())
        .collect();
    match &*texts {
        [] => Said::SomethingElse("has no such record"),
        texts if texts.iter().any(|found| *found == text.as_bytes()) => Said::It,
        _ => Said::SomethingElse("has another record there, and not this"),
    }
}

fn at_port(addresses: &[IpAddr]) -> Vec<SocketAddr> {
    let addresses = addresses.iter();
    addresses.map(|ip| SocketAddr::new(*ip, PORT)).collect()
}

/// Of a question to one server, however often it is asked.
const LONGEST: Duration = Duration::from_secs(12);
/// That of the DNS.
const PORT: u16 = 53;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_shows_a_record_if_none_of_its_addresses_says_otherwise() {
        let nothing = || Said::Nothing("timeout".to_owned());
        let other = Said::SomethingElse("has no such record");
        for (all, one) in [
            (vec![Said::It, nothing()], Said::It),
            (vec![nothing(), Said::It], Said::It),
            (vec![Said::It, other.clone()], other.clone()),
            (vec![nothing(), other.clone(), Said::It], other),
            (vec![nothing()], nothing()),
            (vec![], Said::Nothing("it has no address".to_owned())),
        ] {
            assert_eq!(one_of(all), one);
        }
    }
}
