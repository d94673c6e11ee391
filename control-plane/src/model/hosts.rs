//! Lists of hosts as their texts: the form in which events and checkpoints have them.

use roadstead_matcher::host::HostPattern;
use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

pub(crate) fn serialize<S: Serializer>(
    hosts: &[HostPattern],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(hosts.iter().map(ToString::to_string))
}

pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<HostPattern>, D::Error> {
    let texts = Vec::<String>::deserialize(deserializer)?;
    let hosts = texts.iter().map(|text| HostPattern::parse(text));
    hosts.collect::<Result<_, _>>().map_err(D::Error::custom)
}
