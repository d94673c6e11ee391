//! Asks the machine's name servers.
//!
//! Apart, as the one file that names the resolver: it reads `resolv.conf` and `hosts` by itself,
//! so that an image without a C library will do, and it tells how long an answer holds, which
//! the C library does not.

use std::sync::Arc;

use hickory_resolver::{TokioResolver, config::LookupIpStrategy};
use tokio::time::Instant;

use super::{Found, Lookup, LookupError};

/// The machine's own resolution of names.
#[derive(Clone, Debug)]
pub struct Dns(TokioResolver);

impl Dns {
    /// As the machine is configured.
    pub fn of_system() -> Result<Self, LookupError> {
        let mut builder = TokioResolver::builder_tokio().map_err(failed)?;
        let options = builder.options_mut();
        options.ip_strategy = LookupIpStrategy::Ipv4thenIpv6;
        // Whoever asks keeps the answers.
        options.cache_size = 0;
        Ok(Self(builder.build().map_err(failed)?))
    }
}

impl Lookup for Dns {
    fn lookup(&self, name: Arc<str>) -> impl Future<Output = Result<Found, LookupError>> {
        let resolver = self.0.clone();
        async move {
            let found = resolver.lookup_ip(&*name).await.map_err(failed)?;
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
}

fn failed(error: impl std::fmt::Display) -> LookupError {
    LookupError::Failed(error.to_string())
}
