//! The class of each header field by its name, which is in lower case.
//!
//! Apart, as the table that a reviewer of the proxy's hygiene reads first.

/// What becomes of a field of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestField {
    /// Passed on as it is.
    Forwarded,
    /// Never passed on: it speaks of one connection, or claims what only we may say.
    Dropped,
    Connection,
    ContentLength,
    Expect,
    Host,
    Te,
    TransferEncoding,
    Upgrade,
}

pub fn request_field(name: &str) -> RequestField {
    match name {
        "connection" => RequestField::Connection,
        "content-length" => RequestField::ContentLength,
        "expect" => RequestField::Expect,
        "host" => RequestField::Host,
        "te" => RequestField::Te,
        "transfer-encoding" => RequestField::TransferEncoding,
        "upgrade" => RequestField::Upgrade,
        // Of one connection.
        "http2-settings"
        | "keep-alive"
        | "proxy-authenticate"
        | "proxy-authorization"
        | "proxy-connection" => RequestField::Dropped,
        // Of where the request came from.
        "forwarded" | "x-real-ip" => RequestField::Dropped,
        // CGI makes of it the variable by which many programs find their own proxy.
        "proxy" => RequestField::Dropped,
        // Of a client certificate that nobody has checked.
        "client-cert" | "client-cert-chain" => RequestField::Dropped,
        _ if DROPPED_PREFIXES
            .iter()
            .any(|prefix| name.starts_with(prefix)) =>
        {
            RequestField::Dropped
        }
        // To CGI `x_real_ip` is `x-real-ip`.
        _ if name.contains('_') => RequestField::Dropped,
        _ => RequestField::Forwarded,
    }
}

/// What becomes of a field of a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResponseField {
    Forwarded,
    Dropped,
    Connection,
    ContentLength,
    TransferEncoding,
    Upgrade,
}

pub fn response_field(name: &str) -> ResponseField {
    match name {
        "connection" => ResponseField::Connection,
        "content-length" => ResponseField::ContentLength,
        "transfer-encoding" => ResponseField::TransferEncoding,
        "upgrade" => ResponseField::Upgrade,
        "keep-alive" | "proxy-authenticate" | "proxy-connection" | "te" => ResponseField::Dropped,
        // Ours to say.
        "x-roadstead-reason" => ResponseField::Dropped,
        _ => ResponseField::Forwarded,
    }
}

/// Whether a field may come after the body. What frames, routes, authenticates or describes a
/// message may not (RFC 9110, 6.5.1): a reader may have acted without it.
pub fn may_be_trailer(name: &str) -> bool {
    request_field(name) == RequestField::Forwarded
        && response_field(name) == ResponseField::Forwarded
        && !matches!(
            name,
            "age"
                | "authorization"
                | "cache-control"
                | "cookie"
                | "date"
                | "expires"
                | "location"
                | "max-forwards"
                | "pragma"
                | "range"
                | "retry-after"
                | "set-cookie"
                | "trailer"
                | "vary"
                | "via"
                | "www-authenticate"
        )
        && !name.starts_with("content-")
        && !name.starts_with("if-")
        && !name.starts_with("sec-")
}

/// What we alone say of the client, in any spelling that others have used.
const DROPPED_PREFIXES: [&str; 4] = [
    "ssl-client-",
    "x-client-cert",
    "x-forwarded-",
    "x-ssl-client-",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_requests_have_their_class() {
        for (names, class) in [
            (
                "accept authorization cookie via x-forwarded origin sec-websocket-key x-request-id \
                 trailer grpc-timeout cache-control",
                RequestField::Forwarded,
            ),
            (
                "x-forwarded-for x-forwarded-host x-forwarded-client-cert x-forwarded-prefix \
                 forwarded x-real-ip x_real_ip x-real_ip proxy http2-settings keep-alive \
                 client-cert x-client-cert-dn ssl-client-verify x-ssl-client-cn content_length",
                RequestField::Dropped,
            ),
            ("host", RequestField::Host),
        ] {
            for name in names.split_whitespace() {
                assert_eq!(request_field(name), class, "{name}");
            }
        }
    }

    #[test]
    fn trailers_cannot_say_what_a_head_must_say() {
        for name in ["x-checksum", "grpc-status", "grpc-message", "server-timing"] {
            assert!(may_be_trailer(name), "{name}");
        }
        for name in [
            "content-length",
            "transfer-encoding",
            "host",
            "authorization",
            "cookie",
            "set-cookie",
            "content-type",
            "x-forwarded-for",
            "connection",
            "trailer",
            "te",
            "if-match",
            "x-roadstead-reason",
        ] {
            assert!(!may_be_trailer(name), "{name}");
        }
    }
}
