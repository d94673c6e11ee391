//! The statuses of Ingresses on a real API server: where their users reach them.

#![cfg(test)]

use anyhow::{Context, ensure};
use k8s_openapi::api::networking::v1::Ingress;
use kube::{Api, Client};
use roadstead_tests::{
    cluster::{Cluster, Options},
    installation::{ControlPlane, SOON, rights::CONTROL_PLANE, start_proxy},
    program::{Program, built},
    sandbox::{self, Sandbox},
    wait,
};
use serde_json::{Value, json};

#[test]
fn a_status_follows_the_service_and_is_never_rewritten_or_taken_away_without_need() {
    sandbox::run(async |sandbox| {
        let cluster = Cluster::start(sandbox, &Options::bare()).await?;
        let objects = cluster.objects();
        objects.apply(&CONTROL_PLANE.of_the_chart([STATUS])).await?;
        objects.apply(SERVICE).await?;
        objects.apply(&ingress("a", "roadstead")).await?;
        objects.apply(&ingress("b", "roadstead")).await?;
        objects.apply(&ingress("other", "nginx")).await?;
        let kubeconfig = cluster.kubeconfig_of("roadstead", "control-plane")?;
        let source = json!({"kubeconfig": kubeconfig, "ownNamespace": "roadstead"});
        let mut control = ControlPlane::start(sandbox, "control-plane", 1, &source)?;
        control.is_ready().await?;
        control.configure(&json!({"ingressStatus": {"service": "roadstead/public"}}))?;
        control
            .program()
            .logged("applied at the next start", SOON)
            .await?;
        control.program().stop(SOON).await?;
        control.program().start_again()?;

        // Without an address nothing is known, and nothing is said.
        control.is_ready().await?;
        objects
            .patch(
                SERVICE,
                "",
                &json!({"spec": {"externalIPs": ["192.0.2.1"]}}),
            )
            .await?;
        for name in ["a", "b"] {
            shows(&cluster, name, &["192.0.2.1"]).await?;
        }
        let balancer = |address: Value| json!({"status": {"loadBalancer": {"ingress": [address]}}});
        objects
            .patch(
                SERVICE,
                "status",
                &balancer(json!({"hostname": "lb.example.com"})),
            )
            .await?;
        for name in ["a", "b"] {
            shows(&cluster, name, &["lb.example.com"]).await?;
        }
        written(&control, 4).await?;
        let of_a = version(&cluster, "a").await?;

        // A change of another Ingress is none of this one, nor is its own that its status is not.
        let events = control.operator()?.count_events("ObjectAccepted").await?;
        objects.apply(&ingress("c", "roadstead")).await?;
        shows(&cluster, "c", &["lb.example.com"]).await?;
        written(&control, 5).await?;
        assert_eq!(version(&cluster, "a").await?, of_a);
        assert_eq!(
            control.operator()?.count_events("ObjectAccepted").await?,
            events + 1
        );
        let label = json!({"metadata": {"labels": {"some": "label"}}});
        objects
            .patch(&ingress("b", "roadstead"), "", &label)
            .await?;
        // It was seen once a later change of another was.
        let of_b = version(&cluster, "b").await?;
        objects.apply(&ingress("d", "roadstead")).await?;
        shows(&cluster, "d", &["lb.example.com"]).await?;
        written(&control, 6).await?;
        assert_eq!(version(&cluster, "b").await?, of_b);

        // Who goes takes nothing along, and who comes writes nothing anew.
        control.program().stop(SOON).await?;
        shows(&cluster, "a", &["lb.example.com"]).await?;
        control.program().start_again()?;
        control.is_ready().await?;
        objects
            .patch(SERVICE, "status", &balancer(json!({"ip": "192.0.2.7"})))
            .await?;
        for name in ["a", "b", "c", "d"] {
            shows(&cluster, name, &["192.0.2.7"]).await?;
        }

        // What goes to another class is left as it was found: empty.
        objects.apply(&ingress("b", "nginx")).await?;
        shows(&cluster, "b", &[]).await?;
        shows(&cluster, "other", &[]).await?;
        assert_eq!(writes(&control, "written").await?, 4.0);
        assert_eq!(writes(&control, "cleared").await?, 1.0);
        Ok(())
    });
}

#[test]
fn another_controllers_status_stays_unless_it_is_to_be_taken_over() {
    sandbox::run(async |sandbox| {
        let cluster = Cluster::start(sandbox, &Options::bare()).await?;
        let objects = cluster.objects();
        let theirs = json!({"status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.9"}]}}});
        for name in ["theirs", "ours"] {
            objects.apply(&ingress(name, "roadstead")).await?;
        }
        objects
            .patch(&ingress("theirs", "roadstead"), "status", &theirs)
            .await?;
        let source = json!({"kubeconfig": cluster.kubeconfig()});
        let mut control = ControlPlane::start(sandbox, "control-plane", 1, &source)?;
        control.is_ready().await?;
        let given = |take_over: bool, writes: bool| {
            json!({
                "statusWrites": writes,
                "ingressStatus": {"addresses": ["192.0.2.1", "2001:db8::1"], "takeOver": take_over},
            })
        };

        // Turned off: nothing is written, and what is seen is taken in all the same.
        restart(&mut control, &given(true, false)).await?;
        let events = control.operator()?.count_events("ObjectAccepted").await?;
        objects.apply(&ingress("late", "roadstead")).await?;
        wait::until_ok("it is taken in", SOON, async || {
            let now = control.operator()?.count_events("ObjectAccepted").await?;
            ensure!(now > events, "{now} events");
            Ok(())
        })
        .await?;
        for name in ["ours", "late"] {
            shows(&cluster, name, &[]).await?;
        }
        // Told, and left.
        restart(&mut control, &given(false, true)).await?;
        for name in ["ours", "late"] {
            shows(&cluster, name, &["192.0.2.1", "2001:db8::1"]).await?;
        }
        wait::until_ok("that it is another's is told", SOON, async || {
            let taken = writes(&control, "taken").await?;
            ensure!(taken == 1.0, "{taken}");
            Ok(())
        })
        .await?;
        shows(&cluster, "theirs", &["192.0.2.9"]).await?;
        restart(&mut control, &given(true, true)).await?;
        shows(&cluster, "theirs", &["192.0.2.1", "2001:db8::1"]).await?;
        assert_eq!(writes(&control, "written").await?, 1.0);
        Ok(())
    });
}

#[test]
fn nodes_whose_proxies_serve_are_shown_by_the_addresses_that_are_preferred() {
    sandbox::run(async |sandbox| {
        let cluster = Cluster::start(sandbox, &Options::bare()).await?;
        let objects = cluster.objects();
        for name in ["proxy", "idle"] {
            let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}});
            objects.apply(&node.to_string()).await?;
            let status = json!({"status": {"addresses": [
                {"type": "InternalIP", "address": "10.0.0.9"},
                {"type": "ExternalIP", "address": "192.0.2.4"},
                {"type": "ExternalIP", "address": "2001:db8::4"},
                {"type": "Hostname", "address": name},
            ]}});
            objects.patch(&node.to_string(), "status", &status).await?;
        }
        objects.apply(&ingress("a", "roadstead")).await?;
        let source = json!({"kubeconfig": cluster.kubeconfig()});
        let mut control = ControlPlane::start(sandbox, "control-plane", 1, &source)?;
        control.is_ready().await?;
        control.configure(&json!({"ingressStatus": {"nodes": ["externalIP", "internalIP"]}}))?;
        control.program().stop(SOON).await?;
        control.program().start_again()?;
        control.is_ready().await?;
        let _proxy = start_proxy(sandbox, &control, |config| proxy(sandbox, config)).await?;
        shows(&cluster, "a", &["192.0.2.4", "2001:db8::4"]).await
    });
}

/// Starts it again with these keys.
async fn restart(control: &mut ControlPlane, keys: &Value) -> anyhow::Result<()> {
    control.configure(keys)?;
    control.program().stop(SOON).await?;
    control.program().start_again()?;
    control.is_ready().await
}

fn proxy(sandbox: &Sandbox, config: &std::path::Path) -> anyhow::Result<Program> {
    let executable = built::binary("roadstead-data-plane")?;
    let arguments = ["--config".into(), config.to_owned().into_os_string()];
    Program::start(sandbox, "proxy", &executable, arguments)
}

/// Waits until an Ingress' status has these addresses.
async fn shows(cluster: &Cluster, name: &str, addresses: &[&str]) -> anyhow::Result<()> {
    let client = cluster.client();
    wait::until_ok("the addresses in the status", SOON, async || {
        let found = ingress_of(&client, name).await?;
        let balancer = found.status.and_then(|status| status.load_balancer);
        let entries = balancer.and_then(|balancer| balancer.ingress);
        let entries = entries.into_iter().flatten();
        let found: Vec<String> = entries
            .filter_map(|entry| entry.ip.or(entry.hostname))
            .collect();
        ensure!(
            found == addresses,
            "{name} shows {found:?}, not {addresses:?}"
        );
        Ok(())
    })
    .await
}

async fn version(cluster: &Cluster, name: &str) -> anyhow::Result<String> {
    let found = ingress_of(&cluster.client(), name).await?;
    found.metadata.resource_version.context("a version")
}

async fn ingress_of(client: &Client, name: &str) -> anyhow::Result<Ingress> {
    let ingresses: Api<Ingress> = Api::namespaced(client.clone(), "default");
    Ok(ingresses.get(name).await?)
}

/// Waits until so many statuses were written since the start.
async fn written(control: &ControlPlane, count: u32) -> anyhow::Result<()> {
    wait::until_ok("the writes are counted", SOON, async || {
        let found = writes(control, "written").await?;
        ensure!(found == f64::from(count), "{found}");
        Ok(())
    })
    .await
}

async fn writes(control: &ControlPlane, outcome: &str) -> anyhow::Result<f64> {
    let outcome = format!("outcome=\"{outcome}\"");
    control
        .metric("roadstead_ingress_status_writes_total", &[&outcome])
        .await
}

fn ingress(name: &str, class: &str) -> String {
    json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"name": name},
        "spec": {"ingressClassName": class, "defaultBackend": {
            "service": {"name": "none", "port": {"number": 80}},
        }},
    })
    .to_string()
}

const SERVICE: &str = "
apiVersion: v1
kind: Service
metadata: {name: public, namespace: roadstead}
spec: {type: LoadBalancer, ports: [{name: web, port: 80}]}
";

/// To write the statuses of Ingresses.
const STATUS: &str =
    "{apiGroups: [networking.k8s.io], resources: [ingresses/status], verbs: [patch]}";
