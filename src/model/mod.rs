//! The learned part: bundles, encoders, heads, the neighbour index and the generations that serve. Imports `domain`.

pub mod manifest;
