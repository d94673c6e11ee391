use std::fs;

use crate::event::{Epoch, Record};
use crate::model::key::{Kind, ObjectKey, Origin};
use crate::model::time::Timestamp;
use crate::observe::observe;
use crate::project::Fold;

use super::*;

/// A folder, what is known of it, and what the engine would hold.
struct World {
    folder: tempfile::TempDir,
    known: Known,
    fold: Fold,
}

impl World {
    fn new(files: &[(&str, &str)]) -> Self {
        let mut world = Self {
            folder: tempfile::tempdir().unwrap(),
            known: Known::default(),
            fold: Fold::default(),
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
        let observations = self.known.list(self.folder.path()).unwrap();
        self.apply(observations);
    }

    fn look(&mut self) {
        let observations = self.known.look_at_all(self.folder.path());
        self.apply(observations);
    }

    /// What a program knows that was started again on the same log.
    fn restart(&mut self) {
        self.known = Known::default();
        self.list();
    }

    fn apply(&mut self, observations: Vec<Observation>) {
        for observation in observations {
            let observed = observe(self.fold.state(), observation);
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
    tasks.spawn(run(folder.path().to_owned(), inbox, relisted));
    let mut kinds = vec![];
    for _ in 0..4 {
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
