//! What happens when a model fails: retries, breakers, hedges, and what policies and models fall back on.

use std::sync::Arc;
use std::time::Duration;

use crate::config::reader::{Section, nearest, quoted};
use crate::config::{Retry, Tier, escalate};
use crate::domain::ids::ModelName;
use crate::domain::recovery::{Degraded, LastKept, Latency, Recovery, Unfit};
use crate::domain::resilience::{Allowance, BreakerSettings, RetryOn, RetrySettings};

const MILLISECOND: Duration = Duration::from_millis(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

/// Reads `[retry]`.
pub(super) fn retry(mut section: Section<'_>) -> Option<Retry> {
    let attempts = section.integer("attempts", 1..=100);
    let per_target = section.integer("per_target", 1..=10);
    let base_delay = section.duration("base_delay", MILLISECOND..=MINUTE);
    let max_delay = section.duration("max_delay", MILLISECOND..=10 * MINUTE);
    let patience = section.duration("patience", Duration::ZERO..=HOUR);
    let last_patience = section.duration("last_patience", Duration::ZERO..=HOUR);
    let within = section.duration("within", Duration::ZERO..=HOUR);
    let on = words(&mut section, "on", &RetryOn::WORDS.map(|(word, _)| word));
    let budget_share = section.number("budget_share", 0.0..=1.0);
    let budget_burst = section.integer("budget_burst", 0..=10_000);
    section.finish();
    let on = on?;
    let listed = RetryOn::WORDS.into_iter().filter(|(word, _)| on.contains(word)).map(|(_, kind)| kind);
    let settings = RetrySettings {
        per_target: u32::try_from(per_target?).ok()?,
        total: u32::try_from(attempts?).ok()?,
        within: within?,
        on: listed.collect(),
        base: base_delay?,
        cap: max_delay?,
        patience: patience?,
        last_patience: last_patience?,
    };
    let budget = Allowance { share: budget_share?, burst: f64::from(u32::try_from(budget_burst?).ok()?) };
    Some(Retry { settings, budget })
}

/// Reads `[breaker]`.
pub(super) fn breaker(mut section: Section<'_>) -> Option<BreakerSettings> {
    let window = section.duration("window", Duration::from_secs(1)..=HOUR);
    let least_calls = section.integer("least_calls", 1..=1_000_000);
    let failures = section.number("failures", 0.01..=1.0);
    let in_a_row = section.integer("in_a_row", 1..=1_000_000);
    let cooling = section.duration("cooling", MILLISECOND..=HOUR);
    let longest_cooling = section.duration("longest_cooling", MILLISECOND..=24 * HOUR);
    if let (Some(cooling), Some(longest)) = (cooling, longest_cooling)
        && cooling > longest
    {
        section.problem("longest_cooling", "is shorter than cooling", "lengthen it or shorten cooling");
    }
    section.finish();
    Some(BreakerSettings {
        window: window?,
        least_calls: u32::try_from(least_calls?).ok()?,
        failures: failures?,
        in_a_row: u32::try_from(in_a_row?).ok()?,
        cooling: cooling?,
        longest_cooling: longest_cooling?,
    })
}

/// Reads `[hedge]`.
pub(super) fn hedge(mut section: Section<'_>) -> Option<Allowance> {
    let share = section.number("share", 0.0..=1.0);
    let burst = section.integer("burst", 0..=10_000);
    section.finish();
    Some(Allowance { share: share?, burst: f64::from(u32::try_from(burst?).ok()?) })
}

/// Reads what a policy does when a model fails.
pub(super) fn read(section: &mut Section<'_>, tiers: &[Tier]) -> Recovery {
    let chain = models(section, "fallback");
    check(section, &chain, tiers);
    let kinds = Unfit::ALL.map(Unfit::as_str);
    let unfit = section.optional("fallback_on", |section, key| words(section, key, &kinds)).unwrap_or_default();
    let degraded = degraded(section);
    let latency = section.optional("latency", |section, key| section.word(key, &Latency::WORDS));
    let wait = |section: &mut Section<'_>, key| {
        section.optional(key, |section, key| section.duration(key, MILLISECOND..=HOUR))
    };
    Recovery {
        chain,
        fall_back_on: Unfit::ALL.into_iter().filter(|one| unfit.contains(&one.as_str())).collect(),
        degraded,
        latency,
        first_token: wait(section, "first_token_timeout"),
        hedge_after: wait(section, "hedge_after"),
        escalation: escalate::read(section),
    }
}

/// Reads what stands in for an answer: a text, `"cached"`, `"queued"`, or a table with some of them.
fn degraded(section: &mut Section<'_>) -> Degraded {
    if !section.raw("degraded").is_some_and(|value| value.is_table()) {
        let text = section.optional("degraded", Section::text);
        return match text.as_deref() {
            Some("cached") => Degraded { cached: LastKept::Given, ..Degraded::default() },
            Some("queued") => Degraded { queued: Some(Arc::from(Degraded::QUEUED)), ..Degraded::default() },
            Some(_) | None => Degraded { text: text.map(Arc::from), ..Degraded::default() },
        };
    }
    let mut table = section.section("degraded");
    let is_given = table.optional("cached", Section::flag).unwrap_or_default();
    let queued = queued(&mut table);
    let text = table.optional("text", Section::text).map(Arc::from);
    if !is_given && queued.is_none() && text.is_none() {
        let fix = "set some of `cached = true`, `queued = true` and `text`";
        table.notes().problem(table.own_path(), "has nothing to give", fix);
    }
    table.finish();
    Degraded { cached: if is_given { LastKept::Given } else { LastKept::Left }, queued, text }
}

/// Reads what is said of a request that waits for its answer: `true`, or words with the place of the reference.
fn queued(table: &mut Section<'_>) -> Option<Arc<str>> {
    if !table.raw("queued").is_some_and(|value| value.is_str()) {
        let is_queued = table.optional("queued", Section::flag).unwrap_or_default();
        return is_queued.then(|| Arc::from(Degraded::QUEUED));
    }
    let words = table.text("queued").map(Arc::<str>::from);
    if words.as_ref().is_some_and(|words| !words.contains(Degraded::REFERENCE)) {
        table.problem(
            "queued",
            "does not say where the answer will be",
            "write {reference} where the reference is to stand, or set it to true",
        );
    }
    words
}

/// Reads a list of model names. None where the key is absent.
pub(super) fn models(section: &mut Section<'_>, key: &'static str) -> Vec<ModelName> {
    let names = section.optional(key, Section::texts).unwrap_or_default();
    names.into_iter().map(ModelName::from).collect()
}

/// Checks what models fall back on, once all of them are read.
pub(super) fn check_models(root: &Section<'_>, tiers: &[Tier]) {
    for (at, tier) in tiers.iter().enumerate() {
        for (nth, model) in tier.models.iter().enumerate() {
            for wrong in unknown(&model.fallback, tiers) {
                root.notes().problem(
                    format!("tiers[{at}].models[{nth}].fallback"),
                    format!("there is no model `{wrong}`"),
                    remedy(wrong.as_str(), tiers),
                );
            }
        }
    }
}

fn check(section: &Section<'_>, chain: &[ModelName], tiers: &[Tier]) {
    for wrong in unknown(chain, tiers) {
        section.problem("fallback", format!("there is no model `{wrong}`"), remedy(wrong.as_str(), tiers));
    }
}

fn names(tiers: &[Tier]) -> impl Iterator<Item = &str> {
    tiers.iter().flat_map(|tier| &tier.models).map(|model| model.candidate.model.as_str())
}

fn unknown<'a>(chain: &'a [ModelName], tiers: &[Tier]) -> Vec<&'a ModelName> {
    chain.iter().filter(|wanted| !names(tiers).any(|name| name == wanted.as_str())).collect()
}

fn remedy(wrong: &str, tiers: &[Tier]) -> String {
    nearest(wrong, names(tiers))
        .map_or_else(|| format!("name one of: {}", quoted(names(tiers))), |near| format!("did you mean `{near}`?"))
}

/// Reads a list of words out of a few.
pub(super) fn words(section: &mut Section<'_>, key: &'static str, known: &[&'static str]) -> Option<Vec<&'static str>> {
    let given = section.texts(key)?;
    let find = |word: &String| {
        let found = known.iter().find(|one| *one == word).copied();
        if found.is_none() {
            section.problem(key, format!("{word:?} is none of them"), format!("use some of: {}", quoted(known)));
        }
        found
    };
    given.iter().map(find).collect()
}
