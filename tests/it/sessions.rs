//! Conversations of several turns, from outside.

use serde_json::{Value, json};

use crate::support::app::chat;
use crate::support::fake::{FakeUpstream, json as whole, refused_url};
use crate::support::{Reply, Setup, TestApp};

/// A conversation that opened with a question, after so many answers.
fn conversation(opening: &str, answers: usize) -> Value {
    let mut body = chat("auto", opening);
    for at in 0..answers {
        let messages = body["messages"].as_array_mut().unwrap();
        messages.push(json!({ "role": "assistant", "content": format!("Answer {at}.") }));
        messages.push(json!({ "role": "user", "content": format!("And what follows from part {at}?") }));
    }
    body
}

fn with(mut body: Value, options: Value) -> Value {
    body["trimtab"] = options;
    body
}

/// The model, the reason, and what became of the session.
fn told(reply: &Reply) -> (String, String, Option<String>) {
    let body = reply.json();
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let event = text(&body["session"]["event"]);
    let header = reply.headers.get("x-trimtab-session-event").map(|value| value.to_str().unwrap().to_owned());
    assert_eq!(event, header, "{body}");
    (text(&body["model"]).unwrap(), text(&body["reason"]).unwrap(), event)
}

const STRONG: f64 = 1.0;
const CHEAP: f64 = 0.01;

#[tokio::test]
async fn a_conversation_keeps_its_model_moves_up_and_not_down() {
    let app = TestApp::start(Setup::default()).await;
    let turn = async |answers: usize, quality: f64| {
        let body = with(conversation("How do tides work?", answers), json!({ "quality": quality }));
        told(&app.post("/v1/route", &body).await)
    };

    let first = turn(0, CHEAP).await;
    let second = turn(1, CHEAP).await;
    let raised = turn(2, STRONG).await;
    let after = turn(3, CHEAP).await;

    assert_eq!((first.0.as_str(), first.2), ("demo-small", None), "a first request is decided by itself");
    assert_eq!(second, ("demo-small".to_owned(), "session_kept".to_owned(), Some("kept".to_owned())));
    assert_eq!(raised, ("demo-large".to_owned(), "session_raised".to_owned(), Some("raised".to_owned())));
    assert_eq!(after, ("demo-large".to_owned(), "session_kept".to_owned(), Some("kept".to_owned())));
    // Quality 0 is an order for one request; the session stays where it is.
    assert_eq!(turn(4, 0.0).await, ("demo-small".to_owned(), "cheapest_asked".to_owned(), None));
    assert_eq!(turn(5, CHEAP).await.0, "demo-large");
    let metrics = app.get("/metrics").await.text;
    for line in [
        "trimtab_sessions_live 1",
        "trimtab_session_events_total{event=\"kept\"} 3",
        "trimtab_session_events_total{event=\"raised\"} 1",
    ] {
        assert!(metrics.lines().any(|found| found == line), "{line} is not in\n{metrics}");
    }
}

#[tokio::test]
async fn a_kept_turn_is_certain_and_says_why() {
    let app = TestApp::start(Setup::default().with("[policies.balanced]\nexploration = 0.5\n")).await;
    let body = |answers, quality: f64| {
        with(conversation("How do tides work?", answers), json!({ "session": "s", "quality": quality }))
    };
    app.post("/v1/route", &body(0, STRONG)).await;
    app.post("/v1/route", &body(1, STRONG)).await;

    for answers in 2..12 {
        let reply = app.post("/v1/route", &body(answers, CHEAP)).await.json();

        assert_eq!((&reply["reason"], &reply["propensity"]), (&json!("session_kept"), &json!(1.0)), "{reply}");
        assert!(reply["explanation"].as_str().unwrap().contains("the session keeps its model"), "{reply}");
        assert_eq!(reply["session"]["found_by"], "name");
    }
}

#[tokio::test]
async fn a_named_session_spans_requests_that_open_differently_and_named_models_leave_it_alone() {
    let app = TestApp::start(Setup::default()).await;
    let ask = async |model: &str, text: &str, quality: f64| {
        told(
            &app.post("/v1/chat/completions", &with(chat(model, text), json!({ "session": "s", "quality": quality })))
                .await
                .as_route(),
        )
    };

    assert_eq!(ask("auto", "Name a river.", STRONG).await.2.as_deref(), Some("started"));
    assert_eq!(ask("demo-small", "Name a lake.", STRONG).await.2, None);
    let kept = ask("auto", "Name a sea.", CHEAP).await;

    assert_eq!(kept, ("demo-large".to_owned(), "session_kept".to_owned(), Some("kept".to_owned())));
}

#[tokio::test]
async fn two_callers_with_one_session_name_do_not_share_it() {
    let keys = "[[server.keys]]\nname = \"alice\"\nkey = { env = \"KEY_A\" }\n\
                [[server.keys]]\nname = \"bob\"\nkey = { env = \"KEY_B\" }\n";
    let mut setup = Setup::default().with(keys);
    setup.environment =
        vec![("KEY_A".to_owned(), "key-of-alice".to_owned()), ("KEY_B".to_owned(), "key-of-bob".to_owned())];
    let app = TestApp::start(setup).await;
    let ask = async |key: &str, quality: f64| {
        let request = app
            .client
            .post(format!("{}/v1/route", app.url))
            .header("content-type", "application/json")
            .header("authorization", format!("Bearer {key}"))
            .header("x-trimtab-session", "shared")
            .body(with(chat("auto", "Name a river."), json!({ "quality": quality })).to_string());
        told(&app.send(request).await)
    };

    ask("key-of-alice", STRONG).await;

    let (model, _, event) = ask("key-of-bob", CHEAP).await;
    assert_eq!((model.as_str(), event.as_deref()), ("demo-small", Some("started")));
    assert_eq!(ask("key-of-alice", CHEAP).await.0, "demo-large");
}

#[tokio::test]
async fn sessions_can_be_switched_off_for_all_or_for_one_policy() {
    for toml in ["[sessions]\nmode = \"off\"\n", "[policies.balanced]\nsessions = \"off\"\n"] {
        let app = TestApp::start(Setup::default().with(toml)).await;
        let body = |quality: f64| with(chat("auto", "Name a river."), json!({ "session": "s", "quality": quality }));

        app.post("/v1/route", &body(STRONG)).await;

        let (model, reason, event) = told(&app.post("/v1/route", &body(CHEAP)).await);
        assert_eq!((model.as_str(), event), ("demo-small", None), "{toml}");
        assert!(!reason.starts_with("session"), "{reason}");
    }
}

#[tokio::test]
async fn the_table_of_sessions_is_bounded() {
    let app = TestApp::start(Setup::default().with("[sessions]\nmax_sessions = 2\n")).await;
    let ask = async |session: &str, quality: f64| {
        told(
            &app.post(
                "/v1/route",
                &with(chat("auto", "Name a river."), json!({ "session": session, "quality": quality })),
            )
            .await,
        )
    };

    for session in ["a", "b", "c"] {
        ask(session, STRONG).await;
    }

    assert_eq!(ask("c", CHEAP).await.0, "demo-large");
    assert_eq!(ask("a", CHEAP).await.2.as_deref(), Some("started"), "the longest idle one was forgotten");
    let metrics = app.get("/metrics").await.text;
    assert!(metrics.contains("trimtab_sessions_live 2\n"), "{metrics}");
    assert!(metrics.contains("trimtab_session_events_total{event=\"evicted\"} 2\n"), "{metrics}");
}

#[tokio::test]
async fn a_fallback_after_a_failure_is_no_move() {
    let answer = r#"{"id":"c1","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"hello"},"finish_reason":"stop"}],"usage":{"prompt_tokens":10,"completion_tokens":1,"total_tokens":11}}"#;
    let strong = FakeUpstream::script([whole(answer)]).await;
    let app = TestApp::start(Setup::tiers(&[refused_url().await, strong.base_url()])).await;
    let body = with(chat("auto", "Name a river."), json!({ "session": "s", "quality": CHEAP }));

    for event in ["started", "kept"] {
        let reply = app.post("/v1/chat/completions", &body).await;

        assert_eq!((reply.status, reply.header("x-trimtab-model")), (200, "dear"), "{}", reply.text);
        assert_eq!(reply.header("x-trimtab-session-event"), event);
    }
    assert_eq!(told(&app.post("/v1/route", &body).await).0, "cheap", "the session is still where it was decided to be");
}

#[tokio::test]
async fn what_the_provider_has_probably_cached_makes_staying_cheaper() {
    let app = TestApp::start(Setup::default()).await;
    let long = "The ferry leaves at nine and returns at noon. ".repeat(200);
    let body = with(chat("auto", &long), json!({ "session": "s", "quality": CHEAP }));

    let first = app.post("/v1/route", &body).await.json();
    let second = app.post("/v1/route", &body).await.json();

    let cost = |decision: &Value, model: usize| decision["candidates"][model]["cost_usd"]["mean"].as_f64().unwrap();
    assert_eq!(second["session"]["cached_tokens"], first["signals"]["input_tokens"], "{second}");
    assert!(cost(&second, 0) < cost(&first, 0), "{first} {second}");
    assert_eq!(cost(&second, 2), cost(&first, 2));
    assert!(second["candidates"][0]["relative_cost"].as_f64().unwrap() < 0.0, "{second}");
    assert_eq!(second["candidates"][2]["switching_cost"], 0.02);
}

trait AsRoute {
    fn as_route(&self) -> Reply;
}

impl AsRoute for Reply {
    /// What the headers of a completion tell, as `/v1/route` would write it.
    fn as_route(&self) -> Reply {
        assert_eq!(self.status, 200, "{}", self.text);
        let session =
            self.headers.get("x-trimtab-session-event").map(|event| json!({ "event": event.to_str().unwrap() }));
        let body = json!({ "model": self.header("x-trimtab-model"), "reason": self.header("x-trimtab-reason"), "session": session });
        Reply { status: self.status, headers: self.headers.clone(), text: body.to_string() }
    }
}
