//! From merged tables to checked upstreams, tiers and policies, and the checks that span them.

use std::collections::BTreeSet;
use std::time::Duration;

use toml::Value;

use crate::config::embeddings;
use crate::config::reader::{Section, nearest, quoted};
use crate::config::secret::Secret;
use crate::config::timeouts::timeouts;
use crate::config::validate::{Keys, SESSION_MODES};
use crate::config::{EmbeddingModel, Sessions, Target, Tier, Upstream, UpstreamKind, deployments, provider, recovery};
use crate::domain::candidate::{Candidate, Capability};
use crate::domain::ids::PolicyName;
use crate::domain::money::{NanoUsd, Price};
use crate::domain::policy::{Aim, CarefulMode, MAX_SUCCESS_VALUE_USD, MIN_SUCCESS_VALUE_USD, Policy, SafeChoice};
use crate::domain::probability::Probability;
use crate::domain::provider::takes_forced_tools;

/// The parts of a configuration that refer to one another.
pub(super) struct Routing {
    pub(super) upstreams: Vec<Upstream>,
    pub(super) tiers: Vec<Tier>,
    pub(super) embeddings: Vec<EmbeddingModel>,
    pub(super) policies: Vec<Policy>,
    pub(super) default_policy: PolicyName,
}

/// Headers that trimtab or the connection sets, so that a configured one would break the request.
const RESERVED_HEADERS: [&str; 8] =
    ["accept-encoding", "connection", "content-length", "content-type", "host", "te", "transfer-encoding", "upgrade"];

/// Headers that carry secrets, so that their values may not stand in the file.
const SECRET_HEADERS: [&str; 5] = ["api-key", "authorization", "proxy-authorization", "x-api-key", "x-goog-api-key"];

/// What a second look costs where the policy does not say: a hundredth of a cent. The processor time is a thousandth of that; the rest is
/// what some milliseconds of waiting are worth.
const CAREFUL_COST: NanoUsd = NanoUsd(100_000);

/// What the other sections say that routing goes by.
#[derive(Clone, Copy)]
pub(super) struct Defaults {
    /// The longest a request may take.
    pub(super) longest: Duration,
    /// How conversations are kept together, where that could be read.
    pub(super) sessions: Option<Sessions>,
}

/// What a policy may refer to.
#[derive(Clone, Copy)]
struct Known<'a> {
    tiers: &'a [Tier],
    sessions: Option<Sessions>,
}

/// Reads upstreams, tiers and policies.
pub(super) fn read(root: &mut Section<'_>, keys: &Keys<'_>, defaults: Defaults) -> Option<Routing> {
    let longest = defaults.longest;
    let sections = root.named("upstreams");
    let names: Vec<String> = sections.iter().map(|(name, _)| name.clone()).collect();
    let mut taken = BTreeSet::new();
    let mut tiers = tiers(root, &names, &mut taken);
    let embeddings = embeddings::read(root, &names, &mut taken);
    let is_used = |name: &str| deployments::all(&tiers, &embeddings).any(|one| one.upstream.as_str() == name);
    let upstreams: Vec<Option<Upstream>> = sections
        .into_iter()
        .map(|(name, section)| {
            let use_of = if is_used(&name) { Use::Called } else { Use::Idle };
            upstream(&name, section, &Call { keys, longest, use_of })
        })
        .collect();
    embeddings::check_kinds(root, &embeddings, &upstreams);
    provider::note_addresses(&mut tiers, &upstreams);
    let sections = root.named("policies");
    let default_policy = default_policy(root, &sections);
    let known = Known { tiers: &tiers, sessions: defaults.sessions };
    let policies: Vec<Option<Policy>> =
        sections.into_iter().map(|(name, section)| policy(&name, section, known)).collect();
    Some(Routing {
        upstreams: upstreams.into_iter().collect::<Option<_>>()?,
        tiers,
        embeddings,
        policies: policies.into_iter().collect::<Option<_>>()?,
        default_policy: default_policy?,
    })
}

/// Whether any tier calls an upstream. The secrets of one that is never called are not looked for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Use {
    Called,
    Idle,
}

struct Call<'a> {
    keys: &'a Keys<'a>,
    longest: Duration,
    use_of: Use,
}

fn upstream(name: &str, mut section: Section<'_>, call: &Call<'_>) -> Option<Upstream> {
    check_name(&section, "", name, "an upstream");
    let keys = (call.use_of == Use::Called).then_some(call.keys);
    let kind = provider::kind(&mut section, keys);
    let base_url = match (section.has("base_url"), kind.base_url()) {
        (false, Some(usual)) => Some(usual),
        (true, _) | (false, None) => section.parsed(
            "base_url",
            "an address such as \"https://api.openai.com/v1\": http or https, without user, password, query or fragment",
            base_url,
        ),
    };
    let api_key = match (section.has("api_key"), call.use_of) {
        (true, Use::Called) => call.keys.secret(&mut section, "api_key"),
        (true, Use::Idle) | (false, _) => None,
    };
    let mut api_keys = deployments::api_keys(&mut section, (call.use_of == Use::Called).then_some(call.keys));
    let api_key = api_key.or_else(|| (!api_keys.is_empty()).then(|| api_keys.remove(0)));
    let headers = headers(&mut section, &kind, call);
    let timeouts = timeouts(section.section("timeouts"), call.longest);
    let transport = provider::transport(&mut section, keys);
    let drop_fields = provider::drops(&mut section);
    section.finish();
    Some(Upstream {
        id: name.into(),
        kind,
        base_url: base_url?,
        api_key,
        more_keys: api_keys,
        headers,
        timeouts: timeouts?,
        transport,
        drop_fields,
    })
}

fn base_url(text: &str) -> Option<String> {
    let url = provider::plain_address(text)?;
    let is_bare = url.query().is_none() && url.fragment().is_none();
    is_bare.then(|| url.as_str().trim_end_matches('/').to_owned())
}

fn headers(upstream: &mut Section<'_>, kind: &UpstreamKind, call: &Call<'_>) -> Vec<(String, Secret)> {
    let has_key = upstream.has("api_key") || upstream.has("api_keys");
    let has_key = has_key || matches!(kind, UpstreamKind::Bedrock { .. });
    let is_own = |name: &str| has_key && (name == "authorization" || name == kind.key_header());
    let section = upstream.section("headers");
    let mut headers = Vec::new();
    for (name, value) in upstream.section("headers").entries() {
        let path = section.path(&name);
        let lower = name.to_ascii_lowercase();
        let is_token =
            !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.!#$%&'*+^`|~".contains(&b));
        if !is_token {
            section.problem(&name, "is not the name of a header", "use letters, digits and `-`");
        } else if RESERVED_HEADERS.contains(&lower.as_str()) || is_own(&lower) {
            section.problem(&name, "is set by trimtab itself", "remove it");
        } else if let (Value::String(text), false) = (&value, SECRET_HEADERS.contains(&lower.as_str())) {
            match Secret::header(text) {
                Some(text) => headers.push((lower, text)),
                None => section.problem(
                    &name,
                    "is empty or holds characters that a header cannot carry",
                    "use visible ASCII",
                ),
            }
        } else if call.use_of == Use::Called {
            headers.extend(call.keys.secret_value(&section, path, Some(value)).map(|secret| (lower, secret)));
        }
    }
    headers
}

fn tiers(root: &mut Section<'_>, upstreams: &[String], names: &mut BTreeSet<String>) -> Vec<Tier> {
    let sections = root.list("tiers");
    if sections.is_empty() {
        root.problem("tiers", "there is none", "add [[tiers]] with an id and at least one [[tiers.models]]");
    }
    let mut ids = BTreeSet::new();
    let mut tiers = Vec::new();
    for (rank, mut section) in sections.into_iter().enumerate() {
        let id = section.text("id").unwrap_or_default();
        check_name(&section, "id", &id, "a tier");
        if !id.is_empty() && !ids.insert(id.clone()) {
            section.problem("id", format!("a second tier is named `{id}`"), "give each tier its own id");
        }
        let class = section.optional("class", Section::text).unwrap_or_else(|| id.clone());
        let entries = section.list("models");
        if entries.is_empty() {
            section.problem("models", "the tier has no model", "add [[tiers.models]] with a name and an upstream");
        }
        let mut models = Vec::new();
        for entry in entries {
            let place = Place { rank, tier: &id, class: &class, upstreams };
            models.extend(target(entry, &place, names));
        }
        section.finish();
        tiers.push(Tier { id: id.as_str().into(), class: class.as_str().into(), models });
    }
    recovery::check_models(root, &tiers);
    tiers
}

struct Place<'a> {
    rank: usize,
    tier: &'a str,
    class: &'a str,
    upstreams: &'a [String],
}

fn target(mut section: Section<'_>, place: &Place<'_>, names: &mut BTreeSet<String>) -> Option<Target> {
    let name = section.text("name");
    let price = section.optional("price", price);
    let deployments = deployments::read(&mut section, name.as_deref(), (place.upstreams, price));
    let balance = deployments::balance(&mut section);
    let fallback = recovery::models(&mut section, "fallback");
    let capability = Capability {
        context_tokens: section.optional("context", |section, key| section.integer(key, 1..=1_000_000_000)),
        tools: section.optional("tools", Section::flag).unwrap_or(true),
        forced_tools: section
            .optional("forced_tools", Section::flag)
            .unwrap_or_else(|| deployments.iter().any(|place| takes_forced_tools(&place.upstream_model))),
        images: section.optional("images", Section::flag).unwrap_or(false),
        image_urls: true,
        json_schema: section.optional("json_schema", Section::flag).unwrap_or(true),
    };
    if let Some(name) = &name {
        check_model_name(&section, name, names);
    }
    section.finish();
    let candidate = Candidate {
        model: name?.as_str().into(),
        tier: place.tier.into(),
        rank: place.rank,
        class: place.class.into(),
        price: price.or_else(|| deployments.first().and_then(|first| first.price)),
        capability,
    };
    (!deployments.is_empty()).then_some(Target { candidate, deployments, balance, fallback })
}

/// Checks the name of a model. `names` are those of all models so far.
pub(super) fn check_model_name(section: &Section<'_>, name: &str, names: &mut BTreeSet<String>) {
    if name == "auto" || name.starts_with("auto:") || name.starts_with("router-") {
        section.problem("name", format!("`{name}` is how callers ask for a decision"), "give the model another name");
    } else if !name.bytes().all(|byte| byte.is_ascii_graphic()) || name.contains('*') {
        section.problem(
            "name",
            format!("{name:?} cannot stand in a header"),
            "use visible ASCII without spaces and `*`",
        );
    }
    if !names.insert(name.to_owned()) {
        let fix = "names are unique over all tiers and embeddings: rename one and set its upstream_model";
        section.problem("name", format!("a second model is named `{name}`"), fix);
    }
}

pub(super) fn price(target: &mut Section<'_>, key: &'static str) -> Option<Price> {
    let mut section = target.section(key);
    let usd = |section: &mut Section<'_>, key| section.number(key, 0.0..=100_000.0).and_then(NanoUsd::from_usd);
    let input = usd(&mut section, "input");
    let output = usd(&mut section, "output");
    let cached = section.optional("cached_input", usd);
    let written = section.optional("cache_write", usd);
    section.finish();
    Some(Price {
        input_per_mtok: input?,
        cached_input_per_mtok: cached,
        cache_write_per_mtok: written,
        output_per_mtok: output?,
    })
}

/// Reads the one aim of a policy.
fn aim(section: &mut Section<'_>, tiers: &[Tier]) -> Option<Aim> {
    const NAMES: [&str; 3] = ["quality", "threshold", "success_value_usd"];
    let given: Vec<&'static str> = NAMES.into_iter().filter(|name| section.has(name)).collect();
    match given[..] {
        ["quality"] => probability(section, "quality").map(Aim::Quality),
        ["threshold"] => section.number("threshold", -1.0..=1.0).map(Aim::Threshold),
        ["success_value_usd"] => {
            let value = section.number("success_value_usd", MIN_SUCCESS_VALUE_USD..=MAX_SUCCESS_VALUE_USD);
            let is_priced = tiers.iter().flat_map(|tier| &tier.models).any(|model| model.candidate.price.is_some());
            if !is_priced && !tiers.is_empty() {
                section.problem(
                    "success_value_usd",
                    "no model has a price, so that nothing can be weighed in money",
                    "give the models a price = { input, output }, or set a quality instead",
                );
            }
            value.and_then(NanoUsd::from_usd).map(Aim::Value)
        }
        _ => {
            let (problem, at) = match given.first() {
                None => ("the policy needs a quality, a threshold or a success_value_usd".to_owned(), "quality"),
                Some(first) => (format!("the policy sets {}, which exclude one another", quoted(&given)), *first),
            };
            section.problem(at, problem, "set exactly one of `quality`, `threshold` and `success_value_usd`");
            None
        }
    }
}

/// Reads a number from 0 to 1.
pub(super) fn probability(section: &mut Section<'_>, key: &'static str) -> Option<Probability> {
    section.number(key, 0.0..=1.0).and_then(|number| Probability::try_from(number).ok())
}

fn policy(name: &str, mut section: Section<'_>, known: Known<'_>) -> Option<Policy> {
    let tiers = known.tiers;
    check_name(&section, "", name, "a policy");
    let aim = aim(&mut section, tiers);
    let default_tier = section.optional("default_tier", Section::text);
    if let Some(tier) = default_tier.as_ref().filter(|tier| !tiers.iter().any(|one| one.id.as_str() == tier.as_str())) {
        let ids = tiers.iter().map(|tier| tier.id.as_str());
        let fix = nearest(tier, ids.clone())
            .map_or_else(|| format!("name one of: {}", quoted(ids)), |near| format!("did you mean `{near}`?"));
        section.problem("default_tier", format!("there is no tier `{tier}`"), fix);
    }
    let allow_weaker_fallback = section.optional("allow_weaker_fallback", Section::flag).unwrap_or(false);
    let exploration = section.optional("exploration", probability).unwrap_or(Probability::ZERO);
    let words =
        [("never", CarefulMode::Never), ("when_close", CarefulMode::WhenClose), ("always", CarefulMode::Always)];
    let careful = section.optional("careful", |section, key| section.word(key, &words));
    let careful_cost = section.optional("careful_cost_usd", |section, key| section.number(key, 0.0..=1000.0));
    let sessions = section.optional("sessions", |section, key| section.word(key, &SESSION_MODES));
    let words = [
        ("default_tier", SafeChoice::DefaultTier),
        ("strongest", SafeChoice::Strongest),
        ("ignore", SafeChoice::Ignore),
    ];
    let unfamiliar = section.optional("unfamiliar", |section, key| section.word(key, &words));
    let recovery = recovery::read(&mut section, tiers);
    section.finish();
    let usual = known.sessions?;
    let strongest = || tiers.last().map(|tier| tier.id.clone());
    Some(Policy {
        name: name.into(),
        aim: aim?,
        default_tier: default_tier.map(|tier| tier.as_str().into()).or_else(strongest)?,
        allow_weaker_fallback,
        exploration,
        careful: careful.unwrap_or(CarefulMode::WhenClose),
        careful_cost: careful_cost.map_or(Some(CAREFUL_COST), NanoUsd::from_usd)?,
        sessions: sessions.unwrap_or(usual.mode),
        switch_margin: usual.switch_margin,
        unfamiliar: unfamiliar.unwrap_or_default(),
        recovery,
    })
}

fn default_policy(root: &mut Section<'_>, policies: &[(String, Section<'_>)]) -> Option<PolicyName> {
    let name = root.text("default_policy")?;
    let names = || policies.iter().map(|(name, _)| name.as_str());
    if !names().any(|known| known == name) {
        let fix = nearest(&name, names())
            .map_or_else(|| format!("name one of: {}", quoted(names())), |near| format!("did you mean `{near}`?"));
        root.problem("default_policy", format!("there is no policy `{name}`"), fix);
    }
    Some(name.as_str().into())
}

/// Names that stand in headers, metrics and `auto:NAME`.
fn check_name(section: &Section<'_>, key: &str, name: &str, what: &str) {
    let is_plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_.".contains(&b);
    if name.is_empty() || (name.len() <= 64 && name.bytes().all(is_plain)) {
        return;
    }
    let problem = format!("{name:?} cannot name {what}");
    let fix = "use at most 64 small letters, digits, `-`, `_` and `.`";
    if key.is_empty() {
        section.notes().problem(section.own_path(), problem, fix);
    } else {
        section.problem(key, problem, fix);
    }
}
