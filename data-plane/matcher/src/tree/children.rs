//! The children of a node, by the first byte of their labels.
//!
//! Apart because of its layout alone: a set of bytes says where a child stands,
//! so that finding one among up to 256 costs one cache line and no search.

use std::sync::Arc;

use super::Node;

#[derive(Debug)]
pub(super) struct Children<V> {
    /// The first bytes of the labels.
    firsts: [u64; 4],
    /// In the order of their first bytes.
    nodes: Vec<Arc<Node<V>>>,
}

impl<V> Children<V> {
    pub(super) const fn new() -> Self {
        Self {
            firsts: [0; 4],
            nodes: Vec::new(),
        }
    }

    pub(super) fn get(&self, first: u8) -> Option<&Node<V>> {
        let at = self.position(first).ok()?;
        self.nodes.get(at).map(|node| &**node)
    }

    pub(super) fn get_mut(&mut self, first: u8) -> Option<&mut Arc<Node<V>>> {
        let at = self.position(first).ok()?;
        self.nodes.get_mut(at)
    }

    /// Does nothing if a label begins with `first` already.
    pub(super) fn insert(&mut self, first: u8, node: Node<V>) {
        if let Err(at) = self.position(first) {
            self.nodes.insert(at, Arc::new(node));
            self.flip(first);
        }
    }

    pub(super) fn remove(&mut self, first: u8) {
        if let Ok(at) = self.position(first) {
            self.nodes.remove(at);
            self.flip(first);
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Node<V>> {
        self.nodes.iter().map(|node| &**node)
    }

    pub(super) fn len(&self) -> usize {
        self.nodes.len()
    }

    /// The last child, and the others are forgotten.
    pub(super) fn into_last(mut self) -> Option<Arc<Node<V>>> {
        self.nodes.pop()
    }

    /// Where the child stands, or where it would.
    fn position(&self, first: u8) -> Result<usize, usize> {
        let (word, bit) = place(first);
        let mut before = 0;
        for (index, firsts) in self.firsts.iter().enumerate() {
            if index < word {
                before += firsts.count_ones() as usize;
            } else {
                let lower = firsts & (bit - 1);
                let at = before + lower.count_ones() as usize;
                return if firsts & bit != 0 { Ok(at) } else { Err(at) };
            }
        }
        Err(before)
    }

    fn flip(&mut self, first: u8) {
        let (word, bit) = place(first);
        if let Some(firsts) = self.firsts.get_mut(word) {
            *firsts ^= bit;
        }
    }
}

impl<V> Clone for Children<V> {
    fn clone(&self) -> Self {
        Self {
            firsts: self.firsts,
            nodes: self.nodes.clone(),
        }
    }
}

fn place(byte: u8) -> (usize, u64) {
    (usize::from(byte >> 6), 1 << (byte & 0x3F))
}
