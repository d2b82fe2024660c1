//! How a call is asked and its answer told.

use crate::chat::dialect::{Naming, Teller};
use crate::pipeline::Call;

/// In which words an answer is told.
#[derive(Clone, Debug)]
pub enum Told {
    /// As a chat completion, as it comes.
    AsItIs,
    /// In another dialect, for which it must be understood. With what tells it later, where the request may have to wait for it.
    Anew(Option<Teller>),
}

/// Whether somebody waits for the answer on the other end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// The client does.
    Now,
    /// Nobody does: the request is asked again out of the queue of those that no model answered.
    Again,
}

impl Call {
    /// How the answer to it is called in other dialects.
    #[must_use]
    pub fn naming(&self) -> Naming {
        Naming {
            key: format!("{:032x}", self.id.as_u128()),
            created: self.at_unix_ms / 1_000,
            input_tokens: self.chat.prompt.shape.input_tokens,
        }
    }
}
