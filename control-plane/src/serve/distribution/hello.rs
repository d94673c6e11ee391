//! A proxy's first message, read with limits.
//!
//! Apart from the stream: what passes here is known to be fit for logs and events.

use std::sync::Arc;

use roadstead_proto::digest::Digest;
use roadstead_proto::v1;

use crate::event::{Epoch, Seq};
use crate::snapshot::Version;
use crate::snapshot::transfer::Base;

/// A hello.
#[derive(Debug)]
pub(super) struct Hello {
    pub(super) proxy: Arc<str>,
    pub(super) boot_id: Box<str>,
    pub(super) binary_version: Box<str>,
    pub(super) capabilities: Vec<Box<str>>,
    /// The version that it holds, and of which installation.
    pub(super) held: Option<(Box<str>, Version)>,
    pub(super) base: Base,
}

/// A hello that is refused.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum HelloError {
    #[error(
        "{field} must have 1 to {limit} letters, digits and '.', '_', '-', ':', '+', '/', and \
         not \"{found}\""
    )]
    Name {
        field: &'static str,
        limit: usize,
        found: String,
    },
    #[error("more than {CAPABILITIES} capabilities")]
    TooManyCapabilities,
    #[error("a digest has no bytes, or 16 for each of 256 buckets")]
    Digest,
}

impl Hello {
    pub(super) fn parse(hello: v1::Hello) -> Result<Self, HelloError> {
        let v1::Hello {
            proxy,
            boot_id,
            held,
            digest,
            capabilities,
            binary_version,
        } = hello;
        if capabilities.len() > CAPABILITIES {
            return Err(HelloError::TooManyCapabilities);
        }
        let digest = Digest::from_proto(&digest.unwrap_or_default()).ok_or(HelloError::Digest)?;
        let base = match held {
            None => Base::Nothing,
            Some(_) => Base::Told(Box::new(digest)),
        };
        let held = held.map(|held| {
            let lineage = name("held.lineage", LINEAGE, held.lineage)?;
            let version = Version {
                epoch: Epoch(held.epoch),
                seq: Seq(held.seq),
            };
            Ok((lineage, version))
        });
        let capabilities = capabilities.into_iter();
        Ok(Self {
            proxy: name("proxy", PROXY, proxy)?.into(),
            boot_id: name("boot_id", BOOT_ID, boot_id)?,
            binary_version: name("binary_version", BINARY_VERSION, binary_version)?,
            capabilities: capabilities
                .map(|capability| name("capability", CAPABILITY, capability))
                .collect::<Result<_, _>>()?,
            held: held.transpose()?,
            base,
        })
    }
}

/// Nothing that could break a log line or a label apart.
fn name(field: &'static str, limit: usize, text: String) -> Result<Box<str>, HelloError> {
    let fit = |byte: u8| byte.is_ascii_alphanumeric() || b"._-:+/".contains(&byte);
    if text.is_empty() || text.len() > limit || !text.bytes().all(fit) {
        let found = text.chars().take(64).flat_map(char::escape_default);
        return Err(HelloError::Name {
            field,
            limit,
            found: found.collect(),
        });
    }
    Ok(text.into())
}

/// The length of a node's name.
const PROXY: usize = 253;
const BOOT_ID: usize = 64;
const BINARY_VERSION: usize = 64;
const LINEAGE: usize = 128;
const CAPABILITY: usize = 64;
const CAPABILITIES: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> v1::Hello {
        v1::Hello {
            proxy: "node-1.example".into(),
            boot_id: "0b7f".into(),
            held: None,
            digest: None,
            capabilities: vec!["websocket".into()],
            binary_version: "0.1.0".into(),
        }
    }

    #[test]
    fn a_proxy_that_holds_nothing_gets_everything() {
        let hello = Hello::parse(good()).unwrap();
        assert!(matches!(hello.base, Base::Nothing));
        let held = v1::Version {
            lineage: "l".into(),
            epoch: 1,
            seq: 2,
        };
        let hello = v1::Hello {
            held: Some(held),
            ..good()
        };
        let hello = Hello::parse(hello).unwrap();
        assert!(matches!(hello.base, Base::Told(_)));
        assert_eq!(hello.held.unwrap().1.to_string(), "1.2");
    }

    #[test]
    fn what_is_unfit_is_named() {
        type Change = fn(&mut v1::Hello);
        let cases: &[(&str, Change)] = &[
            ("proxy must", |hello| hello.proxy.clear()),
            ("proxy must", |hello| hello.proxy = "a\nb".into()),
            ("proxy must", |hello| hello.proxy = "a".repeat(254)),
            ("boot_id must", |hello| hello.boot_id = "a b".into()),
            ("binary_version", |hello| hello.binary_version.clear()),
            ("capability must", |hello| {
                hello.capabilities = vec!["ä".into()]
            }),
            ("more than 256", |hello| {
                hello.capabilities = vec!["a".into(); 257];
            }),
            ("a digest has", |hello| {
                hello.digest = Some(v1::Digest { buckets: vec![1] });
            }),
        ];
        for (expected, change) in cases {
            let mut hello = good();
            change(&mut hello);
            let error = Hello::parse(hello).unwrap_err().to_string();
            assert!(error.starts_with(expected), "{error}");
            assert!(!error.contains('\n'));
        }
    }
}
