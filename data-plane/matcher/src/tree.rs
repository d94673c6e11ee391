//! A persistent radix tree over bytes.
//!
//! Apart because hosts, paths and route names all use it: a clone is one
//! pointer, a change copies the nodes on the way to its key and shares all
//! others, and what a key finds does not depend on hashes or chance.
//!
//! Changes and drops recurse once for each node on a key's way, of which there
//! are at most as many as the key has bytes: callers bound their keys.

use std::sync::Arc;

use self::children::Children;
pub(crate) use self::label::Label;

mod children;
mod label;

/// A map from byte strings to `V`.
#[derive(Clone, Debug)]
pub(crate) struct Tree<V> {
    root: Option<Arc<Node<V>>>,
}

#[derive(Clone, Debug)]
struct Node<V> {
    /// What stands between the parent's key and this node's. Empty at most in
    /// the root.
    label: Label,
    value: Option<V>,
    children: Children<V>,
}

impl<V> Tree<V> {
    pub(crate) const fn new() -> Self {
        Self { root: None }
    }

    pub(crate) fn get(&self, key: &[u8]) -> Option<&V> {
        let mut node = self.root.as_deref()?;
        let mut rest = node.label.strip(key)?;
        while let Some(first) = rest.first() {
            node = node.children.get(*first)?;
            rest = node.label.strip(rest)?;
        }
        node.value.as_ref()
    }

    /// Shows `see` the values of all keys, in the order of their keys.
    pub(crate) fn each(&self, see: &mut impl FnMut(&V)) {
        if let Some(root) = &self.root {
            root.each(see);
        }
    }

    /// The values of all keys that `text` begins with, shortest first, each with
    /// what follows its key.
    pub(crate) fn prefixes<'t, 'k>(&'t self, text: &'k [u8]) -> Prefixes<'t, 'k, V> {
        Prefixes {
            next: self.root.as_deref(),
            rest: text,
        }
    }
}

impl<V: Clone> Tree<V> {
    /// Lets `change` set, alter or remove the value of `key`.
    pub(crate) fn update(&mut self, key: &[u8], change: impl FnOnce(&mut Option<V>)) {
        match &mut self.root {
            Some(root) => {
                if Node::update(root, key, change) == Outcome::Empty {
                    self.root = None;
                }
            }
            None => self.root = Node::leaf(key, change).map(Arc::new),
        }
    }
}

/// See [`Tree::prefixes`].
pub(crate) struct Prefixes<'t, 'k, V> {
    next: Option<&'t Node<V>>,
    rest: &'k [u8],
}

impl<'t, 'k, V> Iterator for Prefixes<'t, 'k, V> {
    type Item = (&'t V, &'k [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        while let Some(node) = self.next.take() {
            self.rest = node.label.strip(self.rest)?;
            self.next = self
                .rest
                .first()
                .and_then(|first| node.children.get(*first));
            if let Some(value) = &node.value {
                return Some((value, self.rest));
            }
        }
        None
    }
}

/// Whether a node still has a reason to be.
#[derive(PartialEq, Eq)]
enum Outcome {
    Kept,
    Empty,
}

impl<V> Node<V> {
    fn leaf(label: &[u8], change: impl FnOnce(&mut Option<V>)) -> Option<Self> {
        let mut value = None;
        change(&mut value);
        value.is_some().then(|| Self {
            label: Label::new(label),
            value,
            children: Children::new(),
        })
    }

    fn each(&self, see: &mut impl FnMut(&V)) {
        if let Some(value) = &self.value {
            see(value);
        }
        for child in self.children.iter() {
            child.each(see);
        }
    }

    fn adopt(&mut self, node: Self) {
        let Some(&first) = node.label.as_bytes().first() else {
            return;
        };
        self.children.insert(first, node);
    }

    /// Gives all but the first `length` bytes of the label to a new child, and
    /// with them everything that this node holds.
    fn split(&mut self, length: usize) {
        let (head, tail) = self.label.as_bytes().split_at(length);
        let (head, tail) = (Label::new(head), Label::new(tail));
        self.label = head;
        let child = Self {
            label: tail,
            value: self.value.take(),
            children: std::mem::replace(&mut self.children, Children::new()),
        };
        self.adopt(child);
    }
}

impl<V: Clone> Node<V> {
    fn update(this: &mut Arc<Self>, key: &[u8], change: impl FnOnce(&mut Option<V>)) -> Outcome {
        let node = Arc::make_mut(this);
        let shared = shared_length(node.label.as_bytes(), key);
        let (_, rest) = key.split_at(shared);
        if shared < node.label.as_bytes().len() {
            if let Some(leaf) = Self::leaf(rest, change) {
                node.split(shared);
                match rest {
                    [] => node.value = leaf.value,
                    [..] => node.adopt(leaf),
                }
            }
            return Outcome::Kept;
        }
        match rest.first() {
            None => change(&mut node.value),
            Some(first) => node.update_child(*first, rest, change),
        }
        node.tidy()
    }

    fn update_child(&mut self, first: u8, key: &[u8], change: impl FnOnce(&mut Option<V>)) {
        match self.children.get_mut(first) {
            Some(child) => {
                if Self::update(child, key, change) == Outcome::Empty {
                    self.children.remove(first);
                }
            }
            None => {
                if let Some(leaf) = Self::leaf(key, change) {
                    self.adopt(leaf);
                }
            }
        }
    }

    /// Restores the shape after a removal: a node has a value or at least two
    /// children, so that a tree's shape depends on its keys alone.
    fn tidy(&mut self) -> Outcome {
        if self.value.is_some() || self.children.len() > 1 {
            return Outcome::Kept;
        }
        let children = std::mem::replace(&mut self.children, Children::new());
        let Some(child) = children.into_last() else {
            return Outcome::Empty;
        };
        let child = Arc::unwrap_or_clone(child);
        *self = Self {
            label: Label::new(&[self.label.as_bytes(), child.label.as_bytes()].concat()),
            ..child
        };
        Outcome::Kept
    }
}

fn shared_length(a: &[u8], b: &[u8]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn set(tree: &mut Tree<u32>, key: &[u8], value: Option<u32>) {
        tree.update(key, |slot| *slot = value);
    }

    /// The tree that a set of keys has, however it came to be.
    fn shape(tree: &Tree<u32>) -> String {
        format!("{tree:?}")
    }

    fn key() -> impl Strategy<Value = Vec<u8>> {
        // The last is longer than a label that stands in its node.
        let part = prop_oneof!["a", "b", "/", Just("a".repeat(30))];
        vec(part, 0..6).prop_map(|parts| parts.concat().into_bytes())
    }

    proptest! {
        #[test]
        fn a_tree_is_a_map(
            changes in vec((key(), proptest::option::of(any::<u32>())), 0..40),
            probes in vec(key(), 8),
        ) {
            let mut tree = Tree::new();
            let mut map = BTreeMap::new();
            for (key, value) in changes {
                let before = tree.clone();
                let shown = shape(&before);
                set(&mut tree, &key, value);
                match value {
                    Some(value) => map.insert(key, value),
                    None => map.remove(&key),
                };
                prop_assert_eq!(shape(&before), shown, "an older version changed");
            }
            let mut rebuilt = Tree::new();
            for (key, value) in map.iter().rev() {
                set(&mut rebuilt, key, Some(*value));
            }
            prop_assert_eq!(shape(&tree), shape(&rebuilt));
            prop_assert_eq!(tree.root.is_none(), map.is_empty());
            for probe in map.keys().chain(&probes) {
                prop_assert_eq!(tree.get(probe), map.get(probe));
                let found: Vec<_> = tree.prefixes(probe).collect();
                let mut expected = Vec::new();
                for length in 0..=probe.len() {
                    let (head, rest) = probe.split_at(length);
                    expected.extend(map.get(head).map(|value| (value, rest)));
                }
                prop_assert_eq!(found, expected);
            }
        }
    }

    #[test]
    fn the_deepest_tree_fits_a_small_stack() {
        let text = vec![b'a'; crate::path::MAX_PATTERN];
        let run = move || {
            let mut tree = Tree::new();
            for length in 0..=text.len() {
                set(&mut tree, &text[..length], Some(0));
            }
            assert_eq!(tree.prefixes(&text).count(), text.len() + 1);
            let kept = tree.clone();
            set(&mut tree, &text, None);
            drop(kept);
            drop(tree);
        };
        let thread = std::thread::Builder::new().stack_size(1 << 20).spawn(run);
        thread.unwrap().join().unwrap();
    }
}
