//! The identity of a resource: its type and its name.
//!
//! The type stays a number, so that a resource of a type that this release does not know is
//! still counted in the digest and can be replaced and removed.

use std::sync::Arc;

use roadstead_proto::v1;

/// Type and name of a resource.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    pub kind: i32,
    pub name: Arc<str>,
}

impl Key {
    pub fn new(kind: i32, name: &str) -> Self {
        Self {
            kind,
            name: name.into(),
        }
    }

    pub fn to_proto(&self) -> v1::ResourceId {
        v1::ResourceId {
            r#type: self.kind,
            name: self.name.to_string(),
        }
    }
}
