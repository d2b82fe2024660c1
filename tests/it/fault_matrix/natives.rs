//! The same of upstreams that speak dialects of their own: what goes wrong within a stream, and errors in their own shapes.

use crate::fault_matrix::answers::{FIRST, OWN_TEXT};
use crate::fault_matrix::cells::{
    Bill, Cell, Fault, Limits, Moves, Place, THROTTLED, answers, breaks, fails, refuses_as,
};
use crate::support::aws::{exception, frame};
use crate::support::fake::{Reply, in_pieces, json, whole};

/// What an upstream speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Speaks {
    OpenAi,
    Responses,
    Anthropic,
    Gemini,
    Bedrock,
}

/// Whether an answer says how many tokens it has.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Count {
    Told,
    Missing,
}

/// An error, by what it is about.
#[derive(Clone, Copy)]
enum Failure {
    Request,
    Key,
    Rate,
    Server,
    Overload,
}

impl Speaks {
    pub(super) const NATIVE: [Self; 4] = [Self::Responses, Self::Anthropic, Self::Gemini, Self::Bedrock];

    /// Its name in the document.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::OpenAi => "OpenAI",
            Self::Responses => "Responses",
            Self::Anthropic => "Anthropic",
            Self::Gemini => "Gemini",
            Self::Bedrock => "Bedrock",
        }
    }

    /// What stands in its part of the configuration.
    pub(super) const fn toml(self) -> &'static str {
        match self {
            Self::OpenAi => "",
            Self::Responses => "kind = \"responses\"",
            Self::Anthropic => "kind = \"anthropic\"",
            Self::Gemini => "kind = \"gemini\"",
            Self::Bedrock => "kind = \"bedrock\"\nregion = \"eu-central-1\"\napi_key = { env = \"BEDROCK_KEY\" }",
        }
    }

    /// An event of a stream: its name, where it has one, and its data.
    fn event(self, name: &str, data: &str) -> Vec<u8> {
        match self {
            Self::Bedrock => frame(name, data),
            Self::OpenAi | Self::Responses | Self::Anthropic | Self::Gemini => format!("data: {data}\n\n").into_bytes(),
        }
    }

    fn stream(self, pieces: &[impl AsRef<[u8]>]) -> Reply {
        let kind = if self == Self::Bedrock { "application/vnd.amazon.eventstream" } else { "text/event-stream" };
        in_pieces(kind, pieces)
    }

    /// What comes before the first token.
    fn begin(self) -> Vec<u8> {
        match self {
            Self::OpenAi => Vec::new(),
            Self::Responses => self
                .event("", r#"{"type":"response.created","response":{"id":"r","status":"in_progress","model":"m"}}"#),
            Self::Anthropic => self.event("", r#"{"type":"message_start","message":{"id":"msg_1","model":"m"}}"#),
            Self::Gemini => {
                self.event("", r#"{"candidates":[{"content":{"role":"model","parts":[]},"index":0}],"responseId":"r"}"#)
            }
            Self::Bedrock => self.event("messageStart", r#"{"role":"assistant"}"#),
        }
    }

    fn text(self, text: &str) -> Vec<u8> {
        match self {
            Self::OpenAi => Vec::new(),
            Self::Responses => self.event("", &format!(r#"{{"type":"response.output_text.delta","item_id":"m","output_index":0,"content_index":0,"delta":"{text}"}}"#)),
            Self::Anthropic => self.event("", &format!(r#"{{"type":"content_block_delta","index":0,"delta":{{"type":"text_delta","text":"{text}"}}}}"#)),
            Self::Gemini => self.event("", &format!(r#"{{"candidates":[{{"content":{{"role":"model","parts":[{{"text":"{text}"}}]}},"index":0}}],"responseId":"r"}}"#)),
            Self::Bedrock => self.event("contentBlockDelta", &format!(r#"{{"contentBlockIndex":0,"delta":{{"text":"{text}"}}}}"#)),
        }
    }

    /// The reason why the answer ends, and the event that ends the stream.
    fn end(self, count: Count) -> Vec<Vec<u8>> {
        let told = |usage: &'static str| if count == Count::Told { usage } else { "" };
        match self {
            Self::OpenAi => Vec::new(),
            Self::Responses => {
                let usage = told(r#","usage":{"input_tokens":10,"output_tokens":5,"total_tokens":15}"#);
                vec![self.event("", &format!(r#"{{"type":"response.completed","response":{{"id":"r","status":"completed","model":"m"{usage}}}}}"#))]
            }
            Self::Anthropic => {
                let usage = told(r#","usage":{"input_tokens":10,"output_tokens":5}"#);
                let delta = format!(r#"{{"type":"message_delta","delta":{{"stop_reason":"end_turn"}}{usage}}}"#);
                vec![self.event("", &delta), self.event("", r#"{"type":"message_stop"}"#)]
            }
            Self::Gemini => {
                let usage =
                    told(r#","usageMetadata":{"promptTokenCount":10,"candidatesTokenCount":5,"totalTokenCount":15}"#);
                vec![self.event("", &format!(r#"{{"candidates":[{{"content":{{"parts":[]}},"finishReason":"STOP","index":0}}],"responseId":"r"{usage}}}"#))]
            }
            Self::Bedrock => {
                let usage = told(r#","usage":{"inputTokens":10,"outputTokens":5,"totalTokens":15}"#);
                let metadata = format!(r#"{{"metrics":{{}}{usage}}}"#);
                vec![self.event("messageStop", r#"{"stopReason":"end_turn"}"#), self.event("metadata", &metadata)]
            }
        }
    }

    /// An error inside a stream that is the provider's.
    fn error(self) -> Vec<u8> {
        match self {
            Self::OpenAi => Vec::new(),
            Self::Responses => self.event("", r#"{"type":"error","code":"server_error","message":"oh"}"#),
            Self::Anthropic => self.event("", r#"{"type":"error","error":{"type":"api_error","message":"oh"}}"#),
            Self::Gemini => self.event("", r#"{"error":{"code":500,"message":"oh","status":"INTERNAL"}}"#),
            Self::Bedrock => exception("internalServerException", r#"{"message":"oh"}"#),
        }
    }

    fn malformed(self) -> Vec<u8> {
        self.event("contentBlockDelta", r#"{"type": "#)
    }

    /// A whole answer that says [`OWN_TEXT`].
    fn answer(self, count: Count) -> String {
        let told = |usage: &'static str| if count == Count::Told { usage } else { "" };
        match self {
            Self::OpenAi => String::new(),
            Self::Responses => {
                let usage = told(r#","usage":{"input_tokens":10,"output_tokens":5,"total_tokens":15}"#);
                format!(
                    r#"{{"id":"r","status":"completed","model":"m","output":[{{"type":"message","content":[{{"type":"output_text","text":"{OWN_TEXT}"}}]}}]{usage}}}"#
                )
            }
            Self::Anthropic => {
                let usage = told(r#","usage":{"input_tokens":10,"output_tokens":5}"#);
                format!(
                    r#"{{"id":"msg_1","type":"message","role":"assistant","model":"m","content":[{{"type":"text","text":"{OWN_TEXT}"}}],"stop_reason":"end_turn"{usage}}}"#
                )
            }
            Self::Gemini => {
                let usage =
                    told(r#","usageMetadata":{"promptTokenCount":10,"candidatesTokenCount":5,"totalTokenCount":15}"#);
                format!(
                    r#"{{"candidates":[{{"content":{{"role":"model","parts":[{{"text":"{OWN_TEXT}"}}]}},"finishReason":"STOP","index":0}}],"responseId":"r"{usage}}}"#
                )
            }
            Self::Bedrock => {
                let usage = told(r#","usage":{"inputTokens":10,"outputTokens":5,"totalTokens":15}"#);
                format!(
                    r#"{{"output":{{"message":{{"role":"assistant","content":[{{"text":"{OWN_TEXT}"}}]}}}},"stopReason":"end_turn"{usage}}}"#
                )
            }
        }
    }

    /// An error instead of an answer, in the provider's own shape: its status, and its word.
    const fn refusal(self, failure: Failure) -> (u16, &'static str) {
        match (self, failure) {
            (Self::OpenAi | Self::Responses, Failure::Request) => (400, "invalid_value"),
            (Self::OpenAi | Self::Responses, Failure::Key) => (401, "invalid_api_key"),
            (Self::OpenAi | Self::Responses, Failure::Rate) => (429, "rate_limit_exceeded"),
            (Self::OpenAi | Self::Responses, Failure::Server) => (500, "server_error"),
            (Self::OpenAi | Self::Responses, Failure::Overload) => (503, "server_is_overloaded"),
            (Self::Anthropic, Failure::Request) => (400, "invalid_request_error"),
            (Self::Anthropic, Failure::Key) => (401, "authentication_error"),
            (Self::Anthropic, Failure::Rate) => (429, "rate_limit_error"),
            (Self::Anthropic, Failure::Server) => (500, "api_error"),
            (Self::Anthropic, Failure::Overload) => (529, "overloaded_error"),
            (Self::Gemini, Failure::Request) => (400, "INVALID_ARGUMENT"),
            // A wrong key is reported as a wrong request.
            (Self::Gemini, Failure::Key) => (400, "INVALID_ARGUMENT"),
            (Self::Gemini, Failure::Rate) => (429, "RESOURCE_EXHAUSTED"),
            (Self::Gemini, Failure::Server) => (500, "INTERNAL"),
            (Self::Gemini, Failure::Overload) => (503, "UNAVAILABLE"),
            (Self::Bedrock, Failure::Request) => (400, "ValidationException"),
            (Self::Bedrock, Failure::Key) => (403, "UnrecognizedClientException"),
            (Self::Bedrock, Failure::Rate) => (429, "ThrottlingException"),
            (Self::Bedrock, Failure::Server) => (500, "InternalServerException"),
            (Self::Bedrock, Failure::Overload) => (503, "ServiceUnavailableException"),
        }
    }

    fn fails(self, failure: Failure) -> Reply {
        let (status, word) = self.refusal(failure);
        let body = match (self, failure) {
            (Self::OpenAi | Self::Responses, _) => {
                format!(r#"{{"error":{{"message":"oh","type":"{word}","param":null,"code":"{word}"}}}}"#)
            }
            (Self::Anthropic, _) => {
                format!(r#"{{"type":"error","error":{{"type":"{word}","message":"oh"}},"request_id":"req_1"}}"#)
            }
            (Self::Gemini, Failure::Key) => format!(
                r#"{{"error":{{"code":{status},"message":"API key not valid","status":"{word}","details":[{{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"API_KEY_INVALID"}}]}}}}"#
            ),
            (Self::Gemini, _) => format!(r#"{{"error":{{"code":{status},"message":"oh","status":"{word}"}}}}"#),
            (Self::Bedrock, _) => r#"{"message":"oh"}"#.to_owned(),
        };
        let reply = whole(status, "application/json", body.as_bytes());
        if self == Self::Bedrock { reply.header("x-amzn-errortype", word) } else { reply }
    }

    /// The word of a refusal as chat completions have it. Bedrock's bodies have none.
    const fn word(self, failure: Failure) -> &'static str {
        match self {
            Self::Bedrock => "",
            Self::OpenAi | Self::Responses | Self::Anthropic | Self::Gemini => self.refusal(failure).1,
        }
    }
}

/// All of them, fault by fault.
pub(super) fn faults() -> Vec<Fault> {
    let all = Speaks::NATIVE.map(of);
    let faults = all.iter().map(Vec::len).max().unwrap_or_default();
    (0..faults).flat_map(|at| all.iter().map(move |faults| faults[at].clone())).collect()
}

fn of(speaks: Speaks) -> Vec<Fault> {
    let streamed = |name, cell| Fault { name, place: Place::Scripted, speaks, whole: None, stream: Some(cell) };
    let both = |name, cell: Cell| Fault {
        name,
        place: Place::Scripted,
        speaks,
        whole: Some(cell.clone()),
        stream: Some(cell),
    };
    let (begin, first, rest) = (speaks.begin(), speaks.text(FIRST), speaks.text("llo"));
    let pieces = |more: &[Vec<u8>]| [std::slice::from_ref(&begin), more].concat();
    let begun = |more: &[Vec<u8>]| speaks.stream(&pieces(&[std::slice::from_ref(&first), more].concat()));
    let told = |count| [vec![rest.clone()], speaks.end(count)].concat();
    let without_end = {
        let mut events = told(Count::Told);
        events.pop();
        begun(&events)
    };
    let failing = |failure| fails(speaks.fails(failure));
    let key = match speaks {
        Speaks::Bedrock => Moves::Target,
        Speaks::OpenAi | Speaks::Responses | Speaks::Anthropic | Speaks::Gemini => Moves::Key,
    };
    let overload = failing(Failure::Overload);
    let overload = if speaks == Speaks::Anthropic { overload.alone(THROTTLED) } else { overload };
    vec![
        both("refuses the request", refuses_as(speaks.fails(Failure::Request), (400, speaks.word(Failure::Request)))),
        both("refuses the key", failing(Failure::Key).once().counted_by(key)),
        both("429", failing(Failure::Rate).alone(THROTTLED)),
        both("500", failing(Failure::Server)),
        both("overloaded (529 or 503)", overload),
        Fault {
            name: "malformed answer",
            place: Place::Scripted,
            speaks,
            whole: Some(fails(json("{\"id\": "))),
            stream: Some(fails(speaks.stream(&pieces(&[speaks.malformed()])))),
        },
        Fault {
            name: "split at every byte",
            place: Place::Scripted,
            speaks,
            whole: Some(answers(
                in_pieces("application/json", &bytes(speaks.answer(Count::Told).as_bytes())),
                OWN_TEXT,
            )),
            stream: Some(answers(
                speaks.stream(&bytes(&pieces(&[vec![first.clone()], told(Count::Told)].concat()).concat())),
                OWN_TEXT,
            )),
        },
        Fault {
            name: "usage missing",
            place: Place::Scripted,
            speaks,
            whole: Some(answers(json(&speaks.answer(Count::Missing)), OWN_TEXT).billed(Bill::Estimate)),
            stream: Some(answers(begun(&told(Count::Missing)), OWN_TEXT).billed(Bill::Estimate)),
        },
        streamed("cut before the first token", fails(speaks.stream(std::slice::from_ref(&begin)).cut_after(1))),
        streamed("error event before the first token", fails(speaks.stream(&pieces(&[speaks.error()])))),
        streamed("cut after the first token", breaks(begun(&[]).cut_after(2), "upstream_cut")),
        streamed(
            "stalls after the first token",
            breaks(begun(&[]).stall_after(2), "upstream_idle").within(Limits::ShortIdle),
        ),
        streamed("error event after the first token", breaks(begun(&[speaks.error()]), "500")),
        streamed("malformed event after the first token", breaks(begun(&[speaks.malformed()]), "upstream_garbage")),
        streamed("missing last event", ends_without_last(speaks, without_end)),
    ]
}

/// Where the last event is more than the end of the stream, the answer is not known to be whole.
fn ends_without_last(speaks: Speaks, reply: Reply) -> Cell {
    match speaks {
        Speaks::Anthropic | Speaks::OpenAi => answers(reply, OWN_TEXT),
        // It counts the tokens.
        Speaks::Bedrock => answers(reply, OWN_TEXT).billed(Bill::Estimate),
        // It says why the answer ended.
        Speaks::Responses | Speaks::Gemini => breaks(reply, "upstream_cut").after(OWN_TEXT),
    }
}

fn bytes(all: &[u8]) -> Vec<[u8; 1]> {
    all.iter().map(|byte| [*byte]).collect()
}
