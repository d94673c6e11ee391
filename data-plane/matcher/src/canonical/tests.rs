use super::*;

#[test]
fn a_plain_path_is_borrowed_as_it_is() {
    let canonical = canonical_path("/a/b;v=1/c", PathPolicy::default()).unwrap();
    assert!(matches!(canonical.into_path(), Cow::Borrowed("/a/b;v=1/c")));
}
