//! Anthropic's Messages: its requests as canonical ones, canonical answers as its messages and events. `docs/dialects.md` lists what a
//! translation loses.

mod answer;
mod content;
mod error;
mod own;
mod request;
mod stream;
mod tools;

pub use crate::chat::messages::error::error_body;
pub use crate::chat::messages::request::{MessagesRequest, Reply};
pub use crate::chat::messages::stream::MessageWriter;

#[cfg(test)]
mod tests;
