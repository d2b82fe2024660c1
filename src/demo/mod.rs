//! The demo upstream: an honest stand-in that says that it is one. Imports `domain` and `chat`.
