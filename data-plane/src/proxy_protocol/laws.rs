//! Laws of reading a header: it does not matter how the bytes come, and no byte after it is read.
//!
//! Headers are made here as the specification writes them, and not by the library that reads them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use proptest::{
    collection::{SizeRange, vec},
    prelude::*,
    sample::Index,
};

use super::{pieces::Pieces, *};

/// A whole header and whom it names.
type Header = (Vec<u8>, Option<SocketAddr>);

fn text(source: SocketAddr, destination: SocketAddr) -> Vec<u8> {
    let family = if source.is_ipv4() { "TCP4" } else { "TCP6" };
    let (from, to) = (source.ip(), destination.ip());
    let ports = format!("{} {}", source.port(), destination.port());
    format!("PROXY {family} {from} {to} {ports}\r\n").into_bytes()
}

fn binary(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
    let begin = b"\r\n\r\n\0\r\nQUIT\n".as_slice();
    [begin, &[command, family], &length, rest].concat()
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

/// The addresses of version 2.
fn addresses(source: SocketAddr, destination: SocketAddr) -> Vec<u8> {
    let mut bytes = [octets(source.ip()), octets(destination.ip())].concat();
    bytes.extend(source.port().to_be_bytes());
    bytes.extend(destination.port().to_be_bytes());
    bytes
}

fn pairs() -> impl Strategy<Value = (SocketAddr, SocketAddr)> {
    let v4 = any::<[(Ipv4Addr, u16); 2]>();
    let v6 = any::<[(Ipv6Addr, u16); 2]>();
    prop_oneof![
        v4.prop_map(|[a, b]| (a.into(), b.into())),
        v6.prop_map(|[a, b]| (a.into(), b.into())),
    ]
}

fn bytes(count: impl Into<SizeRange>) -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), count)
}

/// What balancers add to the addresses.
fn extra() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![4 => bytes(0..64), 1 => bytes(0..=3800)]
}

fn headers() -> impl Strategy<Value = Header> {
    let named = |(source, destination): (SocketAddr, SocketAddr), extra: Vec<u8>| {
        let family = if source.is_ipv4() { 0x11 } else { 0x21 };
        let rest = [addresses(source, destination), extra].concat();
        (binary(0x21, family, &rest), Some(source))
    };
    prop_oneof![
        pairs().prop_map(|(source, destination)| (text(source, destination), Some(source))),
        "PROXY UNKNOWN( [ -~]{0,80})?\r\n".prop_map(|line| (line.into_bytes(), None)),
        (pairs(), extra()).prop_map(move |(pair, extra)| named(pair, extra)),
        (any::<u8>(), extra()).prop_map(|(family, rest)| (binary(0x20, family, &rest), None)),
        extra().prop_map(|rest| (binary(0x21, 0x00, &rest), None)),
        (bytes(216), extra())
            .prop_map(|(names, extra)| (binary(0x21, 0x31, &[names, extra].concat()), None)),
    ]
}

/// Bytes that may be a header, begin as one, or differ from one in one place.
fn attempts() -> impl Strategy<Value = Vec<u8>> {
    let begun = |begin: &'static [u8]| bytes(0..200).prop_map(move |rest| [begin, &rest].concat());
    prop_oneof![
        bytes(0..200),
        begun(b"PROXY "),
        begun(b"PROXY TCP4 "),
        begun(b"\r\n\r\n\0\r\nQUIT\n"),
        begun(b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c"),
        (headers(), any::<Index>(), any::<u8>()).prop_map(|((mut header, _), place, byte)| {
            let place = place.index(header.len());
            header[place] = byte;
            header
        }),
    ]
}

proptest! {
    #[test]
    fn however_a_header_comes_it_says_the_same_and_leaves_what_follows(
        (header, source) in headers(),
        follows in bytes(0..300),
        cuts in vec(any::<Index>(), 0..12),
    ) {
        let mut pieces = Pieces::new(&[&*header, &follows].concat(), &cuts, false);
        prop_assert_eq!(pieces.read(), Some(Beginning::Header(source)));
        prop_assert!(pieces.looks <= 1 + 2 * (cuts.len() + 1));
        prop_assert_eq!(pieces.rest(), follows);
    }

    #[test]
    fn a_header_that_lacks_its_end_is_waited_for_or_was_cut_short(
        (header, _) in headers(),
        end in any::<Index>(),
        cuts in vec(any::<Index>(), 0..12),
    ) {
        let part = &header[..end.index(header.len())];
        prop_assert_eq!(Pieces::new(part, &cuts, false).read(), None);
        let expected = match part.is_empty() {
            true => Beginning::Silence,
            false => Beginning::Bad(BadHeader::CutShort),
        };
        prop_assert_eq!(Pieces::new(part, &cuts, true).read(), Some(expected));
    }

    #[test]
    fn any_bytes_are_read_alike_however_they_come(
        sent in attempts(),
        cuts in vec(any::<Index>(), 0..12),
        closes in any::<bool>(),
    ) {
        let whole = Pieces::new(&sent, &[], closes).read();
        prop_assert_eq!(Pieces::new(&sent, &cuts, closes).read(), whole);
    }

    #[test]
    fn whatever_is_sent_it_is_decided_before_the_longest_header_is_over(
        begun in attempts(),
        byte in any::<u8>(),
    ) {
        let mut sent = begun;
        sent.resize(LONGEST.max(sent.len()), byte);
        prop_assert!(Pieces::new(&sent, &[], false).read().is_some());
    }
}

#[test]
fn what_is_no_header_is_refused() {
    let pair = (
        "192.0.2.1:5".parse().unwrap(),
        "192.0.2.2:80".parse().unwrap(),
    );
    let v4 = addresses(pair.0, pair.1);
    let long = format!("PROXY UNKNOWN {}\r\n", "x".repeat(92));
    let of_text = [
        "GET / HTTP/1.1\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "proxy TCP4 192.0.2.1 192.0.2.2 5 80\r\n",
        "PROXYTCP4 192.0.2.1 192.0.2.2 5 80\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 5 80\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 5 80 \r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 5\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 5 65536\r\n",
        "PROXY TCP4 192.0.2.256 192.0.2.2 5 80\r\n",
        "PROXY TCP4 2001:db8::1 2001:db8::2 5 80\r\n",
        "PROXY TCP6 192.0.2.1 192.0.2.2 5 80\r\n",
        "PROXY UDP4 192.0.2.1 192.0.2.2 5 80\r\n",
        "PROXY\r\n",
        "PROXY \r\n",
        &long,
    ];
    let of_bytes = [
        binary(0x11, 0x11, &v4),
        binary(0x31, 0x11, &v4),
        binary(0x22, 0x11, &v4),
        // Datagrams.
        binary(0x21, 0x12, &v4),
        binary(0x21, 0x22, &[0; 36]),
        binary(0x21, 0x32, &[0; 216]),
        // Addresses of another family are longer.
        binary(0x21, 0x21, &v4),
        binary(0x21, 0x31, &v4),
        binary(0x21, 0x41, &v4),
        binary(0x21, 0x11, &v4[..11]),
        binary(0x21, 0x11, &[0; 4097]),
    ];
    let all = of_text.iter().map(|text| text.as_bytes().to_vec());
    for sent in all.chain(of_bytes) {
        let read = Pieces::new(&sent, &[], false).read();
        let shown = String::from_utf8_lossy(&sent);
        assert_eq!(
            read,
            Some(Beginning::Bad(BadHeader::Malformed)),
            "{shown:?}"
        );
    }
    // As long as it may be.
    let long = long.replacen('x', "", 1);
    assert_eq!(long.len(), 107);
    let read = Pieces::new(long.as_bytes(), &[], false).read();
    assert_eq!(read, Some(Beginning::Header(None)));
}
