//! Wire formats: bytes to types and back. Pure: imports `domain` and nothing else of ours.

pub mod anthropic;
pub mod ask;
pub mod bedrock;
pub mod error;
pub mod gemini;
pub mod native;
pub mod openai;
pub mod options;
pub mod sse;
pub mod usage;
