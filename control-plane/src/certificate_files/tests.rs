use tempfile::TempDir;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::*;
use crate::config::Config;
use crate::model::refusal::Refusal;

/// A certificate and its key in files, and who follows them.
struct World {
    folder: TempDir,
    configuration: watch::Sender<Live>,
    relist: watch::Sender<u64>,
    told: mpsc::Receiver<Observation>,
    _following: JoinSet<()>,
}

impl World {
    fn new(names: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (configuration, configured) = watch::channel(named(&folder, names));
        let (relist, relisted) = watch::channel(0);
        let (inbox, told) = mpsc::channel(8);
        let mut following = JoinSet::new();
        following.spawn(run(configured, inbox, relisted));
        Self {
            folder,
            configuration,
            relist,
            told,
            _following: following,
        }
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.folder.path().join(name), text).unwrap();
    }

    /// What is told next.
    async fn next(&mut self) -> Vec<(String, Result<Vec<String>, Refusal>)> {
        let told = timeout(60 * LOOK, self.told.recv()).await.unwrap();
        let Some(Observation::Listed {
            origin: Origin::Configuration,
            kind: Kind::Secret,
            objects,
            unreadable,
        }) = told
        else {
            panic!("{told:?}");
        };
        assert!(unreadable.is_empty());
        let objects = objects.into_iter().map(|seen| {
            let spec = seen.spec.map(|spec| {
                let Spec::Certificate(certificate) = spec else {
                    panic!("{spec:?}");
                };
                assert_eq!(seen.bundle.unwrap().name(), certificate.bundle);
                certificate.names.iter().map(ToString::to_string).collect()
            });
            (seen.key.to_string(), spec)
        });
        objects.collect()
    }

    async fn is_quiet(&mut self) {
        let told = timeout(5 * LOOK, self.told.recv()).await;
        assert!(told.is_err(), "{told:?}");
    }
}

/// `NAME.crt` and `NAME.key` of a folder.
fn named(folder: &TempDir, names: &[&str]) -> Live {
    let file = |name: &str, end| folder.path().join(format!("{name}.{end}"));
    let certificates = names.iter().map(|name| {
        let files = CertificateFiles {
            certificate_file: file(name, "crt"),
            key_file: file(name, "key"),
        };
        ((*name).into(), files)
    });
    let config = Config {
        certificates: certificates.collect(),
        ..Config::default()
    };
    config.live()
}

fn certificate(host: &str) -> (String, String) {
    let made = rcgen::generate_simple_self_signed([host.to_owned()]).unwrap();
    (made.cert.pem(), made.signing_key.serialize_pem())
}

fn good(name: &str, host: &str) -> Vec<(String, Result<Vec<String>, Refusal>)> {
    vec![(
        format!("Secret {name}@configuration"),
        Ok(vec![host.to_owned()]),
    )]
}

#[tokio::test(start_paused = true)]
async fn files_are_told_of_at_once_and_again_when_they_have_changed_and_stand_still() {
    let mut world = World::new(&[]);
    assert!(world.next().await.is_empty());
    world.is_quiet().await;
    let (chain, key) = certificate("a.example");
    world.write("web.crt", &chain);
    world.write("web.key", &key);
    world
        .configuration
        .send_replace(named(&world.folder, &["web"]));
    assert_eq!(world.next().await, good("web", "a.example"));
    world.is_quiet().await;

    let (chain, key) = certificate("b.example");
    world.write("web.crt", &chain);
    world.write("web.key", &key);
    assert_eq!(world.next().await, good("web", "b.example"));
    world.relist.send_replace(1);
    assert_eq!(world.next().await, good("web", "b.example"));
    world.configuration.send_replace(named(&world.folder, &[]));
    assert!(world.next().await.is_empty());
    world.is_quiet().await;
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_used_is_refused_by_its_key_in_the_configuration() {
    let mut world = World::new(&["web"]);
    let refused = |mut told: Vec<(String, Result<Vec<String>, Refusal>)>| {
        let (name, spec) = told.pop().unwrap();
        assert_eq!(name, "Secret web@configuration");
        spec.unwrap_err().to_string()
    };
    let missing = refused(world.next().await);
    let file = world.folder.path().join("web.crt");
    let expected = format!(
        "certificateFile: {} cannot be read: No such file or directory (os error 2); put it there, \
         where the control plane may read it",
        file.display()
    );
    assert_eq!(missing, expected);

    let (chain, _) = certificate("a.example");
    let (_, another) = certificate("a.example");
    world.write("web.key", &another);
    world.write("web.crt", &chain);
    // Meanwhile it is tried again.
    let mut mismatch = missing.clone();
    while mismatch == missing {
        mismatch = refused(world.next().await);
    }
    assert!(
        mismatch.starts_with("keyFile: is not the key of"),
        "{mismatch}"
    );
    world.write("web.key", &"x".repeat(MAX_PEM + 2));
    let long = refused(world.next().await);
    assert_eq!(long, "keyFile: is longer than 512 KiB");
    fs::remove_file(&file).unwrap();
    fs::create_dir(&file).unwrap();
    let folder = refused(world.next().await);
    assert!(folder.contains("it is no file"), "{folder}");
}
