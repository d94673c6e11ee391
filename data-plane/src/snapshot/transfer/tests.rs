//! Tests of the assembly: order, limits, versions.

use v1::transfer_message::Message;

use super::*;

fn version(lineage: &str, epoch: u64, seq: u64) -> Version {
    Version {
        lineage: lineage.into(),
        epoch,
        seq,
    }
}

fn begin(version: &Version) -> Message {
    Message::Begin(v1::Begin {
        version: Some(version.to_proto()),
        replaced_buckets: vec![],
        trace_parent: String::new(),
    })
}

fn commit(version: &Version) -> Message {
    Message::Commit(v1::Commit {
        version: Some(version.to_proto()),
        endpoints_revision: 7,
        digest: Some(v1::Digest::default()),
    })
}

fn resource(name: &str) -> v1::Resource {
    v1::Resource {
        r#type: 2,
        name: name.to_owned(),
        body: vec![1, 2, 3].into(),
        hash: vec![0; 16].into(),
        ..v1::Resource::default()
    }
}

fn chunk(names: &[&str]) -> Message {
    Message::Chunk(v1::Chunk {
        changed: names.iter().map(|name| resource(name)).collect(),
        removed: vec![],
    })
}

fn removal(name: &str) -> Message {
    Message::Chunk(v1::Chunk {
        changed: vec![],
        removed: vec![v1::ResourceId {
            r#type: 2,
            name: name.to_owned(),
        }],
    })
}

/// The steps that the messages bring about, each in one word.
fn steps(limits: Limits, held: Option<&Version>, messages: Vec<Message>) -> Vec<String> {
    steps_of(&mut Assembly::new(limits), held, messages)
}

fn steps_of(
    assembly: &mut Assembly,
    held: Option<&Version>,
    messages: Vec<Message>,
) -> Vec<String> {
    let step = |message| {
        let message = v1::TransferMessage {
            message: Some(message),
        };
        match assembly.take(message, held) {
            Step::More => "more".to_owned(),
            Step::Complete(transfer) => format!(
                "{} changed, {} removed",
                transfer.changed.len(),
                transfer.removed.len()
            ),
            Step::Refused(refusal) => refusal.reason().to_owned(),
        }
    };
    messages.into_iter().map(step).collect()
}

#[test]
fn a_transfer_is_complete_with_its_commit_and_not_before() {
    let v = version("a", 1, 2);
    let messages = vec![
        begin(&v),
        chunk(&["r", "s"]),
        removal("t"),
        commit(&v),
        begin(&v),
        commit(&v),
    ];
    assert_eq!(
        steps(Limits::default(), None, messages),
        [
            "more",
            "more",
            "more",
            "2 changed, 1 removed",
            "more",
            "0 changed, 0 removed"
        ]
    );
}

#[test]
fn what_is_wrong_is_said_at_the_commit_and_the_next_transfer_is_read() {
    let v = version("a", 1, 2);
    let malformed = Message::Chunk(v1::Chunk {
        changed: vec![v1::Resource {
            hash: vec![0; 15].into(),
            ..resource("r")
        }],
        removed: vec![],
    });
    let unnamed = chunk(&[""]);
    for (wrong, reason) in [
        (malformed, "Malformed"),
        (unnamed, "Malformed"),
        (chunk(&["r", "r"]), "NamedTwice"),
        (removal("q"), "NamedTwice"),
    ] {
        let messages = vec![
            begin(&v),
            chunk(&["q"]),
            wrong,
            chunk(&["s"]),
            commit(&v),
            begin(&v),
            chunk(&["q"]),
            commit(&v),
        ];
        assert_eq!(
            steps(Limits::default(), None, messages),
            [
                "more",
                "more",
                "more",
                "more",
                reason,
                "more",
                "more",
                "1 changed, 0 removed"
            ]
        );
    }
}

#[test]
fn messages_out_of_order_are_refused_at_once() {
    let v = version("a", 1, 2);
    let order = "OutOfOrder";
    for (messages, expected) in [
        (vec![chunk(&["r"])], vec![order]),
        (vec![commit(&v)], vec![order]),
        (vec![begin(&v), begin(&v)], vec!["more", order]),
        (
            vec![begin(&v), commit(&version("a", 1, 3))],
            vec!["more", order],
        ),
    ] {
        assert_eq!(steps(Limits::default(), None, messages), expected);
    }
}

#[test]
fn a_transfer_has_limits() {
    let v = version("a", 1, 2);
    let limits = Limits {
        resources: 2,
        bytes: 30,
        name: 20,
    };
    for (names, outcome) in [
        (vec!["r", "s"], "2 changed, 0 removed"),
        (vec!["r", "s", "t"], "TooLarge"),
        (vec!["a name of 20 letters"], "1 changed, 0 removed"),
        (vec!["a name of 21 letters."], "Malformed"),
        (vec!["a name of 20 letters", "and more"], "TooLarge"),
    ] {
        let messages = vec![begin(&v), chunk(&names), commit(&v)];
        let steps = steps(limits, None, messages);
        assert_eq!(steps.last().map(String::as_str), Some(outcome), "{names:?}");
    }
}

#[test]
fn a_version_is_never_left_for_a_lower_one_or_for_another_lineage() {
    let held = version("a", 2, 5);
    for (offered, outcome) in [
        (version("a", 2, 6), "0 changed, 0 removed"),
        (version("a", 3, 1), "0 changed, 0 removed"),
        (version("a", 2, 5), "0 changed, 0 removed"),
        (version("a", 2, 4), "LowerVersion"),
        (version("a", 1, 9), "LowerVersion"),
        (version("b", 9, 9), "OtherLineage"),
        (version("", 9, 9), "Malformed"),
    ] {
        let messages = vec![begin(&offered), commit(&offered)];
        let steps = steps(Limits::default(), Some(&held), messages);
        assert_eq!(steps, ["more", outcome], "{offered:?}");
    }
}

#[test]
fn a_bucket_has_a_number_of_one_byte() {
    let v = version("a", 1, 2);
    for (bucket, outcome) in [(255, "0 changed, 0 removed"), (256, "Malformed")] {
        let begin = Message::Begin(v1::Begin {
            version: Some(v.to_proto()),
            replaced_buckets: vec![bucket],
            trace_parent: String::new(),
        });
        let steps = steps(Limits::default(), None, vec![begin, commit(&v)]);
        assert_eq!(steps, ["more", outcome]);
    }
}

#[test]
fn messages_of_a_kind_that_is_not_known_are_passed_over() {
    let v = version("a", 1, 2);
    let mut assembly = Assembly::new(Limits::default());
    let unknown = v1::TransferMessage { message: None };
    for message in [begin(&v), commit(&v)] {
        assert!(matches!(assembly.take(unknown.clone(), None), Step::More));
        let message = v1::TransferMessage {
            message: Some(message),
        };
        let step = assembly.take(message, None);
        assert!(!matches!(step, Step::Refused(_)), "{step:?}");
    }
}

#[test]
fn another_lineage_replaces_the_one_held_if_it_is_the_one_that_is_accepted() {
    let held = version("a", 7, 9);
    for (accepted, offered, step) in [
        (None, "b", "OtherLineage"),
        (Some("c"), "b", "OtherLineage"),
        (Some("b"), "b", "0 changed, 0 removed"),
        // What is held is still not gone back from.
        (Some("a"), "a", "LowerVersion"),
    ] {
        let offered = version(offered, 1, 2);
        let accepted = accepted.map(Into::into);
        let mut assembly = Assembly::new(Limits::default()).accepting(accepted);
        let messages = vec![begin(&offered), commit(&offered)];
        let steps = steps_of(&mut assembly, Some(&held), messages);
        assert_eq!(steps.last().unwrap(), step);
    }
}
