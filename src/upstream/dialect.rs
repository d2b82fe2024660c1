//! The dialect of a provider: where a request goes and what it says, and how its answers read.

use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;

use crate::chat::anthropic::stream::AnthropicStream;
use crate::chat::bedrock::stream::BedrockStream;
use crate::chat::gemini::stream::GeminiStream;
use crate::chat::native::decoder::{Decoder, Framed, Translated};
use crate::chat::native::request::Asked;
use crate::chat::native::{Delivery, Refused, Stamp, TOO_LONG, Untranslatable};
use crate::chat::openai_responses::stream::ResponsesStream;
use crate::chat::sse::SseDecoder;
use crate::chat::usage::{NotAnAnswer, is_error_body};
use crate::chat::{anthropic, bedrock, gemini, openai_responses};
use crate::domain::api::Api;
use crate::domain::ids::AccountId;
use crate::upstream::dispatch::{Outgoing, Reader};
use crate::upstream::said::Clue;

const CHAT: &str = "/chat/completions";

/// The dialect of a provider. Whatever it is, what comes out of `upstream` is OpenAI's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// OpenAI's own: bytes pass as they are in both directions.
    OpenAi,
    /// OpenAI's, at the paths of Azure. The model is the name of a deployment.
    Azure {
        /// The value of `api-version`; absent for the paths under `/openai/v1`, which need none.
        api_version: Option<String>,
    },
    /// OpenAI's Responses, where this account asks.
    Responses(AccountId),
    /// Anthropic's Messages.
    Anthropic,
    /// Gemini's `generateContent`.
    Gemini,
    /// Converse of AWS Bedrock.
    Bedrock,
}

/// What is to be said to an upstream.
#[derive(Clone, Debug)]
pub(crate) struct Asking<'a> {
    /// Its own name of the model.
    pub(crate) model: &'a str,
    /// The path of its base URL, which may hold the version already.
    pub(crate) base: &'a str,
    /// The request in OpenAI's dialect.
    pub(crate) body: Bytes,
}

/// A request in a provider's dialect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Spoken {
    /// The path after the base URL, escaped.
    pub(crate) path: String,
    /// One parameter of the query.
    pub(crate) query: Option<(&'static str, String)>,
    /// A header that this request has beside those of every one.
    pub(crate) header: Option<(&'static str, String)>,
    pub(crate) body: Bytes,
}

impl Dialect {
    /// Who reads the body of a call.
    pub(crate) const fn reader(&self) -> Reader {
        match self {
            Self::OpenAi | Self::Azure { .. } => Reader::Server,
            Self::Responses(_) | Self::Anthropic | Self::Gemini | Self::Bedrock => Reader::Translation,
        }
    }

    /// Who asks, where it matters to whom an answer's thoughts are encrypted.
    pub(crate) const fn account(&self) -> Option<&AccountId> {
        match self {
            Self::Responses(account) => Some(account),
            Self::OpenAi | Self::Azure { .. } | Self::Anthropic | Self::Gemini | Self::Bedrock => None,
        }
    }

    /// Whether it is the dialect of this API.
    pub(crate) const fn is_of(&self, api: Api) -> bool {
        match api {
            Api::Messages => matches!(self, Self::Anthropic),
            Api::Responses => matches!(self, Self::Responses(_)),
            Api::GenerateContent => matches!(self, Self::Gemini),
            Api::Chat | Api::Completions | Api::Route | Api::Embeddings => {
                matches!(self, Self::OpenAi | Self::Azure { .. })
            }
        }
    }

    /// The header that carries the bare key; `None` for `authorization: Bearer`.
    pub(crate) const fn key_header(&self) -> Option<&'static str> {
        match self {
            Self::OpenAi | Self::Responses(_) | Self::Bedrock => None,
            Self::Azure { .. } => Some("api-key"),
            Self::Anthropic => Some("x-api-key"),
            Self::Gemini => Some("x-goog-api-key"),
        }
    }

    /// A header that every request needs.
    pub(crate) const fn header(&self) -> Option<(&'static str, &'static str)> {
        match self {
            Self::Anthropic => Some(("anthropic-version", "2023-06-01")),
            Self::OpenAi | Self::Azure { .. } | Self::Responses(_) | Self::Gemini | Self::Bedrock => None,
        }
    }

    /// The media type of an answer.
    pub(crate) const fn accepts(&self, delivery: Delivery) -> &'static str {
        match (delivery, self) {
            (Delivery::Whole, _) => "application/json",
            (Delivery::Stream, Self::Bedrock) => "application/vnd.amazon.eventstream",
            (Delivery::Stream, Self::OpenAi | Self::Azure { .. } | Self::Responses(_)) => "text/event-stream",
            (Delivery::Stream, Self::Anthropic | Self::Gemini) => "text/event-stream",
        }
    }

    /// A call in this dialect.
    pub(crate) fn speak(&self, outgoing: &Outgoing<'_>, asking: Asking<'_>) -> Result<Spoken, Untranslatable> {
        let Asking { model, base, body } = asking;
        let delivery = if outgoing.stream { Delivery::Stream } else { Delivery::Whole };
        let base = base.trim_end_matches('/');
        let spoken = |path: String, body| Spoken { path, query: None, header: None, body };
        match self {
            Self::OpenAi => Ok(spoken(outgoing.path.to_owned(), body)),
            Self::Azure { api_version } => {
                let query = api_version.clone().map(|version| ("api-version", version));
                Ok(Spoken { query, ..spoken(azure_path(base, (model, outgoing.path)), body) })
            }
            Self::Responses(account) => {
                chat_alone(outgoing, openai_responses::PROVIDER)?;
                let body = openai_responses::request::request(&Asked::read(&body)?, account)?;
                Ok(spoken(openai_responses::PATH.to_owned(), body))
            }
            Self::Anthropic => {
                chat_alone(outgoing, anthropic::PROVIDER)?;
                let path = if base.ends_with("/v1") { "/messages" } else { "/v1/messages" };
                let asked = Asked::read(&body)?;
                let header = asked.betas.clone().map(|betas| (anthropic::BETAS, betas));
                Ok(Spoken { header, ..spoken(path.to_owned(), anthropic::request::request(&asked)?) })
            }
            Self::Gemini => {
                chat_alone(outgoing, gemini::PROVIDER)?;
                let query = outgoing.stream.then(|| ("alt", "sse".to_owned()));
                let body = gemini::request::request(&Asked::read(&body)?)?;
                Ok(Spoken { query, ..spoken(gemini::path(model, delivery), body) })
            }
            Self::Bedrock => {
                chat_alone(outgoing, bedrock::PROVIDER)?;
                Ok(spoken(bedrock::path(model, delivery), bedrock::request::request(&Asked::read(&body)?)?))
            }
        }
    }

    /// A whole answer as a chat completion, with its own words beside it for a client of the same dialect.
    pub(crate) fn completion(&self, body: Bytes, (request_id, api): (&str, Api)) -> Result<Bytes, NotAnAnswer> {
        match self {
            Self::OpenAi | Self::Azure { .. } => Ok(body),
            Self::Responses(account) => openai_responses::answer::completion(&body, &stamp(request_id), account),
            Self::Anthropic if self.is_of(api) => anthropic::answer::with_words(&body, &stamp(request_id)),
            Self::Anthropic => anthropic::answer::completion(&body, &stamp(request_id)),
            Self::Gemini => gemini::answer::completion(&body, &stamp(request_id)),
            Self::Bedrock => bedrock::answer::completion(&body, &stamp(request_id)),
        }
    }

    /// What reads a stream whose events are at most so long, and keeps their own words for a client of the same dialect.
    pub(crate) fn decoder(&self, event_limit: usize, (request_id, api): (&str, Api)) -> Decoder {
        match self {
            Self::OpenAi | Self::Azure { .. } => Decoder::OpenAi(SseDecoder::new(event_limit)),
            Self::Responses(account) => {
                let stream = ResponsesStream::new(stamp(request_id), account.clone());
                Decoder::Responses(Box::new(Translated::new(event_limit, stream)))
            }
            Self::Anthropic => {
                let stream = AnthropicStream::new(stamp(request_id));
                let stream = if self.is_of(api) { stream.with_words() } else { stream };
                Decoder::Anthropic(Box::new(Translated::new(event_limit, stream)))
            }
            Self::Gemini => {
                let stream = GeminiStream::new(stamp(request_id));
                Decoder::Gemini(Box::new(Translated::new(event_limit, stream)))
            }
            Self::Bedrock => {
                Decoder::Bedrock(Box::new(Framed::new(event_limit, BedrockStream::new(stamp(request_id)))))
            }
        }
    }

    /// What an error body says, received with this status, where it is known what it is about.
    pub(crate) fn refused(&self, (status, clue): (u16, Option<Clue>), body: Bytes) -> Refused {
        let code = (clue == Some(Clue::ContextTooLong)).then_some(TOO_LONG);
        match self {
            Self::OpenAi | Self::Azure { .. } | Self::Responses(_) => {
                Refused { status, words: Some(body).filter(|body| is_error_body(body)) }
            }
            Self::Anthropic => anthropic::refused(status, &body, code),
            Self::Gemini => gemini::refused(status, &body, code),
            Self::Bedrock => bedrock::refused(status, &body, code),
        }
    }
}

/// The path of a deployment. Under `/openai/v1` deployments are models and the paths are OpenAI's.
fn azure_path(base: &str, (deployment, path): (&str, &str)) -> String {
    if base.ends_with("/openai/v1") {
        return path.to_owned();
    }
    let folder = if base.ends_with("/openai") { "" } else { "/openai" };
    format!("{folder}/deployments/{}{path}", crate::chat::native::escape(deployment, b""))
}

/// Refuses what is no chat completion.
fn chat_alone(outgoing: &Outgoing<'_>, provider: &'static str) -> Result<(), Untranslatable> {
    if outgoing.path == CHAT {
        return Ok(());
    }
    let problem = "trimtab translates chat completions alone; choose a model of an OpenAI-compatible upstream";
    Err(Untranslatable::Unsupported { field: "model".to_owned(), provider, problem })
}

fn stamp(request_id: &str) -> Stamp {
    let created = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    Stamp { id: format!("chatcmpl-{request_id}"), created }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(dialect: &Dialect, base: &str, model: &str) -> (String, Option<(&'static str, String)>) {
        let body = |model: &str, _: Reader| {
            Bytes::from(format!(r#"{{"model":"{model}","messages":[{{"role":"user","content":"hi"}}],"stream":true}}"#))
        };
        let outgoing = Outgoing {
            path: CHAT,
            api: Api::Chat,
            expects: crate::upstream::dispatch::Expects::Completion,
            stream: true,
            wants_usage: false,
            body: &body,
            request_id: "r",
            prompt_tokens: 1,
        };
        let spoken = dialect.speak(&outgoing, Asking { model, base, body: body(model, dialect.reader()) }).unwrap();
        (spoken.path, spoken.query)
    }

    #[test]
    fn every_dialect_has_its_path() {
        let azure = Dialect::Azure { api_version: Some("2024-10-21".to_owned()) };
        let version = Some(("api-version", "2024-10-21".to_owned()));
        let cases = [
            (&Dialect::Anthropic, "/", "claude", "/v1/messages", None),
            (&Dialect::Responses("a".into()), "/v1", "gpt", "/responses", None),
            (&Dialect::Anthropic, "/v1/", "claude", "/messages", None),
            (
                &Dialect::Gemini,
                "/v1beta",
                "gemini-3",
                "/models/gemini-3:streamGenerateContent",
                Some(("alt", "sse".to_owned())),
            ),
            (&azure, "/", "my gpt", "/openai/deployments/my%20gpt/chat/completions", version.clone()),
            (&azure, "/openai", "d", "/deployments/d/chat/completions", version),
            (&Dialect::Azure { api_version: None }, "/openai/v1", "d", "/chat/completions", None),
            (&Dialect::Bedrock, "/", "arn:aws:b/x", "/model/arn%3Aaws%3Ab%2Fx/converse-stream", None),
        ];
        for (dialect, base, model, expected, query) in cases {
            assert_eq!(path(dialect, base, model), (expected.to_owned(), query), "{dialect:?} {base}");
        }
    }
}
