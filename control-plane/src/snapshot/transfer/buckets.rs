//! A set of buckets of the digest.
//!
//! A type of its own, because transfers are shared between proxies whose sets are equal.

/// Some of the 256 buckets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Buckets([u128; 2]);

impl Buckets {
    /// All of them.
    pub fn all() -> Self {
        Self([u128::MAX; 2])
    }

    pub fn is_all(self) -> bool {
        self == Self::all()
    }

    pub(super) fn is_empty(self) -> bool {
        self == Self::default()
    }

    pub(super) fn contains(self, bucket: u8) -> bool {
        let Self([low, high]) = self;
        let half = if bucket < HALF { low } else { high };
        half & bit(bucket) != 0
    }

    pub(super) fn iter(self) -> impl Iterator<Item = u8> {
        (0..=u8::MAX).filter(move |bucket| self.contains(*bucket))
    }
}

impl FromIterator<u8> for Buckets {
    fn from_iter<T: IntoIterator<Item = u8>>(buckets: T) -> Self {
        let mut set = Self::default();
        let Self([low, high]) = &mut set;
        for bucket in buckets {
            let half = if bucket < HALF { &mut *low } else { &mut *high };
            *half |= bit(bucket);
        }
        set
    }
}

fn bit(bucket: u8) -> u128 {
    1 << (bucket % HALF)
}

const HALF: u8 = 128;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_holds_what_was_put_in() {
        let some = [0, 1, 127, 128, 200, 255];
        let set: Buckets = some.into_iter().collect();
        assert_eq!(set.iter().collect::<Vec<_>>(), some);
        assert!(!set.is_all() && !set.is_empty());
        assert!((0..=255).collect::<Buckets>().is_all());
        assert!([].into_iter().collect::<Buckets>().is_empty());
    }
}
