//! `[policies.NAME.escalate]`: answers that are checked, and a stronger tier where one fails.

use std::sync::Arc;
use std::time::Duration;

use crate::config::provider::plain_address;
use crate::config::reader::Section;
use crate::config::recovery::words;
use crate::config::routing::probability;
use crate::domain::check::{Escalation, Pattern, Unknown, Verifier};
use crate::domain::probability::Probability;
use crate::domain::recovery::Unfit;

/// The most patterns of a list.
const MOST: usize = 64;

/// Reads what a policy holds answers against. `None` where it does not, or where a problem was remembered.
pub(super) fn read(policy: &mut Section<'_>) -> Option<Arc<Escalation>> {
    if !policy.has("escalate") {
        return None;
    }
    let mut section = policy.section("escalate");
    let kinds = Unfit::ALL.map(Unfit::as_str);
    let on = section.optional("on", |section, key| words(section, key, &kinds)).unwrap_or_default();
    let logprob =
        |section: &mut Section<'_>, key| section.optional(key, |section, key| section.number(key, -100.0..=0.0));
    let mean_logprob = logprob(&mut section, "mean_logprob");
    let min_logprob = logprob(&mut section, "min_logprob");
    let confidence = section.optional("confidence", probability);
    let must_match = patterns(&mut section, "must_match");
    let must_not_match = patterns(&mut section, "must_not_match");
    let verifier = if section.has("verifier") { verifier(section.section("verifier")) } else { None };
    let unknown = [("accept", Unknown::Accepted), ("escalate", Unknown::Escalated)];
    let unknown = section.optional("on_unknown", |section, key| section.word(key, &unknown)).unwrap_or_default();
    let times = section.optional("times", |section, key| section.integer(key, 1..=10)).unwrap_or(1);
    let checks = ["on", "mean_logprob", "min_logprob", "confidence", "must_match", "must_not_match", "verifier"];
    if !checks.into_iter().any(|key| section.has(key)) {
        let fix = "set at least one of `on`, `mean_logprob`, `min_logprob`, `confidence`, `must_match`, `must_not_match` and `verifier`";
        section.notes().problem(section.own_path(), "checks nothing", fix);
    }
    section.finish();
    Some(Arc::new(Escalation {
        faults: Unfit::ALL.into_iter().filter(|one| on.contains(&one.as_str())).collect(),
        mean_logprob,
        min_logprob,
        confidence,
        must_match,
        must_not_match,
        verifier,
        unknown,
        times: u32::try_from(times).ok()?,
    }))
}

fn verifier(mut section: Section<'_>) -> Option<Verifier> {
    let expected = "an address such as \"http://127.0.0.1:9000/verify\": http or https, without user and password";
    let url = section.parsed("url", expected, |text| Some(plain_address(text)?.to_string()));
    let within = Duration::from_millis(1)..=Duration::from_secs(60);
    let timeout = section.optional("timeout", |section, key| section.duration(key, within));
    let least_score = section.optional("least_score", probability);
    let given_share = section.optional("given_share", probability);
    section.finish();
    Some(Verifier {
        url: url?,
        timeout: timeout.unwrap_or(Duration::from_secs(2)),
        least_score: least_score.unwrap_or(Probability::HALF),
        given_share: given_share.unwrap_or(Probability::ZERO),
    })
}

fn patterns(section: &mut Section<'_>, key: &'static str) -> Vec<Pattern> {
    let texts = section.optional(key, Section::texts).unwrap_or_default();
    if texts.len() > MOST {
        section.problem(key, format!("has {} patterns", texts.len()), format!("list at most {MOST}"));
    }
    let read = |text: &String| {
        let pattern = Pattern::parse(text);
        if pattern.is_none() {
            let fix = "write it in the syntax of docs.rs/regex, which has no look-around and no back-references, in single quotes";
            section.problem(key, format!("{text:?} is no pattern that can be used"), fix);
        }
        pattern
    };
    texts.iter().filter_map(read).collect()
}
