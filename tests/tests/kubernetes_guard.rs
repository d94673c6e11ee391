//! Objects that are gone from a real API server: seen to be deleted they are followed, however
//! many; merely not there any more they are held.

#![cfg(test)]

use anyhow::ensure;
use k8s_openapi::api::networking::v1::Ingress;
use kube::{
    Api,
    api::{DeleteParams, ListParams},
};
use roadstead_tests::{
    cluster::{Cluster, Options},
    installation::{ControlPlane, SOON},
    sandbox, wait,
};
use serde_json::json;

#[test]
fn what_was_deleted_unseen_is_held_and_what_was_seen_is_followed() {
    sandbox::run(async |sandbox| {
        let cluster = Cluster::start(sandbox, &Options::bare()).await?;
        let objects = cluster.objects();
        let all: Vec<String> = (0..30).map(ingress).collect();
        objects.apply(&all.join("\n---\n")).await?;
        let source = json!({"kubeconfig": cluster.kubeconfig()});
        let mut control = ControlPlane::start(sandbox, "control-plane", 1, &source)?;
        control.is_ready().await?;
        serves(&control, 30).await?;

        // Fewer than the share, while nobody looks.
        control.program().kill()?;
        objects.delete(&all[..9].join("\n---\n")).await?;
        control.program().start_again()?;
        control.is_ready().await?;
        serves(&control, 21).await?;
        assert_eq!(control.operator()?.holds().await?, []);

        // More than it.
        control.program().kill()?;
        objects.delete(&all[9..24].join("\n---\n")).await?;
        control.program().start_again()?;
        let line = control
            .program()
            .logged("not found any more, and held", SOON)
            .await?;
        assert!(
            line.contains("ERROR") && line.contains("15 objects of kind Ingress"),
            "{line}"
        );
        control.is_ready().await?;
        serves(&control, 21).await?;
        let held = control.operator()?.holds().await?;
        assert_eq!((held.len(), held[0].routes, held[0].of_routes), (1, 15, 21));
        let labels = ["kind=\"Ingress\"", "origin=\"kubernetes\""];
        assert_eq!(
            control.metric("roadstead_objects_held", &labels).await?,
            15.0
        );

        // Meanwhile a single one that is deleted goes, and one that is new comes.
        objects.delete(&all[29]).await?;
        objects.apply(&ingress(30)).await?;
        routes(&control, "ingress/default/i30", "ingress/default/i29").await?;
        serves(&control, 21).await?;
        control.operator()?.confirm(&held).await?;
        serves(&control, 6).await?;

        // All at once, on the watch.
        objects.apply(&all.join("\n---\n")).await?;
        serves(&control, 31).await?;
        let ingresses: Api<Ingress> = Api::namespaced(cluster.client(), "default");
        let everything = (DeleteParams::default(), ListParams::default());
        ingresses
            .delete_collection(&everything.0, &everything.1)
            .await?;
        serves(&control, 0).await?;
        assert_eq!(control.operator()?.holds().await?, []);
        Ok(())
    });
}

async fn serves(control: &ControlPlane, routes: usize) -> anyhow::Result<()> {
    let operator = control.operator()?;
    wait::until_ok("so many routes", SOON, async || {
        let snapshot = operator.snapshot().await?;
        let found = snapshot.names("route");
        ensure!(
            found.len() == routes,
            "{} and not {routes}: {found:?}",
            found.len()
        );
        Ok(())
    })
    .await
}

/// Waits until there is a route of the first name and none of the second.
async fn routes(control: &ControlPlane, there: &str, gone: &str) -> anyhow::Result<()> {
    let operator = control.operator()?;
    wait::until_ok("the change of a single route", SOON, async || {
        let snapshot = operator.snapshot().await?;
        let routes = snapshot.names("route");
        ensure!(
            routes.contains(&there) && !routes.contains(&gone),
            "{routes:?}"
        );
        Ok(())
    })
    .await
}

fn ingress(number: usize) -> String {
    json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
        "metadata": {"name": format!("i{number:02}")},
        "spec": {"ingressClassName": "roadstead", "defaultBackend": {
            "service": {"name": "none", "port": {"number": 80}},
        }, "rules": [{"host": format!("i{number:02}.example")}]},
    })
    .to_string()
}
