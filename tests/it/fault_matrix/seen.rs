//! What a caller saw, whatever the dialect. Answers that are not well-formed are an `Err` that says why.

use serde_json::{Value, json};

use crate::fault_matrix::answers::TOOL_ARGUMENTS;
use crate::fault_matrix::cells::Sees;
use crate::support::Reply;

/// How the caller asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    Chat,
    Messages,
    Responses,
    Google,
}

/// What was seen.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Seen {
    Answer(String),
    /// The status, and the dialect's word for what it is.
    Error(u16, String),
    /// The text before the error, and the dialect's word for that.
    Cut(String, String),
    /// The client did not wait for the end.
    Nothing,
}

impl Dialect {
    pub(super) const ALL: [Self; 4] = [Self::Chat, Self::Messages, Self::Responses, Self::Google];

    pub(super) fn path(self, model: &str, stream: bool) -> String {
        match self {
            Self::Chat => "/v1/chat/completions".to_owned(),
            Self::Messages => "/v1/messages".to_owned(),
            Self::Responses => "/v1/responses".to_owned(),
            Self::Google if stream => format!("/v1beta/models/{model}:streamGenerateContent?alt=sse"),
            Self::Google => format!("/v1beta/models/{model}:generateContent"),
        }
    }

    pub(super) fn body(self, model: &str, ask: &str, stream: bool) -> Value {
        let messages = json!([{ "role": "user", "content": ask }]);
        match self {
            Self::Chat => json!({ "model": model, "messages": messages, "stream": stream }),
            Self::Messages => json!({ "model": model, "messages": messages, "max_tokens": 64, "stream": stream }),
            Self::Responses => json!({ "model": model, "input": ask, "stream": stream }),
            Self::Google => json!({ "contents": [{ "role": "user", "parts": [{ "text": ask }] }] }),
        }
    }

    /// What is to be seen, in this dialect.
    pub(super) fn expected(self, sees: Sees, healthy: &str) -> Seen {
        match sees {
            Sees::Healthy => Seen::Answer(healthy.to_owned()),
            Sees::Own(text) => Seen::Answer(text.to_owned()),
            Sees::Error(status, code) => Seen::Error(status, self.word(status, code)),
            Sees::Cut(text, code) => {
                let ours = if matches!(code, "upstream_idle" | "upstream_slow") { 504 } else { 502 };
                // Some codes are the status that the upstream reported.
                let status = code.parse().unwrap_or(ours);
                // Google's calls are told when their arguments are whole.
                let text = if self == Self::Google && text == TOOL_ARGUMENTS { "" } else { text };
                Seen::Cut(text.to_owned(), self.word(status, code))
            }
            Sees::Nothing => Seen::Nothing,
        }
    }

    fn word(self, status: u16, code: &str) -> String {
        let anthropics = match status {
            400 | 422 => "invalid_request_error",
            413 => "request_too_large",
            429 => "rate_limit_error",
            504 => "timeout_error",
            _ => "api_error",
        };
        let googles = match status {
            401 => "UNAUTHENTICATED",
            403 => "PERMISSION_DENIED",
            404 => "NOT_FOUND",
            429 => "RESOURCE_EXHAUSTED",
            502 | 503 => "UNAVAILABLE",
            504 => "DEADLINE_EXCEEDED",
            400..500 => "INVALID_ARGUMENT",
            _ => "INTERNAL",
        };
        match self {
            Self::Messages => anthropics.to_owned(),
            Self::Google => googles.to_owned(),
            // Its codes are words.
            Self::Responses if code == "500" => "server_error".to_owned(),
            Self::Chat | Self::Responses => code.to_owned(),
        }
    }

    /// Reads an answer.
    pub(super) fn read(self, reply: &Reply, stream: bool) -> Result<Seen, String> {
        let wrong = |what: &str| {
            let text: String = reply.text.chars().take(600).collect();
            format!("{what} in {} {:?} {text}", reply.status, reply.headers.get("content-type"))
        };
        let is_stream = reply.headers.get("content-type").is_some_and(|kind| kind == "text/event-stream");
        if is_stream != (stream && reply.status == 200) {
            return Err(wrong("another content type"));
        }
        if is_stream {
            let events = events(&reply.text).ok_or_else(|| wrong("no well-formed events"))?;
            return self.streamed(&events).map_err(wrong);
        }
        let body: Value = serde_json::from_str(&reply.text).map_err(|_| wrong("no JSON"))?;
        let read =
            if reply.status == 200 { self.whole(&body).map(Seen::Answer) } else { self.error(&body, reply.status) };
        read.ok_or_else(|| wrong("another shape"))
    }

    fn error(self, body: &Value, status: u16) -> Option<Seen> {
        let error = body.get("error")?;
        error["message"].as_str().filter(|message| !message.is_empty())?;
        if self == Self::Google {
            error["code"].as_u64().filter(|code| *code == u64::from(status))?;
            return Some(Seen::Error(status, error["status"].as_str()?.to_owned()));
        }
        let kind = error["type"].as_str()?;
        if self == Self::Messages {
            body["request_id"].as_str().filter(|_| body["type"] == "error")?;
            return Some(Seen::Error(status, kind.to_owned()));
        }
        Some(Seen::Error(status, error.get("code")?.as_str().unwrap_or_default().to_owned()))
    }

    /// The text of a whole answer and the arguments of its calls.
    fn whole(self, body: &Value) -> Option<String> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        match self {
            Self::Chat => {
                let message = body["choices"][0].get("message")?;
                Some(text(&message["content"]) + &text(&message["tool_calls"][0]["function"]["arguments"]))
            }
            Self::Messages => {
                let blocks = body["content"].as_array().filter(|_| body["type"] == "message")?;
                Some(blocks.iter().map(|block| text(&block["text"]) + &text(&block["input"]["INVALID_JSON"])).collect())
            }
            Self::Responses => {
                let items = body["output"].as_array().filter(|_| body["object"] == "response")?;
                Some(items.iter().map(|item| text(&item["content"][0]["text"]) + &text(&item["arguments"])).collect())
            }
            Self::Google => google_text(body),
        }
    }

    fn streamed(self, events: &[(String, String)]) -> Result<Seen, &'static str> {
        match self {
            Self::Chat => chat(events),
            Self::Messages => messages(events),
            Self::Responses => responses(events),
            Self::Google => google(events),
        }
    }
}

/// The text of an answer or a piece of one, and the arguments of its calls.
fn google_text(body: &Value) -> Option<String> {
    let content = &body["candidates"].get(0)?["content"];
    let parts = content["parts"].as_array().map_or(&[][..], Vec::as_slice);
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    Some(
        parts
            .iter()
            .map(|part| text(&part["text"]) + &text(&part["functionCall"]["args"]["invalid_arguments"]))
            .collect(),
    )
}

/// The names and the data of events.
fn events(text: &str) -> Option<Vec<(String, String)>> {
    let mut found = Vec::new();
    for event in text.strip_suffix("\n\n")?.split("\n\n") {
        let (mut name, mut data) = (String::new(), String::new());
        for line in event.lines().filter(|line| !line.starts_with(':')) {
            match line.split_once(": ")? {
                ("event", value) => value.clone_into(&mut name),
                ("data", value) => value.clone_into(&mut data),
                _ => return None,
            }
        }
        if !data.is_empty() {
            found.push((name, data));
        }
    }
    Some(found)
}

fn json_of(data: &str) -> Result<Value, &'static str> {
    serde_json::from_str(data).map_err(|_| "an event without JSON")
}

fn chat(events: &[(String, String)]) -> Result<Seen, &'static str> {
    let (last, before) = events.split_last().ok_or("an empty stream")?;
    let mut text = String::new();
    for (_, data) in before {
        let chunk = json_of(data)?;
        if chunk.get("error").is_some() {
            return Err("an error that is not the end");
        }
        if chunk.get("usage").is_some() {
            return Err("usage, which nobody asked for");
        }
        let delta = &chunk["choices"][0]["delta"];
        text += delta["content"].as_str().unwrap_or_default();
        text += delta["tool_calls"][0]["function"]["arguments"].as_str().unwrap_or_default();
    }
    if last.1 == "[DONE]" {
        return Ok(Seen::Answer(text));
    }
    let error = &json_of(&last.1)?["error"];
    error["message"].as_str().ok_or("an end without an error")?;
    // A code is a word, or the status that the error has.
    let code = error["code"].as_str().map_or_else(|| error["code"].to_string(), str::to_owned);
    Ok(Seen::Cut(text, code))
}

fn google(events: &[(String, String)]) -> Result<Seen, &'static str> {
    let mut text = String::new();
    for (at, (_, data)) in events.iter().enumerate() {
        let (data, is_last) = (json_of(data)?, at + 1 == events.len());
        if let Some(error) = data.get("error") {
            error["message"].as_str().ok_or("an error without a message")?;
            let word = error["status"].as_str().filter(|_| is_last).ok_or("an error that is not the end")?;
            return Ok(Seen::Cut(text, word.to_owned()));
        }
        text += &google_text(&data).ok_or("a piece without a candidate")?;
        match (data["candidates"][0].get("finishReason").is_some(), is_last) {
            (true, true) => return Ok(Seen::Answer(text)),
            (false, false) => {}
            _ => return Err("an end that is none"),
        }
    }
    Err("no end")
}

fn messages(events: &[(String, String)]) -> Result<Seen, &'static str> {
    let mut text = String::new();
    let mut open: Vec<u64> = Vec::new();
    for (at, (name, data)) in events.iter().enumerate() {
        let data = json_of(data)?;
        if data["type"] != name.as_str() || (at == 0) != (name == "message_start") {
            return Err("events that are not named or not in order");
        }
        let index = data["index"].as_u64().unwrap_or_default();
        match name.as_str() {
            "content_block_start" => open.push(index),
            "content_block_stop" => open.retain(|one| *one != index),
            "content_block_delta" if !open.contains(&index) => return Err("a delta of no block"),
            "message_stop" if at + 1 == events.len() && open.is_empty() => return Ok(Seen::Answer(text)),
            "error" if at + 1 == events.len() => {
                let kind = data["error"]["type"].as_str().ok_or("an error without a type")?;
                data["error"]["message"].as_str().ok_or("an error without a message")?;
                return Ok(Seen::Cut(text, kind.to_owned()));
            }
            "message_stop" | "error" => return Err("an end that is none"),
            _ => {}
        }
        for field in ["text", "partial_json"] {
            text += data["delta"][field].as_str().unwrap_or_default();
        }
    }
    Err("no end")
}

fn responses(events: &[(String, String)]) -> Result<Seen, &'static str> {
    let mut text = String::new();
    let mut error = None;
    for (at, (name, data)) in events.iter().enumerate() {
        let data = json_of(data)?;
        if data["type"] != name.as_str() || (at == 0) != (name == "response.created") || data["sequence_number"] != at {
            return Err("events that are not named or not in order");
        }
        let is_last = at + 1 == events.len();
        match name.as_str() {
            "response.output_text.delta" | "response.function_call_arguments.delta" => {
                text += data["delta"].as_str().ok_or("a delta without a text")?;
            }
            "error" => {
                data["message"].as_str().ok_or("an error without a message")?;
                error = Some(data["code"].as_str().ok_or("an error without a code")?.to_owned());
            }
            "response.failed" if is_last && data["response"]["status"] == "failed" => {
                return error.map(|code| Seen::Cut(text, code)).ok_or("a failure without an error");
            }
            "response.completed" | "response.incomplete" if is_last && error.is_none() => {
                return Ok(Seen::Answer(text));
            }
            "response.failed" | "response.completed" | "response.incomplete" => return Err("an end that is none"),
            _ => {}
        }
    }
    Err("no end")
}
