//! Asks the control plane for bundles, by their names.
//!
//! Apart from the stream of versions, beside which it goes: what is asked for is large and
//! secret, and each answer is checked by its name.

use roadstead_proto::v1::{
    FetchSecretsRequest, Secret, secret_service_client::SecretServiceClient,
};
use tonic::Status;
use tracing::warn;

use super::Calls;
use crate::bundle::{Bundle, MAX_BYTES};
use crate::snapshot::BundleName;

/// Takes what is given of these names, each as it comes. Names that are not given are not held
/// there.
pub(super) async fn fetch(
    calls: &Calls,
    names: &[BundleName],
    mut take: impl FnMut(Bundle),
) -> Result<(), Status> {
    let client = SecretServiceClient::new(calls.channel());
    let mut client = client.max_decoding_message_size(MAX_BYTES + FRAME);
    for page in names.chunks(PAGE) {
        let request = calls.request(FetchSecretsRequest {
            names: page.iter().map(|name| name.as_bytes().to_vec()).collect(),
        });
        let mut answers = client.fetch_secrets(request).await?;
        let answers = answers.get_mut();
        // Each once, and nothing else.
        for _ in page {
            let Some(Secret { name, body }) = answers.message().await? else {
                break;
            };
            let Ok(name) = BundleName::from_bytes(&name) else {
                continue;
            };
            if body.is_empty() || !page.contains(&name) {
                continue;
            }
            match Bundle::checked(name, body) {
                Ok(bundle) => take(bundle),
                Err(error) => warn!(bundle = %name, "a bundle that was sent is not used: {error}"),
            }
        }
    }
    Ok(())
}

/// Names in one request.
const PAGE: usize = 256;

/// What a message has beside a bundle, and more.
const FRAME: usize = 1024;
