//! Wire formats: bytes to types and back. Pure: imports `domain` and nothing else of ours.

pub mod anthropic;
pub mod ask;
pub mod bedrock;
mod canonical;
pub mod checked;
mod completion;
pub mod completions;
pub mod degraded;
pub mod dialect;
pub mod embeddings;
pub mod error;
pub mod fitness;
pub mod gather;
pub mod gemini;
pub mod generate_content;
pub mod messages;
pub mod native;
mod object;
pub mod openai;
pub mod openai_responses;
pub mod options;
#[cfg(test)]
mod pairs;
mod parts;
pub mod replay;
pub mod responses;
pub mod schema;
pub mod seal;
mod signed_id;
pub mod sse;
pub mod usage;
pub mod worth;
