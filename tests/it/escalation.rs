//! Answers that are checked before the client has them, and the stronger model that is asked where one fails.

use serde_json::{Value, json};

use crate::support::app::chat;
use crate::support::fake::{FakeUpstream, Reply, hang, json as whole, raw_stream, sse, status};
use crate::support::{Setup, TestApp};

/// A whole answer of this text, at these log probabilities.
fn answer(text: &str, logprobs: &[f64]) -> Reply {
    let tokens: Vec<Value> = logprobs.iter().map(|logprob| json!({ "token": "x", "logprob": logprob })).collect();
    let logprobs = if tokens.is_empty() { Value::Null } else { json!({ "content": tokens }) };
    let body = json!({
        "id": "c1", "object": "chat.completion", "created": 1, "model": "m",
        "choices": [{ "index": 0, "message": { "role": "assistant", "content": text }, "logprobs": logprobs, "finish_reason": "stop" }],
        "usage": { "prompt_tokens": 10, "completion_tokens": 1, "total_tokens": 11 },
    });
    whole(&body.to_string())
}

/// Two tiers, and a policy that takes the cheap one and checks it.
async fn start((cheap, dear): (&FakeUpstream, &FakeUpstream), checks: &str) -> TestApp {
    let policy = format!("\n[policies.frugal]\nquality = 0\n[policies.frugal.escalate]\n{checks}\n");
    TestApp::start(Setup::tiers(&[cheap.base_url(), dear.base_url()]).with(&policy)).await
}

async fn upstreams(cheap: impl IntoIterator<Item = Reply>, dear: Reply) -> (FakeUpstream, FakeUpstream) {
    (FakeUpstream::script(cheap).await, FakeUpstream::script([dear]).await)
}

fn sent(upstream: &FakeUpstream) -> Value {
    serde_json::from_slice(&upstream.requests().last().unwrap().body).unwrap()
}

fn content(answer: &Value) -> &str {
    answer["choices"][0]["message"]["content"].as_str().unwrap()
}

#[tokio::test]
async fn an_unsure_answer_is_replaced_by_the_stronger_models_and_both_are_billed() {
    let (cheap, dear) =
        upstreams([answer("maybe", &[-0.1, -2.9]), answer("sure", &[-0.1])], answer("certainly", &[])).await;
    let app = start((&cheap, &dear), "mean_logprob = -1.0").await;

    let unsure = app.post("/v1/chat/completions", &chat("auto:frugal", "hello")).await;
    let sure = app.post("/v1/chat/completions", &chat("auto:frugal", "hello")).await;

    assert_eq!((content(&unsure.json()), unsure.header("x-trimtab-model")), ("certainly", "dear"));
    assert_eq!(unsure.header("x-trimtab-escalated"), "mean_logprob");
    assert_eq!(unsure.header("x-trimtab-attempts"), "cheap@first=unfit, dear@last=success");
    assert_eq!(unsure.header("x-trimtab-cost-usd"), "0.000131400", "both are billed");
    assert_eq!((content(&sure.json()), sure.header("x-trimtab-model")), ("sure", "cheap"));
    assert!(sure.headers.get("x-trimtab-escalated").is_none());
    assert_eq!(sure.json()["choices"][0]["logprobs"], Value::Null, "the client did not ask for them");
    assert_eq!(sent(&cheap)["logprobs"], true);
    assert!(sent(&dear).get("logprobs").is_none(), "the strongest is not checked");

    let metrics = app.get("/metrics").await.text;
    for line in [
        r#"trimtab_checked_calls_total{policy="frugal",result="escalated"} 1"#,
        r#"trimtab_checked_calls_total{policy="frugal",result="passed"} 1"#,
        r#"trimtab_checks_total{check="mean_logprob",result="failed"} 1"#,
        r#"trimtab_checked_cost_usd_total{policy="frugal",part="discarded"} 0.0000014"#,
    ] {
        assert!(metrics.contains(line), "{line} in {metrics}");
    }
    let directory = app.stop().await;
    let rows = crate::commands::export(directory.path(), &[]);
    let row = rows.iter().find(|row| row["model"] == "dear").expect("the escalated call");
    assert_eq!(row["cost_usd"].as_f64(), Some(0.000_131_4), "{row}");
}

#[tokio::test]
async fn a_streaming_client_reads_a_checked_answer_as_a_stream_in_every_dialect() {
    let (cheap, dear) = upstreams([answer("It is 42.", &[])], sse(&["from ", "dear"])).await;
    let app = start((&cheap, &dear), "must_match = ['\\d']\n").await;
    let mut body = chat("auto:frugal", "hello");
    body["stream"] = json!(true);
    body["stream_options"] = json!({ "include_usage": true });

    let reply = app.post("/v1/chat/completions", &body).await;
    let messages = json!({ "model": "auto:frugal", "max_tokens": 9, "stream": true, "messages": [{ "role": "user", "content": "hello" }] });
    let messages = app.post("/v1/messages", &messages).await;

    assert_eq!(reply.header("content-type"), "text/event-stream");
    assert_eq!(reply.header("content-length"), reply.text.len().to_string(), "in one piece, for which nobody waits");
    assert!(reply.text.contains("It is 42.") && reply.text.ends_with("data: [DONE]\n\n"), "{}", reply.text);
    assert!(reply.text.contains("\"prompt_tokens\":10"), "{}", reply.text);
    assert_eq!(reply.header("x-trimtab-cost-usd"), "0.000001400", "known before it is streamed");
    assert!(messages.text.contains("text_delta") && messages.text.contains("It is 42."), "{}", messages.text);
    assert!(sent(&cheap).get("stream").is_none_or(|stream| stream == false), "asked for whole");
    assert!(dear.requests().is_empty());
}

#[tokio::test]
async fn the_stronger_models_stream_flows_through_unchecked() {
    let (cheap, dear) = upstreams([answer("no idea", &[])], sse(&["from ", "dear"])).await;
    let app = start((&cheap, &dear), "must_not_match = ['(?i)no idea']").await;
    let mut body = chat("auto:frugal", "hello");
    body["stream"] = json!(true);

    let reply = app.post("/v1/chat/completions", &body).await;

    assert!(reply.text.contains("from ") && !reply.text.contains("no idea"), "{}", reply.text);
    assert_eq!(reply.header("x-trimtab-escalated"), "must_not_match");
    assert_eq!(sent(&dear)["stream"], true);
}

#[tokio::test]
async fn a_model_says_how_sure_it_is_and_the_client_does_not_read_it() {
    let script = [answer("Paris\nConfidence: 95", &[]), answer("Rome\nConfidence: 20", &[]), answer("Oslo", &[])];
    let (cheap, dear) = upstreams(script, answer("Bern", &[])).await;
    let app = start((&cheap, &dear), "confidence = 0.7").await;

    let mut said = Vec::new();
    for _ in 0..3 {
        said.push(app.post("/v1/chat/completions", &chat("auto:frugal", "hello")).await);
    }

    let texts: Vec<String> = said.iter().map(|reply| content(&reply.json()).to_owned()).collect();
    assert_eq!(texts, ["Paris", "Bern", "Oslo"], "what it does not say is unknown, and accepted");
    let asked = sent(&cheap)["messages"][0]["content"].as_str().unwrap().to_owned();
    assert!(asked.starts_with("hello\n\n") && asked.contains("Confidence"), "{asked}");
    assert_eq!(sent(&dear)["messages"][0]["content"], "hello");
    let metrics = app.get("/metrics").await.text;
    assert!(metrics.contains(r#"trimtab_checks_total{check="confidence",result="unknown"} 1"#), "{metrics}");
}

#[tokio::test]
async fn the_requests_own_schema_and_refusals_are_checks_too() {
    let refusal = r#"{"choices":[{"index":0,"message":{"role":"assistant","content":null,"refusal":"no"},"finish_reason":"stop"}]}"#;
    let (cheap, dear) =
        upstreams([answer("not json", &[]), whole(refusal), answer("{\"a\":2}", &[])], answer("{\"a\":1}", &[])).await;
    let app = start((&cheap, &dear), "on = ['refusal', 'invalid_json']").await;
    let mut body = chat("auto:frugal", "hello");
    body["response_format"] = json!({ "type": "json_schema", "json_schema": { "name": "x", "schema": { "type": "object", "required": ["a"] } } });

    let wrong_form = app.post("/v1/chat/completions", &body).await;
    let refused = app.post("/v1/chat/completions", &body).await;
    let good = app.post("/v1/chat/completions", &body).await;

    assert_eq!(
        (wrong_form.header("x-trimtab-escalated"), wrong_form.header("x-trimtab-model")),
        ("invalid_json", "dear")
    );
    assert_eq!((refused.header("x-trimtab-escalated"), refused.header("x-trimtab-model")), ("refusal", "dear"));
    assert_eq!(content(&good.json()), "{\"a\":2}");
    let metrics = app.get("/metrics").await.text;
    for line in [
        r#"trimtab_checked_calls_total{policy="frugal",result="escalated"} 2"#,
        r#"trimtab_checked_calls_total{policy="frugal",result="passed"} 1"#,
        r#"trimtab_checks_total{check="refusal",result="passed"} 2"#,
        r#"trimtab_checks_total{check="invalid_json",result="failed"} 1"#,
    ] {
        assert!(metrics.contains(line), "{line} in {metrics}");
    }
}

#[tokio::test]
async fn a_verifier_of_the_operators_judges_and_its_failure_means_what_the_policy_says() {
    let judge = FakeUpstream::script([whole(r#"{"ok":false}"#), whole(r#"{"score":0.9}"#), status(500)]).await;
    let (cheap, dear) = upstreams([answer("3", &[])], answer("2", &[])).await;
    let url = judge.base_url();
    let app = start((&cheap, &dear), &format!("verifier = {{ url = \"{url}\" }}")).await;
    let (also_cheap, also_dear) = upstreams([answer("3", &[])], answer("2", &[])).await;
    let silent = FakeUpstream::script([hang()]).await.base_url();
    let strict = format!("on_unknown = \"escalate\"\nverifier = {{ url = \"{silent}\", timeout = \"100ms\" }}");
    let strict = start((&also_cheap, &also_dear), &strict).await;

    let mut said = Vec::new();
    for _ in 0..3 {
        said.push(content(&app.post("/v1/chat/completions", &chat("auto:frugal", "1+1?")).await.json()).to_owned());
    }
    let escalated = strict.post("/v1/chat/completions", &chat("auto:frugal", "1+1?")).await;

    assert_eq!(said, ["2", "3", "3"], "no, yes, and a failure that is accepted");
    let asked = sent(&judge);
    assert_eq!((&asked["question"], &asked["answer"], &asked["model"]), (&json!("1+1?"), &json!("3"), &json!("cheap")));
    assert_eq!((content(&escalated.json()), escalated.header("x-trimtab-escalated")), ("2", "verifier"));
}

#[tokio::test]
async fn the_answer_that_failed_is_given_when_nothing_stronger_answers() {
    let (cheap, dear) = upstreams([answer("maybe", &[])], status(503)).await;
    let app = start((&cheap, &dear), "must_match = ['yes']").await;

    let reply = app.post("/v1/chat/completions", &chat("auto:frugal", "hello")).await;

    assert_eq!((reply.status, content(&reply.json())), (200, "maybe"));
    assert_eq!(reply.header("x-trimtab-escalated"), "must_match");
    assert_eq!(reply.header("x-trimtab-cost-usd"), "0.000001400", "billed once");
}

#[tokio::test]
async fn an_upstream_that_refuses_log_probabilities_is_asked_without_them() {
    let (cheap, dear) = upstreams([status(400), answer("fine", &[])], answer("dear", &[])).await;
    let app = start((&cheap, &dear), "min_logprob = -1.0").await;

    let reply = app.post("/v1/chat/completions", &chat("auto:frugal", "hello")).await;

    assert_eq!((reply.status, content(&reply.json())), (200, "fine"));
    assert_eq!(reply.header("x-trimtab-attempts"), "cheap@first=rejected, cheap@first=success");
    assert!(sent(&cheap).get("logprobs").is_none());
}

#[tokio::test]
async fn a_request_that_is_refused_for_itself_is_still_the_callers() {
    let (cheap, dear) = upstreams([status(400)], answer("dear", &[])).await;
    let app = start((&cheap, &dear), "min_logprob = -1.0").await;

    let reply = app.post("/v1/chat/completions", &chat("auto:frugal", "hello")).await;

    assert_eq!(reply.status, 400, "{}", reply.text);
    assert!(dear.requests().is_empty());
}

#[tokio::test]
async fn log_probabilities_that_the_client_asked_for_stay() {
    let (cheap, dear) = upstreams([answer("sure", &[-0.1])], raw_stream(&[])).await;
    let app = start((&cheap, &dear), "mean_logprob = -1.0").await;
    let mut body = chat("auto:frugal", "hello");
    body["logprobs"] = json!(true);

    let reply = app.post("/v1/chat/completions", &body).await;

    assert_eq!(reply.json()["choices"][0]["logprobs"]["content"][0]["logprob"], -0.1);
}

#[tokio::test]
async fn a_request_with_the_clients_own_log_probabilities_is_refused_once() {
    let (cheap, dear) = upstreams([status(400)], raw_stream(&[])).await;
    let app = start((&cheap, &dear), "mean_logprob = -1.0").await;
    let mut body = chat("auto:frugal", "hello");
    body["logprobs"] = json!(true);

    let reply = app.post("/v1/chat/completions", &body).await;

    assert_eq!((reply.status, cheap.requests().len()), (400, 1), "{}", reply.text);
}
