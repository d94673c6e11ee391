//! What is held of an object: the version that is used, and the one that cannot be.

use serde::{Deserialize, Serialize};

use crate::model::object::{Meta, Spec};
use crate::model::refusal::Refusal;

/// What is held of one object.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// The last version that could be used. That of an endpoint slice stands in
    /// [`slices`](crate::state::State::slices), and here only if another version exists or may.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub good: Option<Good>,
    /// The version that exists now, if that one cannot be used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<Box<Refused>>,
    /// The good version comes from a recovery record, and the object was not seen since.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unseen: bool,
}

impl Held {
    /// Of the version that was seen last.
    pub fn meta(&self) -> Option<&Meta> {
        let refused = self.refused.as_ref().map(|refused| &refused.meta);
        refused.or_else(|| self.good.as_ref().map(|good| &good.meta))
    }
}

/// A version of an object that can be used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Good {
    pub meta: Meta,
    pub spec: Spec,
}

impl Good {
    pub(super) fn of(meta: &Meta, spec: &Spec) -> Self {
        Self {
            meta: meta.clone(),
            spec: spec.clone(),
        }
    }
}

/// A version of an object that cannot be used, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    pub meta: Meta,
    pub refusal: Refusal,
}
