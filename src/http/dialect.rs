//! Answers in a dialect other than chat completions: the same line and the same books, in other words.

use std::convert::Infallible;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::body::{Body, HttpBody};
use axum::http::Request;
use axum::response::Response;
use bytes::Bytes;
use http_body::Frame;
use http_body_util::BodyExt;

use crate::chat::dialect::{Dialect, Naming, StreamTranslator, Teller};
use crate::chat::error::ChatError;
use crate::chat::openai::ChatRequest;
use crate::domain::api::Api;
use crate::http::admission::Admitted;
use crate::http::alive::{Alive, Sign};
use crate::http::body::{Whole, parse, read_json};
use crate::http::chat_completions::{answer_headers, explain_failure, read as with_headers};
use crate::http::error::{ApiError, Kind};
use crate::http::state::Server;
use crate::pipeline::{Call, complete};
use crate::upstream::heavy::heavy;
use crate::upstream::relay::Relay;

/// A request that was let in.
#[derive(Debug)]
pub struct Incoming {
    /// Who asks, and the place among the requests in flight.
    pub admitted: Admitted,
    /// What is asked.
    pub request: Request<Body>,
    /// By which API.
    pub api: Api,
}

/// Reads a request of a dialect, decides, calls the chosen model, and says its answer in that dialect. `read` gives what the line walks
/// and what writes the answer once its name is known.
///
/// # Errors
/// Everything that [`ApiError`] can say; errors after the decision carry its headers.
pub async fn serve<D, W>(
    server: &Server,
    incoming: Incoming,
    read: impl FnOnce(&[u8]) -> Result<(ChatRequest, W), ChatError> + Send + 'static,
) -> Result<Response, ApiError>
where
    D: Dialect + Send + Unpin + 'static,
    W: FnOnce(Naming) -> D + Clone + Send + Sync + 'static,
{
    let Incoming { admitted, request, api } = incoming;
    let headers = request.headers().clone();
    let body = read_json(request, server.body_limits).await?;
    let (chat, writer) = parse(body, read).await?;
    let writer = Arc::new(writer);
    // An answer that comes when this request is long over is told by the same writer.
    let teller = server.app.deferred.as_ref().map(|_| Teller::new(Arc::clone(&writer)));
    let call = Call { teller, ..Call::now(admitted.to(api), with_headers(chat, &headers)?) };
    let (id, naming) = (call.admission.id, call.naming());
    let (routed, answer) = complete(&server.app, call, admitted.guard)
        .await
        .map_err(|failed| explain_failure(id, failed.routed.as_ref(), failed.error.into()))?;
    let headers = answer_headers(id, &routed, &answer);
    // Copied only where the request waits and needs it once more.
    let writer = Arc::unwrap_or_clone(writer)(naming);
    let sign = Sign { bytes: writer.sign_of_life(), after: server.keep_alive };
    let body = if answer.stream {
        Body::new(Alive::new(Translated::new(answer.body, writer), sign))
    } else {
        let whole = whole(answer.body, writer).await;
        Body::new(whole.map_err(|error| explain_failure(id, Some(&routed), error))?)
    };
    let mut response = Response::new(body);
    *response.headers_mut() = headers;
    Ok(response)
}

/// A whole answer, translated. It holds the relay, and so the place among the requests in flight, until it is sent.
async fn whole(mut relay: Relay, dialect: impl Dialect + Send + 'static) -> Result<Whole<Relay>, ApiError> {
    let mut body = Bytes::new();
    while let Some(frame) = relay.frame().await {
        let data = frame.map(Frame::into_data);
        match data {
            // A whole answer is one frame.
            Ok(Ok(data)) => body = data,
            Ok(Err(_trailers)) => {}
            Err(never) => match never {},
        }
    }
    let failed = |problem: &str| ApiError::new(Kind::UpstreamFailed, format!("the upstream answered with {problem}"));
    let bytes = heavy(body.len(), move || dialect.whole(&body)).await;
    let bytes = bytes.ok_or_else(|| failed("the program ending"))?.map_err(|problem| failed(&problem.to_string()))?;
    Ok(Whole::holding(Bytes::from(bytes), relay))
}

/// A stream, translated as it comes. It reads no faster than its client does, and dropping it drops the relay, which cancels the
/// upstream's call and closes the books.
struct Translated<D, B = Relay> {
    /// `None` once the dialect's stream broke: what the upstream would still say is of no use, and not to be paid for.
    relay: Option<B>,
    translator: StreamTranslator<D>,
    is_over: bool,
}

impl<D, B: fmt::Debug> fmt::Debug for Translated<D, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Translated").field("relay", &self.relay).finish_non_exhaustive()
    }
}

impl<D: Dialect, B> Translated<D, B> {
    fn new(relay: B, dialect: D) -> Self {
        Self { relay: Some(relay), translator: StreamTranslator::new(dialect), is_over: false }
    }
}

/// A stream that can be ended by whoever cannot tell it any further.
trait BreaksOff {
    fn break_off(&mut self);
}

impl BreaksOff for Relay {
    fn break_off(&mut self) {
        Self::break_off(self);
    }
}

impl<D, B> HttpBody for Translated<D, B>
where
    D: Dialect + Unpin,
    B: HttpBody<Data = Bytes, Error = Infallible> + BreaksOff + Unpin,
{
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let this = &mut *self;
        while !this.is_over {
            let Some(relay) = &mut this.relay else { break };
            let bytes = match ready!(Pin::new(&mut *relay).poll_frame(cx)) {
                Some(Ok(frame)) => {
                    let bytes = frame.into_data().map_or(Bytes::new(), |data| this.translator.push(data));
                    // Whoever leaves the last bytes unread need not be waited for.
                    this.is_over = this.translator.is_over() && relay.is_end_stream();
                    if this.translator.is_broken() {
                        // So that the books say what the client reads.
                        relay.break_off();
                        this.is_over = true;
                        this.relay = None;
                    }
                    bytes
                }
                Some(Err(never)) => match never {},
                None => {
                    this.is_over = true;
                    this.translator.finish()
                }
            };
            if !bytes.is_empty() {
                return Poll::Ready(Some(Ok(Frame::data(bytes))));
            }
        }
        Poll::Ready(None)
    }

    fn is_end_stream(&self) -> bool {
        self.is_over
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::StreamBody;
    use tokio::sync::mpsc;

    use super::*;
    use crate::chat::messages::MessagesRequest;

    impl<S> BreaksOff for StreamBody<S> {
        fn break_off(&mut self) {}
    }

    type Feed = mpsc::UnboundedSender<Result<Frame<Bytes>, Infallible>>;

    /// A stream under translation, and the hand that feeds it.
    fn translated() -> (Feed, impl HttpBody<Data = Bytes, Error = Infallible> + Unpin) {
        let (feed, mut source) = mpsc::unbounded_channel();
        let relay = StreamBody::new(futures_util::stream::poll_fn(move |cx| source.poll_recv(cx)));
        let request = MessagesRequest::parse(br#"{"messages": [{"role": "user", "content": "Hi"}]}"#).unwrap();
        (feed, Translated::new(relay, request.reply.writer(Naming::default())))
    }

    fn chunk(text: &str) -> Result<Frame<Bytes>, Infallible> {
        let data =
            format!("data: {{\"model\":\"m\",\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"{text}\"}}}}]}}\n\n");
        Ok(Frame::data(Bytes::from(data)))
    }

    async fn next(body: &mut (impl HttpBody<Data = Bytes, Error = Infallible> + Unpin)) -> Option<String> {
        let data = body.frame().await?.unwrap().into_data().unwrap();
        Some(String::from_utf8(data.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn a_stream_that_ends_without_a_word_ends_in_an_error_event() {
        let (feed, mut body) = translated();
        feed.send(chunk("a")).unwrap();
        drop(feed);

        next(&mut body).await.unwrap();
        assert!(next(&mut body).await.unwrap().starts_with("event: error\n"));
        assert_eq!(next(&mut body).await, None);
    }

    #[tokio::test]
    async fn a_stream_that_cannot_be_told_ends_at_once_and_drops_the_source() {
        let (feed, mut body) = translated();
        feed.send(chunk("a")).unwrap();
        feed.send(Ok(Frame::data(Bytes::from_static(b"data: {\"choices\":7}\n\n")))).unwrap();
        feed.send(chunk("b")).unwrap();

        next(&mut body).await.unwrap();
        let last = next(&mut body).await.unwrap();
        assert!(last.starts_with("event: error\n") && last.contains("no part of an answer"), "{last}");
        assert!(feed.is_closed());
        assert_eq!(next(&mut body).await, None);
    }

    #[tokio::test]
    async fn an_unread_stream_is_not_read_ahead_and_dropping_it_drops_the_source() {
        let (feed, mut body) = translated();
        feed.send(chunk("a")).unwrap();
        feed.send(chunk("b")).unwrap();

        let first = next(&mut body).await.unwrap();
        assert!(!first.contains("\"text\":\"b\""), "{first}");
        drop(body);
        assert!(feed.is_closed());
    }
}
