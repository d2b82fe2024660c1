//! The books of an answer on its way to the client, and whoever keeps the answer.

use bytes::Bytes;
use tokio::time::Instant;

use crate::domain::money::{NanoUsd, Usage};
use crate::domain::outcome::Class;
use crate::upstream::books::Books;

/// Sees an answer on its way to the client, to keep it. Dropped where the answer does not reach its end.
pub trait Keeper: Send {
    /// Bytes that the client is sent. Must not block.
    fn sees(&mut self, frame: &Bytes);

    /// The client was sent the last of them, and the answer is whole. Must not block.
    fn ended_well(self: Box<Self>, bill: Bill, now: std::time::Instant);
}

/// What an answer used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bill {
    /// Its tokens, where they are known.
    pub usage: Option<Usage>,
    /// What they cost, where that is known.
    pub cost: Option<NanoUsd>,
}

/// Books with a keeper, if the answer has one.
pub(crate) struct Ledger {
    pub(crate) books: Books,
    keeper: Option<Box<dyn Keeper>>,
}

impl Ledger {
    pub(crate) const fn new(books: Books) -> Self {
        Self { books, keeper: None }
    }

    pub(crate) fn keep_with(&mut self, keeper: Box<dyn Keeper>) {
        self.keeper = Some(keeper);
    }

    /// The client is sent these bytes of the answer.
    pub(crate) fn sends(&mut self, frame: &Bytes) {
        if let Some(keeper) = &mut self.keeper {
            keeper.sees(frame);
        }
        self.books.sent_a_byte();
    }

    /// The answer is whole.
    pub(crate) fn end_well(&mut self) {
        if let Some(keeper) = self.keeper.take() {
            let (usage, cost) = self.books.bill();
            keeper.ended_well(Bill { usage, cost }, Instant::now().into_std());
        }
        self.close(Class::Success, "");
    }

    /// The answer ends with what is sent now.
    pub(crate) fn close(&mut self, class: Class, detail: &str) {
        self.books.sent_a_byte();
        self.books.close(class, detail);
    }
}
