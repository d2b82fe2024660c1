//! Requests to send.

use std::sync::Arc;

use super::mock;

/// One HTTP request after the other, ready to be sent.
pub(crate) type Requests = Arc<Vec<Vec<u8>>>;

/// How many differing prompts there are.
const PROMPTS: usize = 5_000;

/// A `POST` with these header lines, each closed by a line break.
pub(crate) fn post(path: &str, headers: &str, body: &str) -> Vec<u8> {
    format!(
        "POST {path} HTTP/1.1\r\nhost: bench\r\ncontent-type: application/json\r\n{headers}content-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// Bodies of about 64 tokens, all different. A run goes through them many times, so whoever measures what a prompt costs keeps no decisions.
pub(crate) fn short() -> Vec<String> {
    (0..PROMPTS).map(|i| body(&paragraph(i))).collect()
}

/// Bodies of about 300 tokens, all different.
pub(crate) fn chats() -> Vec<String> {
    (0..PROMPTS)
        .map(|i| {
            let paragraphs: Vec<String> = (0..5).map(|part| paragraph(i * 5 + part)).collect();
            body(&paragraphs.join("\n\n"))
        })
        .collect()
}

/// Bodies that ask for a stream whose chunks come one by one.
pub(crate) fn paced(count: usize) -> Vec<String> {
    (0..count).map(|i| body(&format!("{} {}", paragraph(i), mock::PACED))).collect()
}

/// Requests for chat completions from bodies, with these members (`"model":"m",`) put before the others.
pub(crate) fn chat(bodies: &[String], members: &str, headers: &str) -> Requests {
    let complete = |body: &String| body.replacen('{', &format!("{{{members}"), 1);
    Arc::new(bodies.iter().map(|body| post("/v1/chat/completions", headers, &complete(body))).collect())
}

fn paragraph(i: usize) -> String {
    format!(
        "A warehouse received {i} crates on Monday and sold a third of them by Friday, keeping the rest for the spring fair. Explain step by step how \
         many crates are left, how the manager should plan the next order, and which assumptions you made about returns and breakage."
    )
}

fn body(prompt: &str) -> String {
    serde_json::json!({ "messages": [{ "role": "user", "content": prompt }] }).to_string()
}
