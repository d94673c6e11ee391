use std::path::Path;

use super::*;

fn keys(form: Form, text: &str) -> Vec<String> {
    let documents = documents(form, text).into_iter().enumerate();
    documents
        .flat_map(|(position, text)| {
            let contents = parse(form, "f", position, text);
            let objects = contents.objects.into_iter();
            let objects = objects.map(|s| format!("{} {}", s.key.name, s.meta.age.rank));
            let broken = contents.broken.into_iter().map(|_| "broken".to_owned());
            let unused = contents.unused.into_iter().map(|_| "unused".to_owned());
            objects.chain(broken).chain(unused).collect::<Vec<_>>()
        })
        .collect()
}

#[test]
fn a_text_is_cut_where_kubectl_cuts_it() {
    let a = "apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec: {ports: [{port: 1}]}\n";
    let in_line =
        "{apiVersion: v1, kind: Service, metadata: {name: b}, spec: {ports: [{port: 1}]}}";
    for (text, expected) in [
        (a.to_owned(), vec!["a f:000000"]),
        (
            format!("\u{feff}# hello\n---\n{a}---\n"),
            vec!["a f:000000"],
        ),
        (
            format!("%YAML 1.2\n---\n{a}---  \r\n# only this\n--- {in_line}\n---\n{a}"),
            vec!["a f:000000", "b f:000002", "a f:000003"],
        ),
        (
            format!("{a}---\n[broken\n---\n---x\n---\nonly: this\n---\n{a}"),
            vec!["a f:000000", "broken", "unused", "unused", "a f:000004"],
        ),
        (
            format!("kind: List\nitems:\n- {in_line}\n- {in_line}\n"),
            vec!["b f:000000.000000", "b f:000000.000001"],
        ),
        (
            "data: |\n  a\n  ---\n  b\nkind: ConfigMap\napiVersion: v1\n".into(),
            vec![],
        ),
    ] {
        assert_eq!(keys(Form::Yaml, &text), expected, "{text}");
    }
    let json = r#"{"apiVersion":"v1","kind":"Service","metadata":{"name":"a"},"spec":{"ports":[{"port":1}]}}"#;
    assert_eq!(
        keys(Form::Json, &format!("{json}\n{json}")),
        ["a f:000000", "a f:000001"]
    );
    assert_eq!(keys(Form::Json, "{"), ["broken"]);
}

#[test]
fn names_that_yaml_could_take_for_something_else_are_names() {
    let named = |name: &str, before: &str| {
        format!(
            "{before}apiVersion: v1\nkind: Service\nmetadata: {{name: {name}}}\nspec: {{ports: [{{name: {name}, port: 1}}]}}\n"
        )
    };
    for name in ["on", "no", "y", "n", "1e3"] {
        let text = named(name, "");
        assert_eq!(keys(Form::Yaml, &text), [format!("{name} f:000000")]);
    }
    // The long way round, as in a list.
    let list = "kind: List\nitems: [{apiVersion: v1, kind: Service, metadata: {name: n}, spec: {ports: [{port: 1}]}}]";
    assert_eq!(keys(Form::Yaml, list), ["n f:000000.000000"]);
}

#[test]
fn an_error_does_not_show_what_stands_in_the_file() {
    let contents = parse(Form::Yaml, "f", 0, "a: 1\nsecret: [hunter2\n");
    assert_eq!(contents.broken.len(), 1);
    assert!(
        !contents.broken[0].contains("hunter2"),
        "{}",
        contents.broken[0]
    );
}

#[test]
fn the_short_way_comes_to_what_the_long_way_does() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut compared = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "yaml") {
            continue;
        }
        let text = std::fs::read_to_string(path).unwrap();
        for document in documents(Form::Yaml, &text) {
            let Some(kind) = plain_kind(document) else {
                continue;
            };
            let place = Place::Folder {
                rank: "f",
                version: "v",
            };
            let yaml = |options| serde_saphyr::from_str_with_options::<Value>(document, options);
            let Ok(long) = yaml(options(true)) else {
                continue;
            };
            let short = serde_saphyr::with_deserializer_from_str_with_options(
                document,
                options(false),
                |yaml| read_as(place, kind, yaml),
            );
            let Ok(Ok(short)) = short else { continue };
            assert_eq!(
                Document::Object(short.into()),
                read(place, &long),
                "{document}"
            );
            compared += 1;
        }
    }
    assert!(compared > 50, "{compared}");
}
