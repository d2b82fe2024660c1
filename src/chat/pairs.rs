//! The golden corpus of every pair: a client of each dialect before a provider of each. A snapshot holds the request as the provider reads
//! it, and the provider's answer and stream as the client reads them.

use bytes::Bytes;

use crate::chat::anthropic::tests as anthropic;
use crate::chat::bedrock::tests as bedrock;
use crate::chat::completions::{LegacyWriter, to_chat};
use crate::chat::dialect::corpus::{ANSWERS, cases, events as told, streams};
use crate::chat::dialect::{Dialect, Naming};
use crate::chat::gemini::tests as gemini;
use crate::chat::generate_content::{Delivery, Framing, GenerateContentRequest};
use crate::chat::messages::MessagesRequest;
use crate::chat::native::corpus::{events, pretty, stamp, tell};
use crate::chat::native::decoder::Decoder;
use crate::chat::native::request::Asked;
use crate::chat::native::{Stamp, Untranslatable};
use crate::chat::openai::ChatRequest;
use crate::chat::openai_responses::tests as openai_responses;
use crate::chat::responses::ResponsesRequest;
use crate::chat::sse::SseDecoder;
use crate::chat::usage::NotAnAnswer;
use crate::chat::{anthropic as to_anthropic, bedrock as to_bedrock, gemini as to_gemini};

/// The longest pieces that a stream comes in: a length for each, so that every byte is the last of one.
const LONGEST_PIECE: usize = 32;

/// How a whole answer is told to a client.
type TellWhole = Box<dyn Fn(&[u8]) -> Vec<u8>>;

/// How the events of a stream are told to one.
type TellStream = Box<dyn Fn(&[&[u8]]) -> String>;

/// One who asks: a request, and how the answer to it is told.
struct Client {
    request: ChatRequest,
    whole: TellWhole,
    stream: TellStream,
}

/// One who is asked: its words, and what it answers.
struct Provider {
    name: &'static str,
    /// The request in its words.
    ask: fn(&ChatRequest) -> String,
    answer: &'static str,
    /// The answer as a chat completion.
    completion: fn(&[u8], &Stamp) -> Result<Bytes, NotAnAnswer>,
    stream: Vec<u8>,
    decoder: fn() -> Decoder,
}

/// The same conversation in the dialect of this name.
fn rich(dialect: &str) -> &'static [u8] {
    let mut all = cases(include_str!("fixtures/rich.txt"));
    all.find(|(name, _)| *name == dialect).unwrap().1.trim_end().as_bytes()
}

fn naming() -> Naming {
    Naming { key: "01".to_owned(), created: 5, input_tokens: 11 }
}

fn client<D: Dialect>(request: ChatRequest, writer: impl Fn() -> D + Clone + 'static) -> Client {
    let writer_of_streams = writer.clone();
    Client {
        request,
        whole: Box::new(move |completion| writer().whole(completion).unwrap()),
        stream: Box::new(move |pieces| told(writer_of_streams(), pieces)),
    }
}

/// What the line speaks is passed on as it is.
fn chat() -> Client {
    Client {
        request: ChatRequest::parse(rich("chat")).unwrap(),
        whole: Box::new(<[u8]>::to_vec),
        stream: Box::new(|pieces| String::from_utf8(pieces.concat()).unwrap()),
    }
}

fn messages() -> Client {
    let MessagesRequest { chat, reply } = MessagesRequest::parse(rich("messages")).unwrap();
    client(chat, move || reply.clone().writer(naming()))
}

fn responses() -> Client {
    let ResponsesRequest { chat, reply } = ResponsesRequest::parse(rich("responses")).unwrap();
    client(chat, move || reply.clone().writer(naming()))
}

fn generate_content() -> Client {
    let (body, delivery) = (rich("generate_content"), Delivery::Stream(Framing::Events));
    let GenerateContentRequest { chat, reply } = GenerateContentRequest::parse(body, "auto", delivery).unwrap();
    client(chat, move || reply.clone().writer(naming()))
}

fn completions() -> Client {
    client(to_chat(rich("completions")).unwrap(), LegacyWriter::default)
}

/// The providers as a client of this dialect finds them: one that speaks the same answers in its own words.
fn providers(client: &str) -> [Provider; 5] {
    /// The request in the words of a translation, a field a line.
    fn translated(
        (request, model): (&ChatRequest, &str),
        translate: fn(&Asked<'_>) -> Result<Bytes, Untranslatable>,
    ) -> String {
        let body = String::from_utf8(request.body_to_translate(model).to_vec()).unwrap();
        pretty(tell(&body, translate).as_bytes())
    }
    let (_, answer) = cases(ANSWERS).find(|(name, _)| *name == "reasoning, text and parallel tool calls").unwrap();
    let (_, stream) = streams().find(|(name, _)| *name == "a text, then a tool call").unwrap();
    [
        Provider {
            name: "openai",
            ask: |request| String::from_utf8(request.body_for("gpt-5.5").to_vec()).unwrap(),
            answer,
            completion: |answer, _| Ok(Bytes::copy_from_slice(answer)),
            stream: stream.into_bytes(),
            decoder: || Decoder::OpenAi(SseDecoder::new(1 << 20)),
        },
        Provider {
            name: "responses",
            ask: |request| translated((request, "gpt-5.5"), openai_responses::request),
            answer: openai_responses::ANSWER,
            completion: openai_responses::completion,
            stream: openai_responses::STREAM.into(),
            decoder: openai_responses::decoder,
        },
        Provider {
            name: "anthropic",
            ask: |request| translated((request, "claude-opus-4-6"), to_anthropic::request::request),
            answer: anthropic::ANSWER,
            completion: match client {
                "messages" => to_anthropic::answer::with_words,
                _ => to_anthropic::answer::completion,
            },
            stream: anthropic::STREAM.into(),
            decoder: match client {
                "messages" => anthropic::decoder_with_words,
                _ => anthropic::decoder,
            },
        },
        Provider {
            name: "gemini",
            ask: |request| translated((request, "gemini-3-pro"), to_gemini::request::request),
            answer: gemini::ANSWER,
            completion: to_gemini::answer::completion,
            stream: gemini::STREAM.into(),
            decoder: gemini::decoder,
        },
        Provider {
            name: "bedrock",
            ask: |request| translated((request, "eu.anthropic.claude-opus-4-6-v1"), to_bedrock::request::request),
            answer: bedrock::ANSWER,
            completion: to_bedrock::answer::completion,
            stream: bedrock::stream(),
            decoder: bedrock::decoder,
        },
    ]
}

/// What the client reads of the provider's stream where it comes in these pieces.
fn read(client: &Client, provider: &Provider, pieces: &[&[u8]]) -> String {
    let events = events((provider.decoder)(), pieces);
    let raw: Vec<&[u8]> = events.iter().map(|event| event.raw.as_ref()).collect();
    (client.stream)(&raw)
}

/// Compares what passes between this client and every provider with what is kept.
fn check(name: &str, client: &Client) {
    for provider in providers(name) {
        let completion = (provider.completion)(provider.answer.as_bytes(), &stamp()).unwrap();
        let (request, answer) = ((provider.ask)(&client.request), (client.whole)(&completion));
        let answer = String::from_utf8(answer).unwrap();
        let stream = read(client, &provider, &[&provider.stream]);
        let kept = format!("# the request\n{request}\n\n# the answer\n{answer}\n\n# the stream\n{stream}");
        insta::assert_snapshot!(format!("{name}_before_{}", provider.name), kept);
        for length in 1..=LONGEST_PIECE {
            let pieces: Vec<&[u8]> = provider.stream.chunks(length).collect();
            assert_eq!(read(client, &provider, &pieces), stream, "{}, {length} bytes at a time", provider.name);
        }
    }
}

#[test]
fn a_client_of_chat_completions_reads_every_provider() {
    check("chat", &chat());
}

#[test]
fn a_client_of_messages_reads_every_provider() {
    check("messages", &messages());
}

#[test]
fn a_client_of_responses_reads_every_provider() {
    check("responses", &responses());
}

#[test]
fn a_client_of_googles_reads_every_provider() {
    check("generate_content", &generate_content());
}

#[test]
fn a_client_of_legacy_completions_reads_every_provider() {
    check("completions", &completions());
}
