//! OpenAI's Responses as a provider speaks it: a chat completions request in its words, and its answers and streams put back.
//! [`chat/responses`](crate::chat::responses) is the other way round: the dialect as clients speak it.

pub mod answer;
pub mod request;
pub mod stream;

/// The name in messages.
pub(crate) const PROVIDER: &str = "OpenAI's Responses";

/// The path after the base URL.
pub const PATH: &str = "/responses";

/// The status that the code of a failed response has.
pub(crate) fn error_status(code: &str) -> u16 {
    match code {
        "rate_limit_exceeded" | "insufficient_quota" => 429,
        "vector_store_timeout" => 504,
        "invalid_prompt" | "invalid_request_error" | "context_length_exceeded" | "content_policy_violation" => 400,
        image if image.contains("image") => 400,
        // `server_error`, and whatever is to come.
        _ => 500,
    }
}

#[cfg(test)]
pub(in crate::chat) mod tests;
