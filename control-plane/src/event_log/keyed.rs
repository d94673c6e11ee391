//! Keys of any bytes, made so that they can be followed by more and still sort as they did.
//!
//! Apart, because checkpoints and endpoints both need it: one key must never be the
//! beginning of another.

/// The key, with its zero bytes marked and its end marked by two of them.
pub(super) fn escape(key: &[u8]) -> Vec<u8> {
    let mut escaped = Vec::with_capacity(key.len() + END.len() + 8);
    for &byte in key {
        escaped.push(byte);
        if byte == 0 {
            escaped.push(0xff);
        }
    }
    escaped.extend_from_slice(&END);
    escaped
}

/// The key that was escaped, and what follows it. `None` if it was none.
pub(super) fn unescape(escaped: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let mut key = Vec::with_capacity(escaped.len());
    let mut rest = escaped;
    loop {
        match rest {
            [0, 0, after @ ..] => return Some((key, after)),
            [0, 0xff, after @ ..] => {
                key.push(0);
                rest = after;
            }
            [0, ..] | [] => return None,
            [byte, after @ ..] => {
                key.push(*byte);
                rest = after;
            }
        }
    }
}

const END: [u8; 2] = [0, 0];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key() -> impl Strategy<Value = Vec<u8>> {
        proptest::collection::vec(prop_oneof![Just(0), Just(0xff), any::<u8>()], 0..6)
    }

    proptest! {
        #[test]
        fn a_key_reads_back_with_what_follows(key in key(), rest: Vec<u8>) {
            let stored = [escape(&key), rest.clone()].concat();
            prop_assert_eq!(unescape(&stored), Some((key, rest.as_slice())));
        }

        #[test]
        fn order_is_kept_whatever_follows(a in key(), b in key(), x: [u8; 2], y: [u8; 2]) {
            prop_assume!(a != b);
            let (with_a, with_b) = ([escape(&a), x.to_vec()], [escape(&b), y.to_vec()]);
            prop_assert_eq!(a.cmp(&b), with_a.concat().cmp(&with_b.concat()));
        }
    }
}
