//! `POST /v1/completions`: the legacy interface, answered by chat models.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::body::Body;
use axum::extract::{Extension, State};
use axum::http::Request;
use axum::response::Response;
use bytes::{Bytes, BytesMut};
use http_body::Frame;

use crate::chat::completions::{event, to_chat, whole};
use crate::chat::sse::{self, SseDecoder};
use crate::http::admission::Admitted;
use crate::http::body::read_json;
use crate::http::chat_completions::{call, explain_failure, read, respond};
use crate::http::error::ApiError;
use crate::http::state::Server;
use crate::pipeline::complete;

/// Most bytes of one event.
const EVENT_LIMIT: usize = 4 << 20;

/// What stands for an answer that cannot be told in the old shape.
const UNTOLD: &[u8] = br#"{"error":{"message":"the answer cannot be told as a legacy completion; ask /v1/chat/completions","type":"upstream_error","param":null,"code":"upstream_failed"}}"#;

/// Decides, calls the chosen model, and answers in the shape of legacy completions.
///
/// # Errors
/// Everything that [`ApiError`] can say; errors after the decision carry its headers.
pub async fn create(
    State(server): State<Arc<Server>>,
    Extension(admitted): Extension<Admitted>,
    request: Request<Body>,
) -> Result<Response, ApiError> {
    let headers = request.headers().clone();
    let body = read_json(request, server.body_limits).await?;
    let call = call(&admitted, read(to_chat(&body)?, &headers)?);
    let id = call.id;
    match complete(&server.app, call, admitted.guard).await {
        Ok((routed, answer)) => {
            let events = answer.stream.then(|| SseDecoder::new(EVENT_LIMIT));
            Ok(respond(id, &routed, answer).map(|chat| Body::new(Legacy { chat, events })))
        }
        Err(failed) => Err(explain_failure(id, failed.routed.as_ref(), failed.error.into())),
    }
}

/// The body of a chat answer in the old shape. Dropping it drops the chat answer.
struct Legacy {
    chat: Body,
    /// For a stream; a whole answer comes in one piece.
    events: Option<SseDecoder>,
}

impl Legacy {
    fn tell(&mut self, piece: Bytes) -> Bytes {
        let Some(events) = &mut self.events else {
            return whole(&piece).unwrap_or(Bytes::from_static(UNTOLD));
        };
        events.push(piece);
        let mut told = BytesMut::new();
        loop {
            match events.next_event() {
                Ok(Some(one)) if one.data.is_empty() => told.extend_from_slice(&one.raw),
                Ok(Some(one)) if one.data.as_ref() == b"[DONE]" => told.extend_from_slice(&sse::DONE),
                Ok(Some(one)) => told.extend_from_slice(&event(&one.data).unwrap_or_default()),
                Ok(None) => return told.freeze(),
                Err(_) => {
                    self.events = Some(SseDecoder::new(EVENT_LIMIT));
                    told.extend_from_slice(&sse::encode(UNTOLD));
                    return told.freeze();
                }
            }
        }
    }
}

impl http_body::Body for Legacy {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        loop {
            let frame = match ready!(Pin::new(&mut self.chat).poll_frame(cx)) {
                Some(Ok(frame)) => frame,
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => return Poll::Ready(None),
            };
            let Ok(piece) = frame.into_data() else { continue };
            let told = self.tell(piece);
            if !told.is_empty() {
                return Poll::Ready(Some(Ok(Frame::data(told))));
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.chat.is_end_stream()
    }
}
