//! Feedback, records and export.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use sqlx::{Connection, SqliteConnection};

use crate::support::app::{chat, load_config};
use crate::support::fake::{FakeUpstream, json as whole_answer};
use crate::support::{Reply, Setup, TestApp};

const ASK: &str = "Which of these numbers is prime?";

async fn decide(app: &TestApp) -> Value {
    app.post("/v1/route", &chat("auto", ASK)).await.json()
}

async fn report(app: &TestApp, body: Value) -> Reply {
    app.post("/v1/feedback", &body).await
}

#[tokio::test]
async fn a_report_is_stored_once_and_learned_at_once() {
    let app = TestApp::start(Setup::default()).await;
    let before = decide(&app).await;
    let model = before["model"].clone();
    let success = |decision: &Value| {
        let candidates = decision["candidates"].as_array().unwrap();
        candidates.iter().find(|one| one["model"] == model).unwrap()["success"].as_f64().unwrap()
    };

    let first = report(&app, json!({ "decision_id": before["id"], "score": 0.0 })).await.json();
    let again = report(&app, json!({ "decision_id": before["id"], "score": 0.0 })).await.json();
    let after = decide(&app).await;

    assert_eq!((&first["replayed"], &first["learned"]), (&json!(false), &json!(true)), "{first}");
    assert_eq!((&again["replayed"], &again["learned"]), (&json!(true), &json!(false)), "{again}");
    assert!(success(&after) < success(&before), "the neighbour index did not take the verdict in");
    assert_eq!(after["neighbours"]["top"][0]["item"], before["id"]);
}

#[tokio::test]
async fn reports_that_cannot_stand_are_refused_by_field() {
    let app = TestApp::start(Setup::default()).await;
    let id = decide(&app).await["id"].clone();
    let unknown = "dec_00000000000000000000000000000000";

    let cases = [
        (json!({ "decision_id": unknown, "success": true }), 404, "decision_id"),
        (json!({ "decision_id": "nope", "success": true }), 400, "decision_id"),
        (json!({ "success": true }), 400, "decision_id"),
        (json!({ "decision_id": id }), 400, "score"),
        (json!({ "decision_id": id, "score": 1.5 }), 400, "score"),
        (json!({ "decision_id": id, "score": "good" }), 400, "score"),
        (json!({ "decision_id": id, "rating": 6 }), 400, "rating"),
        (json!({ "decision_id": id, "rating": 4.5 }), 400, "rating"),
        (json!({ "decision_id": id, "success": 1 }), 400, "success"),
        (json!({ "decision_id": id, "label": "poetry" }), 400, "label"),
        (json!({ "decision_id": id, "preferred_model": "" }), 400, "preferred_model"),
    ];
    for (body, status, field) in cases {
        let (found, _, param) = report(&app, body.clone()).await.error();

        assert_eq!((found, param.as_deref()), (status, Some(field)), "{body}");
    }
    assert_eq!(report(&app, json!({ "decision_id": id, "socre": 1 })).await.status, 400);
}

#[tokio::test]
async fn an_idempotency_key_stands_for_one_report() {
    let app = TestApp::start(Setup::default()).await;
    let id = decide(&app).await["id"].clone();
    let send = async |body: Value| {
        let request = app.client.post(format!("{}/v1/feedback", app.url)).header("content-type", "application/json");
        app.send(request.header("idempotency-key", "k1").body(body.to_string())).await
    };

    let first = send(json!({ "decision_id": id, "success": true })).await;
    let same = send(json!({ "decision_id": id, "success": true })).await;
    let other = send(json!({ "decision_id": id, "success": false })).await;

    assert_eq!((first.status, first.json()["replayed"].clone()), (200, json!(false)));
    assert_eq!((same.status, same.json()["replayed"].clone()), (200, json!(true)));
    assert_eq!(other.error(), (409, "idempotency_conflict".to_owned(), Some("idempotency-key".to_owned())));
}

#[tokio::test]
async fn a_completion_is_recorded_with_its_outcome_and_exported() {
    let app = TestApp::start(Setup::default()).await;
    let answer = app.post("/v1/chat/completions", &chat("auto", ASK)).await;
    let id = answer.header("x-trimtab-decision-id").to_owned();
    report(&app, json!({ "decision_id": id, "rating": 5, "label": "mathematics" })).await;
    let directory = app.stop().await;

    let rows = crate::commands::export(directory.path(), &["--format", "jsonl"]);

    assert_eq!(rows.len(), 1, "{rows:?}");
    let row = &rows[0];
    assert_eq!((&row["prompt_id"], &row["prompt"], &row["score"]), (&json!(id), &json!(ASK), &json!(1.0)));
    assert_eq!((&row["class"], &row["dataset"]), (&json!("success"), &json!("feedback")));
    assert!(row["cost_usd"].as_f64().unwrap() > 0.0);
    assert!(row["embedding"].is_string() && row["encoder"].is_string());
}

#[tokio::test]
async fn an_export_says_by_which_api_a_call_came_and_whether_its_tokens_are_an_estimate() {
    let answer = |usage: Value| {
        let message = json!({ "role": "assistant", "content": "Two." });
        let choices = json!([{ "index": 0, "message": message, "finish_reason": "stop" }]);
        whole_answer(
            &json!({ "id": "c", "object": "chat.completion", "model": "m", "choices": choices, "usage": usage })
                .to_string(),
        )
    };
    let counted = answer(json!({ "prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11 }));
    let uncounted = answer(Value::Null);
    let vectors = r#"{"object":"list","data":[{"object":"embedding","index":0,"embedding":[1.0]}],"model":"e","usage":{"prompt_tokens":3,"total_tokens":3}}"#;
    let script =
        [counted.clone(), counted.clone(), uncounted.clone(), uncounted.clone(), uncounted, whole_answer(vectors)];
    let upstream = FakeUpstream::script(script).await;
    let embeddings = "[[embeddings]]\nname = \"embed\"\nupstream = \"first\"\n";
    let app = TestApp::start(Setup::tiers(&[upstream.base_url()]).with(embeddings)).await;
    let messages = json!([{ "role": "user", "content": ASK }]);
    for (path, body) in [
        ("/v1/chat/completions", json!({ "model": "cheap", "messages": messages })),
        ("/v1/completions", json!({ "model": "cheap", "prompt": ASK })),
        ("/v1/messages", json!({ "model": "cheap", "max_tokens": 9, "messages": messages })),
        ("/v1/responses", json!({ "model": "cheap", "input": ASK })),
        ("/v1beta/models/cheap:generateContent", json!({ "contents": [{ "parts": [{ "text": ASK }] }] })),
        ("/v1/embeddings", json!({ "input": ASK })),
        ("/v1/route", json!({ "messages": messages })),
        ("/v1/route/batch", json!({ "requests": [{ "messages": messages }] })),
    ] {
        let reply = app.post(path, &body).await;
        assert_eq!(reply.status, 200, "{path}: {}", reply.text);
    }
    let directory = app.stop().await;

    let rows = crate::commands::export(directory.path(), &[]);

    let said: Vec<(&str, &Value)> =
        rows.iter().map(|row| (row["api"].as_str().unwrap(), &row["usage_estimated"])).collect();
    let (yes, no, unknown) = (&json!(true), &json!(false), &Value::Null);
    let expected = [
        ("chat", no),
        ("completions", no),
        ("messages", yes),
        ("responses", yes),
        ("generate_content", yes),
        ("embeddings", no),
        ("route", unknown),
        ("route", unknown),
    ];
    assert_eq!(said, expected);
}

#[tokio::test]
async fn administration_streams_the_export() {
    let app = TestApp::start(Setup::default()).await;
    let id = decide(&app).await["id"].clone();
    report(&app, json!({ "decision_id": id, "success": true })).await;

    let export = app.send(app.client.get(format!("{}/v1/feedback/export", app.admin_url))).await;

    let rows: Vec<Value> = export.text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((rows.len(), &rows[0]["prompt_id"], &rows[0]["score"]), (1, &id, &json!(1.0)));
    assert_eq!(app.get("/v1/feedback/export").await.status, 404, "callers do not see each other's records");
}

#[tokio::test]
async fn prompts_stay_out_of_a_store_that_keeps_none() {
    let app = TestApp::start(Setup::default().with("[store]\nprompts = \"none\"\n")).await;
    let canary = "canary-7f3a sits in a gilded cage";
    app.post("/v1/chat/completions", &chat("auto", canary)).await;
    let directory = app.stop().await;

    for entry in fs::read_dir(directory.path()).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            let bytes = fs::read(&path).unwrap();
            assert!(!bytes.windows(11).any(|window| window == b"canary-7f3a"), "{} holds the prompt", path.display());
        }
    }
    let rows = crate::commands::export(directory.path(), &[]);
    assert_eq!((rows.len(), &rows[0]["prompt"]), (1, &json!(null)));
}

#[tokio::test]
async fn two_servers_on_one_store_are_refused() {
    let first = TestApp::start(Setup::default()).await;
    let second = tempfile::tempdir().unwrap();
    // A directory of its own, but the same store.
    let setup = Setup::default();
    let mut config = load_config(second.path(), &setup);
    config.store.path = first.directory.path().join("trimtab.db");

    let error = trimtab::serve::serve(config, tokio_util::sync::CancellationToken::new(), |_| {}).await.unwrap_err();

    assert!(error.to_string().contains("is in use by"), "{error}");
    assert_eq!(first.post("/v1/route", &chat("auto", ASK)).await.status, 200);
}

#[tokio::test]
async fn serving_goes_on_when_the_store_cannot_write() {
    let app = TestApp::start(Setup::default()).await;
    // Another program that holds the database's write lock is as good as a full disk, and stops root too.
    let locked = lock_store(&app.directory.path().join("trimtab.db")).await;

    let answer = app.post("/v1/chat/completions", &chat("auto", ASK)).await;
    let id = answer.header("x-trimtab-decision-id").to_owned();
    let refused = report(&app, json!({ "decision_id": id, "success": true })).await;

    assert_eq!(answer.status, 200);
    assert_eq!(refused.error(), (503, "store_unavailable".to_owned(), None));
    assert_eq!(app.get("/health/ready").await.status, 200);
    drop(locked);
    let later = decide(&app).await;
    assert_eq!(
        report(&app, json!({ "decision_id": later["id"], "success": true })).await.status,
        200,
        "it recovers by itself"
    );
}

/// Holds the write lock of a database until the connection is dropped.
async fn lock_store(path: &Path) -> SqliteConnection {
    let mut connection = SqliteConnection::connect(&format!("sqlite://{}", path.display())).await.unwrap();
    sqlx::raw_sql("BEGIN IMMEDIATE").execute(&mut connection).await.unwrap();
    connection
}

#[tokio::test]
async fn callers_report_on_their_own_decisions_and_judges_on_everybodys() {
    let keys = "[[server.keys]]\nname = \"alice\"\nkey = { env = \"A\" }\n[[server.keys]]\nname = \"bob\"\nkey = { env = \"B\" }\n\
                [[server.keys]]\nname = \"judge\"\nkey = { env = \"J\" }\nfeedback = \"any\"\n";
    let mut setup = Setup::default().with(keys);
    setup.environment = [("A", "key-a"), ("B", "key-b"), ("J", "key-j")].map(|(a, b)| (a.into(), b.into())).to_vec();
    let app = TestApp::start(setup).await;
    let send = async |key: &str, path: &str, body: &Value| {
        let request = app.client.post(format!("{}{path}", app.url)).header("content-type", "application/json");
        app.send(request.header("x-api-key", key).body(body.to_string())).await
    };
    let decision = send("key-a", "/v1/route", &chat("auto", ASK)).await.json();
    let verdict = json!({ "decision_id": decision["id"], "success": false });
    let nothing = json!({ "decision_id": "dec_00000000000000000000000000000000", "success": false });

    let stranger = send("key-b", "/v1/feedback", &verdict).await;
    let unknown = send("key-b", "/v1/feedback", &nothing).await;
    let (own, judge) = (send("key-a", "/v1/feedback", &verdict).await, send("key-j", "/v1/feedback", &verdict).await);

    assert_eq!(stranger.error(), unknown.error(), "nothing tells that the decision exists");
    assert_eq!(stranger.status, 404);
    assert_eq!((own.status, judge.status), (200, 200));
    let directory = app.stop().await;
    let rows = crate::commands::export(directory.path(), &[]);
    assert_eq!(rows[0]["judges"], json!("{\"alice\":0.0,\"judge\":0.0}"));
}

#[test]
fn the_share_of_one_caller_in_the_running_index_is_configured() {
    let directory = tempfile::tempdir().unwrap();
    let share = |toml: &str| {
        let config = load_config(directory.path(), &Setup::default().with(toml));
        trimtab::serve::settings::prepare_settings(&config, Path::new("")).caller_share
    };

    assert!((share("") - 0.2).abs() < 1e-12);
    assert!((share("[feedback]\ncaller_share = 0.5\n") - 0.5).abs() < 1e-12);
}
