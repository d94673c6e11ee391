//! Updates of a zone (RFC 2136), signed with a key that its server knows (RFC 8945).

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use hickory_net::proto::op::{Message, Query, update_message};
use hickory_net::proto::rr::rdata::TXT;
use hickory_net::proto::rr::rdata::tsig::TsigAlgorithm as Algorithm;
use hickory_net::proto::rr::{Name, RData, Record, RecordSet, RecordType, TSigner};

use crate::acme::dns::exchange::exchange;
use crate::acme::dns::{Change, Server, Tsig, name};
use crate::acme::secret_file;
use crate::clock;
use crate::config::TsigAlgorithm;
use crate::model::managed::Place;

/// Changes the record that says this.
pub(super) async fn change(
    server: &Server,
    place: &Place,
    text: &str,
    change: Change,
) -> Result<(), String> {
    let (owner, origin) = (name(&place.name)?, name(&place.zone)?);
    if !origin.zone_of(&owner) {
        return Err(format!("{owner} is not in the zone {origin}"));
    }
    let data = RData::TXT(TXT::new(vec![text.to_owned()]));
    let record = RecordSet::from(Record::from_rdata(owner, TTL, data));
    let mut message = match change {
        Change::Add => update_message::append(record, origin, false, false),
        Change::Remove => update_message::delete_by_rdata(record, origin, false),
    };
    let verifier = match &server.tsig {
        Some(tsig) => {
            let seconds = u64::try_from(clock::now().0 / 1000).unwrap_or(0);
            let signed = message.finalize(&signer(tsig).await?, seconds);
            signed.map_err(|error| format!("the update cannot be signed: {error}"))?
        }
        None => None,
    };
    // No update is answered by "no such name".
    exchange(&server.at, &message, verifier).await?;
    Ok(())
}

/// The zone of the server in which this name is. The name itself may be a CNAME of a wildcard, of which
/// the answer says something of another zone.
pub(super) async fn zone_of(server: &Server, owner: &Name) -> Result<Name, String> {
    let mut at = owner.clone();
    while at.num_labels() > 0 {
        let mut message = Message::query();
        message.metadata.recursion_desired = false;
        message.add_query(Query::query(at.clone(), RecordType::SOA));
        let answer = exchange(&server.at, &message, None).await?;
        let records = answer.answers.iter().chain(&answer.authorities);
        let origins = records.filter(|record| record.record_type() == RecordType::SOA);
        let mut origins = origins.map(|record| &record.name);
        let origin = origins.find(|origin| origin.num_labels() > 0 && origin.zone_of(owner));
        if let Some(origin) = origin.filter(|_| answer.authoritative) {
            return Ok(origin.clone());
        }
        at = at.base_name();
    }
    let (host, port) = &server.at;
    Err(format!("{host}:{port} has no zone in which {owner} is"))
}

async fn signer(tsig: &Tsig) -> Result<TSigner, String> {
    let path = tsig.secret_file.display();
    let unusable = |problem: &str| format!("the key {}: {path} {problem}", tsig.name);
    let text = secret_file::read(&tsig.secret_file).await;
    let text = text.map_err(|error| unusable(&format!("cannot be read: {error}")))?;
    // Not what the decoder says of it, which may have parts of it.
    let secret = BASE64_STANDARD
        .decode(text.trim())
        .map_err(|_| unusable("is not in base64, as tsig-keygen writes it after `secret`"))?;
    if secret.is_empty() {
        return Err(unusable("is empty"));
    }
    let algorithm = match tsig.algorithm {
        TsigAlgorithm::HmacSha256 => Algorithm::HmacSha256,
        TsigAlgorithm::HmacSha384 => Algorithm::HmacSha384,
        TsigAlgorithm::HmacSha512 => Algorithm::HmacSha512,
    };
    let signer = TSigner::new(secret, algorithm, name(&tsig.name)?, FUDGE);
    signer.map_err(|error| unusable(&format!("cannot be used: {error}")))
}

/// In seconds: nobody is to remember it for long.
const TTL: u32 = 60;
/// How far clocks may be apart, in seconds (RFC 8945, section 10).
const FUDGE: u16 = 300;
