use rcgen::{
    BasicConstraints, CertificateSigningRequestParams, CertifiedIssuer, IsCa, date_time_ymd,
};

use super::*;

/// What a control plane answers to a request.
fn answer(request: &[u8]) -> String {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let request = CertificateSigningRequestParams::from_der(&request.into()).unwrap();
    let mut params = CertificateParams::default();
    params.not_after = date_time_ymd(2030, 1, 1);
    params.signed_by(&request.public_key, &ca).unwrap().pem()
}

const END: i64 = 1_893_456_000;
const DAY: i64 = 24 * 3600;

fn held() -> Held {
    let draft = Draft::new().unwrap();
    let answer = answer(draft.request());
    draft.complete(&answer, END - 3 * DAY).unwrap()
}

#[test]
fn a_certificate_is_renewed_after_two_thirds_of_its_life() {
    let held = held();
    let at = |second| Timestamp::from_second(second).unwrap();
    assert_eq!(held.not_after(), at(END));
    assert!(!held.is_due(at(END - DAY - 1)));
    assert!(held.is_due(at(END - DAY)));
    assert!(held.is_due(at(END + DAY)));
}

#[test]
fn what_is_kept_is_its_owners_alone_and_reads_back() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("a/b");
    assert!(Held::read(&folder).unwrap().is_none());
    let held = held();
    held.write(&folder).unwrap();
    held.write(&folder).unwrap();
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&folder), 0o700);
    let file = folder.join(FILE);
    assert_eq!(mode(&file), 0o600);
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
    let read = Held::read(&folder).unwrap().unwrap();
    assert_eq!(read.text, held.text);
    assert_eq!(read.issued, held.issued);

    // Nothing is left where it cannot be put.
    fs::remove_file(&file).unwrap();
    fs::create_dir(&file).unwrap();
    held.write(&folder).unwrap_err();
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
    fs::remove_dir(&file).unwrap();
    held.write(&folder).unwrap();

    fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
    let error = Held::read(&folder).unwrap_err().to_string();
    assert!(error.contains("its mode is 640"), "{error}");
}

#[test]
fn a_certificate_of_another_key_is_not_taken() {
    let other = answer(Draft::new().unwrap().request());
    for answer in [
        &*other,
        "",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    ] {
        let taken = Draft::new().unwrap().complete(answer, END);
        assert!(matches!(taken, Err(HeldError::OtherKey)), "{answer}");
    }
}

#[test]
fn what_is_broken_is_named_without_its_content() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join(FILE);
    let text = held().text;
    let without_key = text.split("-----BEGIN PRIVATE").next().unwrap();
    for text in [
        "",
        "issued 1\n",
        without_key,
        &text.replacen("issued", "made", 1),
    ] {
        let _ = fs::remove_file(&file);
        let mut options = OpenOptions::new();
        let mut open = options
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&file)
            .unwrap();
        open.write_all(text.as_bytes()).unwrap();
        let error = Held::read(folder.path()).unwrap_err().to_string();
        assert!(
            error.ends_with("does not hold a certificate and its key"),
            "{error}"
        );
    }
    assert!(!format!("{:?}", held()).contains("PRIVATE"));
}
