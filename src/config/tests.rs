mod choice;
mod embeddings;
mod escalate;
mod providers;
mod recovery;

use std::path::Path;

use super::*;
use crate::config::error::ConfigError;
use crate::domain::policy::Aim;

/// A configuration that is right, for tests that break one thing of it.
const RIGHT: &str = r#"
    [upstreams.openai]
    base_url = "https://api.openai.com/v1/"
    api_key = { env = "OPENAI_API_KEY" }
    [[tiers]]
    id = "small"
    [[tiers.models]]
    name = "gpt-mini"
    upstream = "openai"
    price = { input = 0.15, output = 0.6 }
    [[tiers]]
    id = "large"
    [[tiers.models]]
    name = "gpt-large"
    upstream = "openai"
"#;

struct Case<'a> {
    file: &'a str,
    environment: &'a [(&'a str, &'a str)],
    flags: &'a [(&'a str, &'a str)],
}

impl Case<'_> {
    fn load(&self) -> Result<Config, ConfigErrors> {
        let directory = tempfile::tempdir().expect("a directory");
        std::fs::write(directory.path().join(DEFAULT_FILE), self.file).expect("a file");
        let environment: Environment = self.environment.iter().copied().collect();
        let overrides: Vec<(String, String)> =
            self.flags.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        load(&Sources {
            file: None,
            directory: directory.path(),
            environment: &environment,
            overrides: &overrides,
            secrets: Secrets::Required,
        })
    }
}

fn load_file(file: &str) -> Result<Config, ConfigErrors> {
    Case { file, environment: &[("OPENAI_API_KEY", "sk-1")], flags: &[] }.load()
}

/// The problems of a file, found by path.
fn problem_at<'a>(errors: &'a ConfigErrors, path: &str) -> &'a ConfigError {
    errors.0.iter().find(|error| error.path == path).unwrap_or_else(|| panic!("no problem at {path} among: {errors}"))
}

/// Breaks the right configuration by adding to it or replacing a part, and returns the one problem.
fn only_problem(file: &str) -> ConfigError {
    let errors = load_file(file).expect_err("a problem");
    assert_eq!(errors.0.len(), 1, "{errors}");
    errors.0[0].clone()
}

#[test]
fn nothing_configured_is_the_demo() {
    let directory = tempfile::tempdir().expect("a directory");
    let environment = Environment::default();
    let sources = Sources {
        file: None,
        directory: directory.path(),
        environment: &environment,
        overrides: &[],
        secrets: Secrets::Required,
    };

    let mut config = load(&sources).expect("the defaults are right");

    insta::assert_debug_snapshot!("defaults", config);
    assert!(config.demo);
    config.set_demo_address("127.0.0.1:4321".parse().expect("an address"));
    assert_eq!(config.upstreams[0].base_url, "http://127.0.0.1:4321/v1");
}

#[test]
fn configured_tiers_end_the_demo() {
    let mut config = load_file(RIGHT).expect("a right file");

    assert!(!config.demo);
    let tiers: Vec<&str> = config.tiers.iter().map(|tier| tier.id.as_str()).collect();
    assert_eq!(tiers, ["small", "large"]);
    assert_eq!(config.policy("balanced").expect("a policy").default_tier.as_str(), "large");
    assert_eq!(config.target(&"gpt-mini".into()).expect("a model").deployments[0].upstream_model, "gpt-mini");
    assert_eq!(config.candidates()[1].rank, 1);
    config.set_demo_address("127.0.0.1:1".parse().expect("an address"));
    assert_eq!(config.upstreams[0].base_url, "https://api.openai.com/v1");
}

#[test]
fn every_problem_is_reported_at_once_with_its_path_and_its_fix() {
    let file = r#"
        default_policy = "balansed"
        surprise = 1
        [server]
        listn = "127.0.0.1:1"
        max_body_bytes = "32MB"
        max_concurrent_requests = 0
        request_timeout = 10
        [model]
        device = "gpu"
        careful_workers = -1
        [store]
        enabled = "yes"
        prompts = "some"
        [log]
        filter = "trimtab=loud"
        [upstreams.openai]
        base_url = "api.openai.com"
        api_key = "sk-inline"
        timeouts = { connect = "10s", headers = "5s" }
        [[tiers]]
        id = "small"
        [[tiers.models]]
        name = "gpt-mini"
        upstream = "openia"
        price = { input = -1, output = 0.6, cache = 1 }
        [[tiers]]
        id = "small"
        [[tiers.models]]
        name = "gpt-mini"
        upstream = "openai"
        tools = 1
        [policies.mine]
        quality = 1.5
        default_tier = "smal"
        [policies.both]
        quality = 0.5
        threshold = 0.1
    "#;

    let errors = load_file(file).expect_err("many problems");

    let found: Vec<String> = errors.0.iter().map(ToString::to_string).collect();
    insta::assert_json_snapshot!("every_problem", found);
    assert!(!errors.to_string().contains("sk-inline"), "{errors}");
}

#[test]
fn flags_beat_the_environment_and_the_environment_beats_the_file() {
    let file = format!("[server]\nlisten = '127.0.0.1:1'\nadmin_listen = '127.0.0.1:2'\ndrain_timeout = '3s'\n{RIGHT}");
    let case = Case {
        file: &file,
        environment: &[
            ("OPENAI_API_KEY", "sk-1"),
            ("TRIMTAB__SERVER__LISTEN", "127.0.0.1:11"),
            ("TRIMTAB__SERVER__ADMIN_LISTEN", "[::1]:12"),
            ("TRIMTAB__STORE__QUEUE", "512"),
            ("TRIMTAB__LOG__PROMPTS", "true"),
            ("TRIMTAB__POLICIES__BALANCED__QUALITY", "0.25"),
            ("TRIMTAB__POLICIES__ECONOMY__THRESHOLD", "0.1"),
            ("TRIMTAB__TIERS__1__CLASS", "medium"),
            ("TRIMTAB__TIERS__1__MODELS__0__PRICE", "{ input = 1, output = 2 }"),
        ],
        flags: &[("server.listen", "127.0.0.1:21")],
    };

    let config = case.load().expect("a right configuration");

    assert_eq!(config.server.listen.port(), 21);
    assert_eq!(config.server.admin_listen.port(), 12);
    assert_eq!(config.server.drain_timeout, Duration::from_secs(3));
    assert_eq!(config.store.queue, 512);
    assert!(config.log.prompts);
    let aim = |name| config.policy(name).map(|policy| policy.aim);
    assert_eq!(aim("balanced"), Some(Aim::Quality(Probability::clamped(0.25))));
    assert_eq!(aim("economy"), Some(Aim::Threshold(0.1)));
    assert_eq!(config.tiers[1].class.as_str(), "medium");
    assert!(config.tiers[1].models[0].candidate.price.is_some());
}

#[test]
fn problems_from_the_environment_name_the_variable() {
    let case = Case {
        file: RIGHT,
        environment: &[
            ("OPENAI_API_KEY", "sk-1"),
            ("TRIMTAB__MODEL__DEVISE", "cpu"),
            ("TRIMTAB__STORE__QUEUE", "many"),
        ],
        flags: &[("model.careful_queue", "x")],
    };

    let errors = case.load().expect_err("problems");

    let unknown = problem_at(&errors, "model.devise");
    assert!(unknown.problem.contains("TRIMTAB__MODEL__DEVISE"), "{unknown}");
    assert_eq!(unknown.fix, "did you mean `device`?");
    assert!(problem_at(&errors, "store.queue").problem.contains("TRIMTAB__STORE__QUEUE"));
    assert!(problem_at(&errors, "model.careful_queue").problem.contains("flag"));
}

#[test]
fn other_machines_are_refused_while_there_are_no_keys() {
    const OPEN: &str = "[server]\nlisten = '0.0.0.0:8080'\nadmin_listen = '[::]:8081'\n";
    let key = "{ env = 'OPENAI_API_KEY' }";
    let open = format!("{OPEN}{RIGHT}");
    let keyed = format!("{OPEN}admin_key = {key}\n[[server.keys]]\nname = 'alice'\nkey = {key}\n{RIGHT}");

    let errors = load_file(&open).expect_err("refused");

    assert!(problem_at(&errors, "server.listen").fix.contains("[[server.keys]]"));
    assert!(problem_at(&errors, "server.admin_listen").fix.contains("server.admin_key"));
    assert_eq!(errors.0.len(), 2, "{errors}");
    let config = load_file(&keyed).expect("keys allow it");
    assert!(config.server.keys[0].key.matches("sk-1"));
}

#[test]
fn one_port_for_both_listeners_is_refused() {
    let file = format!("[server]\nlisten = '127.0.0.1:9'\nadmin_listen = '127.0.0.1:9'\n{RIGHT}");

    assert_eq!(only_problem(&file).path, "server.admin_listen");
}

#[test]
fn missing_secrets_are_problems_only_where_the_upstream_is_used() {
    let unused = format!("{RIGHT}\n[upstreams.spare]\nbase_url = 'http://127.0.0.1:1'\napi_key = {{ env = 'SPARE' }}");

    assert!(load_file(&unused).is_ok());
    let used = unused.replacen("upstream = \"openai\"", "upstream = \"spare\"", 1);
    let problem = only_problem(&used);
    assert_eq!(problem.path, "upstreams.spare.api_key");
    assert!(problem.problem.contains("`SPARE` is not set"), "{problem}");
}

#[test]
fn secrets_come_from_files_too_and_are_never_printed() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("key");
    std::fs::write(&path, "sk-from-file\n").expect("a file");
    let file = RIGHT.replace(
        "{ env = \"OPENAI_API_KEY\" }",
        &format!(
            "{{ file = '{}' }}\nheaders = {{ x-team = 'search and find', x-api-key = {{ env = 'OPENAI_API_KEY' }} }}",
            path.display()
        ),
    );

    let config = load_file(&file).expect("a right file");

    let upstream = &config.upstreams[0];
    assert_eq!(upstream.api_key.as_ref().map(Secret::expose), Some("sk-from-file"));
    let headers: Vec<(&str, &str)> =
        upstream.headers.iter().map(|(name, value)| (name.as_str(), value.expose())).collect();
    assert_eq!(headers, [("x-api-key", "sk-1"), ("x-team", "search and find")]);
    let printed = format!("{config:?}");
    for secret in ["sk-from-file", "sk-1", "search"] {
        assert!(!printed.contains(secret), "{printed}");
    }
}

#[test]
fn inline_secrets_are_refused_without_being_repeated() {
    let inline = only_problem(&RIGHT.replace("{ env = \"OPENAI_API_KEY\" }", "\"sk-inline\""));
    let header = only_problem(&RIGHT.replace(
        "[[tiers]]\n    id = \"small\"",
        "headers = { Api-Key = 'sk-inline' }\n[[tiers]]\n    id = \"small\"",
    ));

    for (problem, path) in [(inline, "upstreams.openai.api_key"), (header, "upstreams.openai.headers.Api-Key")] {
        assert_eq!(problem.path, path);
        assert!(!problem.to_string().contains("sk-inline"), "{problem}");
        assert!(problem.fix.contains("env"), "{problem}");
    }
}

#[test]
fn commands_that_serve_nothing_need_no_secrets() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("other.toml");
    std::fs::write(&path, RIGHT).expect("a file");
    let sources = Sources {
        file: Some(&path),
        directory: Path::new("/nowhere"),
        environment: &Environment::default(),
        overrides: &[],
        secrets: Secrets::Unread,
    };

    let config = load(&sources).expect("no secret is read");

    assert!(config.upstreams[0].api_key.is_none());
    assert_eq!(config.file.as_deref(), Some(path.as_path()));
}

#[test]
fn a_named_file_must_exist_and_be_toml() {
    let environment = Environment::default();
    let missing = Sources {
        file: Some(Path::new("/nowhere/trimtab.toml")),
        directory: Path::new("."),
        environment: &environment,
        overrides: &[],
        secrets: Secrets::Required,
    };

    assert!(load(&missing).expect_err("missing").to_string().contains("/nowhere/trimtab.toml"));
    assert!(only_problem("[server]\n\nlisten = 127.0.0.1").problem.starts_with("line 3 is not TOML"));
}

#[test]
fn models_need_names_of_their_own() {
    for (name, problem) in [("gpt-mini", "a second model"), ("auto:x", "ask for a decision"), ("a b", "header")] {
        let file = RIGHT.replace("\"gpt-large\"", &format!("\"{name}\""));

        let found = only_problem(&file);

        assert_eq!(found.path, "tiers[1].models[0].name");
        assert!(found.problem.contains(problem), "{found}");
    }
}

#[test]
fn short_request_timeouts_shorten_the_upstream_defaults() {
    let config = load_file(&format!("[server]\nrequest_timeout = '2s'\n{RIGHT}")).expect("a right file");

    let timeouts = config.upstreams[0].timeouts;
    assert_eq!((timeouts.connect, timeouts.total), (Duration::from_secs(2), Duration::from_secs(2)));
}

#[test]
fn every_example_loads() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let files: Vec<PathBuf> =
        std::fs::read_dir(examples).expect("examples").map(|entry| entry.expect("an entry").path()).collect();

    assert!(files.len() >= 9, "{files:?}");
    for file in &files {
        let text = std::fs::read_to_string(file).expect("a file");
        let named = text.split("env = \"").skip(1).filter_map(|rest| rest.split('"').next());
        let environment: Environment = named.map(|name| (name, "sk-example")).collect();
        let sources = Sources {
            file: Some(file),
            directory: Path::new("."),
            environment: &environment,
            overrides: &[],
            secrets: Secrets::Required,
        };
        let config = load(&sources).unwrap_or_else(|errors| panic!("{}: {errors}", file.display()));
        assert!(!config.demo, "{}", file.display());
        assert!(config.tiers.len() >= 2, "{}", file.display());
    }
}

#[test]
fn every_key_of_the_annotated_defaults_is_understood_when_uncommented() {
    // Lines such as `# key = value   # note` and `# [table]`, but no prose.
    let is_setting = |line: &str| {
        let body = line.strip_prefix("# ").unwrap_or("");
        let key = body.split(" = ").next().unwrap_or("");
        body.starts_with('[') || (body.contains(" = ") && key.chars().all(|c| c.is_ascii_lowercase() || c == '_'))
    };
    let uncommented: String = DEFAULT_TOML
        .lines()
        .map(|line| if is_setting(line) { line.trim_start_matches("# ") } else { line })
        .map(|line| format!("{line}\n"))
        .collect();
    let environment = &[
        ("OPENAI_API_KEY", "sk-1"),
        ("TEAM_TOKEN", "t"),
        ("TRIMTAB_KEY_ALICE", "alice-key"),
        ("TRIMTAB_ADMIN_KEY", "admin-key"),
    ];

    let config =
        Case { file: &uncommented, environment, flags: &[] }.load().unwrap_or_else(|errors| panic!("{errors}"));

    assert!(!config.demo);
    assert_eq!(config.server.keys.len(), 1);
    assert!(config.model.bundle.is_some() && config.model.runtime.is_some());
}
