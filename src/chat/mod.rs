//! Wire formats: bytes to types and back. Pure: imports `domain` and nothing else of ours.
