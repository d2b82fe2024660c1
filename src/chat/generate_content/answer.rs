//! Answers, whole or a piece of one, and their candidates.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::chat::completion::{Choice, Tokens};
use crate::chat::dialect::Naming;
use crate::chat::generate_content::proof::{Sealed, secret, signed};
use crate::chat::generate_content::request::Thoughts;
use crate::chat::parts::{Assembler, Kind, Opening, Parts, Piece, Place};
use crate::chat::signed_id;
use crate::domain::prompt::estimate_tokens;

/// An answer, or a piece of one.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Answer<'a> {
    pub(super) candidates: Vec<Told>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) usage_metadata: Option<Usage>,
    pub(super) model_version: &'a str,
    pub(super) response_id: &'a str,
}

/// What is told of a candidate.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Told {
    content: Content,
    #[serde(skip_serializing_if = "Option::is_none")]
    finish_reason: Option<&'static str>,
    index: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    logprobs_result: Option<Logprobs>,
}

#[derive(Debug, Serialize)]
struct Content {
    parts: Vec<Part>,
    role: &'static str,
}

/// A part of an answer.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Part {
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    thought: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    function_call: Option<FunctionCall>,
    #[serde(skip_serializing_if = "Option::is_none")]
    thought_signature: Option<String>,
}

#[derive(Debug, Serialize)]
struct FunctionCall {
    id: String,
    name: String,
    args: Box<RawValue>,
}

/// The tokens of an answer. Those of thoughts are not among those of the candidates, unlike OpenAI's.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Usage {
    prompt_token_count: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    cached_content_token_count: Option<u64>,
    candidates_token_count: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    thoughts_token_count: Option<u64>,
    total_token_count: u64,
}

impl Usage {
    /// What an upstream counted.
    pub(super) fn counted(tokens: &Tokens) -> Self {
        let some = |count: u64| Some(count).filter(|count| *count > 0);
        let (input, output, thoughts) = (tokens.input(), tokens.output(), tokens.reasoning());
        Self {
            prompt_token_count: input,
            cached_content_token_count: some(tokens.cache_read()),
            candidates_token_count: output.saturating_sub(thoughts),
            thoughts_token_count: some(thoughts),
            total_token_count: input.saturating_add(output),
        }
    }

    /// What is likely, where no upstream counted.
    pub(super) fn estimated(naming: &Naming, answer_bytes: usize) -> Self {
        let (input, output) = (naming.input_tokens, estimate_tokens(answer_bytes));
        Self {
            prompt_token_count: input,
            cached_content_token_count: None,
            candidates_token_count: output,
            thoughts_token_count: None,
            total_token_count: input.saturating_add(output),
        }
    }
}

/// One candidate as it comes.
#[derive(Debug)]
pub(super) struct Candidate {
    index: u64,
    assembler: Assembler,
    gathered: Gathered,
    finish: Option<String>,
}

impl Candidate {
    pub(super) fn new(index: u64, naming: &Naming, thoughts: Thoughts) -> Self {
        let seed = if index == 0 { naming.key.clone() } else { format!("{}_{index}", naming.key) };
        let gathered = Gathered { thoughts, ..Gathered::default() };
        Self { index, assembler: Assembler::new(seed), gathered, finish: None }
    }

    /// Bytes so far.
    pub(super) const fn bytes(&self) -> usize {
        self.assembler.bytes()
    }

    /// Takes what was said next.
    pub(super) fn take(&mut self, choice: &mut Choice) {
        let said = choice.said();
        self.gathered.is_refused |= said.refusal.as_ref().is_some_and(|refusal| !refusal.is_empty());
        self.gathered.logprobs.extend(choice.logprobs().iter().filter_map(|raw| serde_json::from_str(raw.get()).ok()));
        self.assembler.feed(&said, &mut self.gathered);
        self.finish = choice.finish_reason.take().or(self.finish.take());
    }

    /// What is to be told of it; `None` where that is nothing.
    pub(super) fn told(&mut self) -> Option<Told> {
        let parts = std::mem::take(&mut self.gathered.parts);
        (!parts.is_empty()).then(|| self.telling(parts, None))
    }

    /// The last that is told of it: what is left, and how it ended.
    pub(super) fn ended(&mut self) -> Told {
        self.assembler.finish(&mut self.gathered);
        let mut parts = std::mem::take(&mut self.gathered.parts);
        if parts.is_empty() {
            // Clients expect a part in every content.
            parts.push(Part { text: Some(String::new()), ..Part::default() });
        }
        let reason = match self.finish.as_deref() {
            Some("length") => "MAX_TOKENS",
            Some("content_filter") => "SAFETY",
            Some(_) | None if self.gathered.is_refused => "SAFETY",
            Some(_) | None => "STOP",
        };
        self.telling(parts, Some(reason))
    }

    fn telling(&mut self, parts: Vec<Part>, finish_reason: Option<&'static str>) -> Told {
        let logprobs = std::mem::take(&mut self.gathered.logprobs);
        Told {
            content: Content { parts, role: "model" },
            finish_reason,
            index: self.index,
            logprobs_result: (!logprobs.is_empty()).then(|| Logprobs::of(logprobs)),
        }
    }
}

/// What was said and not yet told.
#[derive(Debug, Default)]
struct Gathered {
    parts: Vec<Part>,
    /// Calls whose arguments are not whole.
    calls: Vec<Open>,
    logprobs: Vec<Token>,
    is_refused: bool,
    thoughts: Thoughts,
    /// The thought that is open, where its words are not told.
    sealed: Sealed,
}

#[derive(Debug)]
struct Open {
    at: usize,
    id: String,
    name: String,
    arguments: String,
}

impl Gathered {
    /// Adds text to the last part where it is of the same kind.
    fn say(&mut self, text: &str, thought: bool) {
        let is_same = |part: &&mut Part| part.thought == thought && part.thought_signature.is_none();
        match self.parts.last_mut().filter(is_same).and_then(|part| part.text.as_mut()) {
            Some(last) => last.push_str(text),
            None => self.parts.push(Part { text: Some(text.to_owned()), thought, ..Part::default() }),
        }
    }

    /// Adds what a client keeps of a thought without showing it.
    fn keep(&mut self, thought_signature: Option<String>) {
        self.parts.push(Part { text: Some(String::new()), thought: true, thought_signature, ..Part::default() });
    }
}

impl Parts for Gathered {
    fn open(&mut self, part: Opening<'_>) {
        if part.kind == Kind::Tool {
            let (at, id, name) = (part.at, part.id.to_owned(), part.name.to_owned());
            self.calls.push(Open { at, id, name, arguments: String::new() });
        }
    }

    fn grow(&mut self, piece: Piece<'_>) {
        match piece.kind {
            Kind::Thinking => match self.thoughts {
                Thoughts::Told => self.say(piece.text, true),
                Thoughts::Sealed => self.sealed.words.push_str(piece.text),
            },
            Kind::Text | Kind::Refusal => self.say(piece.text, false),
            Kind::Tool => {
                if let Some(call) = self.calls.iter_mut().find(|call| call.at == piece.at) {
                    call.arguments.push_str(piece.text);
                }
            }
        }
    }

    fn close(&mut self, at: usize, kind: Kind) {
        if kind == Kind::Thinking
            && let Some(field) = std::mem::take(&mut self.sealed).field()
        {
            self.keep(Some(field));
        }
        let Some(place) = self.calls.iter().position(|call| call.at == at) else { return };
        let Open { at: _, id, name, arguments } = self.calls.remove(place);
        let (id, thought_signature) = signed_id::split(&id);
        let function_call = Some(FunctionCall { id: id.to_owned(), name, args: args(&arguments) });
        self.parts.push(Part { function_call, thought_signature, ..Part::default() });
    }

    fn sign(&mut self, _at: usize, signature: &str) {
        if self.thoughts == Thoughts::Sealed {
            self.sealed.signature = Some(signature.to_owned());
            return;
        }
        let is_open = |part: &&mut Part| part.thought && part.thought_signature.is_none();
        match self.parts.last_mut().filter(is_open) {
            Some(last) => last.thought_signature = Some(signed(signature)),
            None => self.keep(Some(signed(signature))),
        }
    }

    fn secret(&mut self, _at: usize, data: &str) -> Place {
        self.keep(Some(secret(data)));
        Place::Taken
    }
}

/// Arguments as the object that Google's clients expect. What a model wrote that is no object is kept in a field.
fn args(arguments: &str) -> Box<RawValue> {
    let text = arguments.trim();
    let given = RawValue::from_string(text.to_owned()).ok().filter(|_| text.starts_with('{'));
    given.unwrap_or_else(|| {
        let object =
            if text.is_empty() { "{}".to_owned() } else { Value::from_iter([("invalid_arguments", text)]).to_string() };
        RawValue::from_string(object).unwrap_or_else(|_| RawValue::NULL.to_owned())
    })
}

/// The log probability of a token, with those of others in its place.
#[derive(Debug, Deserialize)]
struct Token {
    token: String,
    logprob: f64,
    #[serde(default)]
    top_logprobs: Vec<Token>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Logprobs {
    chosen_candidates: Vec<Likely>,
    top_candidates: Vec<Others>,
}

#[derive(Debug, Serialize)]
struct Others {
    candidates: Vec<Likely>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Likely {
    token: String,
    log_probability: f64,
}

impl Logprobs {
    fn of(tokens: Vec<Token>) -> Self {
        let likely = |token: Token| Likely { token: token.token, log_probability: token.logprob };
        let (chosen, others) = tokens
            .into_iter()
            .map(|mut token| {
                let others = std::mem::take(&mut token.top_logprobs);
                (likely(token), Others { candidates: others.into_iter().map(likely).collect() })
            })
            .unzip();
        Self { chosen_candidates: chosen, top_candidates: others }
    }
}
