//! The control side of a proxy, with traffic threads and listeners that only take note.

use std::{cell::RefCell, path::Path, rc::Rc, sync::Arc};

use opentelemetry::metrics::{MeterProvider, noop::NoopMeterProvider};
use roadstead_data_plane::{
    active::Active,
    challenge::{self, Asking, Question},
    config::ControlPlane,
    control::{Applier, Challenges, Client, Connector, Listening, Metrics, Serve},
    journal::{Journal, Writer},
    keys::{Folder, Keys},
    report::{Identity, Report},
    snapshot::{Fault, Listener, Reason, Token},
};
use roadstead_proto::v1;
use tokio::{
    sync::{mpsc, watch},
    task::{JoinSet, LocalSet},
    time::{Duration, timeout},
};

use crate::plane::{Plane, ProxyStream};
use crate::wire::{Content, ack};

/// A proxy that was sent these by a whole transfer, its first, and uses all of them.
pub(crate) async fn serving(
    resources: impl IntoIterator<Item = v1::Resource>,
) -> (Plane, Proxy, ProxyStream, Content) {
    let mut plane = Plane::start().await;
    let proxy = Proxy::start(&plane, None).await;
    let mut stream = plane.accept().await;
    let mut content = Content::default();
    for resource in resources {
        content.put(resource);
    }
    stream.send_whole(1, &content).await;
    assert_eq!(ack(stream.answer().await), (1, vec![]));
    (plane, proxy, stream, content)
}

pub(crate) struct Proxy {
    noted: Rc<RefCell<Noted>>,
    report: watch::Receiver<Report>,
    tasks: JoinSet<()>,
    stop: watch::Sender<bool>,
    asking: Asking,
    _token: tempfile::NamedTempFile,
}

#[derive(Default)]
struct Noted {
    active: Option<Arc<Active>>,
    closed: Option<Reason>,
    /// Times that listeners were to be opened.
    listens: watch::Sender<usize>,
}

struct Notes(Rc<RefCell<Noted>>);

impl Serve for Notes {
    async fn switch(&mut self, active: Arc<Active>) {
        self.0.borrow_mut().active = Some(active);
    }

    async fn listen(&mut self, wanted: &[Arc<Listener>]) -> Listening {
        let noted = self.0.borrow();
        noted.listens.send_modify(|times| *times += 1);
        let fault = |reason| {
            let name = wanted[0].name.clone();
            (name, Fault::new(reason, "as the test wants it"))
        };
        Listening {
            open: wanted.len() - usize::from(noted.closed.is_some()),
            faults: noted.closed.map(fault).into_iter().collect(),
        }
    }
}

/// Runs a test where tasks may stay on their thread, for at most a minute.
pub(crate) async fn local(test: impl Future<Output = ()>) {
    let tasks = LocalSet::new();
    let test = tasks.run_until(test);
    timeout(Duration::from_secs(60), test).await.unwrap();
}

impl Proxy {
    pub(crate) async fn start(plane: &Plane, folder: Option<&Path>) -> Self {
        Self::start_with(Self::settings(plane), folder).await
    }

    /// That counts what it holds so often.
    pub(crate) async fn start_counting(plane: &Plane, every: Duration) -> Self {
        let settings = Self::settings(plane);
        Self::start_as(settings, None, |applier| applier.counting_every(every)).await
    }

    fn settings(plane: &Plane) -> ControlPlane {
        ControlPlane {
            addresses: vec![format!("http://{}", plane.address).parse().unwrap()],
            ..ControlPlane::default()
        }
    }

    /// With these settings, and a token.
    pub(crate) async fn start_with(settings: ControlPlane, folder: Option<&Path>) -> Self {
        Self::start_as(settings, folder, |applier| applier).await
    }

    async fn start_as(
        settings: ControlPlane,
        folder: Option<&Path>,
        with: impl FnOnce(Applier<Notes>) -> Applier<Notes>,
    ) -> Self {
        let meter = NoopMeterProvider::new().meter("test");
        let metrics = Metrics::new(&meter);
        let identity = Identity::new("node-1".to_owned()).unwrap();
        let noted = Rc::new(RefCell::new(Noted::default()));
        let mut tasks = JoinSet::new();

        let (mut journal, mut kept) = (None, None);
        if let Some(folder) = folder {
            let (file, found) = Journal::open(folder, &identity.boot_id).unwrap();
            let (writer, batches) = Writer::new(&meter, watch::channel(false).1);
            tasks.spawn_local(async { writer.run(file).await.unwrap() });
            (journal, kept) = (Some(batches), found);
        }
        let mut keys = Keys::default();
        if let Some(folder) = folder {
            let folder = Folder::open(folder.join("keys"), |_| true).unwrap();
            let (kept, writer) = Keys::in_folder(folder, watch::channel(true).1);
            tasks.spawn_local(async { writer.run().await.unwrap() });
            keys = kept;
        }
        let (may_ask, calls) = watch::channel(None);
        let (asking, asked) = challenge::asking();
        let challenges = Challenges::new(calls.clone(), metrics.clone());
        tasks.spawn_local(challenge::answer(challenges, asked));
        let notes = Notes(noted.clone());
        let applier = Applier::new(notes, journal, (keys, calls), metrics.clone());
        let mut applier = with(applier);
        if let Some(kept) = kept {
            assert!(applier.restore(kept).await);
        }
        let report = applier.report();
        let (orders, ordered) = mpsc::channel(1);

        let token = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(token.path(), "a token\n").unwrap();
        let connector = Connector::new(
            ControlPlane {
                token_file: Some(token.path().to_owned()),
                ..settings
            },
            None,
        );
        let (_, accepted) = watch::channel(None);
        let client = Client::new(
            identity,
            connector,
            orders,
            report.clone(),
            accepted,
            may_ask,
            metrics,
        );
        let (stop, mut stopped) = watch::channel(false);
        tasks.spawn_local(applier.run(ordered));
        tasks.spawn_local(async move {
            tokio::select! {
                () = client.run() => {}
                _ = stopped.changed() => {}
            }
        });
        Self {
            noted,
            report,
            tasks,
            stop,
            asking,
            _token: token,
        }
    }

    /// Ends, with all that was taken in written.
    pub(crate) async fn stop(mut self) {
        self.stop.send_replace(true);
        drop(self.asking);
        while let Some(ended) = self.tasks.join_next().await {
            ended.unwrap();
        }
    }

    /// The version that is served by, and the route that serves `HOST.example`.
    pub(crate) async fn serves(&self, host: &str) -> Option<String> {
        let active = self.noted.borrow().active.clone()?;
        let host = format!("{host}.example");
        let rule = active.router.route("web", &host, "/")?;
        let route = rule.id.split('#').next()?;
        Some(format!("{} {route}", active.version))
    }

    /// The certificate that is shown for `HOST.example`, and by which bundle.
    pub(crate) fn shows(&self, host: &str) -> Option<(String, Vec<u8>)> {
        let active = self.noted.borrow().active.clone()?;
        let host = format!("{host}.example");
        let shown = active.certificates.candidates(&host).next()?;
        Some((shown.name.to_string(), shown.bundle.bytes().to_vec()))
    }

    /// What a CA that asks for this token of `HOST.example` is answered by the version that is
    /// served, or else by the control plane.
    pub(crate) async fn answers(&self, host: &str, token: &str) -> Option<String> {
        let active = self.noted.borrow().active.clone()?;
        let host = format!("{host}.example");
        if let Some(found) = active.challenges.by_http(&host, token) {
            return Some(found.to_string());
        }
        let token = Token::parse(token).ok();
        let host = host.into();
        let found = self.asking.ask(Question { host, token }).await?;
        Some(found.to_string())
    }

    pub(crate) fn set_closed(&self, reason: Option<Reason>) {
        self.noted.borrow_mut().closed = reason;
    }

    /// Waits until it has tried so many times to open listeners.
    pub(crate) async fn has_tried(&self, times: usize) {
        let mut listens = self.noted.borrow().listens.subscribe();
        listens.wait_for(|listens| *listens >= times).await.unwrap();
    }

    /// Waits until it reports so.
    pub(crate) async fn reports(&self, so: impl FnMut(&Report) -> bool) {
        self.report.clone().wait_for(so).await.unwrap();
    }

    pub(crate) fn report(&self) -> Report {
        self.report.borrow().clone()
    }
}
