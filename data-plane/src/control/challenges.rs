//! Asks the control plane for challenges that no version has brought.
//!
//! Apart from when they are asked for, which `challenge` decides.

use roadstead_proto::v1::{
    ChallengeType, GetChallengeRequest, challenge_service_client::ChallengeServiceClient,
};
use tokio::sync::watch;
use tonic::{Code, Status};
use tracing::debug;

use super::{Calls, Metrics};
use crate::challenge::{Answer, Leader, Question};
use crate::snapshot::{ChallengeError, KeyAuthorization};

/// Asks whoever the stream is of.
#[derive(Debug)]
pub struct Challenges {
    /// None while no stream is open.
    calls: watch::Receiver<Option<Calls>>,
    metrics: Metrics,
}

impl Challenges {
    pub fn new(calls: watch::Receiver<Option<Calls>>, metrics: Metrics) -> Self {
        Self { calls, metrics }
    }
}

impl Leader for Challenges {
    async fn ask(&self, question: Question) -> Answer {
        let calls = self.calls.borrow().clone();
        let Some(calls) = calls else {
            return Answer::Unheard;
        };
        // Counts also what is given up before there is an answer.
        let mut counted = Counted(&self.metrics, Answer::Unheard);
        counted.1 = match get(&calls, &question).await {
            Ok(text) => match read(&text, &question) {
                Ok(found) => Answer::Given(found),
                Err(error) => {
                    debug!(
                        host = &*question.host,
                        "a challenge's answer is not used: {error}"
                    );
                    Answer::Unheard
                }
            },
            Err(status) if status.code() == Code::NotFound => Answer::Missing,
            Err(status) => {
                debug!(
                    host = &*question.host,
                    "a challenge was not given: {status}"
                );
                Answer::Unheard
            }
        };
        counted.1.clone()
    }
}

fn read(text: &str, question: &Question) -> Result<KeyAuthorization, ChallengeError> {
    match &question.token {
        Some(token) => KeyAuthorization::parse(text, token),
        None => KeyAuthorization::of_any(text),
    }
}

async fn get(calls: &Calls, question: &Question) -> Result<String, Status> {
    let client = ChallengeServiceClient::new(calls.channel());
    let mut client = client.max_decoding_message_size(MAX_BYTES);
    let (token, way) = match &question.token {
        Some(token) => (token.to_string(), ChallengeType::Http01),
        None => (String::new(), ChallengeType::TlsAlpn01),
    };
    let request = calls.request(GetChallengeRequest {
        hostname: question.host.to_string(),
        token,
        r#type: way.into(),
    });
    let answer = client.get_challenge(request).await?;
    Ok(answer.into_inner().key_authorization)
}

struct Counted<'a>(&'a Metrics, Answer);

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.challenge(match self.1 {
            Answer::Given(_) => "given",
            Answer::Missing => "missing",
            Answer::Unheard => "failed",
        });
    }
}

/// A key authorization has 512 at most.
const MAX_BYTES: usize = 1024;
