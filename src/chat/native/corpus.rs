//! Chat completions requests for the tests of every dialect.

use bytes::Bytes;
use serde_json::Value;

use crate::chat::native::decoder::Decoder;
use crate::chat::native::request::Asked;
use crate::chat::native::{Stamp, Untranslatable};
use crate::chat::sse::SseEvent;

/// Each request with its name.
pub(crate) const REQUESTS: &[(&str, &str)] = &[
    ("one message", r#"{"model":"MODEL","messages":[{"role":"user","content":"Hello"}]}"#),
    (
        "system and developer messages, sampling, stop, a limit, a user, a stream",
        r#"{"model":"MODEL","stream":true,"stream_options":{"include_usage":true},"max_completion_tokens":64,"temperature":1.5,"top_p":0.9,"top_k":40,"seed":7,"presence_penalty":0.5,"frequency_penalty":-0.5,"stop":["\n\n","END"," "],"user":"u-1","messages":[{"role":"system","content":"Be brief."},{"role":"developer","content":[{"type":"text","text":"No jokes.","cache_control":{"type":"ephemeral"}}]},{"role":"user","content":"Hello"},{"role":"assistant","content":"Hi"},{"role":"user","content":""},{"role":"user","content":"How are you?"}]}"#,
    ),
    (
        "pictures and a document",
        r#"{"model":"MODEL","messages":[{"role":"user","content":[{"type":"text","text":"What is this?"},{"type":"image_url","image_url":{"url":"data:image/png;base64,aGVsbG8="}},{"type":"file","file":{"filename":"annual_report.2026.pdf","file_data":"data:application/pdf;base64,cGRm"}}]}]}"#,
    ),
    (
        "tools, parallel calls and their results",
        r#"{"model":"MODEL","parallel_tool_calls":false,"tool_choice":"auto","tools":[{"type":"function","function":{"name":"weather","description":"The weather.","strict":true,"parameters":{"type":"object","properties":{"town":{"type":"string"},"at":{"type":"string"}},"required":["town","at"],"additionalProperties":false}}},{"type":"function","function":{"name":"now"}}],"messages":[{"role":"user","content":"Weather in Bonn and Rome?"},{"role":"assistant","content":null,"tool_calls":[{"id":"call_1","type":"function","function":{"name":"weather","arguments":"{\"town\": \"Bonn\", \"at\": \"noon\"}"}},{"id":"call_2","type":"function","function":{"name":"weather","arguments":"{\"town\":"}},{"id":"call_3","type":"function","function":{"name":"now","arguments":""}}]},{"role":"tool","tool_call_id":"call_1","content":"{\"sky\":\"blue\"}"},{"role":"tool","tool_call_id":"call_2","content":[{"type":"text","text":"no such town"}]},{"role":"tool","tool_call_id":"call_3","content":""},{"role":"user","content":"Go on"}]}"#,
    ),
    (
        "a tool that must be called, among allowed ones",
        r#"{"model":"MODEL","reasoning_effort":"high","tool_choice":{"type":"allowed_tools","allowed_tools":{"mode":"required","tools":[{"type":"function","function":{"name":"b"}}]}},"tools":[{"type":"function","function":{"name":"a"}},{"type":"function","function":{"name":"b"}}],"messages":[{"role":"user","content":"Hello"}]}"#,
    ),
    (
        "one tool by name and the older form of functions",
        r#"{"model":"MODEL","function_call":{"name":"a"},"functions":[{"name":"a","parameters":{"type":"object"}}],"messages":[{"role":"user","content":"Hello"},{"role":"assistant","content":null,"function_call":{"name":"a","arguments":"{}"}},{"role":"function","name":"a","content":"done"}]}"#,
    ),
    (
        "no tool may be called",
        r#"{"model":"MODEL","tool_choice":"none","tools":[{"type":"function","function":{"name":"a"}}],"messages":[{"role":"user","content":"Hello"}]}"#,
    ),
    (
        "an answer of a schema",
        r#"{"model":"MODEL","response_format":{"type":"json_schema","json_schema":{"name":"person","strict":true,"schema":{"type":"object","properties":{"reason":{"type":"string"},"age":{"type":"integer"}},"required":["reason","age"],"additionalProperties":false}}},"messages":[{"role":"user","content":"Ann is 42"}]}"#,
    ),
    (
        "an answer in JSON",
        r#"{"model":"MODEL","response_format":{"type":"json_object"},"messages":[{"role":"system","content":"Be brief."},{"role":"user","content":"Ann is 42"}]}"#,
    ),
    (
        "thinking, with the thoughts of the turn before",
        r#"{"model":"MODEL","reasoning_effort":"medium","temperature":0.2,"max_tokens":20000,"tools":[{"type":"function","function":{"name":"now"}}],"messages":[{"role":"user","content":"What time is it?"},{"role":"assistant","content":"Let me see.","reasoning_content":"A clock.","thinking_blocks":[{"type":"thinking","thinking":"A clock.","signature":"c2ln"},{"type":"redacted_thinking","data":"cmVk"},{"type":"thinking","thinking":"unsigned"}],"tool_calls":[{"id":"call_1","type":"function","function":{"name":"now","arguments":"{}"},"extra_content":{"google":{"thought_signature":"Z29v"}}}]},{"role":"tool","tool_call_id":"call_1","content":"noon"}]}"#,
    ),
];

/// Requests that not every provider can be asked: a name, the request, and the field at fault.
pub(crate) const MISTAKES: &[(&str, &str)] = &[
    (r#"{"model":"m","messages":[{"role":"robot","content":"x"}]}"#, "messages[0].role"),
    (r#"{"model":"m","messages":[{"role":"user","content":[{"type":"video"}]}]}"#, "messages[0].content[0]"),
    (r#"{"model":"m","messages":[{"role":"tool","content":"x"}]}"#, "messages[0].tool_call_id"),
    (r#"{"model":"m","messages":[{"role":"user","content":"x"}],"tools":[{"type":"function"}]}"#, "tools[0]"),
    (r#"{"model":"m","messages":[{"role":"user","content":[{"type":"file","file":{}}]}]}"#, "messages[0].content[0]"),
    (r#"{"model":"m","messages":[{"role":"user","content":"x"}],"tool_choice":"perhaps"}"#, "tool_choice"),
    (
        r#"{"model":"m","messages":[{"role":"user","content":"x"}],"response_format":{"type":"xml"}}"#,
        "response_format.type",
    ),
    (r#"{"model":"m","messages":[{"role":"user","content":"x"}],"reasoning_effort":"very"}"#, "reasoning_effort"),
    (r#"{"model":"m","messages":[{"role":"user","content":"x"}],"max_tokens":"many"}"#, "max_tokens"),
    (r#"{"model":"m","messages":[{"role":"user","content":"x"}],"stop":7}"#, "stop"),
];

/// Requests that OpenAI answers and no translation has words for: the request, and the field.
pub(crate) const OPENAIS_OWN: &[(&str, &str)] = &[
    (r#"{"model":"m","messages":[],"tools":[{"type":"custom","custom":{"name":"x"}}]}"#, "tools[0]"),
    (r#"{"model":"m","messages":[],"tools":[{"type":"web_search"}]}"#, "tools[0]"),
    (
        r#"{"model":"m","messages":[{"role":"assistant","tool_calls":[{"id":"c","type":"custom","custom":{"name":"x","input":"y"}}]}]}"#,
        "messages[0].tool_calls[0]",
    ),
];

/// What a translation makes of every request of the corpus, for a snapshot.
pub(crate) fn told(model: &str, translate: fn(&Asked<'_>) -> Result<Bytes, Untranslatable>) -> String {
    let one = |(name, request): &(&str, &str)| {
        let request = request.replace("MODEL", model);
        let asked = Asked::read(request.as_bytes()).unwrap();
        let said = match translate(&asked) {
            Ok(body) => format!("{:#}", serde_json::from_slice::<Value>(&body).unwrap()),
            Err(error) => format!("refused: {error}"),
        };
        format!("# {name}\n{said}\n")
    };
    REQUESTS.iter().map(one).collect::<Vec<_>>().join("\n")
}

/// What a translation makes of one request.
pub(crate) fn tell(request: &str, translate: fn(&Asked<'_>) -> Result<Bytes, Untranslatable>) -> String {
    match Asked::read(request.as_bytes()).and_then(|asked| translate(&asked)) {
        Ok(body) => String::from_utf8(body.to_vec()).unwrap(),
        Err(error) => format!("refused: {error}"),
    }
}

/// JSON with a line for every field.
pub(crate) fn pretty(json: &[u8]) -> String {
    format!("{:#}", serde_json::from_slice::<Value>(json).unwrap())
}

/// The events of a stream that comes in these chunks.
pub(crate) fn events(mut decoder: Decoder, chunks: &[&[u8]]) -> Vec<SseEvent> {
    let mut events = Vec::new();
    for chunk in chunks {
        decoder.push(Bytes::copy_from_slice(chunk));
        while let Some(event) = decoder.next_event().unwrap() {
            events.push(event);
        }
    }
    events.extend(decoder.finish());
    events
}

/// The bytes that a client reads of a stream.
pub(crate) fn relayed(decoder: Decoder, stream: &[u8]) -> String {
    let raw = events(decoder, &[stream]).into_iter().flat_map(|event| event.raw.to_vec()).collect();
    String::from_utf8(raw).unwrap()
}

/// A stamp for answers.
pub(crate) fn stamp() -> Stamp {
    Stamp { id: "chatcmpl-r".to_owned(), created: 1_700_000_000 }
}

/// Checks that a stream which is cut before so many of its last bytes never says that it is done.
pub(crate) fn never_says_that_it_is_done(decoder: impl Fn() -> Decoder, (stream, last): (&[u8], usize)) {
    for at in 0..stream.len() - last {
        let events = events(decoder(), &[&stream[..at]]);

        assert!(events.iter().all(|event| event.data != "[DONE]"), "cut at {at}");
    }
}

/// Reads whatever these bytes are; only a crash is wrong.
pub(crate) fn read_to_the_end(mut decoder: Decoder, bytes: Vec<u8>) {
    decoder.push(bytes.into());
    while let Ok(Some(_)) = decoder.next_event() {}
    drop(decoder.finish());
}

/// Events that are nearly those of a provider, as a pattern.
pub(crate) const NEARLY_EVENTS: &str = "(data: (\\{\"(type|candidates|index|delta|content_block|error|usage)\":(\"(message_delta|content_block_start|error|tool_use)\"|[0-9]{1,12}|\\[\\{\\}\\]|\\{\\}|null)\\}|[a-z\\{\\}\\[\\]\":]{0,20})\n{1,2}){0,12}";

/// Checks that a stream reads the same wherever it is cut in two, and byte by byte.
pub(crate) fn reads_the_same_however_it_is_cut(decoder: impl Fn() -> Decoder, stream: &[u8]) {
    let whole = events(decoder(), &[stream]);
    assert!(whole.len() > 3, "{whole:?}");
    for at in 0..=stream.len() {
        let (head, tail) = stream.split_at(at);
        assert_eq!(events(decoder(), &[head, tail]), whole, "cut at {at}");
    }
    let bytes: Vec<&[u8]> = stream.chunks(1).collect();
    assert_eq!(events(decoder(), &bytes), whole, "byte by byte");
}
