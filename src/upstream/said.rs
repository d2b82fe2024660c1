//! What the body of a provider's error says beyond its status. Pure, and never a word of it leaves this file.
//!
//! Only codes and the message are looked at, not what a provider may echo of the request.

use std::time::{Duration, SystemTime};

use serde_json::Value;

use crate::upstream::hint;

/// What was said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Said {
    /// What it is about, where that is known.
    pub clue: Option<Clue>,
    /// When to come back.
    pub hint: Option<Duration>,
    /// The status that its codes amount to, where they amount to one. An error under a status of success may have no other.
    pub status: Option<u16>,
}

/// What an error is about that its status alone does not tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clue {
    /// The request is longer than the model's context.
    ContextTooLong,
    /// A filter of the provider stopped it.
    ContentFilter,
    /// The account has no money left.
    NoMoney,
    /// The upstream does not have the model.
    NoModel,
    /// The request is larger than the limit of a whole minute, so that waiting does not help.
    NeverFits,
}

/// Codes, types and statuses, in small letters.
const CODES: [(&str, Clue); 16] = [
    ("context_length_exceeded", Clue::ContextTooLong),
    ("exceed_context_size_error", Clue::ContextTooLong),
    ("string_above_max_length", Clue::ContextTooLong),
    ("model_max_prompt_tokens_exceeded", Clue::ContextTooLong),
    ("content_filter", Clue::ContentFilter),
    ("content_policy_violation", Clue::ContentFilter),
    ("responsibleaipolicyviolation", Clue::ContentFilter),
    ("moderation_blocked", Clue::ContentFilter),
    ("insufficient_quota", Clue::NoMoney),
    ("billing_hard_limit_reached", Clue::NoMoney),
    ("billing_not_active", Clue::NoMoney),
    ("billing_error", Clue::NoMoney),
    ("insufficient_balance", Clue::NoMoney),
    ("model_not_found", Clue::NoModel),
    ("deploymentnotfound", Clue::NoModel),
    ("model_not_available", Clue::NoModel),
];

/// Codes, types and statuses that stand for an HTTP status, in small letters. Only such as nobody uses for a mistake of the caller's.
const STATUSES: [(&str, u16); 8] = [
    ("rate_limit_exceeded", 429),
    ("rate_limit_error", 429),
    ("rate_limited", 429),
    ("too_many_requests", 429),
    ("resource_exhausted", 429),
    ("throttlingexception", 429),
    ("overloaded_error", 529),
    ("engine_overloaded", 529),
];

/// Parts of messages, in small letters. All parts of an entry must be there.
const PHRASES: [(&[&str], Clue); 24] = [
    // OpenAI, Azure, vLLM, DeepSeek, OpenRouter.
    (&["maximum context length"], Clue::ContextTooLong),
    (&["exceeds the context window"], Clue::ContextTooLong),
    // vLLM.
    (&["longer than the maximum model length"], Clue::ContextTooLong),
    // Anthropic, and Fireworks.
    (&["prompt is too long"], Clue::ContextTooLong),
    (&["exceed context limit"], Clue::ContextTooLong),
    // Gemini.
    (&["input token count", "exceeds the maximum"], Clue::ContextTooLong),
    // Bedrock.
    (&["input is too long for requested model"], Clue::ContextTooLong),
    (&["too many input tokens"], Clue::ContextTooLong),
    (&["maximum tokens you requested exceeds the model limit"], Clue::ContextTooLong),
    // llama.cpp.
    (&["exceeds the available context size"], Clue::ContextTooLong),
    // Mistral.
    (&["too large for model with", "maximum context"], Clue::ContextTooLong),
    // Together, TGI.
    (&["`inputs` tokens + `max_new_tokens` must be"], Clue::ContextTooLong),
    // xAI.
    (&["maximum prompt length is"], Clue::ContextTooLong),
    // Groq.
    (&["reduce the length of the messages"], Clue::ContextTooLong),
    // Azure.
    (&["content management policy"], Clue::ContentFilter),
    // OpenAI.
    (&["request too large for"], Clue::NeverFits),
    // Anthropic.
    (&["credit balance is too low"], Clue::NoMoney),
    (&["billing hard limit"], Clue::NoMoney),
    // Bedrock.
    (&["model identifier is invalid"], Clue::NoModel),
    // vLLM, OpenAI, Ollama, Gemini, Anthropic.
    (&["model", "does not exist"], Clue::NoModel),
    (&["model", "not found"], Clue::NoModel),
    (&["models/", "is not found"], Clue::NoModel),
    (&["model:", "not_found"], Clue::NoModel),
    (&["model", "has been deprecated"], Clue::NoModel),
];

/// Reads the body of an error, whose dates are held against `now`.
#[must_use]
pub fn read(body: &[u8], now: SystemTime) -> Said {
    let Ok(body) = serde_json::from_slice::<Value>(body) else { return Said::default() };
    let error = error_of(&body);
    let metadata = error.get("metadata").unwrap_or(&Value::Null);
    let outer = of_error(&body, (metadata, now));
    // OpenRouter has the words of whom it asked in a text.
    let raw = metadata.get("raw").and_then(Value::as_str).and_then(|raw| serde_json::from_str::<Value>(raw).ok());
    let inner = raw.map_or_else(Said::default, |raw| of_error(&raw, (&Value::Null, now)));
    Said { clue: outer.clue.or(inner.clue), hint: outer.hint.or(inner.hint), status: outer.status.or(inner.status) }
}

/// The error object of a body. Gemini wraps errors of streams in a list, OpenRouter may have them in a choice.
fn error_of(body: &Value) -> &Value {
    let body = body.get(0).unwrap_or(body);
    let errors = [body.get("error"), body.pointer("/choices/0/error")];
    errors.into_iter().flatten().find(|error| !error.is_null()).unwrap_or(body)
}

fn of_error(body: &Value, (metadata, now): (&Value, SystemTime)) -> Said {
    let error = error_of(body);
    let body = body.get(0).unwrap_or(body);
    let text = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_lowercase);
    let codes = ["code", "type", "status", "__type"].map(|key| text(error.get(key)));
    let inner = text(error.pointer("/innererror/code"));
    let codes = || codes.iter().chain([&inner]).flatten();
    let by_code = codes().find_map(|code| CODES.iter().find(|(known, _)| known == code).map(|(_, clue)| *clue));
    let messages = [error.get("message"), body.get("message"), body.get("detail"), body.get("error")];
    let message = messages.into_iter().find_map(text).unwrap_or_default();
    let by_phrase = || {
        let found = PHRASES.iter().find(|(parts, _)| parts.iter().all(|part| message.contains(part)));
        found.map(|(_, clue)| *clue)
    };
    let headers = metadata.get("headers").unwrap_or(&Value::Null);
    Said {
        clue: by_code.or_else(by_phrase),
        hint: hint::in_body(&message, (&[error, metadata, headers, body], now)),
        status: codes().find_map(|code| STATUSES.iter().find(|(known, _)| known == code).map(|(_, status)| *status)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clue(body: &str) -> Option<Clue> {
        read(body.as_bytes(), SystemTime::UNIX_EPOCH).clue
    }

    #[test]
    fn every_providers_way_to_say_that_the_request_is_too_long_is_understood() {
        let bodies = [
            // OpenAI
            r#"{"error":{"message":"This model's maximum context length is 8192 tokens. However, your messages resulted in 9001 tokens.","type":"invalid_request_error","param":"messages","code":"context_length_exceeded"}}"#,
            r#"{"error":{"message":"Your input exceeds the context window of this model.","type":"invalid_request_error","param":"input","code":null}}"#,
            // Anthropic
            r#"{"type":"error","error":{"type":"invalid_request_error","message":"prompt is too long: 210000 tokens > 200000 maximum"}}"#,
            r#"{"type":"error","error":{"type":"invalid_request_error","message":"input length and `max_tokens` exceed context limit: 190000 + 20000 > 200000"}}"#,
            // Gemini
            r#"{"error":{"code":400,"message":"The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).","status":"INVALID_ARGUMENT"}}"#,
            // Bedrock
            r#"{"message":"Input is too long for requested model."}"#,
            r#"{"__type":"ValidationException","message":"Too many input tokens. Max input tokens: 128000"}"#,
            // vLLM
            r#"{"object":"error","message":"This model's maximum context length is 4096 tokens. However, you requested 5000 tokens","type":"BadRequestError","param":null,"code":400}"#,
            r#"{"error":{"message":"The decoder prompt (length 5000) is longer than the maximum model length of 4096.","type":"BadRequestError","code":400}}"#,
            // llama.cpp
            r#"{"error":{"code":400,"message":"the request exceeds the available context size, try increasing it","type":"exceed_context_size_error"}}"#,
            // Mistral
            r#"{"object":"error","message":"Prompt contains 40000 tokens, too large for model with 32768 maximum context length","type":"invalid_request_error","code":"3051"}"#,
        ];
        for body in bodies {
            assert_eq!(clue(body), Some(Clue::ContextTooLong), "{body}");
        }
    }

    #[test]
    fn tells_filters_money_models_and_hopeless_sizes_apart() {
        let cases = [
            (r#"{"error":{"message":"filtered","code":"content_filter"}}"#, Clue::ContentFilter),
            (
                r#"{"error":{"message":"x","code":"x","innererror":{"code":"ResponsibleAIPolicyViolation"}}}"#,
                Clue::ContentFilter,
            ),
            (r#"{"error":{"message":"You exceeded your current quota","type":"insufficient_quota"}}"#, Clue::NoMoney),
            (r#"{"error":{"type":"invalid_request_error","message":"Your credit balance is too low"}}"#, Clue::NoMoney),
            (r#"{"error":{"message":"The model `x` does not exist or you do not have access to it."}}"#, Clue::NoModel),
            (r#"{"error":"model 'llama3' not found"}"#, Clue::NoModel),
            (r#"{"message":"The provided model identifier is invalid."}"#, Clue::NoModel),
            (r#"{"error":{"message":"Request too large for gpt-4o on tokens per min (TPM)"}}"#, Clue::NeverFits),
        ];
        for (body, expected) in cases {
            assert_eq!(clue(body), Some(expected), "{body}");
        }
    }

    #[test]
    fn a_body_of_too_many_bytes_says_nothing_about_the_context() {
        let body =
            r#"{"type":"error","error":{"type":"request_too_large","message":"Request exceeds the maximum size"}}"#;

        assert_eq!(clue(body), None);
    }

    #[test]
    fn what_a_provider_echoes_of_the_request_is_no_clue() {
        let body = r#"{"detail":[{"msg":"bad","input":"prompt is too long"}],"error":{"message":"bad field","prompt":"maximum context length"}}"#;

        assert_eq!(read(body.as_bytes(), SystemTime::UNIX_EPOCH), Said::default());
        for body in ["", "<html>", "[]", "null", "7", r#"{"error":7}"#] {
            assert_eq!(read(body.as_bytes(), SystemTime::UNIX_EPOCH), Said::default(), "{body}");
        }
    }

    #[test]
    fn reads_when_to_come_back() {
        let hint = |body: &str| read(body.as_bytes(), SystemTime::UNIX_EPOCH).hint.map(|hint| hint.as_millis());
        let gemini = r#"{"error":{"code":429,"status":"RESOURCE_EXHAUSTED","message":"quota","details":[{"@type":"type.googleapis.com/google.rpc.QuotaFailure"},{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"34.5s"}]}}"#;

        assert_eq!(hint(gemini), Some(34_500));
        assert_eq!(hint(&format!("[{gemini}]")), Some(34_500));
        assert_eq!(hint(&gemini.replace("34.5s", "31536000s")), Some(3_600_000), "no longer than a header is believed");
        assert_eq!(hint(r#"{"error":{"message":"Rate limit reached. Please try again in 1.5s. Visit"}}"#), Some(1_500));
        assert_eq!(hint(r#"{"error":{"message":"Please retry after 7 seconds."}}"#), Some(7_000));
        for body in [
            r#"{"error":{"message":"m"},"retry_after":7}"#,
            r#"{"error":{"message":"m","retry_after_ms":7000}}"#,
            r#"{"error":{"message":"m","metadata":{"retry_after":7}}}"#,
            r#"{"error":{"message":"m","metadata":{"headers":{"Retry-After":"7"}}}}"#,
            r#"{"error":{"message":"m","metadata":{"headers":{"X-RateLimit-Remaining":"0","X-RateLimit-Reset":"7"}}}}"#,
            r#"{"choices":[{"message":{"content":""},"error":{"message":"m","metadata":{"headers":{"retry-after":"7"}}}}]}"#,
            r#"{"error":{"message":"m","metadata":{"headers":{"Retry-After":"Thu, 01 Jan 1970 00:00:07 GMT"}}}}"#,
        ] {
            assert_eq!(hint(body), Some(7_000), "{body}");
        }
    }

    #[test]
    fn what_a_go_between_quotes_of_whom_it_asked_is_read_too() {
        let body = |raw: &str| {
            let metadata = serde_json::json!({ "raw": raw, "provider_name": "P" });
            let error = serde_json::json!({ "code": 400, "message": "Provider returned error", "metadata": metadata });
            serde_json::json!({ "error": error }).to_string()
        };
        let quoted = r#"{"error":{"message":"This model's maximum context length is 8192 tokens."}}"#;

        assert_eq!(clue(&body(quoted)), Some(Clue::ContextTooLong));
        assert_eq!(clue(&body("busy")), None);
        assert_eq!(clue(&body(&body(quoted))), None, "once");
    }

    #[test]
    fn some_codes_stand_for_a_status() {
        let status = |body: &str| read(body.as_bytes(), SystemTime::UNIX_EPOCH).status;

        assert_eq!(status(r#"{"error":{"message":"m","type":"tokens","code":"rate_limit_exceeded"}}"#), Some(429));
        assert_eq!(status(r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#), Some(529));
        assert_eq!(status(r#"{"error":{"message":"m","type":"invalid_request_error"}}"#), None);
    }
}
