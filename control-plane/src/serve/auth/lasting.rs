//! Answers that last no longer than the right to them.
//!
//! Around all of them, because some never end by themselves: a right that was taken away, or a
//! certificate that is no longer believed, must end what they opened, too.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, Response};
use http_body::Frame;
use tonic::Status;
use tonic::body::Body;

/// Gives the reason once the right is gone.
pub(super) type Gone = Pin<Box<dyn Future<Output = Status> + Send>>;

/// The body of an answer, which the loss of the right to it ends.
struct Lasting {
    answer: Body,
    /// None once it is lost.
    gone: Option<Gone>,
}

/// The answer, until the right to it is gone.
pub(super) fn lasting(answer: Response<Body>, gone: Gone) -> Response<Body> {
    answer.map(|answer| {
        Body::new(Lasting {
            answer,
            gone: Some(gone),
        })
    })
}

impl http_body::Body for Lasting {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let Some(gone) = &mut self.gone else {
            return Poll::Ready(None);
        };
        if let Poll::Ready(status) = gone.as_mut().poll(cx) {
            self.gone = None;
            let mut trailers = HeaderMap::new();
            let added = status.add_header(&mut trailers);
            return Poll::Ready(Some(added.map(|()| Frame::trailers(trailers))));
        }
        Pin::new(&mut self.answer).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.gone.is_none() || self.answer.is_end_stream()
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;
    use http_body_util::{BodyExt as _, StreamBody};
    use tokio::sync::{mpsc, oneshot};
    use tokio_stream::wrappers::ReceiverStream;
    use tonic::Code;

    use super::*;

    #[tokio::test]
    async fn an_answer_ends_with_the_right_to_it() {
        let (says, said) = mpsc::channel(1);
        let (ends, ended) = oneshot::channel();
        let gone = ended.map(|_| Status::permission_denied("no longer"));
        let endless = Body::new(StreamBody::new(ReceiverStream::new(said)));
        let mut answer = lasting(Response::new(endless), gone.boxed()).into_body();
        let word = Frame::data(Bytes::from_static(b"word"));
        says.send(Ok::<_, Status>(word)).await.unwrap();
        let frame = answer.frame().await.unwrap().unwrap();
        assert_eq!(&*frame.into_data().unwrap(), b"word");
        assert!(answer.frame().now_or_never().is_none());
        ends.send(()).unwrap();
        let trailers = answer.frame().await.unwrap().unwrap().into_trailers();
        let status = Status::from_header_map(&trailers.unwrap()).unwrap();
        assert_eq!(status.code(), Code::PermissionDenied);
        assert!(answer.frame().await.is_none());
    }
}
