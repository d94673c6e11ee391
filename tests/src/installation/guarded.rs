//! A control plane as it is in a cluster, with no rights but those that it needs, and proxies
//! that have nothing but what a kubelet would give their pods.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, bail, ensure};
use k8s_openapi::{
    ByteString,
    api::core::v1::{ConfigMap, Secret},
};
use kube::{
    Api,
    api::{DeleteParams, PostParams},
};
use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256};
use roadstead_proto::v1::{
    Hello, IssueRequest, ProxyMessage, certificate_service_client::CertificateServiceClient,
    distribution_service_client::DistributionServiceClient, proxy_message::Message,
};
use serde_json::{Value, json};
use tonic::{
    Request, Status,
    metadata::AsciiMetadataValue,
    transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity},
};

use super::{
    ControlPlane, SOON,
    accounts::Accounts,
    rights::{Account, BUNDLE, CLUSTER, LEASES, REVIEWS, SECRETS, WATCH, join},
};
use crate::{
    cluster::{Cluster, Options},
    echo::Echo,
    http,
    operator::Operator,
    planes::objects::Site,
    program::{Program, built},
    sandbox::Sandbox,
    wait,
};

/// The account of proxies.
pub const PROXIES: &str = "roadstead-data-plane";

/// All of it, running.
#[derive(Debug)]
pub struct Guarded<'a> {
    pub cluster: Cluster,
    pub control: ControlPlane,
    sandbox: &'a Sandbox,
    echo: Option<Echo>,
}

/// A proxy on a node of its own.
#[derive(Debug)]
pub struct NodeProxy {
    pub program: Program,
    folder: PathBuf,
}

/// A certificate that was given.
#[derive(Clone, Debug)]
pub struct Given {
    pub proxy: String,
    pub identity: Identity,
}

impl<'a> Guarded<'a> {
    /// Starts a cluster and a control plane in it, which is ready.
    pub async fn start(sandbox: &'a Sandbox) -> anyhow::Result<Self> {
        let cluster = Box::pin(Cluster::start(sandbox, &Options::bare())).await?;
        let accounts = Accounts {
            cluster: &cluster,
            namespace: NAMESPACE,
        };
        accounts.make(&[PROXIES, CONTROL_PLANE, OPERATOR]).await?;
        cluster.objects().apply(&rights()).await?;
        let source = json!({
            "kubeconfig": cluster.kubeconfig_of(NAMESPACE, CONTROL_PLANE)?,
            "ownNamespace": NAMESPACE,
        });
        let sources = json!({"kubernetes": source});
        let (name, keys) = (
            "control-plane",
            json!({"access": {}, "log": {"level": LOG}}),
        );
        let mut control = ControlPlane::start_by(sandbox, name, 1, &sources, &keys, |config| {
            let executable = built::binary("roadstead-control-plane")?;
            let arguments = ["--config".into(), config.to_owned().into_os_string()];
            Program::start(sandbox, name, &executable, arguments)
        })?;
        control.is_ready().await?;
        let guarded = Self {
            cluster,
            control,
            sandbox,
            echo: None,
        };
        guarded.allow(OPERATOR).await?;
        guarded.bundle(1).await?;
        Ok(guarded)
    }

    /// A site that a backend named `echo` answers at `site.example`.
    pub async fn serve(&mut self) -> anyhow::Result<()> {
        let echo = Echo::start("echo", "10.1.0.1:8080".parse()?).await?;
        let site = Site {
            name: "site",
            host: "site.example",
            path: "/",
            backends: &[echo.address()],
        };
        let yaml = super::wired::ours(&site.yaml());
        self.cluster.objects().apply(&yaml).await?;
        self.echo = Some(echo);
        Ok(())
    }

    pub fn accounts(&self) -> Accounts<'_> {
        Accounts {
            cluster: &self.cluster,
            namespace: NAMESPACE,
        }
    }

    /// A proxy of a pod on this node, connected.
    pub async fn proxy(&self, node: &str) -> anyhow::Result<NodeProxy> {
        self.mount_bundle().await?;
        let accounts = self.accounts();
        let pod = format!("proxy-{node}");
        accounts.pod(&pod, PROXIES, node).await?;
        let token = accounts.token(PROXIES, "roadstead", Some(&pod)).await?;
        let folder = self.sandbox.folder().join(node);
        fs::create_dir_all(&folder)?;
        fs::write(folder.join("token"), token)?;
        let config = json!({
            "proxy": node,
            "controlPlane": {
                "addresses": [format!("https://{}", self.control.grpc())],
                "caFile": self.mounted(),
                "tokenFile": folder.join("token"),
                "certificateFolder": folder.join("run"),
            },
            "stateFolder": folder.join("state"),
            "threads": 1,
            "admin": {"address": PROXY_ADMIN},
            "log": {"level": LOG},
        });
        let binary = "roadstead-data-plane";
        let text = config.to_string();
        let mut proxy = NodeProxy {
            program: Program::start_ours(self.sandbox, node, binary, &text)?,
            folder,
        };
        proxy.is_connected().await?;
        Ok(proxy)
    }

    /// An operator who may ask everything.
    pub async fn operator(&self) -> anyhow::Result<Operator> {
        let token = self.accounts().token(OPERATOR, "roadstead", None).await?;
        self.control.operator_by(&token)
    }

    /// Gives an account the role of operators.
    pub async fn allow(&self, account: &str) -> anyhow::Result<()> {
        let binding = json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
            "metadata": {"name": format!("operator-{account}")},
            "roleRef": {
                "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole",
                "name": "roadstead-operator",
            },
            "subjects": [
                {"kind": "ServiceAccount", "name": account, "namespace": NAMESPACE},
            ],
        });
        self.cluster.objects().apply(&binding.to_string()).await?;
        Ok(())
    }

    /// Since when a proxy's stream is open, as text.
    pub async fn connected_at(&self, proxy: &str) -> anyhow::Result<String> {
        let proxies = self.operator().await?.proxies().await?;
        let found = proxies.into_iter().find(|found| found.name == proxy);
        let found = found.with_context(|| format!("{proxy} is not connected"))?;
        Ok(format!("{:?}", found.connected_at))
    }

    /// The published certificates, once there are so many.
    pub async fn bundle(&self, certificates: usize) -> anyhow::Result<String> {
        let maps: Api<ConfigMap> = Api::namespaced(self.cluster.client(), NAMESPACE);
        wait::until_ok("the published certificates", SOON, async || {
            let map = maps.get("roadstead-ca").await?;
            let bundle = map.data.unwrap_or_default().remove("ca.pem");
            let bundle = bundle.context("ca.pem")?;
            ensure!(!bundle.contains("PRIVATE"), "there is a key in it");
            let found = bundle.matches("BEGIN CERTIFICATE").count();
            ensure!(found == certificates, "there are {found}");
            Ok(bundle)
        })
        .await
    }

    /// Does what a kubelet does for a volume of the ConfigMap: puts what it holds into a file.
    pub async fn mount_bundle(&self) -> anyhow::Result<()> {
        let maps: Api<ConfigMap> = Api::namespaced(self.cluster.client(), NAMESPACE);
        let bundle = maps.get("roadstead-ca").await?.data.unwrap_or_default();
        self.mount(bundle.get("ca.pem").context("ca.pem")?)
    }

    /// Puts these certificates into that file.
    pub fn mount(&self, bundle: &str) -> anyhow::Result<()> {
        let draft = self.mounted().with_extension("draft");
        fs::write(&draft, bundle)?;
        fs::rename(&draft, self.mounted()).context("replace the CA file")
    }

    /// What the Secret of the authorities holds.
    pub async fn authorities(&self) -> anyhow::Result<Value> {
        let secret = self.secrets().get(SECRET).await?;
        let data = secret.data.context("data")?;
        serde_json::from_slice(&data.get(ENTRY).context(ENTRY)?.0).context("the authorities")
    }

    /// Edits it by hand.
    pub async fn edit_authorities(&self, edit: impl Fn(&mut Value)) -> anyhow::Result<()> {
        wait::until_ok("the Secret is edited", SOON, async || {
            let mut secret = self.secrets().get(SECRET).await?;
            let data = secret.data.as_mut().context("data")?;
            let entry = data.get_mut(ENTRY).context(ENTRY)?;
            let mut stored = serde_json::from_slice(&entry.0)?;
            edit(&mut stored);
            *entry = ByteString(serde_json::to_vec(&stored)?);
            let parameters = PostParams::default();
            self.secrets().replace(SECRET, &parameters, &secret).await?;
            Ok(())
        })
        .await
    }

    pub async fn delete_authorities(&self) -> anyhow::Result<()> {
        let parameters = DeleteParams::default();
        self.secrets().delete(SECRET, &parameters).await?;
        Ok(())
    }

    /// Asks for a certificate, with these proofs.
    pub async fn issue(
        &self,
        shown: Option<&Identity>,
        token: Option<&str>,
    ) -> Result<Given, Status> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(other)?;
        let request = CertificateParams::default().serialize_request(&key);
        let request = IssueRequest {
            certification_request: request.map_err(other)?.der().to_vec(),
        };
        let channel = self.channel(shown).await.map_err(other)?;
        let request = with_token(request, token)?;
        let given = CertificateServiceClient::new(channel).issue(request).await;
        let given = given?.into_inner();
        Ok(Given {
            proxy: given.proxy,
            identity: Identity::from_pem(given.certificate, key.serialize_pem()),
        })
    }

    /// How a stream ends that is opened with these proofs and this name.
    pub async fn stream_as(
        &self,
        shown: Option<&Identity>,
        token: Option<&str>,
        proxy: &str,
    ) -> anyhow::Result<Status> {
        let hello = ProxyMessage {
            message: Some(Message::Hello(Hello {
                proxy: proxy.to_owned(),
                boot_id: "boot".to_owned(),
                binary_version: "test".to_owned(),
                ..Hello::default()
            })),
        };
        let request = with_token(tokio_stream::once(hello), token)?;
        let mut client = DistributionServiceClient::new(self.channel(shown).await?);
        let mut stream = match client.stream(request).await {
            Ok(stream) => stream.into_inner(),
            Err(status) => return Ok(status),
        };
        match stream.message().await {
            Ok(message) => bail!("it was let in, and got {message:?}"),
            Err(status) => Ok(status),
        }
    }

    async fn channel(&self, shown: Option<&Identity>) -> anyhow::Result<Channel> {
        let ca = fs::read(self.mounted()).unwrap_or_default();
        let mut tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(ca));
        if let Some(shown) = shown {
            tls = tls.identity(shown.clone());
        }
        let endpoint = Endpoint::from_shared(format!("https://{}", self.control.grpc()))?;
        Ok(endpoint.tls_config(tls)?.connect().await?)
    }

    fn secrets(&self) -> Api<Secret> {
        Api::namespaced(self.cluster.client(), NAMESPACE)
    }

    fn mounted(&self) -> PathBuf {
        self.sandbox.folder().join("mounted-ca.pem")
    }
}

impl NodeProxy {
    /// Waits until it has a stream.
    pub async fn is_connected(&mut self) -> anyhow::Result<()> {
        self.program
            .until("it has a stream", SOON, async || {
                let reply = http::get(PROXY_ADMIN.parse().ok()?, "localhost", "/metrics").await;
                let text = reply.ok()?.text();
                let mut lines = text.lines();
                let line = lines.find(|l| l.starts_with("roadstead_control_plane_connected"))?;
                line.ends_with(" 1").then_some(())
            })
            .await
    }

    /// The file of its token.
    pub fn token(&self) -> PathBuf {
        self.folder.join("token")
    }

    /// The file of its certificate and key.
    pub fn certificate(&self) -> PathBuf {
        self.folder.join("run/certificate.pem")
    }

    /// What it shows.
    pub fn identity(&self) -> anyhow::Result<Identity> {
        as_kept(&self.certificate())
    }
}

fn as_kept(file: &Path) -> anyhow::Result<Identity> {
    let text = fs::read_to_string(file).with_context(|| format!("read {}", file.display()))?;
    Ok(Identity::from_pem(&text, &text))
}

fn with_token<T>(message: T, token: Option<&str>) -> Result<Request<T>, Status> {
    let mut request = Request::new(message);
    if let Some(token) = token {
        let value: AsciiMetadataValue = format!("Bearer {token}").parse().map_err(other)?;
        request.metadata_mut().insert("authorization", value);
    }
    Ok(request)
}

fn other(error: impl std::fmt::Display) -> Status {
    Status::unknown(error.to_string())
}

const NAMESPACE: &str = "roadstead";
const CONTROL_PLANE: &str = "roadstead-control-plane";
const OPERATOR: &str = "operator";
const SECRET: &str = "roadstead-control-plane-ca";
const ENTRY: &str = "authorities.json";
/// All that could have keys and tokens at hand.
const LOG: &str = "info,roadstead_control_plane=trace,roadstead_data_plane=trace,kube_client=trace,\
                   kube_runtime=trace,rustls=trace,tonic=trace,tower=trace";
const PROXY_ADMIN: &str = "127.0.0.1:8446";

/// All that the control plane may do, and the role of operators, as the README has them.
/// Those of the control plane.
fn rights() -> String {
    let account = Account {
        namespace: NAMESPACE,
        name: CONTROL_PLANE,
    };
    let everywhere = WATCH.into_iter().chain([CLUSTER]).chain(REVIEWS);
    let home = [LEASES, SECRETS].into_iter().chain(BUNDLE);
    join(&[
        account.may(CONTROL_PLANE, everywhere),
        account.may_at_home(CONTROL_PLANE, home),
        OPERATORS.to_owned(),
    ])
}

/// The role of operators.
const OPERATORS: &str = "
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: roadstead-operator}
rules:
- {apiGroups: [roadstead.dev], resources: [snapshots], verbs: [get, list]}
- {apiGroups: [roadstead.dev], resources: [events], verbs: [list, watch]}
- {apiGroups: [roadstead.dev], resources: [proxies], verbs: [list]}
- {apiGroups: [roadstead.dev], resources: [holds], verbs: [list, update]}
";
