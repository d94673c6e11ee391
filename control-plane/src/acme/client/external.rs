//! An account that is bound to one that somebody has at the CA (RFC 8555, section 7.3.4).
//!
//! Of our own, because instant-acme binds only accounts whose keys it makes itself, and ours is kept
//! before a CA learns of it: what such a binding is good for may be one account.

use std::path::PathBuf;

use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Method, Request};
use instant_acme::{Error, Problem};
use serde_json::{Value, json};

use crate::acme::answer::Answer;
use crate::acme::client::BODY;
use crate::acme::client::directory::Directory;
use crate::acme::client::failure::{Effect, Failure, FailureKind};
use crate::acme::secret_file;
use crate::acme::transport::Transport;

/// What somebody was given by the CA.
#[derive(Clone, Debug)]
pub struct ExternalAccount {
    pub key_id: String,
    /// The file that has the key, in base64url.
    pub key_file: PathBuf,
}

/// Registers the key with a CA, or finds its account: which URL it has.
pub(super) async fn register(
    transport: &Transport,
    directory: &Directory,
    key: &[u8],
    external: &ExternalAccount,
) -> Result<String, Failure> {
    let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, key);
    let key = key.map_err(|_| Failure::refused("the account's key cannot be used"))?;
    let url = &directory.listed.new_account;
    let binding = binding(external, &jwk(&key), url).await?;
    let payload = json!({"termsOfServiceAgreed": true, "externalAccountBinding": binding});
    let mut left = NONCES;
    loop {
        let nonce = nonce(transport, directory).await?;
        let protected = json!({"alg": "ES256", "jwk": jwk(&key), "nonce": nonce, "url": url});
        let signed = jws(&protected, &payload, |input| {
            let signature = key.sign(&SystemRandom::new(), input);
            signature.map(|signature| signature.as_ref().to_vec())
        });
        let signed = signed.map_err(|_| Failure::refused("the account's key cannot sign"))?;
        let answer = post(transport, url, &signed).await?;
        if let Some(account) = answer.made() {
            return Ok(account.to_owned());
        }
        let error = serde_json::from_slice::<Problem>(&answer.body);
        let error = error.map_or(Error::Str("no account"), Error::Api);
        let failure = Failure::of(&error, &answer, Effect::Changes);
        if failure.kind != FailureKind::BadNonce || left == 0 {
            return Err(failure);
        }
        left -= 1;
    }
}

/// What shows the CA whose account it is to be bound to.
async fn binding(external: &ExternalAccount, jwk: &Value, url: &str) -> Result<Value, Failure> {
    let path = external.key_file.display();
    let unusable =
        |problem: &str| Failure::refused(&format!("acme.externalAccount: {path} {problem}"));
    let text = secret_file::read(&external.key_file).await;
    let text = text.map_err(|error| unusable(&format!("cannot be read: {error}")))?;
    // Not what the decoder says of it, which may have parts of it.
    let key = BASE64.decode(text.trim().trim_end_matches('='));
    let key = key.map_err(|_| unusable("is not in base64url, as the CA gave it"))?;
    if key.is_empty() {
        return Err(unusable("is empty"));
    }
    let key = hmac::Key::new(hmac::HMAC_SHA256, &key);
    let protected = json!({"alg": "HS256", "kid": external.key_id, "url": url});
    jws(&protected, jwk, |input| {
        Ok::<_, Failure>(hmac::sign(&key, input).as_ref().to_vec())
    })
}

/// RFC 8555, section 7.2.
async fn nonce(transport: &Transport, directory: &Directory) -> Result<String, Failure> {
    let url = &directory.listed.new_nonce;
    let request = Request::head(url).body(Vec::new());
    let request = request.map_err(|error| Failure::refused(&error.to_string()))?;
    let answer = transport.send(request.map(Into::into), BODY).await;
    let nonce = answer.headers.get("replay-nonce");
    let nonce = nonce.and_then(|nonce| nonce.to_str().ok());
    let none = || Failure::of(&Error::Str("no nonce"), &answer, Effect::Reads);
    nonce.map(str::to_owned).ok_or_else(none)
}

async fn post(transport: &Transport, url: &str, body: &Value) -> Result<Answer, Failure> {
    let request = Request::builder().method(Method::POST).uri(url);
    let request = request.header(CONTENT_TYPE, JOSE);
    let request = request.body(body.to_string().into_bytes());
    let request = request.map_err(|error| Failure::refused(&error.to_string()))?;
    Ok(transport.send(request.map(Into::into), BODY).await)
}

/// The public key (RFC 7517; RFC 7518, section 6.2).
fn jwk(key: &EcdsaKeyPair) -> Value {
    // 4, then both coordinates.
    let point = key.public_key().as_ref().get(1..).unwrap_or_default();
    let (x, y) = point.split_at(point.len() / 2);
    json!({"crv": "P-256", "kty": "EC", "x": BASE64.encode(x), "y": BASE64.encode(y)})
}

/// A signed object in the flattened form (RFC 7515, section 7.2.2).
fn jws<E>(
    protected: &Value,
    payload: &Value,
    sign: impl FnOnce(&[u8]) -> Result<Vec<u8>, E>,
) -> Result<Value, E> {
    let protected = BASE64.encode(protected.to_string());
    let payload = BASE64.encode(payload.to_string());
    let signature = sign(format!("{protected}.{payload}").as_bytes())?;
    let signature = BASE64.encode(signature);
    Ok(json!({"protected": protected, "payload": payload, "signature": signature}))
}

const JOSE: HeaderValue = HeaderValue::from_static("application/jose+json");
/// How often another nonce is tried.
const NONCES: u32 = 3;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::acme::key::Key;

    #[tokio::test]
    async fn a_binding_is_signed_with_the_key_that_the_ca_gave_and_is_of_our_public_key() {
        let folder = tempfile::tempdir().unwrap();
        let key_file = folder.path().join("key");
        std::fs::write(&key_file, "a2V5LW9mLXRoZS1DQQ==\n").unwrap();
        let external = ExternalAccount {
            key_id: "kid-1".to_owned(),
            key_file: key_file.clone(),
        };
        let own = Key::generate().unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, own.der()).unwrap();
        let url = "https://ca.example/new-account";
        let bound = binding(&external, &jwk(&pair), url).await.unwrap();
        let part = |name: &str| bound[name].as_str().unwrap().to_owned();
        let read = |text: &str| -> Value {
            serde_json::from_slice(&BASE64.decode(text).unwrap()).unwrap()
        };
        let (protected, payload) = (part("protected"), part("payload"));
        assert_eq!(
            read(&protected),
            json!({"alg": "HS256", "kid": "kid-1", "url": url})
        );
        assert_eq!(read(&payload), jwk(&pair));
        let signature = BASE64.decode(part("signature")).unwrap();
        let key = hmac::Key::new(hmac::HMAC_SHA256, b"key-of-the-CA");
        let signed = format!("{protected}.{payload}");
        hmac::verify(&key, signed.as_bytes(), &signature).unwrap();

        std::fs::write(&key_file, "\n").unwrap();
        let empty = binding(&external, &jwk(&pair), url).await.unwrap_err();
        assert!(empty.message.contains("is empty"), "{empty}");
        std::fs::write(&key_file, "canary!").unwrap();
        let refused = binding(&external, &jwk(&pair), url).await.unwrap_err();
        assert!(refused.message.contains("is not in base64url"), "{refused}");
        assert!(!refused.message.contains("canary"), "{refused}");
    }
}
