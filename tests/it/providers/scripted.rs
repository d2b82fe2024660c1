//! The providers, and how the tests ask them.

use super::*;

pub(super) const OPENAI_ANSWER: &str = r#"{"id":"c1","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"from the other one"},"finish_reason":"stop"}],"usage":{"prompt_tokens":10,"completion_tokens":1,"total_tokens":11}}"#;
pub(super) const KEY: &str = "sk-canary-0123456789";

/// A provider: how it is configured, where it is asked, and how it answers.
pub(super) struct Provider {
    pub(super) name: &'static str,
    /// What stands in `[upstreams.first]` beside the address.
    pub(super) toml: &'static str,
    pub(super) whole_path: &'static str,
    pub(super) stream_path: &'static str,
    pub(super) key_header: &'static str,
    /// An answer that says `Hello`, with 1,000 tokens in and 100 out.
    pub(super) answer: &'static str,
    /// An answer that calls `weather` for Bonn.
    pub(super) tool_answer: &'static str,
    /// A stream that says `Hel`, `lo`, and ends.
    pub(super) stream: fn() -> Scripted,
    /// An error body for a request that is wrong.
    pub(super) refusal: &'static str,
}

pub(super) fn providers() -> [Provider; 5] {
    [anthropic(), gemini(), bedrock(), azure(), responses()]
}

pub(super) fn anthropic() -> Provider {
    Provider {
        name: "anthropic",
        toml: r#"kind = "anthropic"
            api_key = { env = "KEY" }"#,
        whole_path: "/v1/messages",
        stream_path: "/v1/messages",
        key_header: "x-api-key",
        answer: r#"{"id":"msg_1","type":"message","role":"assistant","model":"vendor/cheap-1","content":[{"type":"text","text":"Hello"}],"stop_reason":"end_turn","usage":{"input_tokens":1000,"output_tokens":100}}"#,
        tool_answer: r#"{"id":"msg_1","type":"message","role":"assistant","model":"x","content":[{"type":"tool_use","id":"t1","name":"weather","input":{"town":"Bonn"}}],"stop_reason":"tool_use","usage":{"input_tokens":1,"output_tokens":1}}"#,
        stream: || {
            let event = |name: &str, data: &str| format!("event: {name}\ndata: {data}\n\n");
            let text = |text: &str| {
                let data = format!(
                    r#"{{"type":"content_block_delta","index":0,"delta":{{"type":"text_delta","text":"{text}"}}}}"#
                );
                event("content_block_delta", &data)
            };
            raw_stream(&[
                event(
                    "message_start",
                    r#"{"type":"message_start","message":{"id":"msg_1","model":"x","usage":{"input_tokens":9,"output_tokens":1}}}"#,
                ),
                event(
                    "content_block_start",
                    r#"{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}"#,
                ),
                text("Hel"),
                event("ping", r#"{"type":"ping"}"#),
                text("lo"),
                event("content_block_stop", r#"{"type":"content_block_stop","index":0}"#),
                event(
                    "message_delta",
                    r#"{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":2}}"#,
                ),
                event("message_stop", r#"{"type":"message_stop"}"#),
            ])
        },
        refusal: r#"{"type":"error","error":{"type":"invalid_request_error","message":"max_tokens: too large sk-canary-0123456789"}}"#,
    }
}

pub(super) fn gemini() -> Provider {
    Provider {
        name: "gemini",
        toml: r#"kind = "gemini"
            api_key = { env = "KEY" }"#,
        whole_path: "/v1/vendor/cheap-1:generateContent",
        stream_path: "/v1/vendor/cheap-1:streamGenerateContent?alt=sse",
        key_header: "x-goog-api-key",
        answer: r#"{"candidates":[{"content":{"parts":[{"text":"Hello"}],"role":"model"},"finishReason":"STOP"}],"usageMetadata":{"promptTokenCount":1000,"candidatesTokenCount":90,"thoughtsTokenCount":10},"modelVersion":"g","responseId":"r"}"#,
        tool_answer: r#"{"candidates":[{"content":{"parts":[{"functionCall":{"name":"weather","args":{"town":"Bonn"}}}],"role":"model"},"finishReason":"STOP"}],"usageMetadata":{"promptTokenCount":1},"responseId":"r"}"#,
        stream: || {
            let piece = |text: &str, more: &str| {
                format!(
                    "data: {{\"candidates\":[{{\"content\":{{\"parts\":[{{\"text\":\"{text}\"}}],\"role\":\"model\"}}{more}}}],\"usageMetadata\":{{\"promptTokenCount\":9,\"candidatesTokenCount\":2}},\"responseId\":\"r\"}}\r\n\r\n"
                )
            };
            raw_stream(&[piece("Hel", ""), piece("lo", ""), piece("", r#","finishReason":"STOP""#)])
        },
        refusal: r#"{"error":{"code":400,"message":"bad schema sk-canary-0123456789","status":"INVALID_ARGUMENT"}}"#,
    }
}

pub(super) fn bedrock() -> Provider {
    Provider {
        name: "bedrock",
        toml: r#"kind = "bedrock"
            region = "eu-central-1"
            access_key_id = { env = "AWS_ID" }
            secret_access_key = { env = "KEY" }
            session_token = { env = "AWS_TOKEN" }"#,
        whole_path: "/v1/model/vendor%2Fcheap-1/converse",
        stream_path: "/v1/model/vendor%2Fcheap-1/converse-stream",
        key_header: "authorization",
        answer: r#"{"output":{"message":{"role":"assistant","content":[{"text":"Hello"}]}},"stopReason":"end_turn","usage":{"inputTokens":1000,"outputTokens":100,"totalTokens":1100}}"#,
        tool_answer: r#"{"output":{"message":{"role":"assistant","content":[{"toolUse":{"toolUseId":"t1","name":"weather","input":{"town":"Bonn"}}}]}},"stopReason":"tool_use","usage":{"inputTokens":1,"outputTokens":1}}"#,
        stream: || {
            let frames = [
                ("messageStart", r#"{"role":"assistant"}"#),
                ("contentBlockDelta", r#"{"contentBlockIndex":0,"delta":{"text":"Hel"}}"#),
                ("contentBlockDelta", r#"{"contentBlockIndex":0,"delta":{"text":"lo"}}"#),
                ("contentBlockStop", r#"{"contentBlockIndex":0}"#),
                ("messageStop", r#"{"stopReason":"end_turn"}"#),
                ("metadata", r#"{"usage":{"inputTokens":9,"outputTokens":2,"totalTokens":11}}"#),
            ];
            let bytes: Vec<u8> = frames.iter().flat_map(|(name, payload)| frame(name, payload)).collect();
            whole(200, "application/vnd.amazon.eventstream", &bytes)
        },
        refusal: r#"{"message":"The model does not support this sk-canary-0123456789"}"#,
    }
}

pub(super) fn azure() -> Provider {
    Provider {
        name: "azure",
        toml: r#"kind = "azure"
            api_key = { env = "KEY" }"#,
        whole_path: "/v1/openai/deployments/vendor%2Fcheap-1/chat/completions?api-version=2024-10-21",
        stream_path: "/v1/openai/deployments/vendor%2Fcheap-1/chat/completions?api-version=2024-10-21",
        key_header: "api-key",
        answer: r#"{"id":"c","object":"chat.completion","created":1,"model":"gpt","prompt_filter_results":[],"choices":[{"index":0,"message":{"role":"assistant","content":"Hello"},"finish_reason":"stop","content_filter_results":{}}],"usage":{"prompt_tokens":1000,"completion_tokens":100,"total_tokens":1100}}"#,
        tool_answer: r#"{"id":"c","choices":[{"index":0,"message":{"role":"assistant","content":null,"tool_calls":[{"id":"t1","type":"function","function":{"name":"weather","arguments":"{\"town\":\"Bonn\"}"}}]},"finish_reason":"tool_calls"}]}"#,
        stream: || {
            let chunk = |choices: &str, more: &str| {
                format!("data: {{\"id\":\"c\",\"model\":\"gpt\",\"choices\":[{choices}]{more}}}\n\n")
            };
            let text = |text: &str| {
                chunk(&format!(r#"{{"index":0,"delta":{{"content":"{text}"}},"finish_reason":null}}"#), "")
            };
            raw_stream(&[
                chunk("", r#","prompt_filter_results":[]"#),
                text("Hel"),
                text("lo"),
                chunk(r#"{"index":0,"delta":{},"finish_reason":"stop"}"#, ""),
                chunk("", r#","usage":{"prompt_tokens":9,"completion_tokens":2,"total_tokens":11}"#),
                "data: [DONE]\n\n".to_owned(),
            ])
        },
        refusal: r#"{"error":{"code":"content_filter","message":"filtered sk-canary-0123456789","type":null,"param":"prompt","status":400}}"#,
    }
}

pub(super) fn responses() -> Provider {
    Provider {
        name: "responses",
        toml: r#"kind = "responses"
            api_key = { env = "KEY" }"#,
        whole_path: "/v1/responses",
        stream_path: "/v1/responses",
        key_header: "authorization",
        answer: r#"{"id":"resp_1","object":"response","created_at":1,"status":"completed","error":null,"incomplete_details":null,"model":"gpt","output":[{"id":"msg_1","type":"message","status":"completed","role":"assistant","content":[{"type":"output_text","text":"Hello","annotations":[]}]}],"usage":{"input_tokens":1000,"input_tokens_details":{"cached_tokens":0},"output_tokens":100,"output_tokens_details":{"reasoning_tokens":0},"total_tokens":1100}}"#,
        tool_answer: r#"{"id":"resp_1","status":"completed","model":"gpt","output":[{"id":"fc_1","type":"function_call","status":"completed","call_id":"t1","name":"weather","arguments":"{\"town\":\"Bonn\"}"}]}"#,
        stream: || {
            let text = |text: &str| {
                format!(
                    "data: {{\"type\":\"response.output_text.delta\",\"item_id\":\"m\",\"output_index\":0,\"content_index\":0,\"delta\":\"{text}\",\"logprobs\":[]}}\n\n"
                )
            };
            let event = |data: &str| format!("data: {data}\n\n");
            raw_stream(&[
                event(r#"{"type":"response.created","response":{"id":"r","status":"in_progress","model":"gpt"}}"#),
                event(
                    r#"{"type":"response.output_item.added","output_index":0,"item":{"type":"message","content":[]}}"#,
                ),
                text("Hel"),
                text("lo"),
                event(
                    r#"{"type":"response.completed","response":{"id":"r","status":"completed","model":"gpt","usage":{"input_tokens":9,"output_tokens":2,"total_tokens":11}}}"#,
                ),
            ])
        },
        refusal: r#"{"error":{"message":"Unsupported parameter sk-canary-0123456789","type":"invalid_request_error","param":"x","code":"unsupported_parameter"}}"#,
    }
}

/// A server whose cheap model is at the provider and whose dear one is at an upstream of OpenAI's dialect.
pub(super) async fn start(provider: &Provider, first: &FakeUpstream, last: &FakeUpstream) -> TestApp {
    let mut setup = Setup::tiers(&[first.base_url(), last.base_url()]);
    setup.toml = setup.toml.replacen("[upstreams.first]", &format!("[upstreams.first]\n{}", provider.toml), 1);
    for (name, value) in [("KEY", KEY), ("AWS_ID", "AKIDCANARY"), ("AWS_TOKEN", "canary-token")] {
        setup.environment.push((name.to_owned(), value.to_owned()));
    }
    TestApp::start(setup).await
}

/// A body that goes to the provider first.
pub(super) fn cheap() -> Value {
    let mut body = chat("auto", "hello");
    body["trimtab"] = json!({ "quality": 0 });
    body
}

pub(super) async fn ask(provider: &Provider, script: Scripted, body: &Value) -> (Reply, FakeUpstream, FakeUpstream) {
    let first = FakeUpstream::script([script]).await;
    let last = FakeUpstream::script([whole_answer(OPENAI_ANSWER)]).await;
    let app = start(provider, &first, &last).await;
    let reply = app.post("/v1/chat/completions", body).await;
    (reply, first, last)
}

/// The text of a stream, and its objects.
pub(super) fn read_stream(reply: &Reply) -> (String, Vec<Value>) {
    let data = reply.text.lines().filter_map(|line| line.strip_prefix("data: ")).filter(|data| *data != "[DONE]");
    let chunks: Vec<Value> = data.map(|data| serde_json::from_str(data).unwrap()).collect();
    let text = chunks.iter().filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str()).collect();
    (text, chunks)
}
