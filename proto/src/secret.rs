//! How messages that hold private keys are shown: by their sizes.
//!
//! Apart from the generated code, which would show every byte.

use std::fmt;

use crate::v1::{CertificateBundle, Secret};

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secret")
            .field("body", &format_args!("{} bytes", self.body.len()))
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for CertificateBundle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CertificateBundle")
            .field("chain", &format_args!("{} certificates", self.chain.len()))
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_private_key_is_not_shown() {
        let key = b"canary".to_vec();
        let secret = Secret {
            name: Vec::new(),
            body: key.clone().into(),
        };
        let bundle = CertificateBundle {
            chain: Vec::new(),
            private_key: key.clone(),
        };
        let shown = format!("{secret:?} {bundle:?} {secret:#?} {bundle:#?}");
        assert!(!shown.contains("canary"), "{shown}");
        assert!(!shown.contains(&format!("{:?}", key[0])), "{shown}");
    }
}
