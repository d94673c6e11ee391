use super::*;

fn read(folder: &Path, role: Role) -> String {
    let text = std::fs::read_to_string(folder.join(role.file_name())).unwrap();
    text.trim_end().to_owned()
}

#[test]
fn tokens_are_made_once_and_tell_the_roles_apart() {
    let folder = tempfile::tempdir().unwrap();
    Tokens::open(folder.path()).unwrap();
    let (operator, proxy) = (
        read(folder.path(), Role::Operator),
        read(folder.path(), Role::Proxy),
    );
    assert_eq!(operator.len(), 64);
    let again = Tokens::open(folder.path()).unwrap();
    assert_eq!(again.role(&operator), Some(Role::Operator));
    assert_eq!(again.role(&proxy), Some(Role::Proxy));
    for wrong in ["", "x", &operator[1..], &operator.to_uppercase()] {
        assert_eq!(again.role(wrong), None, "{wrong}");
    }
}

#[test]
fn a_token_that_anyone_could_guess_is_refused_and_not_shown() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(Role::Proxy.file_name());
    let long = "a".repeat(LONGEST + 1);
    for token in [
        "",
        "secret",
        "two words, and long enough for a token",
        &long,
    ] {
        std::fs::write(&path, token).unwrap();
        let error = Tokens::open(folder.path()).unwrap_err();
        assert!(matches!(error, TokenError::Unfit { .. }), "{error}");
        assert!(token.is_empty() || !error.to_string().contains(token));
    }
}

#[test]
fn one_token_cannot_be_for_both() {
    let folder = tempfile::tempdir().unwrap();
    for role in Role::ALL {
        std::fs::write(folder.path().join(role.file_name()), "x".repeat(40)).unwrap();
    }
    assert!(matches!(Tokens::open(folder.path()), Err(TokenError::Same)));
}
