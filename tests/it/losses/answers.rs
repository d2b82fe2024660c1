//! What an answer may hold: those of providers as chat completions, and those as the clients of each dialect read them.

use bytes::Bytes;
use serde_json::{Value, json};
use trimtab::chat::completions::LegacyWriter;
use trimtab::chat::dialect::{Dialect, Naming};
use trimtab::chat::generate_content::{CandidateWriter, Delivery, GenerateContentRequest};
use trimtab::chat::messages::{MessageWriter, MessagesRequest};
use trimtab::chat::native::Stamp;
use trimtab::chat::responses::{ResponseWriter, ResponsesRequest};
use trimtab::chat::usage::NotAnAnswer;
use trimtab::chat::{anthropic, bedrock, gemini, openai_responses};
use trimtab::domain::ids::AccountId;

use crate::losses::walk::{Fate, fate};
use crate::losses::{Probe, table};

const CLIENTS: [&str; 4] = ["`/v1/messages`", "`/v1/responses`", "`generateContent`", "`/v1/completions`"];

/// What reads an answer of a provider.
type Read = fn(&[u8], &Stamp) -> Result<Bytes, NotAnAnswer>;

/// How such an answer is read, and the name of its column.
type Column = (&'static str, Read);

/// Adds the tables of answers.
pub(super) fn tables(text: &mut String) {
    let rows = told().into_iter().map(|probe| {
        let fates = [
            told_by(&probe, messages),
            told_by(&probe, responses),
            told_by(&probe, candidates),
            told_by(&probe, LegacyWriter::default),
        ];
        (probe.name, Vec::from(fates))
    });
    table(text, ("Chat completions as other clients read them", &CLIENTS), rows);
    let in_chat = |read: Read| ("in a chat completion", read);
    let providers: [(&str, Vec<Column>, Vec<Probe>); 4] = [
        ("Responses", vec![in_chat(of_an_account)], of_responses()),
        ("Anthropic", vec![in_chat(anthropic::answer::completion), ("in `/v1/messages`", in_messages)], of_anthropic()),
        ("Gemini", vec![in_chat(gemini::answer::completion)], of_gemini()),
        ("Bedrock", vec![in_chat(bedrock::answer::completion)], of_bedrock()),
    ];
    for (name, reads, probes) in providers {
        let fates = |probe: &Probe| reads.iter().map(|(_, read)| read_by(probe, *read)).collect();
        let rows = probes.iter().map(|probe| (probe.name, fates(probe)));
        let columns: Vec<&str> = reads.iter().map(|(column, _)| *column).collect();
        table(text, (&format!("Answers of {name}"), &columns), rows);
    }
}

fn of_an_account(body: &[u8], stamp: &Stamp) -> Result<Bytes, NotAnAnswer> {
    openai_responses::answer::completion(body, stamp, &AccountId::from("acme"))
}

/// An answer of Anthropic's as a client of the same dialect reads it.
fn in_messages(body: &[u8], stamp: &Stamp) -> Result<Bytes, NotAnAnswer> {
    messages().whole(&anthropic::answer::with_words(body, stamp)?).map(Bytes::from)
}

fn messages() -> MessageWriter {
    let body = br#"{"stop_sequences": ["END"], "messages": [{"role": "user", "content": "Hi"}]}"#;
    MessagesRequest::parse(body).unwrap().reply.writer(Naming::default())
}

fn responses() -> ResponseWriter {
    ResponsesRequest::parse(br#"{"input": "Hi"}"#).unwrap().reply.writer(Naming::default())
}

/// For a client that asks for thoughts and for another candidate.
fn candidates() -> CandidateWriter {
    let body = br#"{"contents": [{"parts": [{"text": "Hi"}]}], "generationConfig": {"candidateCount": 2, "thinkingConfig": {"includeThoughts": true}}}"#;
    let request = GenerateContentRequest::parse(body, "auto", Delivery::Whole).unwrap();
    request.reply.writer(Naming::default())
}

fn told_by<D: Dialect>(probe: &Probe, writer: fn() -> D) -> Fate {
    let told = |answer: &Value| -> Value {
        serde_json::from_slice(&writer().whole(answer.to_string().as_bytes()).unwrap()).unwrap()
    };
    fate(probe, (&told(&probe.without), &told(&probe.with)))
}

fn read_by(probe: &Probe, read: Read) -> Fate {
    let stamp = Stamp { id: "chatcmpl-r".to_owned(), created: 1 };
    let told = |answer: &Value| -> Value {
        serde_json::from_slice(&read(answer.to_string().as_bytes(), &stamp).unwrap()).unwrap()
    };
    fate(probe, (&told(&probe.without), &told(&probe.with)))
}

/// A field at this place, put into an answer that has it not.
fn at(name: &'static str, base: &Value, (place, value): (&str, Value)) -> Probe {
    let mut with = base.clone();
    let (parent, field) = place.rsplit_once('/').unwrap();
    let parent = with.pointer_mut(parent).unwrap();
    if let Value::Array(items) = parent {
        items.push(value.clone());
    } else {
        parent[field] = value.clone();
    }
    Probe { name, given: value, without: base.clone(), with }
}

/// The same, where only this of the value is looked for.
fn within(name: &'static str, base: &Value, given: &str, place: (&str, Value)) -> Probe {
    Probe { given: json!(given), ..at(name, base, place) }
}

fn told() -> Vec<Probe> {
    let base = json!({
        "object": "chat.completion", "created": 1, "model": "m",
        "choices": [{ "index": 0, "message": { "role": "assistant", "content": "Hi" }, "finish_reason": "stop" }],
        "usage": { "prompt_tokens": 100, "completion_tokens": 50, "total_tokens": 150 },
    });
    let at = |name, place, value: Value| at(name, &base, (place, value));
    let within = |name, given: &str, place, value: Value| within(name, &base, given, (place, value));
    let call = json!([{ "id": "call_1", "type": "function", "function": { "name": "weather", "arguments": "{\"town\":\"Bonn\"}" } }]);
    let signed = json!([{ "type": "thinking", "thinking": "Two towns.", "signature": "c2ln" }]);
    let openai = json!([{ "type": "thinking", "thinking": "Two towns.", "signature": "openai:gAAA" }]);
    let mut thinking = base.clone();
    thinking["choices"][0]["message"]["reasoning_content"] = json!("Two towns.");
    let thought = |name, given: &str, blocks: Value| {
        self::within(name, &thinking, given, ("/choices/0/message/thinking_blocks", blocks))
    };
    let sealed = json!([{ "type": "redacted_thinking", "data": "cmVk" }]);
    let likely = json!({ "content": [{ "token": "Hi", "logprob": -0.5, "bytes": null, "top_logprobs": [] }] });
    let second = json!({ "index": 1, "message": { "role": "assistant", "content": "Hello" }, "finish_reason": "stop" });
    vec![
        at("`id`", "/id", json!("chatcmpl-7")),
        at("`model`", "/model", json!("vendor-1")),
        at("`content`", "/choices/0/message/content", json!("Good day")),
        within("a second choice", "Hello", "/choices/1", second),
        at("`refusal`", "/choices/0/message/refusal", json!("I cannot.")),
        at("`reasoning_content`", "/choices/0/message/reasoning_content", json!("Hm.")),
        thought("signed `thinking_blocks`", "c2ln", signed),
        thought("`thinking_blocks` that OpenAI sealed", "gAAA", openai),
        within("encrypted `thinking_blocks`", "cmVk", "/choices/0/message/thinking_blocks", sealed),
        within("`tool_calls`", "weather", "/choices/0/message/tool_calls", call.clone()),
        within("ids of calls", "call_1", "/choices/0/message/tool_calls", call),
        at("`annotations`", "/choices/0/message/annotations", json!([{ "type": "url_citation" }])),
        at("`audio`", "/choices/0/message/audio", json!({ "id": "audio_1" })),
        at("`logprobs`", "/choices/0/logprobs", likely).looking_for(json!(-0.5)),
        at("`finish_reason` `length`", "/choices/0/finish_reason", json!("length")),
        at("`finish_reason` `content_filter`", "/choices/0/finish_reason", json!("content_filter")),
        at("`stop_sequence`", "/choices/0/stop_reason", json!("END")),
        at("`usage.prompt_tokens`", "/usage/prompt_tokens", json!(777)),
        at("`usage.completion_tokens`", "/usage/completion_tokens", json!(777)),
        within("cached tokens", "", "/usage/prompt_tokens_details", json!({ "cached_tokens": 33 }))
            .looking_for(json!(33)),
        within("tokens written to a cache", "", "/usage/prompt_tokens_details", json!({ "cache_write_tokens": 33 }))
            .looking_for(json!(33)),
        within("tokens of thoughts", "", "/usage/completion_tokens_details", json!({ "reasoning_tokens": 33 }))
            .looking_for(json!(33)),
        at("`system_fingerprint`", "/system_fingerprint", json!("fp_1")),
        at("`service_tier`", "/service_tier", json!("flex")),
    ]
}

impl Probe {
    fn looking_for(self, given: Value) -> Self {
        Self { given, ..self }
    }
}

fn of_anthropic() -> Vec<Probe> {
    let base = json!({
        "id": "msg_1", "type": "message", "role": "assistant", "model": "claude", "content": [{ "type": "text", "text": "Hi" }], "stop_reason": "end_turn",
        "usage": { "input_tokens": 100, "output_tokens": 50 },
    });
    let at = |name, place, value: Value| at(name, &base, (place, value));
    let within = |name, given: &str, place, value: Value| within(name, &base, given, (place, value));
    vec![
        at("`id`", "/id", json!("msg_7")),
        within("a text", "Good day", "/content/-", json!({ "type": "text", "text": "Good day" })),
        within("thoughts", "Hm.", "/content/-", json!({ "type": "thinking", "thinking": "Hm.", "signature": "c2ln" })),
        within(
            "their signature",
            "c2ln",
            "/content/-",
            json!({ "type": "thinking", "thinking": "Hm.", "signature": "c2ln" }),
        ),
        within("encrypted thoughts", "cmVk", "/content/-", json!({ "type": "redacted_thinking", "data": "cmVk" })),
        within(
            "a call",
            "toolu_1",
            "/content/-",
            json!({ "type": "tool_use", "id": "toolu_1", "name": "weather", "input": {} }),
        ),
        within(
            "blocks of tools that Anthropic runs",
            "web_search",
            "/content/-",
            json!({ "type": "server_tool_use", "id": "s", "name": "web_search", "input": {} }),
        ),
        at("citations", "/content/0/citations", json!([{ "type": "char_location", "cited_text": "x" }])),
        at("`stop_reason` `max_tokens`", "/stop_reason", json!("max_tokens")),
        at("`stop_reason` `refusal`", "/stop_reason", json!("refusal")),
        at("`stop_sequence`", "/stop_sequence", json!("END")),
        at("tokens read from the cache", "/usage/cache_read_input_tokens", json!(33)),
        at("tokens written to the cache", "/usage/cache_creation_input_tokens", json!(33)),
        at("`usage.service_tier`", "/usage/service_tier", json!("priority")),
    ]
}

fn of_gemini() -> Vec<Probe> {
    let base = json!({
        "candidates": [{ "content": { "role": "model", "parts": [{ "text": "Hi" }] }, "finishReason": "STOP", "index": 0 }],
        "usageMetadata": { "promptTokenCount": 100, "candidatesTokenCount": 50, "totalTokenCount": 150 }, "modelVersion": "gemini", "responseId": "r1",
    });
    let at = |name, place, value: Value| at(name, &base, (place, value));
    let within = |name, given: &str, place, value: Value| within(name, &base, given, (place, value));
    let parts = "/candidates/0/content/parts/-";
    let call = json!({ "functionCall": { "id": "fc_1", "name": "weather", "args": {} }, "thoughtSignature": "Z29v" });
    vec![
        at("`responseId`", "/responseId", json!("r7")),
        within("a text", "Good day", parts, json!({ "text": "Good day" })),
        within("thoughts", "Hm.", parts, json!({ "text": "Hm.", "thought": true })),
        within("a call", "fc_1", parts, call.clone()),
        within("signature of a call", "Z29v", parts, call),
        within("signature of a text", "Z29v", parts, json!({ "text": "", "thoughtSignature": "Z29v" })),
        within("pictures", "aGVsbG8=", parts, json!({ "inlineData": { "mimeType": "image/png", "data": "aGVsbG8=" } })),
        within(
            "code that Google ran",
            "print",
            parts,
            json!({ "executableCode": { "language": "PYTHON", "code": "print(1)" } }),
        ),
        within(
            "a second candidate",
            "Hello",
            "/candidates/-",
            json!({ "index": 1, "content": { "parts": [{ "text": "Hello" }] }, "finishReason": "STOP" }),
        ),
        at("`finishReason` `MAX_TOKENS`", "/candidates/0/finishReason", json!("MAX_TOKENS")),
        at("`finishReason` `SAFETY`", "/candidates/0/finishReason", json!("SAFETY")),
        at("safety ratings", "/candidates/0/safetyRatings", json!([{ "category": "x" }])),
        at("grounding", "/candidates/0/groundingMetadata", json!({ "webSearchQueries": ["x"] })),
        at("citations", "/candidates/0/citationMetadata", json!({ "citationSources": [] })),
        at("log probabilities", "/candidates/0/avgLogprobs", json!(-0.5)),
        at("tokens of the cache", "/usageMetadata/cachedContentTokenCount", json!(33)),
        at("tokens of thoughts", "/usageMetadata/thoughtsTokenCount", json!(33)),
    ]
}

fn of_bedrock() -> Vec<Probe> {
    let base = json!({
        "output": { "message": { "role": "assistant", "content": [{ "text": "Hi" }] } }, "stopReason": "end_turn",
        "usage": { "inputTokens": 100, "outputTokens": 50, "totalTokens": 150 },
    });
    let at = |name, place, value: Value| at(name, &base, (place, value));
    let within = |name, given: &str, place, value: Value| within(name, &base, given, (place, value));
    let blocks = "/output/message/content/-";
    let mut cited = base.clone();
    cited["output"]["message"]["content"] = json!([{ "citationsContent": { "content": [{ "text": "Hi" }] } }]);
    let citations = json!([{ "title": "a page" }]);
    let thought = json!({ "reasoningContent": { "reasoningText": { "text": "Hm.", "signature": "c2ln" } } });
    vec![
        within("a text", "Good day", blocks, json!({ "text": "Good day" })),
        within("thoughts", "Hm.", blocks, thought.clone()),
        within("their signature", "c2ln", blocks, thought),
        within("encrypted thoughts", "cmVk", blocks, json!({ "reasoningContent": { "redactedContent": "cmVk" } })),
        within(
            "a call",
            "tooluse_1",
            blocks,
            json!({ "toolUse": { "toolUseId": "tooluse_1", "name": "weather", "input": {} } }),
        ),
        within(
            "a text with citations",
            "Cited.",
            blocks,
            json!({ "citationsContent": { "content": [{ "text": "Cited." }], "citations": [] } }),
        ),
        within(
            "pictures",
            "aGVsbG8=",
            blocks,
            json!({ "image": { "format": "png", "source": { "bytes": "aGVsbG8=" } } }),
        ),
        self::at("citations of a text", &cited, ("/output/message/content/0/citationsContent/citations", citations)),
        at("`stopReason` `max_tokens`", "/stopReason", json!("max_tokens")),
        at("`stopReason` `guardrail_intervened`", "/stopReason", json!("guardrail_intervened")),
        at("trace of a guardrail", "/trace", json!({ "guardrail": {} })),
        at("metrics", "/metrics", json!({ "latencyMs": 9 })),
        at("tokens read from the cache", "/usage/cacheReadInputTokens", json!(33)),
        at("tokens written to the cache", "/usage/cacheWriteInputTokens", json!(33)),
    ]
}

fn of_responses() -> Vec<Probe> {
    let text = json!({ "type": "output_text", "text": "Hi", "annotations": [] });
    let base = json!({
        "id": "resp_1", "created_at": 1, "status": "completed", "model": "gpt", "output": [{ "type": "message", "id": "msg_1", "role": "assistant", "content": [text] }],
        "usage": { "input_tokens": 100, "output_tokens": 50, "total_tokens": 150, "input_tokens_details": {}, "output_tokens_details": {} },
    });
    let at = |name, place, value: Value| at(name, &base, (place, value));
    let within = |name, given: &str, place, value: Value| within(name, &base, given, (place, value));
    let thought = json!({ "type": "reasoning", "id": "rs_1", "summary": [{ "type": "summary_text", "text": "Hm." }], "encrypted_content": "gAAA" });
    let likely = json!([{ "token": "Hi", "logprob": -0.5, "bytes": [72], "top_logprobs": [] }]);
    vec![
        at("`id`", "/id", json!("resp_7")),
        within(
            "a text",
            "Good day",
            "/output/-",
            json!({ "type": "message", "content": [{ "type": "output_text", "text": "Good day" }] }),
        ),
        within("a refusal", "I cannot.", "/output/0/content/-", json!({ "type": "refusal", "refusal": "I cannot." })),
        within("summaries of thoughts", "Hm.", "/output/-", thought.clone()),
        within("encrypted thoughts", "gAAA", "/output/-", thought),
        within(
            "a call",
            "call_1",
            "/output/-",
            json!({ "type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "weather", "arguments": "{}" }),
        ),
        within(
            "items of tools that OpenAI runs",
            "ws_1",
            "/output/-",
            json!({ "type": "web_search_call", "id": "ws_1", "action": {} }),
        ),
        at("annotations", "/output/0/content/0/annotations", json!([{ "type": "url_citation" }])),
        at("log probabilities", "/output/0/content/0/logprobs", likely),
        at("tokens of the cache", "/usage/input_tokens_details/cached_tokens", json!(33)),
        at("tokens of thoughts", "/usage/output_tokens_details/reasoning_tokens", json!(33)),
        at("`service_tier`", "/service_tier", json!("flex")),
    ]
}
