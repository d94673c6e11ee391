use std::io::Write;
use std::sync::mpsc;

use super::*;

/// Sends what is written.
#[derive(Clone)]
struct Lines(mpsc::Sender<Vec<u8>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.send(bytes.to_vec()).map_err(io::Error::other)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn config(format: Format, filter: &str) -> Config {
    Config {
        service: "test",
        format,
        filter: filter.into(),
        otlp: None,
    }
}

/// What a program logs under this configuration.
fn logged(config: &Config, program: impl FnOnce(&Telemetry)) -> String {
    let (sender, lines) = mpsc::channel();
    let lines_writer = move || Lines(sender.clone());
    let (telemetry, subscriber) = Telemetry::build(config, lines_writer).unwrap();
    tracing::subscriber::with_default(subscriber, || program(&telemetry));
    let bytes: Vec<u8> = lines.try_iter().flatten().collect();
    String::from_utf8(bytes).unwrap()
}

#[test]
fn json_lines_carry_fields() {
    let text = logged(&config(Format::Json, "info"), |_| {
        tracing::info!(proxies = 3, "all is well");
    });
    let line: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(line["level"], "INFO");
    assert_eq!(line["fields"]["proxies"], 3);
    assert_eq!(line["fields"]["message"], "all is well");
}

#[test]
fn the_filter_changes_while_the_program_runs() {
    let text = logged(&config(Format::Text, "warn"), |telemetry| {
        tracing::info!("first");
        telemetry.set_filter("info").unwrap();
        tracing::info!("second");
        let error = telemetry.set_filter("roadstead=loud").unwrap_err();
        assert!(error.to_string().contains("roadstead=loud"), "{error}");
        tracing::info!("third");
    });
    let found: Vec<bool> = ["first", "second", "third"]
        .into_iter()
        .map(|word| text.contains(word))
        .collect();
    assert_eq!(found, [false, true, true], "{text}");
}

#[test]
fn an_instrument_is_in_the_text() {
    let (telemetry, _) = Telemetry::build(&config(Format::Text, "info"), io::sink).unwrap();
    let counter = telemetry.meter().u64_counter("roadstead.things").build();
    counter.add(2, &[opentelemetry::KeyValue::new("class", "small")]);
    let text = telemetry.metrics_text().unwrap();
    assert!(
        text.contains("roadstead_things_total{class=\"small\"} 2"),
        "{text}"
    );
}
