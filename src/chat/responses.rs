//! OpenAI's Responses: its requests as canonical ones, canonical answers as its response objects and events. `docs/dialects.md` lists
//! what a translation loses.

mod answer;
mod input;
mod own;
mod request;
mod stream;
mod tools;

pub use crate::chat::responses::request::{Reply, ResponsesRequest};
pub use crate::chat::responses::stream::ResponseWriter;

#[cfg(test)]
mod tests;
