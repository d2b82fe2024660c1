//! The events of one upstream's stream.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use http_body::Body;

use crate::chat::native::decoder::Decoder;
use crate::chat::sse::SseEvent;
use crate::domain::money::Usage;
use crate::upstream::classify::Trouble;
use crate::upstream::client::trouble;

/// Reads a body as events. Dropping it drops the body, which cancels the call.
#[derive(Debug)]
pub(crate) struct EventSource<B> {
    body: B,
    /// `None` when the body has ended.
    decoder: Option<Decoder>,
    /// What the provider had counted when it ended.
    counted: Option<Usage>,
    /// What is left when it has.
    rest: std::vec::IntoIter<SseEvent>,
}

/// What an error of a body means.
pub(crate) trait IntoTrouble {
    fn into_trouble(self) -> Trouble;
}

impl IntoTrouble for reqwest::Error {
    fn into_trouble(self) -> Trouble {
        trouble(&self)
    }
}

impl<B> EventSource<B> {
    /// The tokens that the provider has counted so far, as [`Decoder::counted`] has them.
    pub(crate) fn counted(&self) -> Option<Usage> {
        self.decoder.as_ref().map_or(self.counted, Decoder::counted)
    }
}

impl<B> EventSource<B>
where
    B: Body<Data = Bytes, Error: IntoTrouble> + Unpin,
{
    pub(crate) fn new(body: B, decoder: Decoder) -> Self {
        Self { body, decoder: Some(decoder), counted: None, rest: Vec::new().into_iter() }
    }

    /// The next event; `None` when the body ended cleanly. A last event whose blank line is missing is given if it is whole.
    pub(crate) fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<SseEvent, Trouble>>> {
        loop {
            let Some(decoder) = &mut self.decoder else { return Poll::Ready(self.rest.next().map(Ok)) };
            match decoder.next_event() {
                Ok(Some(event)) => return Poll::Ready(Some(Ok(event))),
                Ok(None) => {}
                Err(error) => return Poll::Ready(Some(Err(error.into()))),
            }
            match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        decoder.push(data);
                    }
                }
                Some(Err(error)) => return Poll::Ready(Some(Err(error.into_trouble()))),
                None => {
                    self.counted = self.counted();
                    let rest = self.decoder.take().map(Decoder::finish).unwrap_or_default();
                    self.rest = rest.into_iter();
                }
            }
        }
    }

    /// Reads on to the end of the body, so that its connection can serve again. Ready when it has ended or is not worth it.
    pub(crate) fn poll_end(&mut self, cx: &mut Context<'_>, budget: &mut usize) -> Poll<()> {
        if self.decoder.is_none() {
            return Poll::Ready(());
        }
        loop {
            match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                Some(Ok(frame)) => {
                    let length = frame.into_data().map_or(0, |data| data.remaining());
                    match budget.checked_sub(length + 1) {
                        Some(left) => *budget = left,
                        None => return Poll::Ready(()),
                    }
                }
                Some(Err(_)) | None => return Poll::Ready(()),
            }
        }
    }
}
