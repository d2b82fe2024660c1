use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::chat::dialect::corpus::{answered, any_json, cases, check_cuts, data, events, events_of, streams, told};
use crate::chat::dialect::{Dialect, Naming};
use crate::chat::generate_content::error::status_word;
use crate::chat::openai::ChatRequest;

fn read(body: &str) -> GenerateContentRequest {
    GenerateContentRequest::parse(body.as_bytes(), "auto:quality", Delivery::Stream(Framing::Events)).unwrap()
}

fn parse(body: &str) -> ChatRequest {
    read(body).chat
}

fn answering(delivery: Delivery, config: &Value) -> CandidateWriter {
    let body = json!({ "contents": [{ "parts": [{ "text": "Hi" }] }], "generationConfig": config }).to_string();
    let request = GenerateContentRequest::parse(body.as_bytes(), "auto", delivery).unwrap();
    request.reply.writer(Naming { key: "01".to_owned(), created: 5, input_tokens: 11 })
}

fn writing(delivery: Delivery, candidates: u64) -> CandidateWriter {
    answering(delivery, &json!({ "candidateCount": candidates, "thinkingConfig": { "includeThoughts": true } }))
}

/// For a client that did not ask to see thoughts.
fn sealing() -> CandidateWriter {
    answering(Delivery::Stream(Framing::Events), &json!({}))
}

fn writer() -> CandidateWriter {
    writing(Delivery::Stream(Framing::Events), 1)
}

fn listing() -> CandidateWriter {
    writing(Delivery::Stream(Framing::List), 1)
}

#[test]
fn requests_become_chat_completions() {
    let mut said = String::new();
    for (name, body) in cases(include_str!("requests.txt")) {
        let sent = String::from_utf8(parse(body).body_for("upstream-model").to_vec()).unwrap();
        assert!(serde_json::from_str::<Value>(&sent).is_ok(), "{sent}");
        said.push_str(&format!("=== {name}\n{sent}\n"));
    }
    insta::assert_snapshot!(said);
}

/// What a server of OpenAI's dialect would refuse, and others understand.
#[test]
fn thoughts_signatures_and_settings_are_kept_for_translations_alone() {
    let mut said = String::new();
    for (name, body) in cases(include_str!("requests.txt")) {
        let chat = parse(body);
        let (plain, rich) = (chat.body_for("upstream-model"), chat.body_to_translate("upstream-model"));
        let plain = String::from_utf8(plain.to_vec()).unwrap();
        for foreign in ["thinking_blocks", "top_k", "HARM_", "extra_content", "effort\":\"none"] {
            assert!(!plain.contains(foreign), "{name}: {plain}");
        }
        if rich != plain {
            said.push_str(&format!("=== {name}\n{}\n", String::from_utf8(rich.to_vec()).unwrap()));
        }
    }
    insta::assert_snapshot!(said);
}

#[test]
fn the_address_names_the_model_and_whether_to_stream() {
    let body = br#"{"model": "models/other", "contents": [{"parts": [{"text": "Hi"}]}]}"#;
    for (delivery, streams) in [(Delivery::Whole, false), (Delivery::Stream(Framing::List), true)] {
        let chat = GenerateContentRequest::parse(body, "auto:economy", delivery).unwrap().chat;

        assert_eq!((chat.model.as_str(), chat.stream, chat.wants_usage), ("auto:economy", streams, streams));
    }
}

#[test]
fn a_whole_request_is_counted_like_its_contents() {
    let count = |body: &str| {
        let request = GenerateContentRequest::parse_counted(body.as_bytes(), "auto").unwrap();
        request.chat.prompt.shape.input_tokens
    };
    let contents = r#""contents": [{"parts": [{"text": "How many are these?"}]}]"#;

    assert_eq!(count(&format!("{{{contents}}}")), count(&format!(r#"{{"generateContentRequest": {{{contents}}}}}"#)));
}

#[test]
fn whole_answers_become_candidates() {
    insta::assert_snapshot!(answered(writer));
}

#[test]
fn streams_become_pieces() {
    insta::assert_snapshot!(told(writer));
}

#[test]
fn pieces_do_not_depend_on_how_the_stream_is_cut() {
    check_cuts(writer);
    check_cuts(listing);
}

#[test]
fn a_list_has_the_pieces_that_the_events_have() {
    for (name, stream) in streams() {
        let listed = events(listing(), &[stream.as_bytes()]);
        let list: Vec<Value> =
            serde_json::from_str(&listed).unwrap_or_else(|error| panic!("{name}: {error}: {listed}"));

        // In a list a sign of life is space, among events a piece without a word.
        let sign = json!({ "candidates": [{ "content": { "parts": [{ "text": "" }], "role": "model" }, "index": 0 }] });
        let pieces = data(&events(writer(), &[stream.as_bytes()])).into_iter().filter(|piece| *piece != sign);
        assert_eq!(list, pieces.collect::<Vec<_>>(), "{name}");
        assert!(list.iter().all(|piece| piece.get("error").is_some() || piece["candidates"].is_array()), "{name}");
        let last = list.last().unwrap();
        let is_ended = last["candidates"][0]["finishReason"].is_string() && last["usageMetadata"].is_object();
        assert!(is_ended || last["error"]["code"].is_u64(), "{name}: {last}");
    }
}

#[test]
fn a_stream_tells_what_a_whole_answer_tells() {
    let pieces = data(&events_of(writer(), "a text, then a tool call"));
    let parts = pieces.iter().flat_map(|piece| piece["candidates"][0]["content"]["parts"].as_array().unwrap());
    let calls: Vec<&Value> = parts.filter_map(|part| part.get("functionCall")).collect();

    assert_eq!(calls, [&json!({ "id": "call_a", "name": "get_weather", "args": { "city": "Zü}rich\"" } })]);
    let usage = json!({ "promptTokenCount": 120, "cachedContentTokenCount": 64, "candidatesTokenCount": 18, "thoughtsTokenCount": 12, "totalTokenCount": 150 });
    assert_eq!(pieces.last().unwrap()["usageMetadata"], usage);
}

#[test]
fn every_candidate_is_told_that_was_asked_for_and_no_other() {
    let choice =
        |index: u64, text: &str| json!({ "index": index, "message": { "content": text }, "finish_reason": "stop" });
    let answer = json!({ "model": "m", "choices": [choice(1, "b"), choice(0, "a"), choice(2, "c")] }).to_string();
    let whole: Value = serde_json::from_slice(&writing(Delivery::Whole, 2).whole(answer.as_bytes()).unwrap()).unwrap();
    let stream = format!("data: {}\n\ndata: [DONE]\n\n", answer.replace("message", "delta"));
    let streamed = data(&events(writing(Delivery::Stream(Framing::Events), 2), &[stream.as_bytes()]));

    let texts = |piece: &Value| {
        let candidates = piece["candidates"].as_array().unwrap().iter();
        candidates.map(|one| (one["index"].clone(), one["content"]["parts"][0]["text"].clone())).collect::<Vec<_>>()
    };
    let wanted = [(json!(0), json!("a")), (json!(1), json!("b"))];
    assert_eq!(texts(&whole), wanted);
    assert_eq!(texts(&streamed[0]), wanted);
    assert_eq!(texts(streamed.last().unwrap()).len(), 2);
}

/// An answer with thoughts of every kind before calls of which Gemini signed the first.
const THOUGHTFUL: &str = r#"{"model":"m","choices":[{"index":0,"finish_reason":"tool_calls","message":{"content":"I look.","reasoning_content":"Two towns.","thinking_blocks":[{"type":"thinking","thinking":"Two towns.","signature":"openai:a+/="},{"type":"redacted_thinking","data":"cmVk"}],"tool_calls":[{"id":"c1","type":"function","function":{"name":"a","arguments":"{}"},"extra_content":{"google":{"thought_signature":"a+/="}}},{"id":"c2","type":"function","function":{"name":"b","arguments":"{}"}}]}}]}"#;

/// A request with the answer as a client sends it back, and results of its calls.
fn sent_back(mut content: Value) -> ChatRequest {
    // Google's clients write bytes in the other alphabet.
    for part in content["parts"].as_array_mut().unwrap() {
        if let Some(signature) = part["thoughtSignature"].as_str() {
            part["thoughtSignature"] = json!(signature.replace('+', "-").replace('/', "_"));
        }
    }
    let result =
        |id: &str, name: &str| json!({ "functionResponse": { "id": id, "name": name, "response": { "output": "x" } } });
    let body = json!({ "contents": [
        { "role": "user", "parts": [{ "text": "Hi" }] },
        content,
        { "role": "user", "parts": [result("c1", "a"), result("c2", "b")] },
    ] });
    parse(&body.to_string())
}

fn messages_of(body: &[u8]) -> Value {
    serde_json::from_slice::<Value>(body).unwrap()["messages"].clone()
}

#[test]
fn thoughts_and_signatures_come_back_as_they_were() {
    for (writer, shown) in [(writer(), "Two towns."), (sealing(), "")] {
        let whole: Value = serde_json::from_slice(&writer.whole(THOUGHTFUL.as_bytes()).unwrap()).unwrap();
        let content = whole["candidates"][0]["content"].clone();
        assert_eq!((&content["parts"][0]["text"], &content["parts"][0]["thought"]), (&json!(shown), &json!(true)));
        assert_eq!(content["parts"][3]["thoughtSignature"], "a+/=");

        let chat = sent_back(content);

        let (server, translation) = (messages_of(&chat.body_for("m")), messages_of(&chat.body_to_translate("m")));
        let said = &translation[1];
        let signed = json!({ "type": "thinking", "thinking": "Two towns.", "signature": "openai:a+/=" });
        assert_eq!(said["thinking_blocks"], json!([signed, { "type": "redacted_thinking", "data": "cmVk" }]));
        assert_eq!(said["reasoning_content"], "Two towns.");
        assert_eq!(said["tool_calls"][0]["extra_content"]["google"]["thought_signature"], "a+/=");
        assert!(said["tool_calls"][1].get("extra_content").is_none(), "{said}");
        assert_eq!((&said["content"], &translation[3]["tool_call_id"]), (&json!("I look."), &json!("c2")));
        for foreign in ["signature", "thinking", "openai:", "Two towns"] {
            assert!(!server.to_string().contains(foreign), "{server}");
        }
    }
}

#[test]
fn words_of_thoughts_are_told_to_those_alone_who_ask_for_them() {
    let thought = r#"{"model":"m","choices":[{"index":0,"message":{"reasoning_content":"Hm.","content":"Yes."},"finish_reason":"stop"}]}"#;
    let texts = |writer: CandidateWriter| {
        let whole: Value = serde_json::from_slice(&writer.whole(thought.as_bytes()).unwrap()).unwrap();
        let content = whole["candidates"][0]["content"].clone();
        let texts = content["parts"].as_array().unwrap().iter().map(|part| part["text"].as_str().unwrap().to_owned());
        (texts.collect::<Vec<_>>(), content)
    };
    let (told, (sealed, content)) = (texts(writer()).0, texts(sealing()));

    assert_eq!((told, sealed), (vec!["Hm.".to_owned(), "Yes.".to_owned()], vec![String::new(), "Yes.".to_owned()]));
    // A provider that signs nothing gets the words of its thought all the same.
    let body = json!({ "contents": [{ "parts": [{ "text": "Hi" }] }, content, { "parts": [{ "text": "And?" }] }] });
    let said = &messages_of(&parse(&body.to_string()).body_to_translate("m"))[1];
    assert_eq!((&said["reasoning_content"], said.get("thinking_blocks")), (&json!("Hm."), None));
    for (name, stream) in streams() {
        let (all, few) = (events(writer(), &[stream.as_bytes()]), events(sealing(), &[stream.as_bytes()]));
        let spoken = |told: &str| -> String {
            let parts = data(told)
                .into_iter()
                .flat_map(|piece| piece["candidates"][0]["content"]["parts"].as_array().cloned().unwrap_or_default());
            parts
                .filter(|part| part.get("thought").is_none())
                .filter_map(|part| Some(part["text"].as_str()?.to_owned()))
                .collect()
        };
        assert_eq!(spoken(&all), spoken(&few), "{name}");
        let shows = data(&few).iter().any(|piece| {
            let parts = piece["candidates"][0]["content"]["parts"].as_array();
            parts.into_iter().flatten().any(|part| part["thought"] == true && part["text"] != "")
        });
        assert!(!shows, "{name}: {few}");
    }
}

#[test]
fn the_ask_is_found_under_results() {
    let asks: Vec<String> = cases(include_str!("requests.txt")).map(|(_, body)| parse(body).prompt.ask).collect();

    for ask in ["So, which is nicer?", "Hurry.", "Go."] {
        assert!(asks.contains(&ask.to_owned()), "{ask}: {asks:?}");
    }
}

#[test]
fn what_cannot_be_said_is_refused_by_name() {
    let contents = |parts: Value| json!({ "contents": [{ "parts": parts }] });
    let model = |parts: Value| json!({ "contents": [{ "role": "model", "parts": parts }] });
    let with = |name: &str, value: Value| {
        let mut body = contents(json!([{ "text": "Hi" }]));
        body[name] = value;
        body
    };
    let config = |name: &str, value: Value| with("generationConfig", json!({ name: value }));
    let json_of = |schema: Value| {
        with("generationConfig", json!({ "responseMimeType": "application/json", "responseSchema": schema }))
    };
    let calling = |value: Value| with("toolConfig", json!({ "functionCallingConfig": value }));
    let deep = (0..80).fold(json!({ "type": "STRING" }), |inner, _| json!({ "type": "ARRAY", "items": inner }));
    let cases = [
        (json!({}), "contents"),
        (json!({ "contents": [] }), "contents"),
        (json!({ "contents": "Hi" }), "contents"),
        (json!({ "contents": [7] }), "contents[0]"),
        (json!({ "contents": [{ "role": "system", "parts": [] }] }), "contents[0].role"),
        (contents(json!({ "text": "Hi" })), "contents[0].parts"),
        (contents(json!([{ "text": 7 }])), "contents[0].parts[0].text"),
        (contents(json!([{ "executableCode": {} }])), "contents[0].parts[0]"),
        (contents(json!([{ "inlineData": { "mimeType": "image/png" } }])), "contents[0].parts[0].inlineData.data"),
        (
            contents(json!([{ "inlineData": { "mimeType": "png", "data": "" } }])),
            "contents[0].parts[0].inlineData.mimeType",
        ),
        (
            contents(json!([{ "fileData": { "mimeType": "video/mp4", "fileUri": "u" } }])),
            "contents[0].parts[0].fileData.mimeType",
        ),
        (contents(json!([{ "functionCall": { "name": "a" } }])), "contents[0].parts[0].functionCall"),
        (contents(json!([{ "functionResponse": { "name": "a" } }])), "contents[0].parts[0].functionResponse"),
        (model(json!([{ "functionCall": {} }])), "contents[0].parts[0].functionCall.name"),
        (model(json!([{ "inlineData": {} }])), "contents[0].parts[0].inlineData"),
        (with("systemInstruction", json!({ "parts": [{ "inlineData": {} }] })), "systemInstruction.parts[0]"),
        (with("systemInstruction", json!("Be kind.")), "systemInstruction"),
        (with("system_instruction", json!(7)), "systemInstruction"),
        (with("cachedContent", json!("cachedContents/1")), "cachedContent"),
        (with("safetySettings", json!(7)), "safetySettings"),
        (with("tools", json!([{ "googleSearch": {} }])), "tools[0].googleSearch"),
        (with("tools", json!([{ "functionDeclarations": [{}] }])), "tools[0].functionDeclarations[0].name"),
        (
            with("tools", json!([{ "functionDeclarations": [{ "name": "a", "parameters": 7 }] }])),
            "tools[0].functionDeclarations[0].parameters",
        ),
        (calling(json!({ "mode": "SOME" })), "toolConfig.functionCallingConfig.mode"),
        (calling(json!({ "allowedFunctionNames": "a" })), "toolConfig.functionCallingConfig.allowedFunctionNames"),
        (config("maxOutputTokens", json!(-1)), "generationConfig.maxOutputTokens"),
        (config("candidateCount", json!(9)), "generationConfig.candidateCount"),
        (config("responseModalities", json!(["IMAGE"])), "generationConfig.responseModalities"),
        (config("responseMimeType", json!("text/x.enum")), "generationConfig.responseMimeType"),
        (config("responseSchema", json!({ "type": "OBJECT" })), "generationConfig.responseSchema"),
        (config("thinkingConfig", json!({ "thinkingBudget": -2 })), "generationConfig.thinkingConfig.thinkingBudget"),
        (config("thinkingConfig", json!({ "thinkingLevel": "WILD" })), "generationConfig.thinkingConfig.thinkingLevel"),
        (json_of(json!(7)), "generationConfig.responseSchema"),
        (json_of(json!({ "anyOf": {} })), "generationConfig.responseSchema.anyOf"),
        (with("trimtab", json!({ "quality": 7 })), "trimtab.quality"),
    ];
    for (body, field) in cases {
        let error = GenerateContentRequest::parse(body.to_string().as_bytes(), "auto", Delivery::Whole).unwrap_err();

        assert_eq!(error.field(), Some(field), "{body}: {error}");
    }
    let error =
        GenerateContentRequest::parse(json_of(deep).to_string().as_bytes(), "auto", Delivery::Whole).unwrap_err();
    assert!(error.to_string().ends_with("must be nested less deep"), "{error}");
    let twice = r#"{"contents": [], "generationConfig": {"topK": 1, "top_k": 2}}"#.replace("[]", r#"[{"parts": []}]"#);
    let error = GenerateContentRequest::parse(twice.as_bytes(), "auto", Delivery::Whole).unwrap_err();
    assert_eq!(error.field(), Some("generationConfig.topK"));
    for bytes in [&b"{"[..], b"\xff", b"[]", b"", b"null"] {
        assert!(GenerateContentRequest::parse(bytes, "auto", Delivery::Whole).is_err());
    }
}

#[test]
fn errors_have_googles_shape() {
    let ours = br#"{"error":{"message":"must be a text","type":"invalid_request_error","param":"model","code":"invalid_request"}}"#;

    let told = json!({ "error": { "code": 400, "message": "model: must be a text", "status": "INVALID_ARGUMENT" } });
    assert_eq!(error_body(400, ours), told);
    let words = [401, 403, 404, 405, 408, 409, 413, 429, 500, 502, 503, 504, 529].map(status_word);
    insta::assert_debug_snapshot!(words);
    assert_eq!(error_body(502, b"nonsense")["error"]["status"], "UNAVAILABLE");
}

/// The words that the readers look for.
const WORDS: &[&str] = &[
    "type",
    "text",
    "thought",
    "functionCall",
    "functionResponse",
    "name",
    "parts",
    "role",
    "model",
    "OBJECT",
    "properties",
    "items",
    "é_",
];

proptest! {
    #[test]
    fn no_request_and_no_answer_makes_it_panic(json in any_json(WORDS), bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        let declared = json!([{ "functionDeclarations": [{ "name": "a", "parameters": json }] }]);
        let config = json!({ "responseMimeType": "application/json", "responseSchema": json });
        for contents in [json!([{ "parts": json }]), json!([{ "role": "model", "parts": [json] }, json])] {
            let body = json!({ "contents": contents, "tools": declared, "generationConfig": config });
            drop(GenerateContentRequest::parse(body.to_string().as_bytes(), "auto", Delivery::Whole));
        }
        drop(writer().whole(json!({ "choices": [json, { "message": json }] }).to_string().as_bytes()));
        let chunk = json!({ "choices": [{ "delta": { "content": json, "tool_calls": [{ "index": 0, "function": json }] }, "finish_reason": null }] });
        let told = events(listing(), &[format!("data: {chunk}\n\ndata: {json}\n\n").as_bytes(), &bytes]);
        // Whatever comes, the list is one.
        let list: Result<Vec<Value>, _> = serde_json::from_str(&told);
        prop_assert!(list.is_ok(), "{}", told);
    }
}
