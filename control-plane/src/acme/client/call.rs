//! One call to a CA: its requests as instant-acme makes them, and what the last one met with.

use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Request, Response};
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use tokio::sync::watch;

use crate::acme::answer::Answer;
use crate::acme::client::directory::Directory;
use crate::acme::client::failure::{Effect, Failure};
use crate::acme::transport::Transport;

/// A call. A clone is a handle on the same.
#[derive(Clone, Debug)]
pub(super) struct Call {
    transport: Transport,
    directory: Arc<Directory>,
    most: usize,
    last: Arc<watch::Sender<Answer>>,
}

impl Call {
    /// Takes in at most so many bytes of each answer.
    pub(super) fn new(transport: &Transport, directory: &Arc<Directory>, most: usize) -> Self {
        Self {
            transport: transport.clone(),
            directory: Arc::clone(directory),
            most,
            last: Arc::default(),
        }
    }

    /// The last answer, whole or not.
    pub(super) fn last(&self) -> Answer {
        self.last.borrow().clone()
    }

    /// How it failed.
    pub(super) fn failed(&self, effect: Effect) -> impl Fn(Error) -> Failure {
        move |error| Failure::of(&error, &self.last.borrow(), effect)
    }

    async fn ask(self, request: Request<BodyWrapper<Bytes>>) -> Result<BytesResponse, Error> {
        if request.method() == Method::GET && *request.uri() == self.directory.uri {
            return Ok(known(&self.directory));
        }
        let answer = self.transport.send(request, self.most).await;
        let response = response(&answer);
        self.last.send_replace(answer);
        response
    }
}

impl HttpClient for Call {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        Box::pin(self.clone().ask(request))
    }
}

fn known(directory: &Directory) -> BytesResponse {
    let (parts, ()) = Response::new(()).into_parts();
    BytesResponse {
        parts,
        body: Box::new(directory.body.clone()),
    }
}

fn response(answer: &Answer) -> Result<BytesResponse, Error> {
    let status = match answer.status {
        Some(status) if answer.trouble.is_none() => status,
        _ => return Err(Error::Str("a whole answer")),
    };
    // instant-acme takes a redirect for a success.
    if status.is_redirection() {
        return Err(Error::Str("redirects are not followed"));
    }
    let (mut parts, ()) = Response::new(()).into_parts();
    parts.status = status;
    parts.headers = answer.headers.clone();
    Ok(BytesResponse {
        parts,
        body: Box::new(answer.body.clone()),
    })
}
