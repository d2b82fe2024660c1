//! What differs from one Claude to the next, wherever it is asked: how it thinks, what of sampling it takes, and whether it can be made to
//! call a tool. Its name is all that tells; one that does not say how old it is counts as new.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::chat::native::Untranslatable;
use crate::chat::native::request::{Asked, Effort, Sampling, Turn};
use crate::domain::provider::{is_one_of, takes_forced_tools};

/// What asks for JSON where the dialect has no word for it.
pub(crate) const JSON_PLEASE: &str = "Answer with one JSON object and nothing else.";
/// The least that may be thought.
const LEAST_BUDGET: u64 = 1_024;

/// Models that think whatever they are told, and refuse to be told not to.
const ALWAYS_THINK: [&str; 3] = ["opus-5-5", "sonnet-5-5", "fable-5"];

/// How a model is to think, in its own words.
#[derive(Default)]
pub(crate) struct Thinking<'a> {
    /// The `thinking` object, where one is sent.
    pub(crate) raw: Option<Cow<'a, RawValue>>,
    /// The effort of a model that thinks as it sees fit.
    pub(crate) effort: Option<&'static str>,
    /// The tokens that the thoughts need where the request sets no limit.
    pub(crate) room: u64,
    /// Whether it thinks, so that sampling is Anthropic's.
    pub(crate) thinks: bool,
}

/// How the model that is asked can be told to think: in the client's words where it knows them, else in those that mean the same to it.
pub(crate) fn thinking<'a>(asked: &Asked<'a>) -> Thinking<'a> {
    let generation = Generation::of(&asked.model);
    let wish = asked.thinking.map_or(Wish::Unsaid, Wish::read);
    if let Wish::Off(raw) = wish {
        let raw = (!is_one_of(&asked.model, &ALWAYS_THINK)).then_some(Cow::Borrowed(raw));
        return Thinking { raw, ..Thinking::default() };
    }
    let knows_efforts = generation != Generation::Budgets;
    // A model that must call a tool cannot think first. One that has begun to call tools must be shown the thought that led there, unless its client
    // leaves it to the model whether to think: then there need not have been one.
    let is_free = knows_efforts && matches!(wish, Wish::Freely(_));
    if must_call(asked) || (!is_free && lacks_thought(&asked.turns)) {
        return Thinking::default();
    }
    let as_asked = |raw, effort| Thinking { raw: Some(Cow::Borrowed(raw)), effort, room: 0, thinks: true };
    match wish {
        Wish::Unsaid | Wish::Off(_) => match asked.effort {
            None => Thinking::default(),
            Some(effort) if knows_efforts => generation.freely(effort),
            Some(effort) => within(asked, (effort.budget(), None)),
        },
        Wish::Freely(raw) if knows_efforts => as_asked(raw, asked.effort.and_then(|effort| generation.word(effort))),
        Wish::Freely(_) => within(asked, (asked.effort.unwrap_or(Effort::Medium).budget(), None)),
        Wish::Budget(_, tokens) if generation == Generation::Efforts => {
            let of_budget = || tokens.map_or(Effort::Medium, Effort::of_budget);
            generation.freely(asked.effort.unwrap_or_else(of_budget))
        }
        Wish::Budget(raw, tokens) => within(asked, (tokens.unwrap_or(LEAST_BUDGET).max(LEAST_BUDGET), Some(raw))),
        Wish::Novel(raw) => as_asked(raw, None),
    }
}

/// What of the request's sampling the model takes. While it thinks, sampling is Anthropic's; new models take none at any time, and of two
/// settings that say how freely to choose the older ones take one.
pub(crate) fn sampling<'a>(asked: &Asked<'a>, thinking: &Thinking<'_>) -> Sampling<'a> {
    let given = asked.sampling;
    if thinking.thinks {
        return Sampling::default();
    }
    match Generation::of(&asked.model) {
        Generation::Efforts => Sampling::default(),
        Generation::Budgets | Generation::Both if asked.model.contains("claude") => {
            Sampling { top_p: given.top_p.filter(|_| given.temperature.is_none()), ..given }
        }
        Generation::Budgets | Generation::Both | Generation::Unknown => given,
    }
}

/// Whether the model takes an effort.
pub(crate) fn knows_efforts(model: &str) -> bool {
    Generation::of(model) != Generation::Budgets
}

/// Whether the model takes system messages in the middle of a conversation, as those after 4.7 do.
pub(crate) fn takes_system_messages(model: &str) -> bool {
    match Generation::of(model) {
        Generation::Budgets | Generation::Both => false,
        Generation::Efforts => !is_one_of(model, &["-4-7"]),
        Generation::Unknown => true,
    }
}

/// OpenAI's temperatures end at 2, those of others at 1.
pub(crate) fn at_most_one(raw: &RawValue) -> Cow<'_, RawValue> {
    let is_too_high = serde_json::from_str::<f64>(raw.get()).is_ok_and(|temperature| temperature > 1.0);
    match RawValue::from_string("1".to_owned()) {
        Ok(one) if is_too_high => Cow::Owned(one),
        Ok(_) | Err(_) => Cow::Borrowed(raw),
    }
}

/// The stop sequences that are more than spaces, which are refused.
pub(crate) fn stops<'a>(asked: &'a Asked<'_>) -> Vec<&'a str> {
    asked.stop.iter().map(String::as_str).filter(|stop| !stop.trim().is_empty()).collect()
}

/// Refuses to make a model call a tool that cannot be made to.
///
/// # Errors
/// Where the request insists on a call and the model takes no such word.
pub(crate) fn may_insist(asked: &Asked<'_>, provider: &'static str) -> Result<(), Untranslatable> {
    if !must_call(asked) || takes_forced_tools(&asked.model) {
        return Ok(());
    }
    let problem = "this model cannot be made to call a tool; send `auto`, or ask another model";
    Err(Untranslatable::Unsupported { field: "tool_choice".to_owned(), provider, problem })
}

/// What models know of thinking, by their age.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Generation {
    /// Before 4.6: budgets and no efforts.
    Budgets,
    /// 4.6: budgets and efforts.
    Both,
    /// Later: efforts alone, and no sampling.
    Efforts,
    /// Not a Claude, at an address that speaks Anthropic's dialect: efforts, and nothing is known that it refuses.
    Unknown,
}

impl Generation {
    fn of(model: &str) -> Self {
        let old = ["claude-3", "-4-0", "-4-1", "-4-2025", "-4-5", "-4@"];
        if is_one_of(model, &old) || model.ends_with("-4") {
            Self::Budgets
        } else if is_one_of(model, &["-4-6"]) {
            Self::Both
        } else if model.contains("claude") {
            Self::Efforts
        } else {
            Self::Unknown
        }
    }

    /// The word for an effort, where there is one.
    const fn word(self, effort: Effort) -> Option<&'static str> {
        match effort {
            Effort::None => None,
            Effort::Minimal | Effort::Low => Some("low"),
            Effort::Medium => Some("medium"),
            Effort::High => Some("high"),
            Effort::XHigh if matches!(self, Self::Both) => Some("high"),
            Effort::XHigh => Some("xhigh"),
            Effort::Max => Some("max"),
        }
    }

    /// To think as the model sees fit, at this effort.
    fn freely(self, effort: Effort) -> Thinking<'static> {
        let Some(word) = self.word(effort) else { return Thinking::default() };
        let raw = match self {
            // They keep their thoughts to themselves unless they are asked for them.
            Self::Efforts => r#"{"type":"adaptive","display":"summarized"}"#,
            Self::Budgets | Self::Both | Self::Unknown => r#"{"type":"adaptive"}"#,
        };
        written(raw.to_owned(), (Some(word), 0))
    }
}

/// Whether a client's `thinking` object says that there is to be none.
pub(crate) fn is_off(thinking: &RawValue) -> bool {
    matches!(Wish::read(thinking), Wish::Off(_))
}

/// What a client's `thinking` object wants.
enum Wish<'a> {
    Unsaid,
    Off(&'a RawValue),
    /// As the model sees fit.
    Freely(&'a RawValue),
    /// Up to so many tokens.
    Budget(&'a RawValue, Option<u64>),
    /// Something to come.
    Novel(&'a RawValue),
}

impl<'a> Wish<'a> {
    fn read(raw: &'a RawValue) -> Self {
        #[derive(Deserialize)]
        struct Wire<'a> {
            #[serde(borrow, rename = "type")]
            kind: Cow<'a, str>,
            budget_tokens: Option<u64>,
        }
        match serde_json::from_str::<Wire<'_>>(raw.get()) {
            Ok(wire) if wire.kind == "disabled" => Self::Off(raw),
            Ok(wire) if wire.kind == "adaptive" => Self::Freely(raw),
            Ok(wire) if wire.kind == "enabled" => Self::Budget(raw, wire.budget_tokens),
            Ok(_) | Err(_) => Self::Novel(raw),
        }
    }
}

/// To think up to so many tokens, in the client's own words where the limit on the answer leaves room for them. What OpenAI calls the
/// answer's tokens includes its thoughts, and so does Anthropic; an answer without a limit keeps its room.
fn within<'a>(asked: &Asked<'_>, (tokens, own): (u64, Option<&'a RawValue>)) -> Thinking<'a> {
    let most = asked.max_tokens.map_or(u64::MAX, |limit| limit.saturating_sub(1));
    let budget = tokens.min(most);
    if budget < LEAST_BUDGET {
        return Thinking::default();
    }
    let room = if asked.max_tokens.is_none() { budget } else { 0 };
    let says_so = |raw: &&RawValue| matches!(Wish::read(raw), Wish::Budget(_, Some(said)) if said == budget);
    match own.filter(says_so) {
        Some(raw) => Thinking { raw: Some(Cow::Borrowed(raw)), effort: None, room, thinks: true },
        None => {
            let raw = format!(r#"{{"type":"enabled","budget_tokens":{budget}}}"#);
            written(raw, (None, room))
        }
    }
}

fn written<'a>(raw: String, (effort, room): (Option<&'static str>, u64)) -> Thinking<'a> {
    Thinking { raw: RawValue::from_string(raw).ok().map(Cow::Owned), effort, room, thinks: true }
}

/// Whether the request insists on the call of a tool.
fn must_call(asked: &Asked<'_>) -> bool {
    asked.choice.insists() && !asked.tools.is_empty()
}

/// Whether the model stands in the middle of calling tools, and the client did not keep the thought before the first call. Those that follow
/// need none.
fn lacks_thought(turns: &[Turn<'_>]) -> bool {
    let last_user = turns.iter().rposition(|turn| matches!(turn, Turn::User(_))).map_or(0, |at| at + 1);
    let mut said = turns.iter().skip(last_user).filter_map(|turn| match turn {
        Turn::Assistant(said) => Some(said),
        Turn::User(_) | Turn::Tool(_) => None,
    });
    said.next().is_some_and(|first| !first.calls.is_empty() && first.thinking.is_empty())
}

#[cfg(test)]
mod tests;
