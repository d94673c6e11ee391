//! How the control plane is reached: addresses, TLS and the token.
//!
//! Apart from what is said there. Files are read anew each time, because they are replaced while
//! a proxy runs.

use std::{io, path::PathBuf, time::Duration};

use roadstead_proto::causes;
use tokio::fs;
use tonic::{
    metadata::{Ascii, MetadataValue},
    transport::{Certificate, ClientTlsConfig, Endpoint},
};

use super::certificate::Held;
use crate::config::{Address, ControlPlane};

/// Why there is no way.
#[derive(Debug, thiserror::Error)]
pub(super) enum DialError {
    #[error("cannot read {what} {}: {source}", path.display())]
    File {
        what: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    #[error("the token file {} holds no token", path.display())]
    Token { path: PathBuf },
    #[error("cannot connect to {address}: {}", causes(source))]
    Connect {
        address: Address,
        source: tonic::transport::Error,
    },
}

impl DialError {
    pub(super) fn connect(address: &Address) -> impl FnOnce(tonic::transport::Error) -> Self {
        let address = address.clone();
        move |source| Self::Connect { address, source }
    }
}

/// The way to an address, for someone who shows this certificate.
pub(super) async fn endpoint(
    settings: &ControlPlane,
    address: &Address,
    shown: Option<&Held>,
) -> Result<Endpoint, DialError> {
    let endpoint = Endpoint::from(address.uri().clone())
        .connect_timeout(CONNECT_TIME)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_TIME)
        .keep_alive_while_idle(true)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(STREAM_WINDOW);
    let (true, Some(path)) = (address.is_https(), &settings.ca_file) else {
        return Ok(endpoint);
    };
    let ca = read("the CA file", path).await?;
    let mut tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(ca));
    if let Some(name) = &settings.server_name {
        tls = tls.domain_name(name);
    }
    if let Some(shown) = shown {
        tls = tls.identity(shown.identity());
    }
    endpoint
        .tls_config(tls)
        .map_err(DialError::connect(address))
}

/// The header by which a call bears the token, if there is one.
pub(super) async fn token(
    settings: &ControlPlane,
) -> Result<Option<MetadataValue<Ascii>>, DialError> {
    let Some(path) = &settings.token_file else {
        return Ok(None);
    };
    let text = read("the token file", path).await?;
    let token = String::from_utf8(text).unwrap_or_default();
    let token = token.trim();
    let value = format!("Bearer {token}").parse::<MetadataValue<Ascii>>();
    match value {
        Ok(mut value) if !token.is_empty() => {
            value.set_sensitive(true);
            Ok(Some(value))
        }
        _ => Err(DialError::Token { path: path.clone() }),
    }
}

async fn read(what: &'static str, path: &PathBuf) -> Result<Vec<u8>, DialError> {
    fs::read(path).await.map_err(|source| DialError::File {
        what,
        path: path.clone(),
        source,
    })
}

const CONNECT_TIME: Duration = Duration::from_secs(3);

/// A control plane that is gone without a word is noticed after the sum of these two.
const PING_EVERY: Duration = Duration::from_secs(3);
const PING_TIME: Duration = Duration::from_secs(3);

const STREAM_WINDOW: u32 = 2 << 20;
