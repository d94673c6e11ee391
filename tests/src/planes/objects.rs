//! The YAML of a small site: an Ingress, its Service and its endpoints.
//!
//! What a test varies are host, path and backend; the rest would hide that.

use std::{fs, net::SocketAddr, path::PathBuf};

use anyhow::Context;

use crate::sandbox::Sandbox;

/// A site: requests for this host and what lies below this path go to these backends.
#[derive(Clone, Copy, Debug)]
pub struct Site<'a> {
    /// Of all its objects, and of its file.
    pub name: &'a str,
    pub host: &'a str,
    pub path: &'a str,
    /// Where its Pods would be; all of one port.
    pub backends: &'a [SocketAddr],
}

impl Site<'_> {
    /// Writes the site's file, as an editor does: it is replaced.
    pub fn save(&self, sandbox: &Sandbox) -> anyhow::Result<()> {
        self.replace(sandbox, &self.yaml())
    }

    /// Writes another text into the site's file.
    pub fn replace(&self, sandbox: &Sandbox, yaml: &str) -> anyhow::Result<()> {
        // A name that begins with a dot is passed over.
        let draft = sandbox.write(&format!("objects/.{}.draft", self.name), yaml)?;
        let file = self.file(sandbox);
        fs::rename(&draft, &file).with_context(|| format!("replace {}", file.display()))
    }

    /// The site's file, which may be there or not.
    pub fn file(&self, sandbox: &Sandbox) -> PathBuf {
        let name = format!("objects/{}.yaml", self.name);
        sandbox.folder().join(name)
    }

    /// The three objects with so many long paths, each below a number, that the record of the
    /// Ingress is larger than half a MiB.
    pub fn yaml_with_many_paths(&self) -> String {
        let yaml = self.yaml();
        let path = format!(
            "      - path: {}\n        pathType: Prefix\n        \
             backend: {{service: {{name: {}, port: {{number: 80}}}}}}\n",
            self.path, self.name
        );
        let long = "x".repeat(300);
        let paths: String = (0..2000)
            .map(|number| path.replace("path: /", &format!("path: /{number}/{long}")))
            .collect();
        yaml.replacen(&path, &paths, 1)
    }

    /// The three objects.
    pub fn yaml(&self) -> String {
        let Self {
            name,
            host,
            path,
            backends,
        } = self;
        // A star begins an alias.
        let quote = if host.starts_with('*') { "'" } else { "" };
        let ips: Vec<String> = backends.iter().map(|at| at.ip().to_string()).collect();
        let endpoints = format!("{{addresses: [{}]}}", ips.join("]}, {addresses: ["));
        let endpoints = if ips.is_empty() { "" } else { &endpoints };
        let port = backends.first().map_or(80, SocketAddr::port);
        format!(
            "apiVersion: networking.k8s.io/v1\n\
             kind: Ingress\n\
             metadata: {{name: {name}}}\n\
             spec:\n\
             \x20 rules:\n\
             \x20 - host: {quote}{host}{quote}\n\
             \x20   http:\n\
             \x20     paths:\n\
             \x20     - path: {path}\n\
             \x20       pathType: Prefix\n\
             \x20       backend: {{service: {{name: {name}, port: {{number: 80}}}}}}\n\
             ---\n\
             apiVersion: v1\n\
             kind: Service\n\
             metadata: {{name: {name}}}\n\
             spec: {{ports: [{{name: web, port: 80}}]}}\n\
             ---\n\
             apiVersion: discovery.k8s.io/v1\n\
             kind: EndpointSlice\n\
             metadata: {{name: {name}, labels: {{kubernetes.io/service-name: {name}}}}}\n\
             addressType: IPv4\n\
             ports: [{{name: web, port: {port}}}]\n\
             endpoints: [{endpoints}]\n"
        )
    }
}
