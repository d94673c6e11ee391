//! Asks the machine's name servers.
//!
//! Apart, as the one file that names the resolver: it reads `resolv.conf` and `hosts` by itself,
//! so that an image without a C library will do, and it tells how long an answer holds, which
//! the C library does not.

use std::{
    cell::RefCell,
    net::IpAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

use hickory_resolver::{
    TokioResolver,
    config::{LookupIpStrategy, ResolverConfig, ResolverOpts},
    net::{NetError, runtime::TokioRuntimeProvider},
    system_conf,
};
use tokio::time::Instant;

use super::{Found, Lookup, LookupError};

/// The machine's own resolution of names.
#[derive(Debug)]
pub struct Dns {
    path: PathBuf,
    /// None until the configuration could be read, and after a failure, which may be its fault.
    resolver: RefCell<Option<TokioResolver>>,
}

impl Dns {
    /// As the machine is configured whenever it is asked.
    pub fn of_system() -> Self {
        Self::new("/etc/resolv.conf".as_ref())
    }

    fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            resolver: RefCell::default(),
        }
    }

    fn resolver(&self) -> Result<TokioResolver, LookupError> {
        let mut known = self.resolver.borrow_mut();
        if let Some(resolver) = &*known {
            return Ok(resolver.clone());
        }
        let unusable = |error: &dyn std::fmt::Display| {
            LookupError::Failed(format!("{}: {error}", self.path.display()))
        };
        let text = std::fs::read(&self.path).map_err(|error| unusable(&error))?;
        let (config, options) =
            system_conf::parse_resolv_conf(text).map_err(|error| unusable(&error))?;
        let resolver = build(config, options).map_err(|error| unusable(&error))?;
        Ok(known.insert(resolver).clone())
    }
}

fn build(config: ResolverConfig, options: ResolverOpts) -> Result<TokioResolver, NetError> {
    let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
    let chosen = builder.options_mut();
    *chosen = options;
    chosen.ip_strategy = LookupIpStrategy::Ipv4thenIpv6;
    // Whoever asks keeps the answers.
    chosen.cache_size = 0;
    builder.build()
}

impl Lookup for Dns {
    async fn lookup(&self, name: Arc<str>) -> Result<Found, LookupError> {
        let found = match self.resolver()?.lookup_ip(absolute(&name)).await {
            Ok(found) => found,
            Err(error) => {
                self.resolver.replace(None);
                return Err(LookupError::Failed(error.to_string()));
            }
        };
        let addresses: Vec<_> = found.iter().collect();
        match addresses.is_empty() {
            true => Err(LookupError::NoAddress),
            false => Ok(Found {
                addresses,
                until: Instant::from_std(found.valid_until()),
            }),
        }
    }
}

/// The name as it stands: in a Pod a search list would lead it to another tenant's Service first.
fn absolute(name: &str) -> String {
    match name.ends_with('.') || name.parse::<IpAddr>().is_ok() {
        true => name.to_owned(),
        false => format!("{name}."),
    }
}

#[cfg(test)]
mod tests;
