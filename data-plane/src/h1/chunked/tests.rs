use super::*;

/// What a body decodes to, with its trailers, or why it does not.
fn decode(text: &[u8], step: usize) -> Result<(String, Option<String>, bool), BodyError> {
    let mut chunked = Chunked::new(&MessageLimits {
        chunk_extensions: 64,
        trailer_bytes: 64,
        ..MessageLimits::default()
    });
    let mut input = BytesMut::new();
    let (mut data, mut trailers) = (Vec::new(), None);
    for bytes in text.chunks(step) {
        input.extend_from_slice(bytes);
        loop {
            match chunked.read(&mut input)? {
                Piece::Data(bytes) => data.extend_from_slice(&bytes),
                Piece::Trailers(map) => trailers = Some(format!("{map:?}")),
                Piece::Nothing => break,
            }
        }
    }
    Ok((
        String::from_utf8(data).unwrap(),
        trailers,
        chunked.is_done(),
    ))
}

#[test]
fn a_body_is_the_same_however_its_bytes_come() {
    for (text, body, trailers, done) in [
        ("0\r\n\r\n", "", None, true),
        ("5\r\nhello\r\n0\r\n\r\n", "hello", None, true),
        ("05\r\nhello\r\n000\r\n\r\n", "hello", None, true),
        (
            "A\r\n0123456789\r\n1\r\nx\r\n0\r\n\r\n",
            "0123456789x",
            None,
            true,
        ),
        (
            "a;x=y\r\n0123456789\r\n0;z\r\n\r\n",
            "0123456789",
            None,
            true,
        ),
        ("1 ; x\r\nx\r\n0\r\n\r\n", "x", None, true),
        ("5\r\nhel", "hel", None, false),
        ("5\r\nhello\r\n0\r\n", "hello", None, false),
        (
            "0\r\nx-sum: 1\r\nhost: evil\r\n\r\n",
            "",
            Some(r#"{"x-sum": "1"}"#),
            true,
        ),
        ("0\r\nContent-Length: 5\r\n\r\n", "", None, true),
    ] {
        for step in [1, 2, 3, text.len()] {
            let decoded = decode(text.as_bytes(), step).unwrap();
            let expected = (body.to_owned(), trailers.map(str::to_owned), done);
            assert_eq!(decoded, expected, "{text:?} by {step}");
        }
    }
}

#[test]
fn what_two_readers_could_read_differently_is_refused() {
    let long_extension = format!("1;{}\r\nx\r\n", "e".repeat(80));
    let endless_extension = format!("1;{}", "e".repeat(5000));
    let long_trailer = format!("0\r\nx: {}\r\n\r\n", "t".repeat(80));
    for text in [
        "5\nhello\r\n0\r\n\r\n",
        "5\rhello\r\n0\r\n\r\n",
        "5\r\nhello\n0\r\n\r\n",
        "5\r\nhellox\r\n0\r\n\r\n",
        "5\r\nhello0\r\n\r\n",
        "\r\n5\r\nhello\r\n0\r\n\r\n",
        "0x5\r\nhello\r\n0\r\n\r\n",
        "-5\r\nhello\r\n0\r\n\r\n",
        "+5\r\nhello\r\n0\r\n\r\n",
        " 5\r\nhello\r\n0\r\n\r\n",
        "5 \r\nhello\r\n0\r\n\r\n",
        "5 x\r\nhello\r\n0\r\n\r\n",
        "5,5\r\nhello\r\n0\r\n\r\n",
        "00000000000000005\r\nhello\r\n0\r\n\r\n",
        "10000000000000000\r\nhello\r\n0\r\n\r\n",
        "5;a\nb\r\nhello\r\n0\r\n\r\n",
        "5;a\0b\r\nhello\r\n0\r\n\r\n",
        "0\r\nx: 1\n\r\n",
        "0\r\nx : 1\r\n\r\n",
        "0\r\n x: 1\r\n\r\n",
        "0\r\nno colon\r\n\r\n",
        &long_extension,
        &endless_extension,
        &long_trailer,
    ] {
        for step in [1, text.len()] {
            assert!(decode(text.as_bytes(), step).is_err(), "{text:?} by {step}");
        }
    }
}
