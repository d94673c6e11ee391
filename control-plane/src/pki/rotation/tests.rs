use super::*;

const NOW: Timestamp = Timestamp(1_760_000_000_000);
const DAY: i64 = 24 * 3_600_000;

fn after(days: i64) -> Timestamp {
    Timestamp(NOW.0 + days * DAY)
}

fn certificates(stored: &Stored) -> usize {
    let bundle = stored.authorities().unwrap().bundle().to_owned();
    bundle.matches("BEGIN CERTIFICATE").count()
}

/// Whether a server that knows what is stored believes a client's certificate.
fn believes(stored: &Stored, client: &str, at: Timestamp) -> bool {
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject as _;
    let certificate = CertificateDer::from_pem_slice(client.as_bytes()).unwrap();
    stored.authorities().unwrap().believe(&certificate, at)
}

fn client(stored: &Stored, now: Timestamp) -> String {
    let subject = crate::pki::Subject::proxy("node-1").unwrap();
    let authorities = stored.authorities().unwrap();
    authorities.signing().issue_client(&subject, now).unwrap().0
}

#[test]
fn each_step_comes_at_its_time_and_not_before() {
    let times = Times::default();
    let first = Stored::first(NOW).unwrap();
    assert_eq!(first.due(after(334), &times), None);
    assert_eq!(first.due(after(335), &times), Some(Step::Prepare));

    let prepared = first.after(Step::Prepare, after(334)).unwrap();
    assert_eq!(certificates(&prepared), 2);
    // No time counts before it is published.
    assert_eq!(prepared.due(after(400), &times), Some(Step::Publish));
    let prepared = prepared.after(Step::Publish, after(335)).unwrap();
    assert_eq!(prepared.due(after(364), &times), None);
    assert_eq!(prepared.due(after(365), &times), Some(Step::Promote));

    let promoted = prepared.after(Step::Promote, after(365)).unwrap();
    assert_eq!(certificates(&promoted), 2);
    assert_eq!(promoted.due(after(372), &times), None);
    assert_eq!(promoted.due(after(373), &times), Some(Step::Forget));

    let forgotten = promoted.after(Step::Forget, after(373)).unwrap();
    assert_eq!(certificates(&forgotten), 1);
    assert_eq!(forgotten.due(after(374), &times), None);
}

#[test]
fn whoever_was_away_for_a_year_still_publishes_first() {
    let times = Times::default();
    let first = Stored::first(NOW).unwrap();
    assert_eq!(first.due(after(800), &times), Some(Step::Prepare));
    let prepared = first.after(Step::Prepare, after(800)).unwrap();
    let prepared = prepared.after(Step::Publish, after(800)).unwrap();
    assert_eq!(prepared.due(after(829), &times), None);
    assert_eq!(prepared.due(after(830), &times), Some(Step::Promote));
}

#[test]
fn a_clock_that_runs_ahead_prepares_and_does_not_promote() {
    let times = Times::default();
    let ahead = after(400);
    let prepared = Stored::first(NOW).unwrap().after(Step::Prepare, ahead);
    let prepared = prepared.unwrap().after(Step::Publish, ahead).unwrap();
    for now in [ahead, NOW, after(380)] {
        assert_eq!(prepared.due(now, &times), None);
    }
}

#[test]
fn at_every_step_what_was_signed_before_is_believed_until_it_ends() {
    let times = Times::default();
    let mut stored = Stored::first(NOW).unwrap();
    let mut now = NOW;
    let mut signed: Vec<(Timestamp, String)> = Vec::new();
    let mut steps = Vec::new();
    while steps.len() < 12 {
        now = Timestamp(now.0 + DAY);
        if let Some(step) = stored.due(now, &times) {
            let after = stored.after(step, now).unwrap();
            // Who has not heard of the step believes what is signed after it.
            assert!(believes(&stored, &client(&after, now), now), "{step:?}");
            stored = after;
            steps.push(step);
            signed.push((now, client(&stored, now)));
        }
        // A certificate that was issued now, and one that is about to end.
        let ends = |at: &Timestamp| at.0 + crate::pki::LIFETIME > now.0;
        for (at, client) in signed.iter().filter(|(at, _)| ends(at)) {
            assert!(believes(&stored, client, now), "of {at:?} at {now:?}");
        }
    }
    let expected = [Step::Prepare, Step::Publish, Step::Promote, Step::Forget].repeat(3);
    assert_eq!(steps, expected);
    // Of the first authority nothing is believed any more.
    let long_ago = client(&Stored::first(NOW).unwrap(), now);
    assert!(!believes(&stored, &long_ago, now));
}

#[test]
fn what_is_stored_reads_back() {
    let stored = Stored::first(NOW).unwrap();
    let stored = stored.after(Step::Prepare, after(335)).unwrap();
    let stored = stored.after(Step::Promote, after(365)).unwrap();
    let read = Stored::parse(&stored.text().unwrap()).unwrap();
    assert!(read == stored);
    assert!(!format!("{stored:?}").contains("PRIVATE"));
}

#[test]
fn what_is_broken_is_said_without_its_content() {
    let (mine, other) = (Stored::first(NOW).unwrap(), Stored::first(NOW).unwrap());
    let mut mixed = mine.clone();
    mixed.current.key.clone_from(&other.current.key);
    let mut no_next = mine.after(Step::Prepare, NOW).unwrap();
    no_next.next.as_mut().unwrap().certificate = "gone".to_owned();
    let mut no_previous = mine.clone();
    no_previous.previous.push(Previous {
        certificate: "gone".to_owned(),
        signed_until: time(NOW),
    });
    // Pasted with its key, it would be published with it.
    let mut pasted = mine.clone();
    pasted.current.certificate += &mine.current.key;
    let text = mine.text().unwrap();
    let cut = text.get(..text.len() / 2).unwrap();
    for (bytes, expected) in [
        (&b""[..], "line 1"),
        (cut, "it is not the text"),
        (&mixed.text().unwrap(), "the current one"),
        (&no_next.text().unwrap(), "the next one"),
        (&no_previous.text().unwrap(), "a previous one"),
        (&pasted.text().unwrap(), "the current one"),
    ] {
        let error = Stored::parse(bytes).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
        assert!(!error.contains("PRIVATE"), "{error}");
    }
}

#[test]
fn what_was_signed_is_believed_on_if_another_authority_is_put_in_its_place() {
    let (mine, other) = (Stored::first(NOW).unwrap(), Stored::first(NOW).unwrap());
    let signed = client(&mine, NOW);
    assert!(!believes(&other, &signed, NOW));
    let kept = other.keeping(&mine, NOW).unwrap();
    assert!(believes(&kept, &signed, NOW));
    assert!(believes(&kept, &client(&other, NOW), NOW));
    // Once, and not for longer than others.
    assert!(kept.keeping(&mine, NOW).is_none());
    let times = Times::default();
    assert_eq!(kept.due(after(8), &times), Some(Step::Forget));
    // Nothing is lost in a rotation.
    let next = mine.after(Step::Prepare, NOW).unwrap();
    let promoted = next.after(Step::Promote, NOW).unwrap();
    for later in [&mine, &next, &promoted] {
        assert!(later.keeping(&mine, NOW).is_none());
    }
}
