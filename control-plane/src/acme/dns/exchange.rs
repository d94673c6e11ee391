//! One message to a server of the DNS and its answer, by TCP (RFC 7766).
//!
//! Of our own, because the library tells nobody what a server says of a key that it does not know.

use std::time::Duration;

use hickory_net::proto::op::{Message, ResponseCode};
use hickory_net::proto::rr::TSigVerifier;
use hickory_net::proto::rr::rdata::tsig::TsigError;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

/// Sends a message, and gives back an answer that is neither an error nor forged.
pub(super) async fn exchange(
    (host, port): &(String, u16),
    message: &Message,
    verifier: Option<TSigVerifier>,
) -> Result<Message, String> {
    let failed = |problem: String| format!("{host}:{port} {problem}");
    let bytes = message
        .to_vec()
        .map_err(|error| failed(format!("cannot be asked: {error}")))?;
    let answer = send(host, *port, &bytes).await;
    let answer = answer.map_err(|why| failed(format!("does not answer: {why}")))?;
    let read = Message::from_vec(&answer);
    let read = read.map_err(|error| failed(format!("answers what cannot be read: {error}")))?;
    if read.id != message.id {
        return Err(failed("answers something else".to_owned()));
    }
    let of_key = read.signature().and_then(|record| record.data.error);
    match of_key {
        None | Some(TsigError::Unknown(0)) => {}
        Some(TsigError::BadKey) => return Err(failed("does not know the key".to_owned())),
        Some(TsigError::BadSig | TsigError::BadTrunc) => {
            return Err(failed(
                "has another secret or algorithm for the key".to_owned(),
            ));
        }
        Some(TsigError::BadTime) => return Err(failed("has another time of day".to_owned())),
        Some(error @ TsigError::Unknown(_)) => {
            return Err(failed(format!("refuses the signature: {error:?}")));
        }
    }
    let code = read.response_code;
    if !matches!(code, ResponseCode::NoError | ResponseCode::NXDomain) {
        return Err(failed(format!("refuses it: {code}")));
    }
    if let Some(mut verifier) = verifier {
        let verified = verifier.verify(&answer);
        verified.map_err(|error| failed(format!("does not sign its answer: {error}")))?;
    }
    Ok(read)
}

/// To the first address that can be reached: not all can from everywhere. The name is found as the
/// machine finds names, for it may be that of a Service.
async fn send(host: &str, port: u16, message: &[u8]) -> Result<Vec<u8>, String> {
    let found = timeout(LONGEST, lookup_host((host, port))).await;
    let addresses = found.map_err(|late| format!("its name is not found: {late}"))?;
    let addresses = addresses.map_err(|error| format!("its name is not found: {error}"))?;
    let mut why = "it has no address".to_owned();
    for address in addresses.take(ADDRESSES) {
        let asked = async {
            let mut stream = timeout(CONNECT, TcpStream::connect(address)).await??;
            ask(&mut stream, message).await
        };
        match timeout(LONGEST, asked).await {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(error)) => why = format!("{address}: {error}"),
            Err(late) => why = format!("{address}: {late}"),
        }
    }
    Err(why)
}

async fn ask(stream: &mut TcpStream, message: &[u8]) -> std::io::Result<Vec<u8>> {
    let length = u16::try_from(message.len()).map_err(std::io::Error::other)?;
    let mut framed = length.to_be_bytes().to_vec();
    framed.extend(message);
    stream.write_all(&framed).await?;
    let mut answer = vec![0; stream.read_u16().await?.into()];
    stream.read_exact(&mut answer).await?;
    Ok(answer)
}

const ADDRESSES: usize = 4;
const CONNECT: Duration = Duration::from_secs(3);
const LONGEST: Duration = Duration::from_secs(10);
