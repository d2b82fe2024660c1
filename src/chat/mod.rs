//! Wire formats: bytes to types and back. Pure: imports `domain` and nothing else of ours.

pub mod ask;
pub mod degraded;
pub mod error;
pub mod fitness;
pub mod openai;
pub mod options;
pub mod schema;
pub mod sse;
pub mod usage;
