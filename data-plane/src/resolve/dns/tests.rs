//! Tests against a name server of the test's own.

use std::net::Ipv4Addr;

use hickory_resolver::{
    config::NameServerConfig,
    proto::{
        op::{Message, OpCode},
        rr::{RData, Record, RecordType, rdata::A},
    },
};
use tokio::net::UdpSocket;

use super::*;

/// Answers every question for an address, and notes the names that were asked for.
async fn serve(socket: &UdpSocket, asked: &RefCell<Vec<String>>) {
    let mut bytes = [0; 512];
    loop {
        let (len, from) = socket.recv_from(&mut bytes).await.unwrap();
        let query = Message::from_vec(&bytes[..len]).unwrap();
        let question = query.queries[0].clone();
        asked.borrow_mut().push(question.name().to_string());
        let mut answer = Message::response(query.metadata.id, OpCode::Query);
        answer.add_query(question.clone());
        if question.query_type() == RecordType::A {
            let address = RData::A(A(Ipv4Addr::new(192, 0, 2, 7)));
            answer.add_answer(Record::from_rdata(question.name().clone(), 60, address));
        }
        let answer = answer.to_vec().unwrap();
        socket.send_to(&answer, from).await.unwrap();
    }
}

#[tokio::test]
async fn a_name_is_asked_for_as_it_stands_whatever_the_search_list() {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    // As in a Pod.
    let conf = "nameserver 127.0.0.1\nsearch a.svc.cluster.local cluster.local\noptions ndots:5\n";
    let (mut config, options) = system_conf::parse_resolv_conf(conf).unwrap();
    assert_eq!((options.ndots, config.search().len()), (5, 2));
    let mut server = NameServerConfig::udp(Ipv4Addr::LOCALHOST.into());
    server.connections[0].port = socket.local_addr().unwrap().port();
    config = ResolverConfig::from_parts(None, config.search().to_vec(), vec![server]);
    let dns = Dns::new("/nowhere".as_ref());
    dns.resolver.replace(Some(build(config, options).unwrap()));

    let asked = RefCell::default();
    for name in ["api.example.com", "api.example.com."] {
        let found = tokio::select! {
            found = dns.lookup(name.into()) => found.unwrap(),
            () = serve(&socket, &asked) => unreachable!(),
        };
        assert_eq!(found.addresses, [IpAddr::from([192, 0, 2, 7])]);
    }
    assert_eq!(asked.take(), ["api.example.com.", "api.example.com."]);

    let found = dns.lookup("192.0.2.9".into()).await.unwrap();
    assert_eq!(found.addresses, [IpAddr::from([192, 0, 2, 9])]);
}

#[tokio::test]
async fn a_configuration_that_cannot_be_read_is_read_anew() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("resolv.conf");
    let dns = Dns::new(&path);
    let error = dns.lookup("api.example.com".into()).await.unwrap_err();
    assert!(error.to_string().contains("resolv.conf"), "{error}");
    std::fs::write(&path, "nameserver 127.0.0.1\n").unwrap();
    assert!(dns.resolver().is_ok());
}
