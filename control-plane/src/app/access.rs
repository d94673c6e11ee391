//! Who may connect: what callers can prove themselves by, and who issues it.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;

use crate::app::following::host_name;
use crate::app::sources::{Cluster, Sources};
use crate::clock;
use crate::config::Config;
use crate::follow::dial::Dialer;
use crate::pki::keeper::{AuthorityKeeper, Place};
use crate::pki::{Authority, Known};
use crate::private_file;
use crate::review::{Remembered, Review, Reviewer};
use crate::serve::{Access, Issuing};
use crate::tokens::Tokens;

/// What stands at the doors.
pub(super) struct Guards {
    /// The authority, as the server's certificate and those of clients need it.
    pub(super) known: Known,
    pub(super) access: Access,
    pub(super) issuing: Option<Issuing>,
    /// In a cluster.
    pub(super) keeper: Option<AuthorityKeeper>,
}

impl Guards {
    /// With the Kubernetes API as a source its Secrets hold the authority and it knows tokens;
    /// else files do both.
    pub(super) async fn post(
        config: &Config,
        sources: &Sources,
        keys: &Path,
    ) -> anyhow::Result<Self> {
        let made = private_file::make_folder(keys);
        made.with_context(|| format!("cannot make the folder {}", keys.display()))?;
        let Some(cluster) = sources.cluster().await? else {
            let tokens = Some(Tokens::open(keys)?);
            return Ok(Self {
                known: Authority::open(keys, clock::now())?.alone()?,
                access: Access {
                    tokens,
                    operators: None,
                },
                issuing: None,
                keeper: None,
            });
        };
        let Cluster {
            client,
            namespace,
            watch_seconds,
        } = cluster;
        let settings = &config.access;
        // One for each, so that neither proxies nor operators wait for the others' strangers.
        let reviewer = || Arc::new(Reviewer::new(client.clone(), settings.audience.clone()));
        let operators: Arc<dyn Review> = Arc::new(Remembered::new(reviewer()));
        let proxies = reviewer();
        let files = settings.file_tokens.unwrap_or_else(|| sources.has_folder());
        let tokens = files.then(|| Tokens::open(keys)).transpose()?;
        let users = settings.proxy_users(&namespace);
        let place = Place {
            namespace,
            secret: settings.authority_secret.clone(),
            bundle: settings.authority_config_map.clone(),
            folder: keys.to_owned(),
            watch_seconds,
        };
        let (keeper, known) = AuthorityKeeper::new(client, place, clock::now);
        Ok(Self {
            known: known.clone(),
            access: Access {
                tokens,
                operators: Some((operators, settings.audience.clone())),
            },
            issuing: Some(Issuing {
                authorities: known,
                reviewer: proxies,
                users,
                life: i64::from(settings.certificate_seconds) * 1000,
            }),
            keeper: Some(keeper),
        })
    }

    /// How this replica reaches the others: by a certificate that it makes itself.
    pub(super) fn dialer(&self, config: &Config) -> Dialer {
        let name = config.lease.identity.clone().unwrap_or_else(host_name);
        let name = as_name(&name);
        let known = self.known.clone();
        Dialer::new(move || {
            let (mut known, name) = (known.clone(), name.clone());
            Box::pin(async move {
                let authorities = known.wait_for(Option::is_some).await.ok()?.clone()?;
                let tls = authorities.replica_tls(&name, clock::now());
                tls.inspect_err(|error| tracing::error!(%error, "no other replica can be reached"))
                    .ok()
            })
        })
    }
}

/// What a certificate can say; pods have such names.
fn as_name(name: &str) -> String {
    let fit = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-.".contains(c);
    let name = name.chars().map(|c| c.to_ascii_lowercase());
    name.map(|c| if fit(c) { c } else { '-' }).collect()
}
