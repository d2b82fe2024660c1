//! What becomes of the second target that is asked while the first is late, when one of the two is of no use.

use super::*;
use crate::chat::fitness::{Fitness, Form};
use crate::domain::check::{Escalation, Pattern, Unknown};
use crate::domain::recovery::{Unfit, UnfitSet};
use crate::upstream::dialect::Dialect;
use crate::upstream::escalate::Checking;
use crate::upstream::fake::{hang, json, whole};

const REFUSED: &str = r#"{"model":"upstream-model","choices":[{"message":{"content":null,"refusal":"no"},"finish_reason":"stop"}],"usage":{"prompt_tokens":10,"completion_tokens":5}}"#;
const FILTERED: &str =
    r#"{"error":{"message":"filtered","type":"invalid_request_error","param":null,"code":"content_filter"}}"#;

fn hedging(care: Care, targets: Vec<Target>) -> Plan {
    Plan { care: Care { hedge_after: Some(SHORT), ..care }, ..plan(targets) }
}

fn in_tier(tier: &str, target: Target) -> Target {
    Target { tier: TierId::from(tier), ..target }
}

/// Silent for longer than it takes to ask another one, and then given up.
async fn silent() -> (FakeUpstream, Target) {
    let fake = FakeUpstream::script([hang()]).await;
    let target = hasty("a", &fake, Timeouts { headers: 3 * SHORT, ..Timeouts::default() });
    (fake, target)
}

/// Answers must say `yes`, and be likely, where that is wanted.
fn checking(mean_logprob: Option<f64>) -> Care {
    let rules = Escalation {
        faults: UnfitSet::EMPTY,
        mean_logprob,
        min_logprob: None,
        confidence: None,
        must_match: vec![Pattern::parse("yes").unwrap()],
        must_not_match: Vec::new(),
        verifier: None,
        unknown: Unknown::Accepted,
        times: 1,
    };
    let tiers = ["small", "medium", "large"].map(TierId::from);
    let checking =
        Checking { rules: Arc::new(rules), fitness: Fitness::ANY, tiers: tiers.into(), question: String::new() };
    Care { checking: Some(Box::new(checking)), ..Care::NONE }
}

#[tokio::test]
async fn a_rival_that_has_no_words_for_the_request_leaves_the_first_target_alone() {
    let (_fake, first) = silent().await;
    let other = FakeUpstream::script([json(ANSWER)]).await;
    let rival = target_of(UpstreamSettings { dialect: Dialect::Anthropic, ..settings("b", other.base_url()) });
    let (books, reports, closed) = books();
    let body = |model: &str, _: Reader| Bytes::from(format!(r#"{{"model":"{model}","n":2,"messages":[]}}"#));
    let outgoing = Outgoing {
        path: "/chat/completions",
        expects: Expects::Completion,
        api: Api::Chat,
        stream: false,
        wants_usage: false,
        body: &body,
        request_id: "req-1",
        prompt_tokens: 7,
    };

    let result = timeout(PATIENCE, dispatch(hedging(Care::NONE, vec![first, rival]), &outgoing, books)).await.unwrap();

    drop(result.unwrap_err());
    let outcome = one_report(&reports, closed).await;
    assert_eq!(classes(&outcome), [Class::Rejected, Class::Transient], "it had its time");
    assert_eq!(outcome.cost, None, "nobody is cancelled");
    assert!(other.requests().is_empty());
}

#[tokio::test]
async fn a_rivals_filter_that_the_policy_evades_leaves_the_first_target_alone() {
    let fitness = Fitness { unfit: [Unfit::ContentFilter].into_iter().collect(), form: Form::Free };
    for (care, expected) in [
        (Care { fitness, ..Care::NONE }, [Class::Rejected, Class::Transient]),
        (Care::NONE, [Class::Cancelled, Class::Rejected]),
    ] {
        let (_fake, first) = silent().await;
        let other = FakeUpstream::script([whole(400, "application/json", FILTERED.as_bytes())]).await;

        let (_, outcome) = call(hedging(care, vec![first, target("b", &other)]), WHOLE).await.failed().await;

        assert_eq!(classes(&outcome), expected);
    }
}

#[tokio::test]
async fn a_rival_that_refuses_what_only_the_checks_asked_for_is_asked_again_without_it() {
    let (_fake, first) = silent().await;
    let yes = ANSWER.replace("hello", "yes");
    let other = FakeUpstream::script([crate::upstream::fake::status(400), json(&yes)]).await;
    let strongest = FakeUpstream::script([json(ANSWER)]).await;
    let targets = vec![first, in_tier("medium", target("b", &other)), in_tier("large", target("c", &strongest))];

    let (body, outcome) = call(hedging(checking(Some(-1.0)), targets), WHOLE).await.read().await;

    assert_eq!(classes(&outcome), [Class::Rejected, Class::Transient, Class::Success]);
    assert!(body.contains("yes"), "{body}");
    assert!(!String::from_utf8_lossy(&other.requests()[1].body).contains("logprobs"));
}

#[tokio::test]
async fn the_loser_is_asked_when_the_winners_answer_is_of_no_use() {
    let first = FakeUpstream::script([hang(), json(ANSWER)]).await;
    let rival = FakeUpstream::script([json(REFUSED)]).await;
    let fitness = Fitness { unfit: [Unfit::Refusal].into_iter().collect(), form: Form::Free };

    let plan = hedging(Care { fitness, ..Care::NONE }, vec![target("a", &first), target("b", &rival)]);
    let (body, outcome) = call(plan, WHOLE).await.read().await;

    assert_eq!(classes(&outcome), [Class::Cancelled, Class::Unfit, Class::Success]);
    assert!(body.contains("hello"), "{body}");
}

#[tokio::test]
async fn an_answer_that_won_is_checked_while_the_stronger_loser_may_be_asked() {
    let strong = FakeUpstream::script([hang(), json(ANSWER)]).await;
    let cheap = FakeUpstream::script([json(&ANSWER.replace("hello", "no")).when_asked(&strong)]).await;
    let targets = vec![target("a", &cheap), in_tier("large", target("b", &strong))];

    let (body, outcome) = call(hedging(checking(None), targets), WHOLE).await.read().await;

    assert_eq!(classes(&outcome), [Class::Cancelled, Class::Unfit, Class::Success]);
    assert!(body.contains("hello") && body.contains("m-b"), "{body}");
}
