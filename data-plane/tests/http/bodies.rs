//! Bodies on their way: streamed both ways, framed anew, and never passed on as whole when cut.

use std::{
    io::{Read, Write},
    net::TcpStream,
    sync::{Arc, Barrier, mpsc},
    thread,
};

use super::support::{Origin, PATIENCE, Proxy, Step, plain};

const GET: &str = "GET / HTTP/1.1\r\nHost: a.example\r\n\r\n";

#[test]
fn every_framing_of_an_answer_reaches_every_client() {
    let chunked =
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n";
    let close = "HTTP/1.1 200 OK\r\n\r\nhello";
    let old = "HTTP/1.0 200 OK\r\n\r\nhello";
    let length = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
    for upstream in [chunked, close, old, length] {
        let origin = Origin::new(move |_| Step::Last(upstream.to_owned()));
        let proxy = Proxy::new(origin.backends());
        for version in ["1.0", "1.1"] {
            let answer = proxy.ask(&format!("GET / HTTP/{version}\r\nHost: a.example\r\n\r\n"));
            assert_eq!(
                (answer.text(), answer.cut),
                ("hello", false),
                "{upstream:?} {version}"
            );
            if version == "1.0" {
                assert_eq!(answer.field("transfer-encoding"), None, "{upstream:?}");
            }
        }
    }
}

#[test]
fn answers_without_a_body_have_none() {
    for (method, text, declared) in [
        (
            "HEAD",
            "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n",
            Some("9"),
        ),
        (
            "HEAD",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            None,
        ),
        (
            "GET",
            "HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n",
            Some("9"),
        ),
        ("GET", "HTTP/1.1 304 Not Modified\r\n\r\n", None),
        ("GET", "HTTP/1.1 204 No Content\r\n\r\n", None),
        (
            "GET",
            "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n",
            None,
        ),
        (
            "GET",
            "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
            Some("0"),
        ),
    ] {
        let origin = Origin::new(move |_| Step::Answer(text.to_owned()));
        let proxy = Proxy::new(origin.backends());
        let mut client = proxy.client();
        // Twice: the second answer would show what the first left behind.
        for _ in 0..2 {
            client.send(&format!("{method} / HTTP/1.1\r\nHost: a.example\r\n\r\n"));
            let answer = match method {
                "HEAD" => client.answer_to_head(),
                _ => client.answer(),
            };
            assert_eq!(
                answer.field("content-length"),
                declared,
                "{method} {text:?}"
            );
            assert_eq!(answer.field("transfer-encoding"), None, "{method} {text:?}");
            assert!(answer.body.is_empty());
        }
        assert_eq!(origin.connections(), 1, "{method} {text:?}");
    }
}

#[test]
fn a_body_that_is_cut_is_seen_to_be_cut() {
    for text in [
        "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nhello",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nzz\r\n",
    ] {
        let origin = Origin::new(move |_| Step::Last(text.to_owned()));
        let proxy = Proxy::new(origin.backends());
        let answer = proxy.ask(GET);
        assert!(answer.cut, "{text:?}: {answer:?}");
        assert_eq!(answer.status, 200);
        // To HTTP/1.0 a body ends with the connection, so only a reset can tell.
        let mut client = proxy.client();
        client.send("GET / HTTP/1.0\r\nHost: a.example\r\n\r\n");
        let mut bytes = Vec::new();
        let read = client.stream.read_to_end(&mut bytes);
        let declared = String::from_utf8_lossy(&bytes).contains("content-length: 9");
        assert!(read.is_err() || declared, "{text:?}: {bytes:?}");
    }
}

#[test]
fn an_answer_begins_before_its_body_ends() {
    let go = Arc::new(Barrier::new(2));
    let wait = Arc::clone(&go);
    let origin = Origin::new(move |_| {
        let wait = Arc::clone(&wait);
        Step::Take(Box::new(move |mut stream: TcpStream| {
            stream
                .write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
                .unwrap();
            wait.wait();
            stream.write_all(b"5\r\nworld\r\n0\r\n\r\n").unwrap();
        }))
    });
    let proxy = Proxy::new(origin.backends());
    let mut client = proxy.client();
    client.send(GET);
    assert!(client.head().starts_with("HTTP/1.1 200 OK"));
    assert_eq!(client.bytes(10), b"5\r\nhello\r\n");
    go.wait();
    assert_eq!(client.bytes(15), b"5\r\nworld\r\n0\r\n\r\n");
}

#[test]
fn large_bodies_pass_whole_in_both_directions() {
    let large: Vec<u8> = (0..5_000_000_u32).map(|n| (n % 251) as u8).collect();
    let text = String::from_utf8(large.iter().map(|byte| byte % 64 + 32).collect()).unwrap();
    for framing in ["length", "chunked"] {
        let origin = Origin::new(|seen| {
            let sum: u64 = seen.body.iter().map(|byte| u64::from(*byte)).sum();
            plain(&format!(
                "{} {sum} {}",
                seen.body.len(),
                "x".repeat(3_000_000)
            ))
        });
        let proxy = Proxy::new(origin.backends());
        let mut client = proxy.client();
        let sum: u64 = match framing {
            "length" => {
                client.send(&format!(
                    "POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: {}\r\n\r\n{text}",
                    text.len()
                ));
                text.bytes().map(u64::from).sum()
            }
            _ => {
                client.send(
                    "POST / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n",
                );
                for piece in text.as_bytes().chunks(100_000) {
                    client.send(&format!("{:x}\r\n", piece.len()));
                    client.write(piece);
                    client.send("\r\n");
                }
                client.send("0\r\n\r\n");
                0
            }
        };
        let answer = client.answer();
        assert_eq!((answer.status, answer.cut), (200, false));
        if framing == "length" {
            assert!(
                answer
                    .text()
                    .starts_with(&format!("{} {sum} x", text.len()))
            );
        } else {
            let body = origin.seen().body;
            assert!(body.len() > text.len() && body.ends_with(b"0\r\n\r\n"));
        }
        assert!(answer.body.len() > 3_000_000);
    }
}

#[test]
fn trailers_pass_both_ways_to_those_who_take_them() {
    let text = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n\
                2\r\nok\r\n0\r\nX-Sum: 7\r\nContent-Length: 9\r\nSet-Cookie: evil\r\n\r\n";
    let origin = Origin::new(move |_| Step::Answer(text.to_owned()));
    let proxy = Proxy::new(origin.backends());
    for (te, trailers) in [("TE: trailers\r\n", "x-sum: 7\r\n"), ("", "")] {
        let answer = proxy.ask(&format!(
            "POST / HTTP/1.1\r\nHost: a.example\r\n{te}Transfer-Encoding: chunked\r\n\r\n\
             2\r\nhi\r\n0\r\nX-Up: 1\r\nX-Forwarded-For: 6.6.6.6\r\nHost: evil\r\n\r\n"
        ));
        assert_eq!((answer.text(), &*answer.trailers), ("ok", trailers));
        let body = String::from_utf8(origin.seen().body).unwrap();
        assert_eq!(body, "2\r\nhi\r\n0\r\nx-up: 1\r\n\r\n");
    }
}

#[test]
fn a_client_is_told_to_go_on_when_its_body_is_wanted() {
    let origin = Origin::new(|seen| plain(std::str::from_utf8(&seen.body).unwrap()));
    let proxy = Proxy::new(origin.backends());
    let mut client = proxy.client();
    client.send(
        "POST / HTTP/1.1\r\nHost: a.example\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n",
    );
    assert_eq!(client.head(), "HTTP/1.1 100 Continue\r\n\r\n");
    client.send("hello");
    assert_eq!(client.answer().text(), "hello");
    assert_eq!(origin.seen().field("expect"), None);
    // Nobody wants the body of a request without a route.
    client.send(
        "POST / HTTP/1.1\r\nHost: b.example\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n",
    );
    let answer = client.answer();
    assert_eq!(
        (answer.status, answer.field("connection")),
        (404, Some("close"))
    );
    assert!(client.is_closed());
}

#[test]
fn an_upstream_may_answer_before_it_has_the_whole_body() {
    let origin = Origin::of_heads(|_| {
        Step::Last("HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno".to_owned())
    });
    let proxy = Proxy::new(origin.backends());
    let mut client = proxy.client();
    client.send("POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 100\r\n\r\nhello");
    let answer = client.answer();
    assert_eq!((answer.status, answer.text()), (413, "no"));
    assert_eq!(answer.field("connection"), Some("close"));
}

#[test]
fn upload_and_answer_go_on_at_the_same_time() {
    // The upstream echoes what it gets at once; the client reads nothing before it has sent all.
    const SIZE: usize = 8 << 20;
    let origin = Origin::of_heads(|_| {
        Step::Take(Box::new(|mut stream: TcpStream| {
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {SIZE}\r\n\r\n");
            stream.write_all(head.as_bytes()).unwrap();
            let mut reading = stream.try_clone().unwrap();
            std::io::copy(
                &mut Read::by_ref(&mut reading).take(SIZE as u64),
                &mut stream,
            )
            .unwrap();
        }))
    });
    let proxy = Proxy::new(origin.backends());
    let mut client = proxy.client();
    client.send(&format!(
        "POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: {SIZE}\r\n\r\n"
    ));
    let mut writing = client.stream.try_clone().unwrap();
    let sending = thread::spawn(move || {
        for _ in 0..SIZE / 65536 {
            writing.write_all(&[b'x'; 65536]).unwrap();
        }
    });
    let answer = client.answer();
    sending.join().unwrap();
    assert_eq!((answer.status, answer.body.len()), (200, SIZE));
}

#[test]
fn an_upload_that_breaks_while_it_is_answered_breaks_the_answer() {
    let origin = Origin::of_heads(|_| {
        Step::Take(Box::new(|mut stream: TcpStream| {
            stream
                .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello")
                .unwrap();
            let mut rest = Vec::new();
            stream.read_to_end(&mut rest).unwrap();
            assert_eq!(rest, b"3\r\nabc\r\n");
        }))
    });
    let proxy = Proxy::new(origin.backends());
    let mut client = proxy.client();
    client.send("POST / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n");
    assert!(client.head().contains("200 OK"));
    client.send("3\r\nabc\r\nzz\r\n");
    assert_eq!(client.bytes(10), b"hello");
    assert!(client.is_closed());
}

#[test]
fn a_slow_client_holds_back_its_upstream() {
    let (count, counted) = mpsc::channel();
    let origin = Origin::new(move |_| {
        let count = count.clone();
        Step::Take(Box::new(move |mut stream: TcpStream| {
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
            let mut written = 0_usize;
            while stream.write_all(&[b'x'; 65536]).is_ok() {
                written += 65536;
                count.send(written).unwrap();
            }
        }))
    });
    let proxy = Proxy::new(origin.backends());
    let mut client = proxy.client();
    client.send(GET);
    assert!(client.head().contains("200 OK"));
    // With nobody reading, the origin comes to a stop.
    let mut written = 0;
    while let Ok(more) = counted.recv_timeout(std::time::Duration::from_millis(500)) {
        written = more;
        assert!(written < 64 << 20, "the proxy takes whatever comes");
    }
    assert!(written > 0);
    // It goes on as soon as somebody reads.
    client.bytes(8 << 20);
    assert!(counted.recv_timeout(PATIENCE).is_ok());
}
