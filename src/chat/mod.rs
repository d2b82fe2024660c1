//! Wire formats: bytes to types and back. Pure: imports `domain` and nothing else of ours.

pub mod ask;
pub mod completions;
pub mod embeddings;
pub mod error;
pub mod gather;
pub mod openai;
pub mod options;
pub mod replay;
pub mod sse;
pub mod usage;
pub mod worth;
