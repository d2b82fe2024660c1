//! `GET /v1/feedback/export`, on the administration listener: every caller's records.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderValue;
use axum::http::header::CONTENT_TYPE;
use axum::response::Response;
use bytes::Bytes;
use futures_util::StreamExt;

use crate::http::error::{ApiError, Kind};
use crate::http::state::Server;
use crate::store::{ExportOptions, ExportWhich};

/// Streams what `trimtab export` writes, as JSON Lines: every decision with its outcome and feedback, ready for `trimtab train --feedback`.
///
/// A store that fails in the middle cuts the stream, so that a client cannot take a part for the whole.
///
/// # Errors
/// 503 where the store is switched off.
pub async fn export(State(server): State<Arc<Server>>) -> Result<Response, ApiError> {
    let Some(store) = &server.store else {
        return Err(ApiError::new(Kind::StoreUnavailable, "the store is switched off; set `store.enabled = true`"));
    };
    let options = ExportOptions { which: ExportWhich::All, ..ExportOptions::default() };
    let lines = store.reader().export_rows(&options).map(|row| {
        let mut line = serde_json::to_vec(&row.map_err(std::io::Error::other)?)?;
        line.push(b'\n');
        std::io::Result::Ok(Bytes::from(line))
    });
    let mut response = Response::new(Body::from_stream(lines));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
    Ok(response)
}
