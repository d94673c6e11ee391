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
                let of = |name| {
                    let mut lines = text.lines().filter_map(|line| line.split_once('='));
                    let found = lines.find(|(known, _)| known.trim() == name);
                    found.map(|(_, value)| value.trim().to_owned())
                };
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
        Ok(Credentials::new(key, secret, token, None, "roadstead"))
    }
}

async fn assume(sts: &Api, role: &str, token: &str) -> Result<Keys, String> {
    let kind = "application/x-www-form-urlencoded";
    let request = sts.request(Method::POST, "/", kind, form(role, token))?;
    let Reply { status, body } = sts.send(request).await?;
    let read: Result<Assumed, String> = xml(&body);
    let assumed = read.map_err(|_| format!("{} answers with {status}", sts.host()))?;
    Ok(assumed.assume_role_with_web_identity_result.credentials)
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
