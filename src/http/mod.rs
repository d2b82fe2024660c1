//! The axum edge: routes, extraction, admission, errors. The only room that knows status codes of ours.
