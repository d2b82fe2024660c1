//! What a request of Google's may hold.

use serde_json::{Value, json};

use crate::losses::Probe;

/// The probes, in the order of the table.
pub(super) fn probes() -> Vec<Probe> {
    let mut all = settings();
    all.extend(fields());
    all.extend(tools());
    all.extend(contents());
    all
}

/// A field, beside others; what is looked for in it.
fn beside(name: &'static str, others: Value, asked: (&str, Value, Value)) -> Probe {
    Probe::beside(name, (json!({ "contents": [{ "role": "user", "parts": [{ "text": "Hello" }] }] }), others), asked)
}

fn field(name: &'static str, value: Value) -> Probe {
    beside(name, json!({}), (name.trim_matches('`'), value.clone(), value))
}

/// Settings in place of none; what is looked for in them.
fn config(name: &'static str, config: Value, given: Value) -> Probe {
    beside(name, json!({}), ("generationConfig", config, given))
}

/// The setting of this name.
fn setting(name: &'static str, value: Value) -> Probe {
    config(name, json!({ name.trim_matches('`'): value }), value)
}

fn settings() -> Vec<Probe> {
    let schema = json!({ "type": "object", "properties": { "age": { "type": "integer" } }, "required": ["age"], "additionalProperties": false });
    let googles = json!({ "type": "OBJECT", "properties": { "age": { "type": "INTEGER" } }, "required": ["age"] });
    let form = |name: &str, schema: &Value| json!({ "responseMimeType": "application/json", name: schema });
    let thinking =
        |name: &'static str, wish: Value, given: Value| config(name, json!({ "thinkingConfig": wish }), given);
    let likely = json!({ "generationConfig": { "responseLogprobs": true } });
    vec![
        setting("`maxOutputTokens`", json!(64)),
        setting("`temperature`", json!(0.5)),
        setting("`topP`", json!(0.9)),
        setting("`topK`", json!(40)),
        setting("`stopSequences`", json!(["END"])),
        setting("`candidateCount`", json!(2)),
        setting("`seed`", json!(7)),
        setting("`presencePenalty`", json!(0.25)),
        setting("`frequencyPenalty`", json!(0.25)),
        setting("`responseLogprobs`", json!(true)),
        beside(
            "`logprobs`",
            likely,
            ("generationConfig", json!({ "responseLogprobs": true, "logprobs": 3 }), json!(3)),
        ),
        config(
            "`responseMimeType` without a schema",
            json!({ "responseMimeType": "application/json" }),
            json!("application/json"),
        ),
        config("`responseSchema`", form("responseSchema", &googles), schema.clone()),
        config("`responseJsonSchema`", form("responseJsonSchema", &schema), schema),
        thinking("`thinkingLevel`", json!({ "thinkingLevel": "high" }), json!("high")),
        thinking("`thinkingBudget`", json!({ "thinkingBudget": 2048 }), json!(2048)),
        thinking("`thinkingBudget` of 0", json!({ "thinkingBudget": 0 }), json!(0)),
        thinking("`includeThoughts`", json!({ "includeThoughts": true }), json!(true)),
        config("`responseModalities` of pictures", json!({ "responseModalities": ["IMAGE"] }), json!("IMAGE")),
        setting("`mediaResolution`", json!("MEDIA_RESOLUTION_LOW")),
        setting("`speechConfig`", json!({ "languageCode": "de-DE" })),
    ]
}

fn fields() -> Vec<Probe> {
    vec![
        beside(
            "`systemInstruction`",
            json!({}),
            ("systemInstruction", json!({ "parts": [{ "text": "Be brief." }] }), json!("Be brief.")),
        ),
        field("`safetySettings`", json!([{ "category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_NONE" }])),
        field("`cachedContent`", json!("cachedContents/1")),
        field("`labels`", json!({ "a": "b" })),
        field("`serviceTier`", json!("flex")),
        beside("a field that nobody knows", json!({}), ("novelty", json!("new"), json!("new"))),
    ]
}

fn tools() -> Vec<Probe> {
    let town = json!({ "type": "OBJECT", "properties": { "town": { "type": "STRING" } } });
    let offer = |more: (&str, Value)| {
        let mut function = json!({ "name": "weather", "description": "A tool.", "parameters": town });
        function[more.0] = more.1;
        json!([{ "functionDeclarations": [function] }])
    };
    let plain = || json!({ "tools": offer(("description", json!("A tool."))) });
    let calling =
        |calling: Value, given: &str| ("toolConfig", json!({ "functionCallingConfig": calling }), json!(given));
    vec![
        beside("`tools`", json!({}), ("tools", offer(("description", json!("A tool."))), json!("weather"))),
        beside(
            "description of a function",
            plain(),
            ("tools", offer(("description", json!("Rain or sun."))), json!("Rain or sun.")),
        ),
        beside(
            "`parametersJsonSchema`",
            plain(),
            (
                "tools",
                offer(("parametersJsonSchema", json!({ "type": "object", "description": "Where." }))),
                json!("Where."),
            ),
        ),
        beside(
            "`response` of a function",
            plain(),
            ("tools", offer(("response", json!({ "type": "OBJECT", "description": "What." }))), json!("What.")),
        ),
        beside("tools that Google runs", json!({}), ("tools", json!([{ "googleSearch": {} }]), json!({}))),
        beside("`mode` `AUTO`", plain(), calling(json!({ "mode": "AUTO" }), "AUTO")),
        beside("`mode` `ANY`", plain(), calling(json!({ "mode": "ANY" }), "ANY")),
        beside("`mode` `VALIDATED`", plain(), calling(json!({ "mode": "VALIDATED" }), "VALIDATED")),
        beside("`mode` `NONE`", plain(), calling(json!({ "mode": "NONE" }), "NONE")),
        beside(
            "`allowedFunctionNames`",
            plain(),
            calling(json!({ "mode": "ANY", "allowedFunctionNames": ["weather"] }), "weather"),
        ),
    ]
}

/// Contents behind the user's; what is looked for in them.
fn said(name: &'static str, (without, with): (Value, Value), given: &str) -> Probe {
    let of = |more: Value| {
        let mut contents = vec![json!({ "role": "user", "parts": [{ "text": "Hello" }] })];
        contents.extend(more.as_array().unwrap().clone());
        json!({ "contents": contents, "tools": [{ "functionDeclarations": [{ "name": "weather" }] }] })
    };
    Probe { name, given: json!(given), without: of(without), with: of(with) }
}

/// A part of a user's content.
fn part(name: &'static str, part: Value, given: &str) -> Probe {
    let of = |parts: Value| json!([{ "role": "user", "parts": parts }]);
    said(name, (of(json!([{ "text": "See:" }])), of(Value::from(vec![json!({ "text": "See:" }), part]))), given)
}

/// A part before the answer of a model.
fn thought(name: &'static str, part: Value, given: &str) -> Probe {
    let of =
        |parts: Value| json!([{ "role": "model", "parts": parts }, { "role": "user", "parts": [{ "text": "And?" }] }]);
    said(name, (of(json!([{ "text": "Hi" }])), of(Value::from(vec![part, json!({ "text": "Hi" })]))), given)
}

fn contents() -> Vec<Probe> {
    let blob = |mime_type: &str, data: &str| json!({ "inlineData": { "mimeType": mime_type, "data": data } });
    let at = |mime_type: &str, uri: &str| json!({ "fileData": { "mimeType": mime_type, "fileUri": uri } });
    let call = json!({ "functionCall": { "id": "call_1", "name": "weather", "args": {} } });
    let result = |more: (&str, Value)| {
        let mut result = json!({ "id": "call_1", "name": "weather", "response": { "output": "Rain" } });
        result[more.0] = more.1;
        json!({ "functionResponse": result })
    };
    let called = |call: &Value, result: Value| json!([{ "role": "model", "parts": [call] }, { "role": "user", "parts": [result] }]);
    let answer =
        |part: Value| json!([{ "role": "model", "parts": [part] }, { "role": "user", "parts": [{ "text": "And?" }] }]);
    let rain = || result(("name", json!("weather")));
    let mut signed = call.clone();
    signed["thoughtSignature"] = json!("Z29v");
    vec![
        part("an image", blob("image/png", "aGVsbG8="), "aGVsbG8="),
        part("an image by address", at("image/png", "https://a.example/b.png"), "https://a.example/b.png"),
        part("a PDF", blob("application/pdf", "cGRm"), "cGRm"),
        part("sound", blob("audio/wav", "c291bmQ="), "c291bmQ="),
        part("another file by address", at("video/mp4", "https://a.example/b.mp4"), "https://a.example/b.mp4"),
        thought("thoughts in words alone", json!({ "text": "Two towns.", "thought": true }), "Two towns."),
        thought(
            "thoughts that Trimtab told with a signature",
            json!({ "text": "Two towns.", "thought": true, "thoughtSignature": "dHJpbXRhYjpzaWduZWQ6YzJsbg==" }),
            "c2ln",
        ),
        thought(
            "encrypted thoughts",
            json!({ "text": "", "thought": true, "thoughtSignature": "dHJpbXRhYjpzZWNyZXQ6Y21Waw==" }),
            "cmVk",
        ),
        said(
            "signature of a text",
            (answer(json!({ "text": "Hi" })), answer(json!({ "text": "Hi", "thoughtSignature": "Z29v" }))),
            "Z29v",
        ),
        thought(
            "code that Google ran",
            json!({ "executableCode": { "language": "PYTHON", "code": "print(1)" } }),
            "print",
        ),
        said("a call", (json!([]), called(&call, rain())), "call_1"),
        said("signature of a call", (called(&call, rain()), called(&signed, rain())), "Z29v"),
        said(
            "its result",
            (called(&call, rain()), called(&call, result(("response", json!({ "output": "Sunshine" }))))),
            "Sunshine",
        ),
        said(
            "an image in a result",
            (called(&call, rain()), called(&call, result(("parts", json!([blob("image/png", "aGVsbG8=")]))))),
            "aGVsbG8=",
        ),
    ]
}
