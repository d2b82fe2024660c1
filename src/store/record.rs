//! The records themselves: plain values, made on the request path and turned into rows by the writer.

mod extended;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::domain::api::Api;
use crate::domain::decide::{Considered, Decision};
use crate::domain::feedback::Feedback;
use crate::domain::ids::{BundleId, CallerId, DecisionId, ModelName, PolicyName, TierId, UpstreamId};
use crate::domain::money::{NanoUsd, Usage};
use crate::domain::outcome::{Attempt, Class, Outcome};
use crate::domain::policy::Aim;
use crate::domain::probability::Probability;
use crate::domain::signals::SIGNALS_VERSION;
use crate::domain::task::Task;

/// The version of the records this build writes. A reader of a later build must understand every earlier one.
pub const RECORD_VERSION: u32 = 1;

/// One decision, with what a retrain needs to learn from it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DecisionRecord {
    /// The version of this record, [`RECORD_VERSION`] when made by this build.
    pub version: u32,
    /// Which decision.
    pub id: DecisionId,
    /// When it was made, milliseconds since 1970 in UTC.
    pub at_unix_ms: u64,
    /// What the decision was for.
    pub kind: DecisionKind,
    /// Who asked.
    pub caller: CallerId,
    /// The policy in force.
    pub policy: PolicyName,
    /// The aim in force.
    pub aim: AimRecord,
    /// The least gain that justified a stronger model. May be infinite.
    #[serde(with = "extended")]
    pub threshold: f64,
    /// The model chosen.
    pub model: ModelName,
    /// Its tier.
    pub tier: TierId,
    /// Why, as one word.
    pub reason: String,
    /// Why, as one sentence.
    pub sentence: String,
    /// The chance that this model was chosen, given the scores.
    pub propensity: Probability,
    /// The bundle the scores came from.
    pub bundle: Option<BundleId>,
    /// The digest of the encoder that made the embedding.
    pub encoder: Option<String>,
    /// Which scorer answered, `fast` or `careful`; absent where none did.
    pub scorer: Option<String>,
    /// The likeliest task.
    pub task: Option<Task>,
    /// Its probability.
    pub task_p: Option<Probability>,
    /// How hard the prompt is, 0 easy to 1 hard.
    pub difficulty: Option<Probability>,
    /// Estimated input tokens of the whole request.
    pub input_tokens: u64,
    /// Every configured model and what the decision knew of it.
    pub considered: Vec<ConsideredRecord>,
    /// The structural signals, in the order of the signal names.
    pub signals: Vec<f32>,
    /// The version of the signal definitions.
    pub signals_version: u32,
    /// The fast embedding as little-endian half floats; see [`halves_of_floats`].
    pub embedding: Option<Vec<u8>>,
    /// The ask in full. The store keeps, redacts or drops it as [`crate::store::PromptRetention`] says.
    pub prompt: Option<String>,
    /// How long the decision took, microseconds.
    pub route_us: u64,
    /// The caller's session, if it named one.
    pub session: Option<String>,
    /// The caller's tags, if it gave any. Kept as they are whatever the retention says.
    pub tags: Option<Value>,
    /// The API by which the call came in. Absent from older records.
    #[serde(default)]
    pub api: Option<Api>,
}

impl DecisionRecord {
    /// The part that the decision itself knows; the rest is empty and meant to be filled in by struct update.
    #[must_use]
    pub fn of(id: DecisionId, at_unix_ms: u64, decision: &Decision) -> Self {
        Self {
            version: RECORD_VERSION,
            id,
            at_unix_ms,
            kind: DecisionKind::Route,
            caller: CallerId::from("local"),
            policy: decision.policy.clone(),
            aim: decision.aim.into(),
            threshold: decision.threshold,
            model: decision.model.clone(),
            tier: decision.tier.clone(),
            reason: decision.reason.as_str().to_owned(),
            sentence: String::new(),
            propensity: decision.propensity,
            bundle: decision.bundle.clone(),
            encoder: None,
            scorer: None,
            task: None,
            task_p: None,
            difficulty: None,
            input_tokens: 0,
            considered: decision.considered.iter().map(ConsideredRecord::from).collect(),
            signals: Vec::new(),
            signals_version: SIGNALS_VERSION,
            embedding: None,
            prompt: None,
            route_us: 0,
            session: None,
            tags: None,
            api: None,
        }
    }

    /// Roughly how many bytes the record holds, for the bound of the queue.
    pub(super) fn footprint(&self) -> usize {
        let text = |text: &Option<String>| text.as_ref().map_or(0, String::len);
        size_of::<Self>()
            + self.sentence.len()
            + self.considered.len() * size_of::<ConsideredRecord>()
            + self.signals.len() * size_of::<f32>()
            + self.embedding.as_ref().map_or(0, Vec::len)
            + text(&self.prompt)
            + text(&self.session)
            + self.tags.as_ref().map_or(0, weight)
    }
}

/// Roughly how many bytes a JSON value holds. The depth is bounded by the reader that made the value.
fn weight(value: &Value) -> usize {
    size_of::<Value>()
        + match value {
            Value::Null | Value::Bool(_) | Value::Number(_) => 0,
            Value::String(text) => text.len(),
            Value::Array(values) => values.iter().map(weight).sum(),
            Value::Object(fields) => fields.iter().map(|(name, value)| name.len() + weight(value)).sum(),
        }
}

/// What a decision was for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DecisionKind {
    /// The caller only asked which model to use.
    Route,
    /// A completion was sent on to the model.
    Completion,
    /// Texts were sent on to an embedding model. Nothing was decided.
    Embeddings,
}

impl DecisionKind {
    /// The word used in JSON, files and the database.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Route => "route",
            Self::Completion => "completion",
            Self::Embeddings => "embeddings",
        }
    }

    /// Reads the word that [`DecisionKind::as_str`] writes.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Route, Self::Completion, Self::Embeddings].into_iter().find(|kind| kind.as_str() == word)
    }
}

/// The aim of a decision, in a form that is read back.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AimRecord {
    /// The dial, 0 cheapest to 1 best.
    Quality(Probability),
    /// A raw threshold.
    Threshold(#[serde(with = "extended")] f64),
    /// What a right answer is worth.
    Value(NanoUsd),
}

impl From<Aim> for AimRecord {
    fn from(aim: Aim) -> Self {
        match aim {
            Aim::Quality(quality) => Self::Quality(quality),
            Aim::Threshold(threshold) => Self::Threshold(threshold),
            Aim::Value(value) => Self::Value(value),
        }
    }
}

/// What a decision knew about one model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ConsideredRecord {
    /// The model.
    pub model: ModelName,
    /// Its tier.
    pub tier: TierId,
    /// Expected success, where there were scores.
    pub p: Option<Probability>,
    /// The lower end of its 90 % interval.
    pub low: Option<Probability>,
    /// The upper end of its 90 % interval.
    pub high: Option<Probability>,
    /// Whether the estimate is the model's own and not its tier's.
    pub known: bool,
    /// Expected cost with an answer of median length.
    pub cost_p50: Option<NanoUsd>,
    /// Expected cost with an answer longer than nine in ten.
    pub cost_p90: Option<NanoUsd>,
    /// Why it could not be chosen, in words, if so.
    pub excluded: Option<String>,
}

impl From<&Considered> for ConsideredRecord {
    fn from(one: &Considered) -> Self {
        Self {
            model: one.model.clone(),
            tier: one.tier.clone(),
            p: one.success.map(|success| success.mean),
            low: one.success.map(|success| success.low),
            high: one.success.map(|success| success.high),
            known: one.known,
            cost_p50: one.cost.map(|cost| cost.p50),
            cost_p90: one.cost.map(|cost| cost.p90),
            excluded: one.excluded.map(|exclusion| exclusion.words().to_owned()),
        }
    }
}

/// How the call behind a decision ended. The first one recorded for a decision stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OutcomeRecord {
    /// The version of this record, [`RECORD_VERSION`] when made by this build.
    pub version: u32,
    /// Which decision.
    pub decision_id: DecisionId,
    /// When the call ended, milliseconds since 1970 in UTC.
    pub at_unix_ms: u64,
    /// How it ended.
    pub class: Class,
    /// The model that answered, if any.
    pub served_by: Option<ModelName>,
    /// The tier of the attempt that served, else of the last one.
    pub tier: Option<TierId>,
    /// The upstream of that attempt.
    pub upstream: Option<UpstreamId>,
    /// Tokens, where they are known.
    pub usage: Option<Usage>,
    /// What the call cost, where it is known.
    pub cost: Option<NanoUsd>,
    /// Every attempt, in order.
    pub attempts: Vec<AttemptRecord>,
    /// From admission to the last byte, milliseconds.
    pub total_ms: u64,
    /// From admission to the first byte sent to the client, milliseconds.
    pub first_byte_ms: Option<u64>,
    /// Whether the answer was streamed.
    pub stream: bool,
    /// Whether `usage` is an estimate, since no upstream counted. Absent from older records.
    #[serde(default)]
    pub usage_estimated: Option<bool>,
}

impl OutcomeRecord {
    /// The record of an outcome that was not streamed; set `stream` where it was.
    #[must_use]
    pub fn of(decision_id: DecisionId, at_unix_ms: u64, outcome: &Outcome) -> Self {
        let made = |attempt: &&Attempt| attempt.class != Class::Skipped;
        let served = |attempt: &&Attempt| outcome.served_by.as_ref() == Some(&attempt.model) && made(attempt);
        let mut latest = outcome.attempts.iter().rev();
        let last = latest.clone().find(served).or_else(|| latest.find(made));
        Self {
            version: RECORD_VERSION,
            decision_id,
            at_unix_ms,
            class: outcome.class,
            served_by: outcome.served_by.clone(),
            tier: last.map(|attempt| attempt.tier.clone()),
            upstream: last.map(|attempt| attempt.upstream.clone()),
            usage: outcome.usage,
            cost: outcome.cost,
            attempts: outcome.attempts.iter().map(AttemptRecord::from).collect(),
            total_ms: millis(outcome.total),
            first_byte_ms: outcome.first_byte.map(millis),
            stream: false,
            usage_estimated: Some(outcome.usage_estimated),
        }
    }

    /// Roughly how many bytes the record holds, for the bound of the queue.
    pub(super) fn footprint(&self) -> usize {
        let details: usize = self.attempts.iter().map(|attempt| attempt.detail.len()).sum();
        size_of::<Self>() + self.attempts.len() * size_of::<AttemptRecord>() + details
    }
}

/// One try at one target.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AttemptRecord {
    /// Where it went.
    pub upstream: UpstreamId,
    /// The model that was asked.
    pub model: ModelName,
    /// The model's tier.
    pub tier: TierId,
    /// How it ended.
    pub class: Class,
    /// The HTTP status, where there was one.
    pub status: Option<u16>,
    /// How long it took, milliseconds.
    pub took_ms: u64,
    /// What went wrong, for people.
    pub detail: String,
    /// What it cost although the caller was given another answer. Absent from older records.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unused_cost: Option<NanoUsd>,
}

impl From<&Attempt> for AttemptRecord {
    fn from(attempt: &Attempt) -> Self {
        Self {
            upstream: attempt.upstream.clone(),
            model: attempt.model.clone(),
            tier: attempt.tier.clone(),
            class: attempt.class,
            status: attempt.status,
            took_ms: millis(attempt.took),
            detail: attempt.detail.clone(),
            unused_cost: attempt.unused_cost,
        }
    }
}

/// One report, as it was stored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FeedbackRecord {
    /// The version of this record.
    pub version: u32,
    /// When it arrived, milliseconds since 1970 in UTC.
    pub at_unix_ms: u64,
    /// Who reported.
    pub caller: CallerId,
    /// What was said. The comment is kept, redacted or absent as the retention of prompts says.
    pub feedback: Feedback,
}

fn millis(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Packs floats as little-endian half floats, two bytes each. Loses about three decimal digits of seven, which no score feels.
#[must_use]
pub fn halves_of_floats(floats: &[f32]) -> Vec<u8> {
    floats.iter().flat_map(|&float| half::f16::from_f32(float).to_le_bytes()).collect()
}

/// Unpacks what [`halves_of_floats`] packed. `None` for an odd number of bytes.
#[must_use]
pub fn floats_of_halves(bytes: &[u8]) -> Option<Vec<f32>> {
    let (pairs, rest) = bytes.as_chunks::<2>();
    rest.is_empty().then(|| pairs.iter().map(|&pair| half::f16::from_le_bytes(pair).to_f32()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn infinite_thresholds_survive_json() {
        for threshold in [0.25, f64::INFINITY, f64::NEG_INFINITY] {
            let json = serde_json::to_string(&AimRecord::Threshold(threshold)).unwrap();

            assert_eq!(serde_json::from_str::<AimRecord>(&json).unwrap(), AimRecord::Threshold(threshold), "{json}");
        }
    }

    #[test]
    fn embeddings_survive_packing_to_three_digits() {
        let floats = [0.123_456, -0.987_6, 0.0, 1.0];

        let back = floats_of_halves(&halves_of_floats(&floats)).unwrap();

        for (a, b) in floats.iter().zip(&back) {
            assert!((a - b).abs() < 1e-3, "{a} became {b}");
        }
        assert_eq!(floats_of_halves(&[1, 2, 3]), None);
    }
}
