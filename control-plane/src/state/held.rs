//! What is held of an object: the version that is used, and the one that cannot be.

use serde::{Deserialize, Serialize};

use crate::model::ingress::ClassRef;
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
    /// The class that an Ingress named when that could last be read, where its newest version has
    /// none that can be, and this is not the good version's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<ClassRef>,
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

    /// The class that an Ingress names now, as far as that was ever read.
    pub fn class(&self) -> Option<&ClassRef> {
        self.other_class().or_else(|| self.good_class())
    }

    /// The same, if it is not that of the good version.
    pub fn other_class(&self) -> Option<&ClassRef> {
        let refused = self.refused.as_ref();
        let newest = refused.and_then(|refused| refused.refusal.class.as_ref());
        let named = newest.or(self.class.as_ref());
        named.filter(|class| self.good_class() != Some(class))
    }

    fn good_class(&self) -> Option<&ClassRef> {
        match &self.good.as_ref()?.spec {
            Spec::Ingress(ingress) => Some(&ingress.class),
            Spec::Certificate(_)
            | Spec::EndpointSlice(_)
            | Spec::IngressClass(_)
            | Spec::Managed(_)
            | Spec::Service(_)
            | Spec::TicketSecret(_) => None,
        }
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
