//! Where a model answers: one upstream or several, with one key or several.

use crate::config::reader::{Section, nearest, quoted};
use crate::config::routing::price;
use crate::config::secret::Secret;
use crate::config::validate::Keys;
use crate::config::{Deployment, EmbeddingModel, Tier};
use crate::domain::money::Price;
use crate::domain::resilience::Balance;

/// The most places of one model, and the most keys of one upstream.
const MOST: usize = 64;

/// Reads where a model answers: `upstream`, or the list `targets`. Empty where a problem was remembered.
pub(super) fn read(
    section: &mut Section<'_>,
    name: Option<&str>,
    (upstreams, price): (&[String], Option<Price>),
) -> Vec<Deployment> {
    let entries = section.list("targets");
    if entries.is_empty() {
        return one(section, name, (upstreams, price)).into_iter().collect();
    }
    for key in ["upstream", "upstream_model", "weight"] {
        if section.has(key) {
            section.problem(key, "stands beside `targets`", "give each target its own, or leave `targets` out");
        }
    }
    if entries.len() > MOST {
        section.problem("targets", format!("has {} entries", entries.len()), format!("list at most {MOST}"));
    }
    let read = |mut entry: Section<'_>| {
        let deployment = one(&mut entry, name, (upstreams, price));
        entry.finish();
        deployment
    };
    entries.into_iter().map(read).collect::<Option<_>>().unwrap_or_default()
}

fn one(
    section: &mut Section<'_>,
    name: Option<&str>,
    (upstreams, usual): (&[String], Option<Price>),
) -> Option<Deployment> {
    let upstream = upstream(section, upstreams);
    let upstream_model = section.optional("upstream_model", Section::text).or_else(|| name.map(str::to_owned));
    let weight = section.optional("weight", |section, key| section.number(key, 0.0..=1000.0)).unwrap_or(1.0);
    let price = section.optional("price", price).or(usual);
    Some(Deployment { upstream: upstream?.as_str().into(), upstream_model: upstream_model?, weight, price })
}

/// Reads `upstream`, and checks that there is one of that name.
pub(super) fn upstream(section: &mut Section<'_>, known: &[String]) -> Option<String> {
    let upstream = section.text("upstream")?;
    if !known.contains(&upstream) {
        let fix = nearest(&upstream, known.iter().map(String::as_str)).map_or_else(
            || format!("add [upstreams.{upstream}], or name one of: {}", quoted(known)),
            |near| format!("did you mean `{near}`?"),
        );
        section.problem("upstream", format!("there is no upstream `{upstream}`"), fix);
    }
    Some(upstream)
}

/// Every place where a model of any kind answers.
pub(super) fn all<'a>(tiers: &'a [Tier], embeddings: &'a [EmbeddingModel]) -> impl Iterator<Item = &'a Deployment> {
    let chat = tiers.iter().flat_map(|tier| &tier.models).flat_map(|model| &model.deployments);
    chat.chain(embeddings.iter().map(|model| &model.deployment))
}

/// Reads how load is spread over the places of a model.
pub(super) fn balance(section: &mut Section<'_>) -> Balance {
    let words = [
        ("weighted", Balance::Weighted),
        ("least_busy", Balance::LeastBusy),
        ("latency", Balance::Latency),
        ("cost", Balance::Cost),
    ];
    section.optional("balance", |section, key| section.word(key, &words)).unwrap_or_default()
}

/// Reads `api_keys` of an upstream. `keys` is `None` where the upstream is not used, so that no secret is looked for.
pub(super) fn api_keys(section: &mut Section<'_>, keys: Option<&Keys<'_>>) -> Vec<Secret> {
    if !section.has("api_keys") {
        return Vec::new();
    }
    if section.has("api_key") {
        section.problem("api_keys", "stands beside `api_key`", "put every key into `api_keys`");
    }
    let values = match section.raw("api_keys") {
        Some(toml::Value::Array(values)) if (1..=MOST).contains(&values.len()) => values,
        Some(_) | None => {
            let fix = format!("write a list of 1 to {MOST} of {{ env = \"NAME\" }} or {{ file = \"PATH\" }}");
            section.problem("api_keys", "is not a list of keys", fix);
            return Vec::new();
        }
    };
    let Some(keys) = keys else { return Vec::new() };
    let path = section.path("api_keys");
    let read = |(at, value)| keys.secret_value(section, format!("{path}[{at}]"), Some(value));
    values.into_iter().enumerate().filter_map(read).collect()
}
