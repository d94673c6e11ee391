//! The request path from socket to socket: a traffic thread, raw clients and raw upstreams.

#![cfg(test)]

mod bodies;
mod challenges;
mod connections;
mod drain;
mod external;
mod headers;
mod http2;
mod oracle;
mod pools;
mod proxy_protocol;
mod redirects;
mod requests;
mod route;
mod sharing;
mod support;
mod tls;
mod tls_challenges;
mod tls_handshake;
mod tls_policies;
mod tls_sessions;
mod upgrade;
