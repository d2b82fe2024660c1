//! An answer on its way to the client, gathered for somebody who wants it whole.

use bytes::Bytes;

use crate::chat::gather::Gather;
use crate::chat::native::without_own_words;
use crate::domain::money::Usage;

/// What came of an answer so far.
pub(super) enum Gathered {
    Whole(Bytes),
    Stream(Box<Gather>),
}

impl Gathered {
    /// Nothing yet, of a whole answer.
    pub(super) const fn whole() -> Self {
        Self::Whole(Bytes::new())
    }

    /// Nothing yet, of a stream. One of more than so many bytes is given up.
    pub(super) fn stream(limit: usize) -> Self {
        Self::Stream(Box::new(Gather::new(limit)))
    }

    /// Takes bytes for the client.
    pub(super) fn push(&mut self, frame: &Bytes) {
        match self {
            // What is whole comes in one piece.
            Self::Whole(body) => *body = frame.clone(),
            Self::Stream(gather) => gather.push(frame),
        }
    }

    /// The whole completion as JSON, where there is one. `counted` stands in for a usage that a stream did not tell.
    pub(super) fn finish(self, counted: Option<Usage>) -> Option<Bytes> {
        match self {
            Self::Whole(body) => Some(without_own_words(body)),
            Self::Stream(gather) => gather.finish(counted).map(|whole| Bytes::from(whole.to_string())),
        }
    }
}
