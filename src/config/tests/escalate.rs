//! Checks of answers, and where they are wrong.

use super::*;
use crate::domain::check::Unknown;
use crate::domain::recovery::Unfit;

#[test]
fn a_policy_may_check_answers() {
    let file = format!(
        "{RIGHT}\n[policies.frugal]\nquality = 0\n[policies.frugal.escalate]\non = ['refusal']\nmean_logprob = -0.5\nmust_match = ['\\d']\nverifier = {{ url = 'http://127.0.0.1:9/verify', timeout = '1s' }}\non_unknown = 'escalate'"
    );

    let config = load_file(&file).expect("a right file");

    let rules = config.policy("frugal").expect("a policy").recovery.escalation.clone().expect("checks");
    assert!(rules.faults.has(Unfit::Refusal) && !rules.faults.has(Unfit::Empty));
    assert_eq!((rules.mean_logprob, rules.min_logprob, rules.times), (Some(-0.5), None, 1));
    assert_eq!(rules.unknown, Unknown::Escalated);
    let verifier = rules.verifier.as_ref().expect("a verifier");
    assert_eq!((verifier.timeout, verifier.least_score.get()), (Duration::from_secs(1), 0.5));
    assert!(config.policy("balanced").expect("a policy").recovery.escalation.is_none());
}

#[test]
fn checks_that_cannot_be_made_are_problems() {
    let cases = [
        ("on = ['rudeness']", "on"),
        ("mean_logprob = 0.5", "mean_logprob"),
        ("must_match = ['(']", "must_match"),
        ("must_not_match = ['(?=x)']", "must_not_match"),
        ("confidence = 90", "confidence"),
        ("confidence = 0.5\ntimes = 0", "times"),
        ("verifier = { url = 'ftp://x/' }", "verifier.url"),
        ("verifier = { url = 'http://user:pass@x/' }", "verifier.url"),
        ("verifier = { timeout = '1s' }", "verifier.url"),
        ("confidence = 0.5\nthreshold = 1", "threshold"),
    ];
    for (line, path) in cases {
        let file = format!("{RIGHT}\n[policies.frugal]\nquality = 0\n[policies.frugal.escalate]\n{line}");
        assert_eq!(only_problem(&file).path, format!("policies.frugal.escalate.{path}"), "{line}");
    }
    let nothing = format!("{RIGHT}\n[policies.frugal]\nquality = 0\n[policies.frugal.escalate]\ntimes = 2");
    assert_eq!(only_problem(&nothing).path, "policies.frugal.escalate");
}
