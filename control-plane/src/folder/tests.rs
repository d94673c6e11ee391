use std::fs;
use std::os::unix::fs::symlink;

use crate::event::{Epoch, Record};
use crate::model::key::{Kind, ObjectKey, Origin};
use crate::model::time::Timestamp;
use crate::observe::observe;
use crate::project::Fold;

use super::*;

/// A folder, what is known of it, and what the engine would hold.
struct World {
    folder: tempfile::TempDir,
    library: Library,
    notices: Notices,
    fold: Fold,
    /// Facts that were found since this was looked at.
    facts: usize,
}

impl World {
    fn new(files: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut world = Self {
            library: Library::new(folder.path().to_owned(), metrics()),
            notices: Notices::new(folder.path()),
            folder,
            fold: Fold::default(),
            facts: 0,
        };
        for (name, text) in files {
            world.write(name, text);
        }
        world.list();
        world
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::create_dir_all(self.path(name).parent().unwrap()).unwrap();
        // Another inode each time, as editors do.
        fs::write(self.path("aside"), text).unwrap();
        fs::rename(self.path("aside"), self.path(name)).unwrap();
    }

    fn edit(&mut self, name: &str, text: &str) {
        self.write(name, text);
        self.look();
    }

    fn remove(&mut self, name: &str) {
        fs::remove_file(self.path(name)).unwrap();
        self.look();
    }

    fn list(&mut self) {
        let observations = self.library.list(&mut self.notices);
        self.apply(observations);
    }

    fn look(&mut self) {
        let observations = self.library.look(&mut self.notices);
        self.apply(observations);
    }

    /// What a program knows that was started again on the same log.
    fn restart(&mut self) {
        self.library = Library::new(self.folder.path().to_owned(), metrics());
        self.list();
    }

    fn apply(&mut self, observations: Vec<Observation>) {
        for observation in observations {
            let observed = observe(self.fold.state(), observation, Timestamp(0));
            self.facts += observed.events.len() + observed.slices.len();
            for change in observed.slices {
                self.fold.apply_endpoints(change);
            }
            for event in observed.events {
                self.fold.apply(&Record {
                    seq: self.fold.state().seq().next(),
                    epoch: Epoch(1),
                    time: Timestamp(0),
                    event,
                });
            }
        }
    }

    /// The port of a Service's last good version, and whether the present one is refused.
    fn service(&self, name: &str) -> Option<(u16, bool)> {
        let held = self.fold.state().object(&key(Kind::Service, name))?;
        let (_, service) = self.fold.state().service(&key(Kind::Service, name))?;
        Some((service.ports[0].number, held.refused.is_some()))
    }
}

fn metrics() -> FolderMetrics {
    FolderMetrics::new(&opentelemetry::global::meter("test"))
}

fn key(kind: Kind, name: &str) -> ObjectKey {
    ObjectKey {
        origin: Origin::Folder,
        kind,
        namespace: "default".into(),
        name: name.into(),
    }
}

fn service(name: &str, port: u16) -> String {
    format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: {name}}}\nspec: {{ports: [{{port: {port}}}]}}\n"
    )
}

fn slice(name: &str) -> String {
    format!(
        "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {{name: {name}}}\n\
         addressType: IPv4\nports: [{{port: 1}}]\nendpoints: [{{addresses: [127.0.0.1]}}]\n"
    )
}

const BROKEN: &str = "apiVersion: v1\nkind: [Service\n";

#[test]
fn documents_lists_and_json_are_read_below_the_folder_and_hidden_files_are_not() {
    let two = format!("{}---\n{}", service("a", 1), service("b", 2));
    let list = format!(
        "kind: List\nitems:\n- {}",
        service("c", 3).trim_end().replace('\n', "\n  ")
    );
    let json = r#"{"apiVersion":"v1","kind":"Service","metadata":{"name":"d"},"spec":{"ports":[{"port":4}]}}"#;
    let world = World::new(&[
        ("two.yaml", &two),
        ("deep/er/list.yml", &list),
        ("one.json", json),
        ("notes.txt", &service("e", 5)),
        (".hidden.yaml", &service("f", 6)),
        ("..data/g.yaml", &service("g", 7)),
    ]);
    let found: Vec<_> = ["a", "b", "c", "d", "e", "f", "g"]
        .map(|name| world.service(name).map(|(port, _)| port))
        .into();
    assert_eq!(
        found,
        [Some(1), Some(2), Some(3), Some(4), None, None, None]
    );
}

#[test]
fn an_edit_is_seen_and_a_removed_file_takes_its_objects_along() {
    let mut world = World::new(&[("a.yaml", &service("a", 1)), ("b.yaml", &service("b", 2))]);
    world.edit("a.yaml", &service("a", 10));
    assert_eq!(world.service("a"), Some((10, false)));
    world.edit("a.yaml", &service("other", 1));
    assert_eq!(world.service("a"), None);
    world.remove("b.yaml");
    assert_eq!(world.service("b"), None);
}

#[test]
fn a_broken_file_keeps_its_last_good_objects_live_and_after_a_restart() {
    let whole = format!("{}---\n{}", service("a", 1), slice("a-1"));
    let mut world = World::new(&[("a.yaml", &whole), ("b.yaml", &service("b", 2))]);
    world.edit("a.yaml", BROKEN);
    assert_eq!(world.service("a"), Some((1, true)));
    world.restart();
    assert_eq!(world.service("a"), Some((1, true)));
    assert_eq!(world.service("b"), Some((2, false)));
    let slices = world.fold.state().slices();
    assert!(slices.contains_key(&key(Kind::EndpointSlice, "a-1")));
    world.edit("a.yaml", &service("a", 3));
    assert_eq!(world.service("a"), Some((3, false)));
    world.restart();
    assert!(
        !world
            .fold
            .state()
            .slices()
            .contains_key(&key(Kind::EndpointSlice, "a-1"))
    );
}

#[test]
fn a_slice_that_goes_while_another_file_is_broken_is_gone() {
    let mut world = World::new(&[("a.yaml", &slice("a-1")), ("b.yaml", &service("b", 2))]);
    fs::remove_file(world.path("a.yaml")).unwrap();
    fs::write(world.path("b.yaml"), BROKEN).unwrap();
    world.restart();
    assert_eq!(world.service("b"), Some((2, true)));
    let slices = world.fold.state().slices();
    assert!(!slices.contains_key(&key(Kind::EndpointSlice, "a-1")));
}

#[test]
fn of_two_places_the_first_counts_and_the_other_takes_over() {
    let mut world = World::new(&[("b.yaml", &service("a", 2))]);
    world.edit("a.yaml", &service("a", 1));
    assert_eq!(world.service("a"), Some((1, false)));
    world.edit("b.yaml", &service("a", 20));
    assert_eq!(world.service("a"), Some((1, false)));
    world.remove("a.yaml");
    assert_eq!(world.service("a"), Some((20, false)));
    world.edit("a.yaml", &service("a", 3));
    // What b.yaml says was told before: it is read again.
    world.remove("a.yaml");
    assert_eq!(world.service("a"), Some((20, false)));
}

#[test]
fn a_broken_document_spoils_no_other_of_its_file() {
    let both = |port| format!("{}---\n{}", service("a", port), service("b", port));
    let mut world = World::new(&[("a.yaml", &both(1))]);
    world.edit("a.yaml", &format!("{}---\n{BROKEN}", service("a", 2)));
    assert_eq!(world.service("a"), Some((2, false)));
    assert_eq!(world.service("b"), Some((1, true)));
    world.edit("a.yaml", &both(3));
    assert_eq!(world.service("b"), Some((3, false)));
    world.edit("a.yaml", &service("a", 4));
    assert_eq!(world.service("b"), None);
}

#[test]
fn a_second_document_of_the_same_object_does_not_count() {
    let twice = format!("{}---\n{}", service("a", 1), service("a", 2));
    let world = World::new(&[("a.yaml", &twice)]);
    assert_eq!(world.service("a"), Some((1, false)));
}

#[test]
fn an_object_that_moves_to_another_file_is_not_gone_in_between() {
    let mut world = World::new(&[("b.yaml", &service("a", 1))]);
    fs::rename(world.path("b.yaml"), world.path("c.yaml")).unwrap();
    let observations = world.library.look(&mut world.notices);
    assert!(
        matches!(observations[..], [Observation::Changed(_)]),
        "{observations:?}"
    );
}

#[test]
fn looking_at_what_did_not_change_finds_nothing() {
    let mut world = World::new(&[("a.yaml", &service("a", 1)), ("b.yaml", BROKEN)]);
    world.facts = 0;
    world.look();
    world.list();
    // The same bytes, written anew.
    world.edit("a.yaml", &service("a", 1));
    assert_eq!(world.facts, 0);
}

#[test]
fn a_folder_that_is_away_for_a_while_has_lost_nothing() {
    let mut world = World::new(&[("a.yaml", &service("a", 1))]);
    let away = world.folder.path().with_extension("away");
    fs::rename(world.folder.path(), &away).unwrap();
    world.look();
    world.list();
    assert_eq!(world.service("a"), Some((1, false)));
    fs::rename(&away, world.folder.path()).unwrap();
    world.edit("a.yaml", &service("a", 2));
    assert_eq!(world.service("a"), Some((2, false)));
}

#[test]
fn links_are_followed_within_the_folder_and_nowhere_else() {
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("x.yaml"), service("x", 1)).unwrap();
    let mut world = World::new(&[
        ("..1/a.yaml", &service("a", 1)),
        ("..2/a.yaml", &service("a", 2)),
    ]);
    symlink("..1", world.path("..data")).unwrap();
    symlink("..data/a.yaml", world.path("a.yaml")).unwrap();
    symlink(outside.path().join("x.yaml"), world.path("x.yaml")).unwrap();
    symlink(outside.path(), world.path("sub")).unwrap();
    symlink("nowhere", world.path("y.yaml")).unwrap();
    world.look();
    assert_eq!(world.service("a"), Some((1, false)));
    assert_eq!(world.service("x"), None);
    // As Kubernetes changes a ConfigMap.
    symlink("..2", world.path("..data_tmp")).unwrap();
    fs::rename(world.path("..data_tmp"), world.path("..data")).unwrap();
    world.look();
    assert_eq!(world.service("a"), Some((2, false)));
}

#[test]
fn what_is_deleted_while_nobody_looked_is_seen_at_the_next_start() {
    let mut world = World::new(&[("a.yaml", &service("a", 1)), ("b.yaml", &service("b", 2))]);
    fs::remove_file(world.path("a.yaml")).unwrap();
    world.restart();
    assert_eq!(
        (world.service("a"), world.service("b")),
        (None, Some((2, false)))
    );
}

#[tokio::test]
async fn an_edit_reaches_the_inbox_while_the_folder_is_followed() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.yaml"), service("a", 1)).unwrap();
    let (inbox, mut seen) = mpsc::channel(16);
    let (_relist, relisted) = watch::channel(0);
    let mut tasks = tokio::task::JoinSet::new();
    let path = folder.path().to_owned();
    tasks.spawn(async { run(path, inbox, relisted, metrics()).await.unwrap() });
    let mut kinds = vec![];
    for _ in library::IN_ORDER {
        let Some(Observation::Listed { kind, .. }) = seen.recv().await else {
            panic!("a list comes first")
        };
        kinds.push(kind);
    }
    assert_eq!(kinds.last(), Some(&Kind::Ingress));
    fs::write(folder.path().join("a.yaml"), service("a", 2)).unwrap();
    let Some(Observation::Changed(changed)) = seen.recv().await else {
        panic!("an edit is a change")
    };
    assert_eq!(changed.key, key(Kind::Service, "a"));
    fs::create_dir(folder.path().join("new")).unwrap();
    fs::write(folder.path().join("new/b.yaml"), service("b", 2)).unwrap();
    let Some(Observation::Changed(changed)) = seen.recv().await else {
        panic!("a new file is a change")
    };
    assert_eq!(changed.key, key(Kind::Service, "b"));
}

#[tokio::test]
async fn a_folder_that_is_not_there_is_said_at_once() {
    let (inbox, _seen) = mpsc::channel(1);
    let (_relist, relisted) = watch::channel(0);
    let error = run("/nowhere/at/all".into(), inbox, relisted, metrics()).await;
    assert!(error.unwrap_err().to_string().contains("/nowhere/at/all"));
}

/// What the next observation of a followed folder says of a Service.
async fn next(seen: &mut mpsc::Receiver<Observation>) -> String {
    loop {
        match seen.recv().await.unwrap() {
            Observation::Changed(seen) => {
                return format!("{} {:?}", seen.key.name, seen.spec.is_ok());
            }
            Observation::Vanished { keys, .. } => {
                let names: Vec<&str> = keys.iter().map(|key| &*key.name).collect();
                return format!("{} gone", names.join(" "));
            }
            Observation::Listed { .. } => {}
            other @ (Observation::Configured(_)
            | Observation::Recovered { .. }
            | Observation::Unlistable { .. }
            | Observation::Deleted(_)
            | Observation::Unconfigured { .. }
            | Observation::Confirmed(_)
            | Observation::Proxy(_)) => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_file_that_was_heard_of_is_known_as_one_that_was_found() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    fs::write(path("a.yaml"), service("a", 1)).unwrap();
    let (inbox, mut seen) = mpsc::channel(16);
    let (_relist, relisted) = watch::channel(0);
    let mut tasks = tokio::task::JoinSet::new();
    let root = folder.path().to_owned();
    tasks.spawn(async { run(root, inbox, relisted, metrics()).await.unwrap() });
    for _ in 0..4 {
        assert!(matches!(
            seen.recv().await,
            Some(Observation::Listed { .. })
        ));
    }
    let both = format!("{}---\n{}", service("a", 2), service("marker", 1));
    fs::write(path("b.yaml"), both).unwrap();
    assert_eq!(next(&mut seen).await, "marker true");
    fs::remove_file(path("a.yaml")).unwrap();
    assert_eq!(next(&mut seen).await, "a true");
}

#[tokio::test]
async fn what_happens_to_files_and_folders_is_heard_of() {
    let top = tempfile::tempdir().unwrap();
    let root = top.path().join("root");
    let versions = top.path().join("one");
    fs::create_dir_all(versions.join("sub")).unwrap();
    fs::write(versions.join("sub/a.yaml"), service("a", 1)).unwrap();
    symlink("one", &root).unwrap();
    let (inbox, mut seen) = mpsc::channel(16);
    let (relist, relisted) = watch::channel(0);
    let mut tasks = tokio::task::JoinSet::new();
    let path = root.clone();
    tasks.spawn(async { run(path, inbox, relisted, metrics()).await.unwrap() });
    for _ in 0..4 {
        assert!(matches!(
            seen.recv().await,
            Some(Observation::Listed { .. })
        ));
    }
    fs::write(root.join("sub/a.yaml"), BROKEN).unwrap();
    assert_eq!(next(&mut seen).await, "a false");
    fs::write(root.join("sub/a.yaml"), service("a", 2)).unwrap();
    assert_eq!(next(&mut seen).await, "a true");
    fs::rename(root.join("sub"), root.join("other")).unwrap();
    assert_eq!(next(&mut seen).await, "a true");
    fs::remove_dir_all(root.join("other")).unwrap();
    assert_eq!(next(&mut seen).await, "a gone");
    // The whole folder is exchanged, as git-sync does.
    fs::create_dir(top.path().join("two")).unwrap();
    fs::write(top.path().join("two/b.yaml"), service("b", 1)).unwrap();
    symlink("two", top.path().join("next")).unwrap();
    fs::rename(top.path().join("next"), &root).unwrap();
    assert_eq!(next(&mut seen).await, "b true");
    relist.send_modify(|count| *count += 1);
    let Some(Observation::Listed { objects, .. }) = seen.recv().await else {
        panic!("a list was asked for")
    };
    assert!(objects.is_empty());
}
