//! A judge of answers that the operator runs: asked over HTTP, believed within bounds.

use std::time::Duration;

use reqwest::header::CONTENT_TYPE;
use reqwest::{Client, Response};
use serde::Deserialize;
use serde_json::json;
use tokio::time::{Instant, timeout_at};

use crate::domain::check::{Found, Verifier};
use crate::domain::ids::{ModelName, UpstreamId};
use crate::upstream::client::UpstreamError;

/// The most bytes of a verdict.
const VERDICT_BYTES: usize = 64 << 10;
const CONNECT: Duration = Duration::from_secs(5);

/// Asks verifiers. Only the configuration names them; redirects are not followed and no proxy is taken from the environment.
#[derive(Clone, Debug)]
pub struct Verifiers {
    client: Client,
}

/// What a verifier is asked about.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked<'a> {
    pub(crate) question: &'a str,
    pub(crate) answer: &'a str,
    pub(crate) calls_tools: bool,
    pub(crate) model: &'a ModelName,
    pub(crate) request_id: &'a str,
}

/// `{"ok": bool}` or `{"score": 0..1}`. Where both are there, both must be good.
#[derive(Deserialize)]
struct Verdict {
    ok: Option<bool>,
    score: Option<f64>,
}

impl Verifiers {
    /// Prepares the client; opens no connection.
    ///
    /// # Errors
    /// Where no TLS client can be built.
    pub fn new() -> Result<Self, UpstreamError> {
        // Fails when a provider is installed already, which is as good.
        drop(rustls::crypto::ring::default_provider().install_default());
        let builder = Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy().connect_timeout(CONNECT);
        let wrong = |error: reqwest::Error| UpstreamError::Tls {
            id: UpstreamId::from("verifier"),
            problem: error.without_url().to_string(),
        };
        Ok(Self { client: builder.build().map_err(wrong)? })
    }

    /// Asks a verifier. What it does not say in time, in order and within 64 KiB is unknown.
    pub(crate) async fn ask(&self, verifier: &Verifier, asked: &Asked<'_>, deadline: Instant) -> Found {
        let until = deadline.min(Instant::now() + verifier.timeout);
        match timeout_at(until, self.verdict(verifier, asked)).await {
            Ok(Some(verdict)) => found(&verdict, verifier),
            Ok(None) | Err(_) => {
                tracing::debug!(request = asked.request_id, "the verifier gave no verdict");
                Found::Unknown
            }
        }
    }

    async fn verdict(&self, verifier: &Verifier, asked: &Asked<'_>) -> Option<Verdict> {
        let body = json!({
            "question": asked.question,
            "answer": asked.answer,
            "calls_tools": asked.calls_tools,
            "model": asked.model,
            "request_id": asked.request_id,
        });
        let call = self.client.post(&verifier.url).header(CONTENT_TYPE, "application/json").body(body.to_string());
        let response = call.send().await.ok().filter(|response| response.status().is_success())?;
        serde_json::from_slice(&whole(response).await?).ok()
    }
}

async fn whole(mut response: Response) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.ok()? {
        bytes.extend_from_slice(&chunk);
        if bytes.len() > VERDICT_BYTES {
            return None;
        }
    }
    Some(bytes)
}

fn found(verdict: &Verdict, verifier: &Verifier) -> Found {
    let score = verdict.score.filter(|score| (0.0..=1.0).contains(score));
    let good = score.map(|score| score >= verifier.least_score.get());
    match (verdict.ok, good) {
        (Some(false), _) | (_, Some(false)) => Found::Failed,
        (Some(true), _) | (_, Some(true)) => Found::Passed,
        (None, None) => Found::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::probability::Probability;
    use crate::upstream::fake::{FakeUpstream, Reply, hang, json as whole_json, refused_url, status};

    async fn asked(url: String) -> Found {
        let verifier = Verifier {
            url,
            timeout: Duration::from_millis(200),
            least_score: Probability::clamped(0.6),
            given_share: Probability::ZERO,
        };
        let asked = Asked {
            question: "1+1?",
            answer: "3",
            calls_tools: false,
            model: &ModelName::from("cheap"),
            request_id: "r",
        };
        Verifiers::new().unwrap().ask(&verifier, &asked, Instant::now() + Duration::from_secs(5)).await
    }

    #[tokio::test]
    async fn a_verdict_is_a_yes_or_a_score() {
        let cases: [(Reply, Found); 9] = [
            (whole_json(r#"{"ok":true}"#), Found::Passed),
            (whole_json(r#"{"ok":false}"#), Found::Failed),
            (whole_json(r#"{"score":0.6}"#), Found::Passed),
            (whole_json(r#"{"score":0.59,"why":"x"}"#), Found::Failed),
            (whole_json(r#"{"score":7}"#), Found::Unknown),
            (whole_json("{}"), Found::Unknown),
            (whole_json("no"), Found::Unknown),
            (status(500), Found::Unknown),
            (hang(), Found::Unknown),
        ];
        for (at, (reply, expected)) in cases.into_iter().enumerate() {
            let upstream = FakeUpstream::script([reply]).await;
            assert_eq!(asked(upstream.base_url()).await, expected, "case {at}");
        }
        assert_eq!(asked(refused_url().await).await, Found::Unknown);
    }

    #[tokio::test]
    async fn a_verdict_has_a_bound_and_a_redirect_is_none() {
        let long = format!(r#"{{"ok":true,"why":"{}"}}"#, "x".repeat(VERDICT_BYTES));
        let long = FakeUpstream::script([whole_json(&long)]).await;
        let good = FakeUpstream::script([whole_json(r#"{"ok":true}"#)]).await;
        let moved = FakeUpstream::script([status(307).header("location", &good.base_url())]).await;

        assert_eq!(asked(long.base_url()).await, Found::Unknown);
        assert_eq!(asked(moved.base_url()).await, Found::Unknown);
        assert!(good.requests().is_empty());
    }
}
