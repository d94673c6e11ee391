//! Who we are for AWS: keys of a file, or those that a token of our ServiceAccount is changed for.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use http::{Method, Request};
use serde::Deserialize;

use crate::acme::dns::api::{Api, Reply, xml};
use crate::acme::secret_file;
use crate::acme::words::printable;
use crate::model::time::Timestamp;

/// Who says who we are.
#[derive(Clone, Debug)]
pub(super) enum Identity {
    /// A file as the tools of AWS have it.
    File(PathBuf),
    /// A role that the token of this file may take (`AssumeRoleWithWebIdentity`).
    WebIdentity {
        role: String,
        token_file: PathBuf,
        sts: Box<Api>,
    },
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Assumed {
    assume_role_with_web_identity_result: Assumption,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Assumption {
    credentials: Keys,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Keys {
    access_key_id: String,
    secret_access_key: String,
    session_token: String,
}

impl Identity {
    /// The keys to sign with now.
    pub(super) async fn credentials(&self) -> Result<Credentials, String> {
        let (key, secret, token) = match self {
            Self::File(path) => {
                let text = secret_file::read(path).await;
                let path = path.display();
                let text = text.map_err(|error| format!("{path} cannot be read: {error}"))?;
                let of = |name| value(&text, name);
                let needed = |name| of(name).ok_or_else(|| format!("{path} has no {name}"));
                (
                    needed("aws_access_key_id")?,
                    needed("aws_secret_access_key")?,
                    of("aws_session_token"),
                )
            }
            Self::WebIdentity {
                role,
                token_file,
                sts,
            } => {
                let token = secret_file::read(token_file).await;
                let path = token_file.display();
                let token = token.map_err(|error| format!("{path} cannot be read: {error}"))?;
                let keys = assume(sts, role, token.trim()).await?;
                let Keys {
                    access_key_id,
                    secret_access_key,
                    session_token,
                } = keys;
                (access_key_id, secret_access_key, Some(session_token))
            }
        };
        // They become parts of headers.
        let is_plain = |text: &String| text.bytes().all(|byte| byte.is_ascii_graphic());
        if ![Some(&key), Some(&secret), token.as_ref()]
            .into_iter()
            .flatten()
            .all(is_plain)
        {
            return Err("the keys of AWS have characters that no key has".to_owned());
        }
        Ok(Credentials::new(key, secret, token, None, "roadstead"))
    }
}

async fn assume(sts: &Api, role: &str, token: &str) -> Result<Keys, String> {
    let kind = "application/x-www-form-urlencoded";
    let request = sts.request(Method::POST, "/", kind, form(role, token))?;
    let reply = sts.send(request).await?;
    if !reply.status.is_success() {
        return Err(fault(sts, &reply));
    }
    let read: Result<Assumed, String> = xml(&reply.body);
    // Not what the reader says of it, which may have parts of it.
    let read = read.map_err(|_| format!("{} answers what cannot be read", sts.host()))?;
    Ok(read.assume_role_with_web_identity_result.credentials)
}

/// The value of a key in the part `[default]`, or before any part.
fn value(text: &str, name: &str) -> Option<String> {
    let mut is_ours = true;
    for line in text.lines().map(str::trim) {
        if let Some(part) = line.strip_prefix('[') {
            is_ours = part.trim_end_matches(']').trim() == "default";
        }
        let pair = line.split_once('=').filter(|_| is_ours);
        if let Some((_, value)) = pair.filter(|(known, _)| known.trim() == name) {
            return Some(value.trim().to_owned());
        }
    }
    None
}

/// What is said of a request that is refused: to owners of Ingresses the code alone, to who reads the
/// log all of it.
pub(super) fn fault(api: &Api, Reply { status, body }: &Reply) -> String {
    let said = String::from_utf8_lossy(body);
    let part = |tag: &str| {
        let (_, rest) = said.split_once(&format!("<{tag}>"))?;
        let (text, _) = rest.split_once(&format!("</{tag}>"))?;
        Some(printable(text))
    };
    let message = part("Message").unwrap_or_default();
    let host = api.host();
    tracing::warn!(%status, message, "{host} refuses a request of acme.dns01");
    // A batch that is refused has no such element.
    let is_batch = said.contains("InvalidChangeBatch");
    let code = part("Code").or_else(|| is_batch.then(|| "InvalidChangeBatch".to_owned()));
    format!("{host} answers with {status}: {}", code.unwrap_or_default())
}

fn form(role: &str, token: &str) -> String {
    form_urlencoded::Serializer::new(String::new())
        .append_pair("Action", "AssumeRoleWithWebIdentity")
        .append_pair("Version", "2011-06-15")
        .append_pair("RoleSessionName", "roadstead")
        .append_pair("RoleArn", role)
        .append_pair("WebIdentityToken", token)
        .finish()
}

/// Signs a request to a service (Signature Version 4).
pub(super) fn signed(
    mut request: Request<Vec<u8>>,
    credentials: Credentials,
    service: &str,
    now: Timestamp,
) -> Result<Request<Vec<u8>>, String> {
    let now = Duration::from_millis(u64::try_from(now.0).unwrap_or(0));
    let unsigned = |error: &dyn std::fmt::Display| format!("a request cannot be signed: {error}");
    let identity = credentials.into();
    let parameters = v4::SigningParams::builder()
        .identity(&identity)
        .region(REGION)
        .name(service)
        .time(SystemTime::UNIX_EPOCH + now)
        .settings(SigningSettings::default())
        .build()
        .map_err(|error| unsigned(&error))?;
    let uri = request.uri().to_string();
    let signable = SignableRequest::new(
        request.method().as_str(),
        &uri,
        std::iter::empty(),
        SignableBody::Bytes(request.body()),
    );
    let signable = signable.map_err(|error| unsigned(&error))?;
    let output = sign(signable, &parameters.into()).map_err(|error| unsigned(&error))?;
    let (instructions, _) = output.into_parts();
    instructions.apply_to_request_http1x(&mut request);
    Ok(request)
}

/// Where Route 53 is, whose zones are everywhere.
const REGION: &str = "us-east-1";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_those_of_the_default_part() {
        let text = "[temp]\naws_access_key_id=A\n[default]\n aws_access_key_id = B\n[other]\nx=1";
        assert_eq!(value(text, "aws_access_key_id").as_deref(), Some("B"));
        assert_eq!(value(text, "x"), None);
        assert_eq!(value("x = 1", "x").as_deref(), Some("1"));
    }

    #[tokio::test]
    async fn keys_that_no_header_could_have_are_refused_without_being_said() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("keys");
        let text = "aws_access_key_id = canary\u{1b}[0m\naws_secret_access_key = canary\n";
        std::fs::write(&file, text).unwrap();
        let refused = Identity::File(file).credentials().await.unwrap_err();
        assert!(!refused.contains("canary"), "{refused}");
    }
}
