//! What each translation keeps, says otherwise and loses: every field is put through it, once there and once not, and `docs/losses.md` is
//! written from what became of it.

#![expect(clippy::needless_pass_by_value, reason = "probes are written with `json!`, which makes values")]

mod answers;
mod chat;
mod google;
mod messages;
mod responses;
mod walk;

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use bytes::Bytes;
use serde_json::Value;
use trimtab::chat::generate_content::{Delivery, GenerateContentRequest};
use trimtab::chat::messages::MessagesRequest;
use trimtab::chat::native::Untranslatable;
use trimtab::chat::native::request::Asked;
use trimtab::chat::openai::ChatRequest;
use trimtab::chat::responses::ResponsesRequest;
use trimtab::chat::{anthropic, bedrock, gemini, openai_responses};
use trimtab::domain::api::Api;
use trimtab::domain::ids::AccountId;

use self::walk::{Fate, fate};

/// Something that a request or an answer may hold.
struct Probe {
    /// What it is, in a cell of the table.
    name: &'static str,
    /// What is looked for: the value, or a part of it that no translation changes.
    given: Value,
    without: Value,
    with: Value,
}

impl Probe {
    /// A field of a request, beside others; what is looked for in it.
    fn beside(
        name: &'static str,
        (mut without, others): (Value, Value),
        (field, value, given): (&str, Value, Value),
    ) -> Self {
        without.as_object_mut().unwrap().extend(others.as_object().unwrap().clone());
        let mut with = without.clone();
        with[field] = value;
        Self { name, given, without, with }
    }
}

/// A provider, and the model that is asked of it.
struct Provider {
    name: &'static str,
    /// Its dialect, where a client may speak it too.
    api: Option<Api>,
    ask: fn(&ChatRequest) -> Result<Bytes, Untranslatable>,
}

const PROVIDERS: [Provider; 5] = [
    Provider { name: "OpenAI, Azure", api: Some(Api::Chat), ask: |chat| Ok(chat.body_for("gpt-5.5")) },
    Provider { name: "Responses", api: Some(Api::Responses), ask: |chat| translated((chat, "gpt-5.5"), to_responses) },
    Provider {
        name: "Anthropic",
        api: Some(Api::Messages),
        ask: |chat| translated((chat, "claude-opus-4-6"), anthropic::request::request),
    },
    Provider { name: "Gemini", api: None, ask: |chat| translated((chat, "gemini-3-pro"), gemini::request::request) },
    Provider {
        name: "Bedrock",
        api: None,
        ask: |chat| translated((chat, "eu.anthropic.claude-opus-4-6-v1"), bedrock::request::request),
    },
];

fn to_responses(asked: &Asked<'_>) -> Result<Bytes, Untranslatable> {
    openai_responses::request::request(asked, &AccountId::from("acme"))
}

fn translated(
    (chat, model): (&ChatRequest, &str),
    translate: fn(&Asked<'_>) -> Result<Bytes, Untranslatable>,
) -> Result<Bytes, Untranslatable> {
    translate(&Asked::read(&chat.body_to_translate(model))?)
}

/// A dialect of clients.
struct Client {
    title: &'static str,
    read: fn(&[u8]) -> Option<ChatRequest>,
    probes: fn() -> Vec<Probe>,
}

const CLIENTS: [Client; 4] = [
    Client {
        title: "Requests of `/v1/chat/completions`",
        read: |body| ChatRequest::parse(body).ok(),
        probes: chat::probes,
    },
    Client {
        title: "Requests of `/v1/messages`",
        read: |body| MessagesRequest::parse(body).ok().map(|request| request.chat),
        probes: messages::probes,
    },
    Client {
        title: "Requests of `/v1/responses`",
        read: |body| ResponsesRequest::parse(body).ok().map(|request| request.chat),
        probes: responses::probes,
    },
    Client {
        title: "Requests of `/v1beta/models/…:generateContent`",
        read: |body| GenerateContentRequest::parse(body, "auto", Delivery::Whole).ok().map(|request| request.chat),
        probes: google::probes,
    },
];

const INTRODUCTION: &str = r#"# What translations keep and lose

Written by the tests, which put every field through every translation, once there and once not: `UPDATE_DOCS=1 cargo test --test it losses`.
What a provider's dialect means by its words, and what depends on the model, is told in [providers.md](providers.md) and [dialects.md](dialects.md).

| in these tables | means |
|---|---|
| kept | the same value under the same name |
| `name` | the same value there |
| becomes `name` | said there in other words |
| takes away `name` | said by leaving that out |
| left out | the rest is sent as if it had not been there |
| another model | this target cannot be asked; the next one is |
| 400 | refused before any target is chosen, with the field and the remedy |

A list is written as `[]`. Asked are `gpt-5.5`, `claude-opus-4-6` at Anthropic and at Bedrock, and `gemini-3-pro`; the presets of `kind = "openai"` leave out what is told in [providers.md](providers.md).
"#;

/// What becomes of something in a request.
fn asked(client: &Client, provider: &Provider, probe: &Probe) -> Fate {
    let told = |request: &Value| {
        let Some(chat) = (client.read)(request.to_string().as_bytes()) else { return Err(Fate::Refused) };
        let hosted = chat.prompt.shape.hosted.as_ref();
        if hosted.is_some_and(|hosted| Some(hosted.api) != provider.api) {
            return Err(Fate::AnotherModel);
        }
        let body = (provider.ask)(&chat).map_err(|_| Fate::AnotherModel)?;
        Ok(serde_json::from_slice::<Value>(&body).unwrap())
    };
    let without = told(&probe.without).unwrap_or_else(|fate| panic!("{}: {fate:?} without it", probe.name));
    match told(&probe.with) {
        Ok(with) => fate(probe, (&without, &with)),
        Err(fate) => fate,
    }
}

fn table(text: &mut String, (title, columns): (&str, &[&str]), rows: impl Iterator<Item = (&'static str, Vec<Fate>)>) {
    writeln!(text, "\n## {title}\n\n| | {} |\n|---|{}", columns.join(" | "), "---|".repeat(columns.len())).unwrap();
    for (name, fates) in rows {
        let cells: Vec<String> = fates.iter().map(ToString::to_string).collect();
        writeln!(text, "| {name} | {} |", cells.join(" | ")).unwrap();
    }
}

/// The document.
fn document() -> String {
    let mut text = INTRODUCTION.to_owned();
    let providers = PROVIDERS.each_ref().map(|provider| provider.name);
    for client in &CLIENTS {
        let rows = (client.probes)().into_iter().map(|probe| {
            let fates = PROVIDERS.iter().map(|provider| asked(client, provider, &probe)).collect();
            (probe.name, fates)
        });
        table(&mut text, (client.title, &providers), rows);
    }
    answers::tables(&mut text);
    text
}

#[test]
fn the_documented_losses_are_those_of_the_code() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/losses.md");
    let text = document();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&path, &text).unwrap();
    }
    let found = fs::read_to_string(&path).unwrap_or_default();
    assert!(found == text, "docs/losses.md is out of date; run UPDATE_DOCS=1 cargo test --test it losses");
}
