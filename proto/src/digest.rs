//! The set hash over resources, in buckets, that `Digest` in `distribution.proto`
//! defines: adding and removing one resource costs the same however many there are.

use sha2::{Digest as _, Sha256};

use crate::v1;

/// Number of buckets.
pub const BUCKETS: usize = 256;

const BUCKET_BYTES: usize = 16;

/// The hash of a resource, as `Resource.hash` in `resource.proto` defines it: over all of it
/// that changes how it is used.
pub fn resource_hash<'a>(body: &[u8], requires: impl IntoIterator<Item = &'a str>) -> [u8; 16] {
    let mut hasher = Sha256::new();
    for name in requires {
        hasher.update((name.len() as u32).to_be_bytes());
        hasher.update(name.as_bytes());
    }
    // No name is empty, so that this ends the names and the body cannot be taken for one.
    hasher.update(0_u32.to_be_bytes());
    hasher.update(body);
    head(&hasher.finalize())
}

/// The bucket that a resource of this type and name belongs to. Types are numbers here and
/// below, because an older end must count what a newer one sends.
pub fn bucket_of(kind: impl Into<i32>, name: &str) -> u8 {
    named(kind.into(), name).finalize()[0]
}

/// A set hash in buckets. Equal sets have equal digests, in whichever order they were built.
#[derive(Clone, PartialEq, Eq)]
pub struct Digest {
    buckets: Box<[u128; BUCKETS]>,
}

impl Digest {
    /// The digest of the empty set.
    pub fn new() -> Self {
        Self {
            buckets: Box::new([0; BUCKETS]),
        }
    }

    /// Adds a resource, given the hash of its body.
    pub fn insert(&mut self, kind: impl Into<i32>, name: &str, hash: &[u8]) {
        let kind = kind.into();
        let bucket = &mut self.buckets[usize::from(bucket_of(kind, name))];
        *bucket = bucket.wrapping_add(key(kind, name, hash));
    }

    /// Takes away a resource that was added with the same type, name and hash.
    pub fn remove(&mut self, kind: impl Into<i32>, name: &str, hash: &[u8]) {
        let kind = kind.into();
        let bucket = &mut self.buckets[usize::from(bucket_of(kind, name))];
        *bucket = bucket.wrapping_sub(key(kind, name, hash));
    }

    /// The buckets in which the two sets differ.
    pub fn differing<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = u8> + 'a {
        let pairs = self.buckets.iter().zip(other.buckets.iter());
        (0..=u8::MAX)
            .zip(pairs)
            .filter(|(_, (a, b))| a != b)
            .map(|(bucket, _)| bucket)
    }

    /// One hash over all buckets, for people: 32 hexadecimal digits.
    pub fn fingerprint(&self) -> String {
        let mut hasher = Sha256::new();
        for bucket in self.buckets.iter() {
            hasher.update(bucket.to_be_bytes());
        }
        format!("{:032x}", u128::from_be_bytes(head(&hasher.finalize())))
    }

    /// The wire form.
    pub fn to_proto(&self) -> v1::Digest {
        v1::Digest {
            buckets: self.buckets.iter().flat_map(|b| b.to_be_bytes()).collect(),
        }
    }

    /// Reads the wire form; `None` if its length is neither 0 (the empty set) nor that of all buckets.
    pub fn from_proto(digest: &v1::Digest) -> Option<Self> {
        let mut result = Self::new();
        if digest.buckets.is_empty() {
            return Some(result);
        }
        if digest.buckets.len() != BUCKETS * BUCKET_BYTES {
            return None;
        }
        let chunks = digest.buckets.chunks_exact(BUCKET_BYTES);
        for (bucket, bytes) in result.buckets.iter_mut().zip(chunks) {
            *bucket = u128::from_be_bytes(head(bytes));
        }
        Some(result)
    }
}

impl Default for Digest {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for Digest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Digest({})", self.fingerprint())
    }
}

fn key(kind: i32, name: &str, hash: &[u8]) -> u128 {
    let mut hasher = named(kind, name);
    hasher.update(hash);
    u128::from_be_bytes(head(&hasher.finalize()))
}

fn named(kind: i32, name: &str) -> Sha256 {
    let mut hasher = Sha256::new();
    hasher.update(kind.to_be_bytes());
    hasher.update((name.len() as u32).to_be_bytes());
    hasher.update(name.as_bytes());
    hasher
}

fn head(bytes: &[u8]) -> [u8; BUCKET_BYTES] {
    let mut result = [0; BUCKET_BYTES];
    result.copy_from_slice(&bytes[..BUCKET_BYTES]);
    result
}

#[cfg(test)]
mod tests {
    use super::*;
    use v1::ResourceType::{Route, Upstream};

    #[test]
    fn the_order_of_changes_does_not_matter() {
        let mut a = Digest::new();
        a.insert(Route, "r", &[1; 16]);
        a.insert(Upstream, "u", &[2; 16]);
        let mut b = Digest::new();
        b.insert(Upstream, "u", &[9; 16]);
        b.insert(Upstream, "u", &[2; 16]);
        b.insert(Route, "r", &[1; 16]);
        b.remove(Upstream, "u", &[9; 16]);
        assert_eq!(a, b);
        assert_eq!(a.fingerprint(), b.fingerprint());
    }

    #[test]
    fn a_changed_resource_differs_in_its_own_bucket_only() {
        let mut a = Digest::new();
        a.insert(Route, "r", &[1; 16]);
        a.insert(Route, "s", &[1; 16]);
        let mut b = a.clone();
        b.remove(Route, "s", &[1; 16]);
        b.insert(Route, "s", &[2; 16]);
        assert_eq!(a.differing(&b).collect::<Vec<_>>(), [bucket_of(Route, "s")]);
    }

    #[test]
    fn the_wire_form_reads_back_and_a_wrong_length_is_refused() {
        let mut digest = Digest::new();
        digest.insert(Route, "r", &[1; 16]);
        assert_eq!(Digest::from_proto(&digest.to_proto()), Some(digest));
        let empty = v1::Digest { buckets: vec![] };
        assert_eq!(Digest::from_proto(&empty), Some(Digest::new()));
        let short = v1::Digest {
            buckets: vec![0; 17],
        };
        assert_eq!(Digest::from_proto(&short), None);
    }
}
