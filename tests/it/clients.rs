//! The official OpenAI and Anthropic clients, pointed at the server.

use std::process::{Command, Stdio};

use crate::support::fake::{FakeUpstream, events_reply, json as whole};
use crate::support::{Setup, TestApp};

/// What a checking script exits with where its client is not installed.
const SKIPPED: i32 = 77;

/// An answer with two calls.
const CALLS: &str = r#"{"id":"c1","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"I look.","tool_calls":[{"id":"call_a","type":"function","function":{"name":"get_weather","arguments":"{\"city\": \"Paris\"}"}},{"id":"call_b","type":"function","function":{"name":"get_weather","arguments":"{\"city\": \"Rome\"}"}}]},"finish_reason":"tool_calls"}],"usage":{"prompt_tokens":20,"completion_tokens":9,"total_tokens":29}}"#;

/// The same as a stream.
const STREAM: [&str; 8] = [
    r#"{"id":"c1","model":"m","choices":[{"index":0,"delta":{"role":"assistant","content":"I look."},"finish_reason":null}]}"#,
    r#"{"id":"c1","model":"m","choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"call_a","type":"function","function":{"name":"get_weather","arguments":""}}]},"finish_reason":null}]}"#,
    r#"{"id":"c1","model":"m","choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{\"city\":"}}]},"finish_reason":null}]}"#,
    r#"{"id":"c1","model":"m","choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":" \"Paris\"}"}}]},"finish_reason":null}]}"#,
    r#"{"id":"c1","model":"m","choices":[{"index":0,"delta":{"tool_calls":[{"index":1,"id":"call_b","type":"function","function":{"name":"get_weather","arguments":"{\"city\": \"Rome\"}"}}]},"finish_reason":null}]}"#,
    r#"{"id":"c1","model":"m","choices":[{"index":0,"delta":{},"finish_reason":"tool_calls"}]}"#,
    r#"{"id":"c1","model":"m","choices":[],"usage":{"prompt_tokens":20,"completion_tokens":9,"total_tokens":29}}"#,
    "[DONE]",
];

/// Runs a checking script with the interpreter that `make test` named, and shows its words if it failed.
async fn check(interpreter: &str, script: &str) {
    run(interpreter, script, Setup::default(), "0").await;
}

/// The same with upstreams that call tools: `cheap` answers whole, `dear` in a stream.
async fn check_tools(interpreter: &str, script: &str) {
    let (first, last) =
        (FakeUpstream::script([whole(CALLS)]).await, FakeUpstream::script([events_reply(&STREAM)]).await);
    run(interpreter, script, Setup::tiers(&[first.base_url(), last.base_url()]), "1").await;
}

async fn run(interpreter: &str, script: &str, mut setup: Setup, scripted: &str) {
    let Ok(program) = std::env::var(interpreter) else {
        // `make test` says what it skipped and why; CI has them all.
        assert!(std::env::var_os("CI").is_none(), "{interpreter} must be set in CI; run `make test`");
        return;
    };
    setup.toml.insert_str(0, "[[server.keys]]\nname = \"alice\"\nkey = { env = \"ALICE_KEY\" }\n");
    setup.environment.push(("ALICE_KEY".to_owned(), "alice-key".to_owned()));
    let app = TestApp::start(setup).await;

    let mut command = Command::new(program);
    command
        .arg(script)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env("TRIMTAB_URL", &app.url)
        .env("TRIMTAB_KEY", "alice-key")
        .env("TRIMTAB_SCRIPTED", scripted)
        .stdin(Stdio::null());
    let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();

    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    // `make test` installs every client first; without it only CI insists.
    if output.status.code() == Some(SKIPPED) && std::env::var_os("CI").is_none() {
        return;
    }
    assert!(output.status.success(), "{said}");
}

const PYTHON: &str = "TRIMTAB_TEST_PYTHON";
const NODE: &str = "TRIMTAB_TEST_NODE";

#[tokio::test(flavor = "multi_thread")]
async fn the_python_client_works() {
    check(PYTHON, "tests/clients/python/check.py").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_python_client_calls_tools_by_responses() {
    check_tools(PYTHON, "tests/clients/python/check.py").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_node_client_works() {
    check(NODE, "tests/clients/node/check.mjs").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_anthropic_python_client_works() {
    check(PYTHON, "tests/clients/python/check_anthropic.py").await;
    check_tools(PYTHON, "tests/clients/python/check_anthropic.py").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_anthropic_node_client_works() {
    check(NODE, "tests/clients/node/check_anthropic.mjs").await;
    check_tools(NODE, "tests/clients/node/check_anthropic.mjs").await;
}
