//! The official clients and the best known frameworks, pointed at the server.

mod claude;
mod clouds;
mod responses;
mod scripts;

use std::process::{Command, Stdio};

use crate::support::fake::{FakeUpstream, events_reply, json as whole};
use crate::support::{Setup, TestApp};
use serde_json::{Value, json};

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
    run(interpreter, script, Setup::default(), &[]).await;
}

/// The same with upstreams that call tools: `cheap` answers whole, `dear` in a stream.
async fn check_tools(interpreter: &str, script: &str) {
    let (first, last) =
        (FakeUpstream::script([whole(CALLS)]).await, FakeUpstream::script([events_reply(&STREAM)]).await);
    run(interpreter, script, Setup::tiers(&[first.base_url(), last.base_url()]), &[("TRIMTAB_SCRIPTED", "1")]).await;
}

/// A model at a scripted upstream of every dialect. The upstreams live as long as they are held.
struct Dialects {
    setup: Setup,
    upstreams: [FakeUpstream; 6],
}

impl Dialects {
    async fn start() -> Self {
        let [openai, anthropic] =
            [FakeUpstream::answering(scripts::openai).await, FakeUpstream::answering(scripts::anthropic).await];
        let [gemini, bedrock] =
            [FakeUpstream::answering(clouds::gemini).await, FakeUpstream::answering(clouds::bedrock).await];
        let [responses, azure] =
            [FakeUpstream::answering(responses::responses).await, FakeUpstream::answering(scripts::azure).await];
        let (responses_url, azure_url) = (responses.base_url(), azure.base_url());
        let (openai_url, anthropic_url) = (openai.base_url(), anthropic.base_url());
        let (gemini_url, bedrock_url) = (gemini.base_url(), bedrock.base_url());
        let toml = format!(
            r#"
            [upstreams.openai]
            base_url = "{openai_url}"
            api_key = {{ env = "UPSTREAM_KEY" }}
            [upstreams.azure]
            kind = "azure"
            base_url = "{azure_url}"
            api_key = {{ env = "UPSTREAM_KEY" }}
            [upstreams.responses]
            kind = "responses"
            base_url = "{responses_url}"
            account = "acme"
            api_key = {{ env = "UPSTREAM_KEY" }}
            [upstreams.anthropic]
            kind = "anthropic"
            base_url = "{anthropic_url}"
            api_key = {{ env = "UPSTREAM_KEY" }}
            [upstreams.gemini]
            kind = "gemini"
            base_url = "{gemini_url}"
            api_key = {{ env = "UPSTREAM_KEY" }}
            [upstreams.bedrock]
            kind = "bedrock"
            region = "eu-central-1"
            base_url = "{bedrock_url}"
            access_key_id = {{ env = "UPSTREAM_KEY" }}
            secret_access_key = {{ env = "UPSTREAM_KEY" }}
            [[tiers]]
            id = "small"
            models = [
                {{ name = "at-openai", upstream = "openai", price = {{ input = 0.1, output = 0.4 }} }},
                {{ name = "at-azure", upstream = "azure", upstream_model = "my-deployment", price = {{ input = 0.1, output = 0.4 }} }},
                {{ name = "at-responses", upstream = "responses", price = {{ input = 0.1, output = 0.4 }} }},
                {{ name = "at-gemini", upstream = "gemini", price = {{ input = 0.2, output = 0.8 }} }},
            ]
            [[tiers]]
            id = "large"
            models = [
                {{ name = "at-anthropic", upstream = "anthropic", upstream_model = "claude-opus-5-5", price = {{ input = 3.0, output = 15.0 }} }},
                {{ name = "at-bedrock", upstream = "bedrock", upstream_model = "anthropic.claude-haiku-4-5", price = {{ input = 3.0, output = 15.0 }} }},
            ]
            "#
        );
        let upstreams = [openai, anthropic, gemini, bedrock, responses, azure];
        let setup = Setup { toml, environment: vec![("UPSTREAM_KEY".to_owned(), "upstream-key".to_owned())] };
        Self { setup, upstreams }
    }
}

/// The same with a model at a scripted upstream of every dialect, for one of the clients that the script knows.
async fn check_dialects(interpreter: &str, client: &str) {
    let Dialects { setup, upstreams } = Dialects::start().await;
    let [_, _, gemini, _, _, _] = &upstreams;
    let script =
        if interpreter == NODE { "tests/clients/node/dialects.mjs" } else { "tests/clients/python/dialects.py" };
    run(interpreter, script, setup, &[("TRIMTAB_CLIENT", client), ("GEMINI_URL", &gemini.base_url())]).await;
}

/// Runs a checking script against a server that is set up like this and wants a key.
pub(crate) async fn run(interpreter: &str, script: &str, mut setup: Setup, variables: &[(&str, &str)]) {
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
        .envs(variables.iter().copied())
        .stdin(Stdio::null());
    let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();

    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    // `make test` installs every client first; without it only CI insists.
    if output.status.code() == Some(SKIPPED) && std::env::var_os("CI").is_none() {
        return;
    }
    assert!(output.status.success(), "{said}");
}

/// Where the interpreters are named.
pub(crate) const PYTHON: &str = "TRIMTAB_TEST_PYTHON";
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

#[tokio::test(flavor = "multi_thread")]
async fn the_openai_python_client_works_with_upstreams_of_every_dialect() {
    check_dialects(PYTHON, "openai").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_anthropic_python_client_works_with_upstreams_of_every_dialect() {
    check_dialects(PYTHON, "anthropic").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn langchain_works_with_upstreams_of_every_dialect() {
    check_dialects(PYTHON, "langchain").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn googles_own_client_reads_the_scripted_gemini() {
    check_dialects(PYTHON, "google-genai-itself").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn googles_python_client_works_with_upstreams_of_every_dialect() {
    check_dialects(PYTHON, "google-genai").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_openai_node_client_works_with_upstreams_of_every_dialect() {
    check_dialects(NODE, "openai").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_anthropic_node_client_works_with_upstreams_of_every_dialect() {
    check_dialects(NODE, "anthropic").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_vercel_ai_sdk_works_with_upstreams_of_every_dialect() {
    check_dialects(NODE, "ai-sdk").await;
}

/// What other models leave in a conversation: ids with colons, texts of nothing but spaces, calls of tools that are no longer offered.
#[tokio::test]
async fn a_conversation_of_another_model_is_taken_by_upstreams_of_every_dialect() {
    let dialects = Dialects::start().await;
    let app = TestApp::start(dialects.setup).await;
    let call = |at: u8, town: &str| {
        let function = json!({ "name": "get_weather", "arguments": json!({ "city": town }).to_string() });
        json!({ "id": format!("functions.get_weather:{at}"), "type": "function", "function": function })
    };
    let result = |at: u8, text: &str| json!({ "role": "tool", "tool_call_id": format!("functions.get_weather:{at}"), "content": text });
    for model in ["at-openai", "at-azure", "at-responses", "at-anthropic", "at-gemini", "at-bedrock"] {
        let body = json!({ "model": model, "temperature": 0.5, "top_p": 0.9, "messages": [
            { "role": "user", "content": "Weather?" },
            { "role": "assistant", "content": "\n\n", "tool_calls": [call(0, "Paris"), call(1, "Rome")] },
            result(0, "Rain"),
            result(1, "\n"),
        ] });

        let reply = app.post("/v1/chat/completions", &body).await;

        assert_eq!(reply.status, 200, "{model}: {}", reply.text);
        let text = &reply.json()["choices"][0]["message"]["content"];
        assert_eq!(text, "Rain in Paris, sun in Rome.", "{model}");
    }
    drop(dialects.upstreams);
}

/// A client that was made for one Claude, whose calls the router gives to another.
#[tokio::test]
async fn every_way_to_ask_for_thoughts_is_taken_by_old_models_and_new_ones() {
    let dialects = Dialects::start().await;
    let app = TestApp::start(dialects.setup).await;
    let tools =
        json!([{ "type": "function", "function": { "name": "get_weather", "parameters": { "type": "object" } } }]);
    let ways = [
        (json!({ "type": "adaptive" }), true),
        (json!({ "type": "enabled", "budget_tokens": 16_000 }), true),
        (json!({ "type": "disabled" }), false),
    ];
    for model in ["at-anthropic", "at-bedrock"] {
        for (thinking, thinks) in &ways {
            let body = json!({ "model": model, "thinking": thinking, "tools": tools, "messages": [{ "role": "user", "content": "Weather?" }] });

            let reply = app.post("/v1/chat/completions", &body).await;

            assert_eq!(reply.status, 200, "{model} {thinking}: {}", reply.text);
            let message: &Value = &reply.json()["choices"][0]["message"];
            assert_eq!(message["reasoning_content"].is_string(), *thinks, "{model} {thinking}: {message}");
        }
    }
    drop(dialects.upstreams);
}
