//! Whose an Ingress is: ours, or another controller's.
//!
//! Apart from the fold, because it is asked of what is there, and of what would be left.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::model::ingress::{ClassRef, IngressClass};
use crate::model::key::{Kind, ObjectKey, Origin};
use crate::model::object::Spec;
use crate::state::State;

/// `spec.controller` of the IngressClasses that are ours.
pub const CONTROLLER: &str = "roadstead.dev/ingress-controller";

impl State {
    /// Whether an Ingress of this origin and class is ours to serve.
    ///
    /// The annotation or field must name a class that is ours: an IngressClass with our
    /// controller name or that of one that we run beside, or the name in our settings. With
    /// neither, the cluster's default class decides; in a folder, which has no other controller,
    /// it is ours.
    pub fn serves(&self, origin: Origin, class: &ClassRef) -> bool {
        self.serves_without(origin, class, &BTreeSet::new())
    }

    /// The same, if there were not these IngressClasses.
    pub fn serves_without(
        &self,
        origin: Origin,
        class: &ClassRef,
        classes: &BTreeSet<ObjectKey>,
    ) -> bool {
        match class {
            ClassRef::Annotation(name) | ClassRef::Field(name) => {
                let configured = self
                    .head
                    .settings
                    .as_ref()
                    .is_some_and(|settings| settings.ingress_class == *name);
                match self.class_is_ours(origin, name, classes) {
                    Some(ours) => ours,
                    None => configured,
                }
            }
            ClassRef::Unset => {
                origin == Origin::Folder
                    || self
                        .keys(origin, Kind::IngressClass)
                        .filter(|key| !classes.contains(*key))
                        .filter_map(|key| self.ingress_class(key))
                        .any(|class| class.is_default && self.is_served(class))
            }
        }
    }

    fn class_is_ours(
        &self,
        origin: Origin,
        name: &str,
        without: &BTreeSet<ObjectKey>,
    ) -> Option<bool> {
        let key = ObjectKey {
            origin,
            kind: Kind::IngressClass,
            namespace: Arc::default(),
            name: name.into(),
        };
        let key = Some(key).filter(|key| !without.contains(key))?;
        Some(self.is_served(self.ingress_class(&key)?))
    }

    /// Whether the Ingresses of a class are ours to serve.
    fn is_served(&self, class: &IngressClass) -> bool {
        let settings = self.head.settings.as_ref();
        *class.controller == *CONTROLLER
            || settings.is_some_and(|settings| settings.beside.contains(&class.controller))
    }

    fn ingress_class(&self, key: &ObjectKey) -> Option<&IngressClass> {
        match &self.objects.get(key)?.good.as_ref()?.spec {
            Spec::IngressClass(class) => Some(class),
            Spec::Certificate(_)
            | Spec::EndpointSlice(_)
            | Spec::Ingress(_)
            | Spec::Managed(_)
            | Spec::Service(_)
            | Spec::TicketSecret(_) => None,
        }
    }

    /// The Ingresses whose class a change of this IngressClass decides.
    pub(super) fn ingresses_of_class<'a>(
        &'a self,
        class: &'a ObjectKey,
    ) -> impl Iterator<Item = &'a ObjectKey> {
        self.keys(class.origin, Kind::Ingress).filter(|key| {
            self.class_of(key).is_some_and(|named| match named {
                ClassRef::Unset => true,
                ClassRef::Annotation(name) | ClassRef::Field(name) => **name == *class.name,
            })
        })
    }
}
