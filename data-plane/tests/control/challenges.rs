//! Challenges: answered as a version has it, and asked for beside the stream where none has.

use crate::{
    proxy::{local, serving},
    wire::{ack, challenge, route},
};

#[tokio::test]
async fn a_version_brings_answers_and_takes_them_away() {
    local(async {
        let resources = [challenge("a", "t"), route("a", "/")];
        let (_plane, proxy, mut stream, mut content) = serving(resources).await;
        let answer = proxy.answers("a", "t").await;
        assert_eq!(answer.as_deref(), Some("t.of-a-version"));

        let delta = content.change(vec![challenge("a", "no token")], &[]);
        stream.send_delta(2, delta, &content).await;
        let name = "certificate//a.example".to_owned();
        let fault = (name.clone(), "InvalidField".to_owned());
        assert_eq!(ack(stream.answer().await), (2, vec![fault]));
        let answer = proxy.answers("a", "t").await;
        assert_eq!(answer.as_deref(), Some("t.of-a-version"), "the last good");

        let delta = content.change(vec![], &[&name]);
        stream.send_delta(3, delta, &content).await;
        assert_eq!(ack(stream.answer().await), (3, vec![]));
        assert_eq!(proxy.answers("a", "t").await, None);
    })
    .await;
}

#[tokio::test]
async fn what_no_version_has_brought_is_asked_for_while_a_stream_is_open() {
    local(async {
        let resources = [route("a", "/")];
        let (mut plane, proxy, stream, _) = serving(resources).await;
        for (host, token, answer) in [
            ("a", "known", Some("known.thumbprint")),
            ("b", "known", None),
            ("a", "unknown", None),
            // Not of this token.
            ("a", "mistaken", None),
            ("a", "silent", None),
        ] {
            let found = proxy.answers(host, token).await;
            assert_eq!(found.as_deref(), answer, "{host} {token}");
        }
        drop(stream);
        plane.stop().await;
        assert_eq!(proxy.answers("a", "another").await, None);
        proxy.stop().await;
    })
    .await;
}
