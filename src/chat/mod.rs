//! Wire formats: bytes to types and back. Pure: imports `domain` and nothing else of ours.

pub mod sse;
pub mod usage;
