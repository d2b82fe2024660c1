//! Upstreams of every kind.

use super::*;
use crate::domain::provider::Preset;

/// The right configuration with its upstream replaced by this.
fn with_upstream(toml: &str) -> String {
    let (_, tiers) = RIGHT.split_once("[[tiers]]").expect("tiers");
    format!("[upstreams.openai]\n{toml}\n[[tiers]]{tiers}")
}

fn upstream(toml: &str) -> Upstream {
    load_file(&with_upstream(toml)).unwrap_or_else(|errors| panic!("{errors}")).upstreams[0].clone()
}

#[test]
fn every_kind_knows_its_address() {
    let cases = [
        (r#"kind = "anthropic""#, "https://api.anthropic.com"),
        (r#"kind = "responses""#, "https://api.openai.com/v1"),
        (r#"kind = "gemini""#, "https://generativelanguage.googleapis.com/v1beta"),
        (r#"preset = "groq""#, "https://api.groq.com/openai/v1"),
        ("kind = \"openai\"\npreset = \"ollama\"", "http://127.0.0.1:11434/v1"),
        ("preset = \"vllm\"\nbase_url = \"http://gpu:9000/v1/\"", "http://gpu:9000/v1"),
    ];
    for (toml, address) in cases {
        assert_eq!(upstream(toml).base_url, address, "{toml}");
    }
    let keys = r#"kind = "bedrock"
        region = "eu-central-1"
        access_key_id = { env = "OPENAI_API_KEY" }
        secret_access_key = { env = "OPENAI_API_KEY" }"#;
    let bedrock = upstream(keys);
    assert_eq!(bedrock.base_url, "https://bedrock-runtime.eu-central-1.amazonaws.com");
    assert!(matches!(bedrock.kind, UpstreamKind::Bedrock { keys: Some(_), .. }), "{bedrock:?}");
}

#[test]
fn bedrock_takes_several_keys() {
    let keys = "kind = \"bedrock\"\nregion = \"eu-west-1\"\napi_keys = [{ env = \"OPENAI_API_KEY\" }, { env = \"OPENAI_API_KEY\" }]";

    let bedrock = upstream(keys);

    assert!(matches!(bedrock.kind, UpstreamKind::Bedrock { keys: None, .. }), "{bedrock:?}");
    assert_eq!((bedrock.api_key.is_some(), bedrock.more_keys.len()), (true, 1));
}

#[test]
fn every_preset_has_a_word_of_its_own() {
    for (word, preset) in Preset::WORDS {
        let toml = format!("preset = \"{word}\"\nbase_url = \"http://x/v1\"");
        assert!(matches!(upstream(&toml).kind, UpstreamKind::OpenAi(Some(read)) if read == preset), "{word}");
    }
}

#[test]
fn what_a_kind_needs_is_asked_for_and_what_it_has_not_is_refused() {
    let cases = [
        (r#"kind = "azure""#, "base_url"),
        (r#"preset = "llamacpp""#, "base_url"),
        ("kind = \"anthropic\"\npreset = \"groq\"", "preset"),
        ("kind = \"gemini\"\nregion = \"x\"", "region"),
        ("kind = \"bedrock\"\napi_key = { env = \"OPENAI_API_KEY\" }", "region"),
        ("kind = \"bedrock\"\nregion = \"evil.example/\"\napi_key = { env = \"OPENAI_API_KEY\" }", "region"),
        ("kind = \"bedrock\"\nregion = \"eu-west-1\"", "access_key_id"),
        (
            "kind = \"bedrock\"\nregion = \"eu-west-1\"\naccess_key_id = { env = \"OPENAI_API_KEY\" }\nsecret_access_key = { env = \"OPENAI_API_KEY\" }\napi_keys = [{ env = \"OPENAI_API_KEY\" }]",
            "api_keys",
        ),
        ("kind = \"anthropic\"\nproxy = \"http://me:canary@proxy:3128\"", "proxy"),
        ("kind = \"anthropic\"\nproxy = \"proxy:3128\"", "proxy"),
        ("kind = \"responses\"\naccount = \"two words\"", "account"),
        ("kind = \"anthropic\"\naccount = \"acme\"", "account"),
        ("kind = \"anthropic\"\ndrop_fields = [\"messages\"]", "drop_fields"),
        ("kind = \"anthropic\"\ndrop_fields = \"seed\"", "drop_fields"),
    ];
    for (toml, key) in cases {
        let problem = only_problem(&with_upstream(toml));
        assert_eq!(problem.path, format!("upstreams.openai.{key}"), "{toml}: {problem}");
        assert!(!problem.to_string().contains("canary"), "{problem}");
    }
}

#[test]
fn azure_needs_no_version_where_its_paths_are_openais() {
    let version = |given, address| UpstreamKind::azure_version(given, address);

    assert_eq!(version(None, "https://r.openai.azure.com").as_deref(), Some("2024-10-21"));
    assert_eq!(version(Some("preview"), "https://r.openai.azure.com/openai/v1").as_deref(), Some("preview"));
    assert_eq!(version(None, "https://r.openai.azure.com/openai/v1"), None);
}

#[test]
fn secrets_of_every_kind_are_never_printed() {
    let file = with_upstream(
        r#"kind = "bedrock"
        region = "eu-central-1"
        access_key_id = { env = "OPENAI_API_KEY" }
        secret_access_key = { env = "OPENAI_API_KEY" }
        session_token = { env = "OPENAI_API_KEY" }
        proxy = { env = "OPENAI_API_KEY" }"#,
    );
    let config = Case { file: &file, environment: &[("OPENAI_API_KEY", "canary")], flags: &[] }.load();

    assert!(!format!("{:?}", config.expect("a right file")).contains("canary"));
}

#[test]
fn the_header_of_the_key_is_not_configured_beside_the_key() {
    let cases = [
        ("kind = \"azure\"\nbase_url = \"https://r.openai.azure.com\"", "api-key"),
        ("kind = \"anthropic\"", "X-Api-Key"),
        ("kind = \"gemini\"", "x-goog-api-key"),
        ("base_url = \"https://api.openai.com/v1\"", "Authorization"),
    ];
    for (toml, header) in cases {
        let keyed = |key: &str| {
            with_upstream(&format!("{toml}\n{key}\nheaders = {{ {header} = {{ env = \"OPENAI_API_KEY\" }} }}"))
        };

        let problem = only_problem(&keyed("api_key = { env = \"OPENAI_API_KEY\" }"));

        assert_eq!(problem.path, format!("upstreams.openai.headers.{header}"), "{problem}");
        assert!(load_file(&keyed("")).is_ok(), "{header} is the only key");
    }
    let inline = with_upstream("kind = \"gemini\"\nheaders = { x-goog-api-key = \"canary\" }");
    let problem = only_problem(&inline);
    assert!(problem.fix.contains("env") && !problem.to_string().contains("canary"), "{problem}");
}
