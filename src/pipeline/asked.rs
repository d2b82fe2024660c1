//! How a call is asked.

use crate::chat::dialect::Naming;
use crate::chat::openai::ChatRequest;
use crate::pipeline::{Admission, Call};

/// Whether somebody waits for the answer on the other end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// The client does.
    Now,
    /// Nobody does: the request is asked again out of the queue of those that no model answered.
    Again,
}

impl Call {
    /// A call whose client waits for the answer.
    #[must_use]
    pub const fn now(admission: Admission, chat: ChatRequest) -> Self {
        Self { admission, chat, teller: None, asked: Asked::Now }
    }

    /// How the answer to it is called in other dialects.
    #[must_use]
    pub fn naming(&self) -> Naming {
        Naming {
            key: format!("{:032x}", self.admission.id.as_u128()),
            created: self.admission.at_unix_ms / 1_000,
            input_tokens: self.chat.prompt.shape.input_tokens,
        }
    }
}
