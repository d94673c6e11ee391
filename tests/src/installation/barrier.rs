//! A barrier: when it is passed, a control plane has seen all that was written before, and its
//! proxies serve by it.
//!
//! So a test need not wait for what it expects: after the barrier the first answer counts, and
//! that something did *not* change can be shown, too. Within a kind the API server tells of
//! changes in order; so one object of each kind is changed, and what comes of the last of them is
//! looked for.

use anyhow::bail;
use roadstead_proto::v1::{DecodedResource, Version, decoded_resource::Body};

use super::{ControlPlane, SOON};
use crate::{cluster::Objects, operator::Snapshot, wait};

/// Objects that are there for this alone, in a namespace of their own.
#[derive(Debug)]
pub struct Barrier {
    objects: Objects,
    passed: u16,
}

impl Barrier {
    /// Makes the objects. One suffices for all control planes that see everything.
    pub async fn new(objects: Objects) -> anyhow::Result<Self> {
        objects.apply(NAMESPACE).await?;
        let barrier = Self { objects, passed: 0 };
        barrier.objects.apply(&barrier.watched()).await?;
        barrier.objects.apply(&barrier.ingress()).await?;
        Ok(barrier)
    }

    /// Waits until each control plane has seen what was written before, and each of its proxies
    /// has acknowledged it.
    pub async fn pass(&mut self, control_planes: &mut [&mut ControlPlane]) -> anyhow::Result<()> {
        let former = self.class();
        self.passed += 1;
        self.objects.apply(&self.watched()).await?;
        // Only then the Ingress: the version that serves it has all the rest in it.
        for control_plane in &mut *control_planes {
            let seen = |snapshot: &Snapshot| self.service_seen(snapshot);
            serves(control_plane, "all but the Ingress", seen).await?;
        }
        self.objects.apply(&self.ingress()).await?;
        for control_plane in &mut *control_planes {
            let seen = |snapshot: &Snapshot| self.ingress_seen(snapshot);
            let version = serves(control_plane, "the Ingress", seen).await?;
            acknowledged(control_plane, &version).await?;
        }
        self.objects.delete(&former).await
    }

    /// The Service has its port under the other name by turns, and the slice another number.
    fn service_seen(&self, snapshot: &Snapshot) -> Option<()> {
        let upstream = format!("{SERVICE}:{}", self.port());
        snapshot.get("upstream", &upstream)?;
        let endpoints = snapshot.get("endpoints", &upstream)?;
        let port = match &endpoints.body {
            Some(Body::Endpoints(found)) => found.endpoints.first()?.port,
            _ => return None,
        };
        (port == u32::from(self.number())).then_some(())
    }

    fn ingress_seen(&self, snapshot: &Snapshot) -> Option<Version> {
        let DecodedResource {
            changed_at, body, ..
        } = snapshot.get("route", ROUTE)?;
        let Some(Body::Route(route)) = body else {
            return None;
        };
        let host = format!("n{}.barrier", self.passed);
        let seen = route.rules.iter().any(|rule| rule.hostname == host);
        changed_at.clone().filter(|_| seen)
    }

    /// A Service, a slice and a class that are different each time.
    fn watched(&self) -> String {
        let (number, port) = (self.number(), self.port());
        format!(
            "{{apiVersion: v1, kind: Service, metadata: {META}, \
               spec: {{ports: [{{name: {port}, port: 80}}]}}}}\n---\n\
             {{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {SLICE_META}, \
               addressType: IPv4, endpoints: [{{addresses: [10.1.255.255]}}], \
               ports: [{{name: {port}, port: {number}}}]}}\n---\n{class}",
            class = self.class()
        )
    }

    fn class(&self) -> String {
        format!(
            "{{apiVersion: networking.k8s.io/v1, kind: IngressClass, \
               metadata: {{name: barrier-{}}}, \
               spec: {{controller: roadstead.dev/ingress-controller}}}}",
            self.passed
        )
    }

    /// An Ingress that is served only where the class is known.
    fn ingress(&self) -> String {
        let passed = self.passed;
        let path = |port: &str| {
            format!(
                "{{path: /{port}, pathType: Prefix, \
                   backend: {{service: {{name: barrier, port: {{name: {port}}}}}}}}}"
            )
        };
        format!(
            "{{apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {META}, spec: {{\
               ingressClassName: barrier-{passed}, rules: [{{host: n{passed}.barrier, http: \
               {{paths: [{even}, {odd}]}}}}]}}}}",
            even = path(EVEN),
            odd = path(ODD),
        )
    }

    fn port(&self) -> &'static str {
        if self.passed.is_multiple_of(2) {
            EVEN
        } else {
            ODD
        }
    }

    fn number(&self) -> u16 {
        1 + self.passed
    }
}

/// Whether a resource is there for barriers alone.
pub fn is_of_barrier(name: &str) -> bool {
    name == ROUTE || name.starts_with(SERVICE)
}

async fn serves<T>(
    control_plane: &mut ControlPlane,
    what: &str,
    seen: impl Fn(&Snapshot) -> Option<T>,
) -> anyhow::Result<T> {
    let operator = control_plane.operator()?;
    let what = format!("it serves {what} of the barrier");
    let program = control_plane.program();
    program
        .until(&what, SOON, async || seen(&operator.snapshot().await.ok()?))
        .await
}

async fn acknowledged(control_plane: &ControlPlane, version: &Version) -> anyhow::Result<()> {
    let operator = control_plane.operator()?;
    let place = |version: &Version| (version.epoch, version.seq);
    wait::until_ok("every proxy has acknowledged", SOON, async || {
        for proxy in operator.proxies().await? {
            let holds = proxy.acknowledged.as_ref().map(place);
            if holds < Some(place(version)) {
                bail!("{} holds {holds:?}, not {version:?}", proxy.name);
            }
        }
        Ok(())
    })
    .await
}

const NAMESPACE: &str = "{apiVersion: v1, kind: Namespace, metadata: {name: barrier}}";
const META: &str = "{name: barrier, namespace: barrier}";
const SLICE_META: &str = "{name: barrier, namespace: barrier, \
    labels: {kubernetes.io/service-name: barrier}}";
const ROUTE: &str = "ingress/barrier/barrier";
const SERVICE: &str = "service/barrier/barrier";
const EVEN: &str = "even";
const ODD: &str = "odd";
