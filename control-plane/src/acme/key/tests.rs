use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::prelude::FromDer as _;

use super::*;

/// Subject and alternative names of a request.
fn asked_for(key: &Key, names: &[&str]) -> (String, Vec<String>) {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let der = key.request(&names).unwrap();
    let (_, request) = X509CertificationRequest::from_der(&der).unwrap();
    let info = &request.certification_request_info;
    assert_eq!(info.subject_pki.raw, key.public().as_ref());
    let alternatives = request.requested_extensions().unwrap().find_map(|found| {
        let ParsedExtension::SubjectAlternativeName(names) = found else {
            return None;
        };
        Some(names.general_names.iter().map(shown).collect())
    });
    (info.subject.to_string(), alternatives.unwrap())
}

fn shown(name: &GeneralName<'_>) -> String {
    if let GeneralName::IPAddress(bytes) = name {
        return format!("{bytes:?}");
    }
    let GeneralName::DNSName(name) = name else {
        panic!("{name}");
    };
    (*name).to_owned()
}

#[test]
fn a_kept_key_is_the_same_key() {
    let key = Key::generate().unwrap();
    let pem = format!("text before\n{}", key.pem());
    for again in [Key::from_der(key.der()), Key::from_pem(&pem)] {
        let again = again.unwrap();
        assert_eq!(again.der(), key.der());
        assert_eq!(again.public(), key.public());
    }
}

#[test]
fn a_request_is_for_all_names_and_the_first_is_its_subject() {
    let key = Key::generate().unwrap();
    let (subject, names) = asked_for(&key, &["a.test", "*.b.test", "192.0.2.1"]);
    assert_eq!(subject, "CN=a.test");
    assert_eq!(names, ["a.test", "*.b.test", "[192, 0, 2, 1]"]);
}

#[test]
fn what_cannot_be_a_common_name_is_none() {
    let key = Key::generate().unwrap();
    let long = format!("{}.{}.test", "a".repeat(40), "b".repeat(40));
    assert_eq!(asked_for(&key, &[&long]).0, "");
    assert_eq!(asked_for(&key, &["192.0.2.1", "a.test"]).0, "");
}

#[test]
fn a_key_of_another_kind_is_refused() {
    let other = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap();
    let der = other.serialized_der();
    assert_eq!(Key::from_der(der).unwrap_err(), KeyError::Unreadable);
    assert_eq!(Key::from_der(b"").unwrap_err(), KeyError::Unreadable);
    assert_eq!(Key::from_pem("").unwrap_err(), KeyError::Unreadable);
}

#[test]
fn a_key_does_not_show_itself() {
    assert_eq!(format!("{:?}", Key::generate().unwrap()), "Key { .. }");
}
