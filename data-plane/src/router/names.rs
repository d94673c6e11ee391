//! Names of upstreams as small numbers, given out as soon as anyone says the name.
//!
//! Apart from the upstreams themselves: a route may come before its upstream, and an
//! upstream may go and come back, without the route being compiled again.

use std::{collections::HashMap, sync::Arc};

/// Stands for the name of an upstream for as long as a route or an upstream bears it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct UpstreamId {
    /// Place in the table of upstreams; dense, so that run-time state can be kept in arrays.
    pub index: u32,
    /// Rises each time that the index is used for another name.
    pub generation: u32,
}

/// The names in use, each with the number of its users.
#[derive(Debug, Default)]
pub struct Names {
    used: HashMap<Arc<str>, Used>,
    /// Ids for the names to come, at places that were used before.
    free: Vec<UpstreamId>,
    /// The first place that was never used.
    next: u32,
}

#[derive(Debug)]
struct Used {
    id: UpstreamId,
    users: usize,
}

impl Names {
    /// The id of a name that is in use.
    pub fn find(&self, name: &str) -> Option<UpstreamId> {
        self.used.get(name).map(|used| used.id)
    }

    /// One more user of this name.
    pub fn acquire(&mut self, name: &Arc<str>) -> UpstreamId {
        if let Some(used) = self.used.get_mut(name) {
            used.users += 1;
            return used.id;
        }
        let id = self.free.pop().unwrap_or_else(|| {
            let index = self.next;
            self.next += 1;
            UpstreamId {
                index,
                generation: 0,
            }
        });
        self.used.insert(name.clone(), Used { id, users: 1 });
        id
    }

    /// One user less; without users the place is free for another name.
    pub fn release(&mut self, name: &str) {
        let Some(used) = self.used.get_mut(name) else {
            return;
        };
        used.users -= 1;
        if used.users == 0 {
            let UpstreamId { index, generation } = used.id;
            self.used.remove(name);
            self.free.push(UpstreamId {
                index,
                generation: generation.wrapping_add(1),
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_keeps_its_id_while_anyone_uses_it() {
        let mut names = Names::default();
        let name: Arc<str> = "service/a/b:80".into();
        let id = names.acquire(&name);
        assert_eq!(names.acquire(&name), id);
        names.release(&name);
        assert_eq!(names.find(&name), Some(id));
        assert_eq!(names.acquire(&name), id);
    }

    #[test]
    fn a_place_that_is_used_again_gets_another_generation() {
        let mut names = Names::default();
        let before = names.acquire(&"a".into());
        names.release("a");
        let after = names.acquire(&"b".into());
        assert_eq!(after.index, before.index);
        assert_ne!(after.generation, before.generation);
        assert_eq!(names.find("a"), None);
        assert_eq!(names.acquire(&"c".into()).index, before.index + 1);
    }

    #[test]
    fn releasing_what_nobody_uses_does_nothing() {
        let mut names = Names::default();
        names.release("a");
        assert_eq!(names.acquire(&"b".into()).index, 0);
    }
}
