//! Bad input gets a clear error in OpenAI's shape that names the field and the remedy, and the server goes on.

use serde_json::json;

use crate::support::app::chat;
use crate::support::{Setup, TestApp};

/// Both endpoints read the same body by the same rules.
const PATHS: [&str; 2] = ["/v1/route", "/v1/chat/completions"];

async fn refused(app: &TestApp, body: &[u8], status: u16, field: Option<&str>) {
    for path in PATHS {
        let reply = app.post_bytes(path, body.to_vec()).await;
        let (found, code, param) = reply.error();

        assert_eq!((found, param.as_deref()), (status, field), "{path}: {}", reply.text);
        assert_eq!(code, "invalid_request", "{path}");
        assert_eq!(reply.header("x-should-retry"), "false");
        assert!(reply.header("x-request-id").starts_with("req_"));
    }
}

#[tokio::test]
async fn bodies_that_cannot_be_read_are_refused_by_field() {
    let app = TestApp::start(Setup::default()).await;

    let cases: [(&[u8], Option<&str>); 12] = [
        (b"", None),
        (b"{\"messages\": [", None),
        (b"[1, 2]", None),
        (b"{\"messages\": \"\xff\xfe\"}", None),
        (b"{}", Some("messages")),
        (br#"{"messages": []}"#, Some("messages")),
        (br#"{"messages": [{"role": "user", "content": 7}]}"#, Some("messages[0].content")),
        (br#"{"messages": [{"role": "user", "content": [[{}]]}]}"#, Some("messages[0].content[0]")),
        (br#"{"messages": [{"content": "hi"}]}"#, Some("messages[0].role")),
        (br#"{"messages": [{"role": "user", "content": "hi"}], "trimtab": {"quality": 1.5}}"#, Some("trimtab.quality")),
        (br#"{"messages": [{"role": "user", "content": "hi"}], "trimtab": {"quality": -1}}"#, Some("trimtab.quality")),
        (br#"{"messages": [{"role": "user", "content": "hi"}], "trimtab": {"dial": 1}}"#, Some("trimtab.dial")),
    ];
    for (body, field) in cases {
        refused(&app, body, 400, field).await;
    }
    refused(&app, br#"{"messages": [{"role": "user", "content": "hi"}], "trimtab": {"quality": NaN}}"#, 400, None)
        .await;
}

#[tokio::test]
async fn content_of_every_shape_is_answered() {
    let app = TestApp::start(Setup::default()).await;
    let contents = [
        json!("plain"),
        json!([{ "type": "text", "text": "parts" }]),
        json!([]),
        json!(null),
        json!([{ "type": "text", "text": "a" }, { "type": "made_up", "x": [[[{}]]] }]),
        json!("\u{0000}\u{feff}\u{202e} \u{1F468}\u{200D}\u{1F469}"),
    ];
    for content in contents {
        for path in PATHS {
            let reply = app.post(path, &json!({ "messages": [{ "role": "user", "content": content }] })).await;

            assert_eq!(reply.status, 200, "{path} {content}: {}", reply.text);
        }
    }
}

#[tokio::test]
async fn a_wrong_content_type_is_refused_with_the_remedy() {
    let app = TestApp::start(Setup::default()).await;
    for path in PATHS {
        let request = app
            .client
            .post(format!("{}{path}", app.url))
            .header("content-type", "text/plain")
            .body(chat("auto", "hi").to_string());

        let reply = app.send(request).await;

        assert_eq!(reply.error(), (415, "unsupported_media_type".to_owned(), Some("content-type".to_owned())));
        assert!(reply.text.contains("application/json"));
    }
}

/// Models whose context is not known are not excluded by a long request.
fn without_context_limits() -> Setup {
    Setup::tiers(&["http://127.0.0.1:9/v1".to_owned()])
}

#[tokio::test]
async fn a_prompt_beyond_every_context_is_refused_with_the_reason() {
    let app = TestApp::start(Setup::default()).await;
    for path in PATHS {
        let reply = app.post(path, &chat("auto", &"long words ".repeat(950_000))).await;

        assert_eq!(reply.error(), (400, "no_eligible_model".to_owned(), Some("messages".to_owned())));
        assert!(reply.text.contains("has too small a context"), "{}", reply.text);
    }
}

#[tokio::test]
async fn a_ten_megabyte_prompt_is_scored_by_its_head_and_tail() {
    let app = TestApp::start(without_context_limits()).await;

    let decision = app.post("/v1/route", &chat("auto", &"long words ".repeat(950_000))).await.json();

    assert_eq!(decision["signals"]["truncated"], true, "{decision}");
    assert!(decision["signals"]["input_tokens"].as_u64().unwrap() > 2_000_000);
}

#[tokio::test]
async fn a_hundred_thousand_messages_are_answered() {
    let app = TestApp::start(without_context_limits()).await;
    let messages: Vec<_> = (0..100_000)
        .map(|i| json!({ "role": if i % 2 == 0 { "user" } else { "assistant" }, "content": "hi" }))
        .collect();

    let decision = app.post("/v1/route", &json!({ "messages": messages })).await.json();

    assert_eq!(decision["signals"]["turns"], 100_000, "{decision}");
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_whole() {
    let app = TestApp::start(Setup::default().with("[server]\nmax_body_bytes = 10000\n")).await;
    for path in PATHS {
        let reply = app.post(path, &chat("auto", &"x".repeat(20_000))).await;

        assert_eq!(reply.error().0, 413, "{}", reply.text);
        assert!(reply.text.contains("max_body_bytes"), "{}", reply.text);
    }
    let unannounced = futures_util::stream::iter((0..40).map(|_| Ok::<_, std::io::Error>(vec![b'x'; 1_000])));
    let reply = app.post_bytes("/v1/route", reqwest::Body::wrap_stream(unannounced)).await;
    assert_eq!(reply.error().0, 413);
}

#[tokio::test]
async fn unknown_paths_and_methods_are_answered_in_shape() {
    let app = TestApp::start(Setup::default()).await;

    assert_eq!(app.get("/v1/nothing").await.error(), (404, "not_found".to_owned(), None));
    assert_eq!(app.get("/v1/route").await.error(), (405, "method_not_allowed".to_owned(), None));
}

#[tokio::test]
async fn unknown_names_are_refused_by_field() {
    let app = TestApp::start(Setup::default()).await;
    for path in PATHS {
        let mut candidates = chat("auto", "hi");
        candidates["trimtab"] = json!({ "candidates": ["gpt-99*"] });
        let mut policy = chat("auto", "hi");
        policy["trimtab"] = json!({ "policy": "frugal" });

        assert_eq!(
            app.post(path, &chat("gpt-99", "hi")).await.error(),
            (404, "model_not_found".to_owned(), Some("model".to_owned()))
        );
        assert_eq!(app.post(path, &candidates).await.error().2.as_deref(), Some("trimtab.candidates"));
        assert_eq!(app.post(path, &policy).await.error().2.as_deref(), Some("trimtab.policy"));
    }
}

#[tokio::test]
async fn wrong_keys_are_refused_without_being_repeated() {
    let setup = Setup {
        toml: "[[server.keys]]\nname = \"alice\"\nkey = { env = \"ALICE_KEY\" }\n".to_owned(),
        environment: vec![("ALICE_KEY".to_owned(), "alice-secret-key".to_owned())],
    };
    let app = TestApp::start(setup).await;
    let post = |key: &str| {
        app.client
            .post(format!("{}/v1/route", app.url))
            .bearer_auth(key)
            .header("content-type", "application/json")
            .body(chat("auto", "hi").to_string())
    };

    let none = app.post("/v1/route", &chat("auto", "hi")).await;
    let wrong = app.send(post("canary-wrong-key")).await;
    let right = app.send(post("alice-secret-key")).await;

    assert_eq!(none.error(), (401, "invalid_api_key".to_owned(), None));
    assert_eq!(wrong.error(), (401, "invalid_api_key".to_owned(), None));
    assert!(!wrong.text.contains("canary"));
    assert_eq!(right.status, 200);
    assert_eq!(app.get("/metrics").await.status, 401);
    assert_eq!(app.get("/health/ready").await.status, 200);
}

/// The server does not read what it turns away, and closes the connection; a client that was not told would ask again there, and fail.
#[tokio::test]
async fn whoever_is_turned_away_with_a_body_unread_is_told_that_the_connection_ends() {
    let mut setup = Setup::default();
    setup.toml.insert_str(0, "[[server.keys]]\nname = \"alice\"\nkey = { env = \"ALICE_KEY\" }\n");
    setup.environment.push(("ALICE_KEY".to_owned(), "alice-key".to_owned()));
    let app = TestApp::start(setup).await;

    let (with_body, without) =
        (app.post("/v1/chat/completions", &chat("auto", "Hi")).await, app.get("/v1/models").await);

    assert_eq!((with_body.status, without.status), (401, 401));
    assert_eq!((with_body.header("connection"), without.headers.get("connection")), ("close", None));
}
