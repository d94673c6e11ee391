//! A random history of a cluster: what its users do to their objects, one after the other.
//!
//! Pure, so that a seed gives the same operations whatever happens meanwhile. In a small world
//! of few names everything collides: hosts between namespaces, classes that come and go,
//! Services without endpoints, endpoints without Services. [`trial`] has what befalls the parts.

mod bodies;
mod records;
pub mod trial;

use std::collections::BTreeMap;

use serde_json::Value;

use crate::campaign::random::Random;

/// The namespaces in which everything happens.
pub const NAMESPACES: [&str; 3] = ["one", "two", "three"];

/// What a user does.
#[derive(Clone, Debug)]
pub enum Operation {
    /// Makes the object be so, whether it is there or not.
    Apply(Value),
    Delete(Value),
    /// Deletes it and makes it anew: the same name, another UID.
    Recreate(Value),
    /// Changes of it what nothing is routed on: a label, or its status.
    Touch {
        object: Value,
        status: bool,
    },
}

/// The operations of a seed, and what is there after those so far.
#[derive(Debug)]
pub struct History {
    random: Random,
    /// What was applied last.
    there: BTreeMap<Place, Value>,
    made: u64,
}

#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Kind {
    Class,
    Ingress,
    Service,
    Slice,
}

/// What names an object.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
struct Place {
    kind: Kind,
    namespace: &'static str,
    number: u64,
}

/// An operation on its way: what there will be if the API server takes it.
#[derive(Clone, Debug)]
pub struct Next {
    pub operation: Operation,
    place: Place,
    after: Option<Value>,
}

impl History {
    pub fn new(seed: u64) -> Self {
        Self {
            random: Random::new(seed),
            there: BTreeMap::new(),
            made: 0,
        }
    }

    /// The next operation.
    pub fn draw(&mut self) -> Next {
        self.made += 1;
        let place = self.place();
        let held = self.there.get(&place).cloned();
        let fate = self.random.below(100);
        let (operation, after) = match held {
            Some(object) if fate < 22 => (Operation::Delete(object), None),
            Some(object) if fate < 35 => {
                let status = place.kind == Kind::Ingress && self.random.one_in(2);
                let after = Some(object.clone());
                (Operation::Touch { object, status }, after)
            }
            held => {
                let usable = !self.random.one_in(6);
                let object = bodies::object(&mut self.random, &place, usable);
                let operation = match held {
                    Some(_) if fate < 50 => Operation::Recreate(object.clone()),
                    Some(_) | None => Operation::Apply(object.clone()),
                };
                (operation, Some(object))
            }
        };
        Next {
            operation,
            place,
            after,
        }
    }

    /// The API server took it.
    pub fn took(&mut self, next: Next) {
        match next.after {
            Some(after) => self.there.insert(next.place, after),
            None => self.there.remove(&next.place),
        };
    }

    /// The API server refused what was to be made anew, after the deletion.
    pub fn lost(&mut self, next: &Next) {
        if matches!(next.operation, Operation::Recreate(_)) {
            self.there.remove(&next.place);
        }
    }

    /// Chance for whoever needs some that goes with the seed.
    pub fn random(&mut self) -> &mut Random {
        &mut self.random
    }

    /// How many operations were made.
    pub fn made(&self) -> u64 {
        self.made
    }

    fn place(&mut self) -> Place {
        let (kind, numbers) = match self.random.below(100) {
            0..10 => (Kind::Class, 4),
            10..55 => (Kind::Ingress, 6),
            55..75 => (Kind::Service, 4),
            _ => (Kind::Slice, 6),
        };
        let namespace = match kind {
            Kind::Class => "",
            Kind::Ingress | Kind::Service | Kind::Slice => {
                self.random.one_of(&NAMESPACES).copied().unwrap_or_default()
            }
        };
        Place {
            kind,
            namespace,
            number: self.random.below(numbers),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn played(seed: u64) -> Vec<String> {
        let mut history = History::new(seed);
        let mut shown = Vec::new();
        for _ in 0..300 {
            let next = history.draw();
            shown.push(format!("{:?}", next.operation));
            history.took(next);
        }
        shown
    }

    #[test]
    fn a_seed_gives_the_same_history_again_and_another_another() {
        assert_eq!(played(1), played(1));
        assert_ne!(played(1), played(2));
    }

    #[test]
    fn everything_a_user_may_do_is_met() {
        let all = played(1).join("\n");
        for part in [
            "Apply",
            "Delete",
            "Recreate",
            "status: true",
            "status: false",
            "IngressClass",
            "EndpointSlice",
            "ExternalName",
            "FQDN",
            "resource",
            "parameters",
        ] {
            assert!(all.contains(part), "{part}");
        }
    }
}
