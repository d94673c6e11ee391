//! A second opinion on a kind that a list says the cluster does not know.
//!
//! Apart from the watch: what is taken for absent loses all its objects, and one that answers
//! 404 may be an API server that is coming up, or a stranger in its place.

use kube::{Client, Error, Resource};

/// Whether the API server, asked what it offers, offers all but this kind.
pub(super) async fn is_absent<K: Resource<DynamicType = ()>>(client: &Client) -> bool {
    let (group, version) = (K::group(&()), K::version(&()));
    let offered = if group.is_empty() {
        client.list_core_api_resources(&version).await
    } else {
        let version = format!("{group}/{version}");
        client.list_api_group_resources(&version).await
    };
    match offered {
        Ok(offered) => {
            let plural = K::plural(&());
            offered.resources.iter().all(|found| found.name != plural)
        }
        Err(Error::Api(status)) if status.code == 404 => {
            let groups = client.list_api_groups().await;
            groups.is_ok_and(|offered| {
                let mut named = offered.groups.iter().filter(|found| found.name == group);
                !offered.groups.is_empty()
                    && named.all(|found| found.versions.iter().all(|v| v.version != version))
            })
        }
        Err(_) => false,
    }
}
