//! Retries, breakers, hedges, chains, and several places and keys.

use super::*;
use crate::domain::recovery::{Degraded, LastKept, Latency, Unfit};
use crate::domain::timeouts::Throughput;

#[test]
fn a_policy_may_say_what_happens_when_models_fail() {
    let file = format!(
        "{RIGHT}\n[policies.chat]\nquality = 0.5\nfallback = ['gpt-large']\nfallback_on = ['refusal', 'invalid_json']\ndegraded = 'Later.'\nfirst_token_timeout = '3s'\nhedge_after = '800ms'"
    );

    let recovery = load_file(&file).expect("a right file").policy("chat").expect("a policy").recovery.clone();

    assert_eq!(recovery.chain, ["gpt-large".into()]);
    assert!(recovery.fall_back_on.has(Unfit::Refusal) && !recovery.fall_back_on.has(Unfit::Empty));
    assert_eq!(recovery.degraded.text.as_deref(), Some("Later."));
    assert_eq!(recovery.first_token, Some(Duration::from_secs(3)));
    assert_eq!(recovery.hedge_after, Some(Duration::from_millis(800)));
}

#[test]
fn a_policy_may_be_degraded_to_answers_of_the_cache() {
    let read = |degraded: &str| {
        let policy = format!("[policies.chat]\nquality = 0.5\nlatency = 'batch'\ndegraded = {degraded}");
        let file = format!("[cache]\nresponses = 'exact'\n{RIGHT}\n{policy}");
        load_file(&file).expect("a right file").policy("chat").expect("a policy").recovery.clone()
    };
    let [word, both] = [read("'cached'"), read("{ cached = true, text = 'Later.' }")];

    assert_eq!(word.degraded, Degraded { cached: LastKept::Given, ..Degraded::default() });
    assert_eq!((both.degraded.cached, both.degraded.text.as_deref()), (LastKept::Given, Some("Later.")));
    assert_eq!(word.latency, Some(Latency::Batch));
}

#[test]
fn a_policy_may_have_requests_wait_for_an_answer() {
    let read = |degraded: &str| {
        let file = format!("{RIGHT}\n[policies.chat]\nquality = 0.5\ndegraded = {degraded}");
        load_file(&file).expect("a right file").policy("chat").expect("a policy").recovery.degraded.clone()
    };
    let (word, table) = (read("'queued'"), read("{ queued = true, text = 'Later.' }"));
    let own = read("{ queued = 'Wait for {reference}.' }");
    let not = read("{ queued = false, text = 'Later.' }");

    assert_eq!(word, Degraded { queued: Some(Degraded::QUEUED.into()), ..Degraded::default() });
    assert!(Degraded::QUEUED.contains(Degraded::REFERENCE));
    assert_eq!((table.queued.as_deref(), table.text.as_deref()), (Some(Degraded::QUEUED), Some("Later.")));
    assert_eq!((own.queued.as_deref(), own.text), (Some("Wait for {reference}."), None));
    assert_eq!((not.queued, not.text.as_deref()), (None, Some("Later.")));
}

#[test]
fn the_least_throughput_is_off_unless_it_is_set() {
    let with = |keys: &str| {
        let file = RIGHT.replacen("[[tiers]]", &format!("timeouts = {{ {keys} }}\n[[tiers]]"), 1);
        load_file(&file).expect("a right file").upstreams[0].timeouts.throughput
    };

    assert_eq!([with(""), with("min_throughput = 0")], [None, None]);
    assert_eq!(with("min_throughput = 20"), Some(Throughput { bytes_per_second: 20, window: Duration::from_secs(30) }));
    assert_eq!(
        with("min_throughput = 20, min_throughput_window = '1s'"),
        Some(Throughput { bytes_per_second: 20, window: Duration::from_secs(1) })
    );
}

#[test]
fn models_that_nobody_configured_are_no_fallback() {
    let policy = format!("{RIGHT}\n[policies.chat]\nquality = 0.5\nfallback = ['gpt-larg']");
    let model = format!("{RIGHT}fallback = ['gpt-larg']");

    for (file, path) in [(policy, "policies.chat.fallback"), (model, "tiers[1].models[0].fallback")] {
        let problem = only_problem(&file);

        assert_eq!((problem.path.as_str(), problem.fix.as_str()), (path, "did you mean `gpt-large`?"));
    }
}

#[test]
fn a_model_may_answer_at_several_places() {
    let places = "targets = [{ upstream = 'openai', upstream_model = 'a', weight = 3, price = { input = 1, output = 2 } }, { upstream = 'openai' }]";
    let several =
        RIGHT.replace("name = \"gpt-mini\"\n    upstream = \"openai\"", &format!("name = \"gpt-mini\"\n{places}"));
    let both = RIGHT.replace("name = \"gpt-mini\"", &format!("name = \"gpt-mini\"\n{places}"));

    let config = load_file(&several).expect("a right file");

    let target = config.target(&"gpt-mini".into()).expect("a model");
    let shown: Vec<(&str, f64)> =
        target.deployments.iter().map(|one| (one.upstream_model.as_str(), one.weight)).collect();
    assert_eq!(shown, [("a", 3.0), ("gpt-mini", 1.0)]);
    assert_ne!(target.deployments[0].price, target.candidate.price);
    assert_eq!(target.deployments[1].price, target.candidate.price);
    assert_eq!(only_problem(&both).path, "tiers[0].models[0].upstream");
}

#[test]
fn an_upstream_may_have_several_keys() {
    let keys = "api_keys = [{ env = 'OPENAI_API_KEY' }, { env = 'OPENAI_API_KEY' }]";
    let several = RIGHT.replace("api_key = { env = \"OPENAI_API_KEY\" }", keys);
    let both = RIGHT.replace("api_key = {", &format!("{keys}\napi_key = {{"));
    let wrong = RIGHT.replace("api_key = { env = \"OPENAI_API_KEY\" }", "api_keys = ['sk-inline']");

    let config = load_file(&several).expect("a right file");

    assert!(config.upstreams[0].api_key.is_some());
    assert_eq!(config.upstreams[0].more_keys.len(), 1);
    assert_eq!(only_problem(&both).path, "upstreams.openai.api_keys");
    let wrong = only_problem(&wrong);
    assert_eq!(wrong.path, "upstreams.openai.api_keys[0]");
    assert!(!wrong.to_string().contains("sk-inline"));
}

#[test]
fn wrong_words_and_ranges_are_named() {
    let cases = [
        ("[retry]\non = ['connect', 'evrything']", "retry.on"),
        ("[retry]\nattempts = 0", "retry.attempts"),
        ("[breaker]\nfailures = 0", "breaker.failures"),
        ("[breaker]\ncooling = '5m'", "breaker.longest_cooling"),
        ("[hedge]\nshare = 2", "hedge.share"),
        ("[feedback]\ncaller_share = 0", "feedback.caller_share"),
        ("[feedback]\ncaller_share = 1.5", "feedback.caller_share"),
        ("[policies.chat]\nquality = 1\nfallback_on = ['sadness']", "policies.chat.fallback_on"),
        ("[policies.chat]\nquality = 1\nlatency = 'soon'", "policies.chat.latency"),
        ("[policies.chat]\nquality = 1\ndegraded = 'cached'", "policies.chat.degraded"),
        ("[policies.chat]\nquality = 1\ndegraded = { cached = false }", "policies.chat.degraded"),
        ("[policies.chat]\nquality = 1\ndegraded = { queued = false }", "policies.chat.degraded"),
        ("[policies.chat]\nquality = 1\ndegraded = { queued = 'Wait.' }", "policies.chat.degraded.queued"),
        ("[policies.chat]\nquality = 1\ndegraded = { queued = 7, text = 'Later.' }", "policies.chat.degraded.queued"),
        ("[deferred]\nmax_entries = 0", "deferred.max_entries"),
        ("[deferred]\nat_once = 65", "deferred.at_once"),
        ("[deferred]\npause = '5m'", "deferred.longest_pause"),
        ("[deferred]\nkeep_for = '5s'", "deferred.keep_for"),
        ("[deferred]\nmax_tries = 0", "deferred.max_tries"),
        ("[deferred]\ncaller_share = 1.5", "deferred.caller_share"),
        (
            "[policies.chat]\nquality = 1\ndegraded = { cashed = true, text = 'Later.' }",
            "policies.chat.degraded.cashed",
        ),
    ];
    for (wrong, path) in cases {
        assert_eq!(only_problem(&format!("{wrong}\n{RIGHT}")).path, path);
    }
}
