//! Writes in the name of a term: none when it is over.
//!
//! One place for all that a leader writes to Kubernetes, asked before each request, so that no
//! effect can forget to ask.

use futures::future::Either;
use http::{Method, Request};
use kube::Client;
use kube::client::Body;
use tower::{BoxError, service_fn};

use crate::lease::Office;

/// A write that was not made.
#[derive(Debug, thiserror::Error)]
#[error("this replica no longer leads: nothing is written in its name")]
pub struct Deposed;

/// A client that reads always, and writes only while this office holds.
pub fn fenced(client: Client, office: Office) -> Client {
    let namespace = client.default_namespace().to_owned();
    let service = service_fn(move |request: Request<Body>| {
        let reads = matches!(*request.method(), Method::GET | Method::HEAD);
        if !reads && !office.holds() {
            return Either::Left(std::future::ready(Err(BoxError::from(Deposed))));
        }
        let client = client.clone();
        Either::Right(async move { Ok(client.send(request).await?) })
    });
    Client::new(service, namespace)
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::time::Duration;

    use http::Response;
    use k8s_openapi::api::core::v1::Secret;
    use kube::Api;
    use kube::api::DeleteParams;

    use super::*;
    use crate::event::Epoch;

    /// An API server that has what is asked for.
    fn server() -> Client {
        let answer = |request: Request<Body>| async move {
            let secret = format!(
                "{{\"apiVersion\": \"v1\", \"kind\": \"Secret\", \"metadata\": {{\"name\": \"{}\"}}}}",
                request.method()
            );
            Ok::<_, Infallible>(Response::new(Body::from(secret.into_bytes())))
        };
        Client::new(service_fn(answer), "default")
    }

    #[tokio::test]
    async fn who_was_deposed_reads_and_writes_nothing() {
        let office = Office::until(Epoch(1), Duration::MAX);
        let secrets: Api<Secret> = Api::default_namespaced(fenced(server(), office.clone()));
        let parameters = DeleteParams::default();
        secrets.get("a").await.unwrap();
        secrets.delete("a", &parameters).await.unwrap();
        office.resign();
        secrets.get("a").await.unwrap();
        let error = secrets.delete("a", &parameters).await.unwrap_err();
        assert!(format!("{error:?}").contains("Deposed"), "{error:?}");
    }
}
