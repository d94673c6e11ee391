//! Kubernetes YAML in; events, resources and standings out.
//!
//! Each file of `golden/` is ordinary YAML, cut into steps by comments that begin with `#:`;
//! what each step comes to is in the file of the same name that ends in `.snap`.

#![cfg(test)]

#[path = "golden/render.rs"]
mod render;
#[path = "golden/script.rs"]
mod script;

use std::fmt::Write as _;
use std::path::Path;

use roadstead_control_plane::event::{Epoch, Event, Record};
use roadstead_control_plane::model::time::Timestamp;
use roadstead_control_plane::observe::{Observation, observe};
use roadstead_control_plane::project::Fold;
use roadstead_control_plane::project::standing::StandingChange;
use roadstead_control_plane::snapshot::ResourceId;

#[test]
fn objects_come_to_what_the_files_say() {
    let mut settings = insta::Settings::clone_current();
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.set_snapshot_path("golden");
    settings.bind(|| {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
        let mut cases = 0;
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            if let Some(case) = name.strip_suffix(".in.yaml") {
                let text = std::fs::read_to_string(&path).unwrap();
                insta::assert_snapshot!(case, run(&text));
                cases += 1;
            }
        }
        assert!(cases >= 25, "only {cases} cases were found");
    });
}

fn run(text: &str) -> String {
    let mut machine = Machine::default();
    let mut shown = String::new();
    for (number, step) in script::steps(text).into_iter().enumerate() {
        writeln!(
            shown,
            "{}step {}{}",
            if number == 0 { "" } else { "\n" },
            number + 1,
            step.title
        )
        .unwrap();
        let before = machine.fold.state().certificates().lacking().clone();
        let outcome = machine.see(step.observations);
        shown += &render::outcome(machine.fold.snapshot(), outcome);
        let now = machine.fold.state().certificates().lacking();
        shown += &render::to_obtain(&before, now);
    }
    shown
}

/// What a step came to.
#[derive(Default)]
struct Outcome {
    events: Vec<Event>,
    resources: Vec<ResourceId>,
    standings: Vec<StandingChange>,
}

/// What an engine does, without I/O.
#[derive(Default)]
struct Machine {
    fold: Fold,
}

impl Machine {
    fn see(&mut self, observations: Vec<Observation>) -> Outcome {
        let mut outcome = Outcome::default();
        for observation in observations {
            let observed = observe(self.fold.state(), observation, Timestamp(0));
            for change in observed.slices {
                let changed = self.fold.apply_endpoints(change);
                outcome.resources.extend(changed.resources);
            }
            for change in observed.missing {
                self.fold.apply_missing(change);
            }
            for event in observed.events {
                let record = Record {
                    seq: self.fold.state().seq().next(),
                    epoch: Epoch(1),
                    time: Timestamp(0),
                    event,
                };
                let changed = self.fold.apply(&record);
                outcome.resources.extend(changed.resources);
                outcome.standings.extend(changed.standings);
                outcome.events.push(record.event);
            }
        }
        outcome
    }
}
