//! Google's `generateContent`: its requests as canonical ones, canonical answers as its candidates, whole or in pieces.
//! `docs/dialects.md` lists what a translation loses.

mod answer;
mod config;
mod content;
mod error;
mod proof;
mod request;
mod schema;
mod stream;
mod tools;

pub use crate::chat::generate_content::error::error_body;
pub use crate::chat::generate_content::request::{Delivery, Framing, GenerateContentRequest, Reply};
pub use crate::chat::generate_content::stream::CandidateWriter;

#[cfg(test)]
mod tests;
