use std::path::Path;

use super::*;

/// Looks at a directory of its own with a configuration file in it.
struct Place(tempfile::TempDir);

impl Place {
    fn new(file: &str) -> Self {
        let place = Self(tempfile::tempdir().expect("a directory"));
        let path = |name: &str| place.0.path().join(name).display().to_string();
        let own = format!(
            "[server]\nlisten = '127.0.0.1:0'\nadmin_listen = '127.0.0.1:0'\n[model]\ndir = '{}'\nruntime = '{}'\n[store]\npath = '{}'\n",
            path("models"),
            path("libonnxruntime.so"),
            path("data/t.db")
        );
        std::fs::write(place.0.path().join(config::DEFAULT_FILE), own + file).expect("a file");
        place
    }

    fn examine(&self, environment: &[(&str, &str)]) -> Report {
        let environment: Environment = environment.iter().copied().collect();
        examine(&Sources {
            file: None,
            directory: self.0.path(),
            environment: &environment,
            overrides: &[],
            secrets: Secrets::Required,
        })
    }
}

fn check<'a>(report: &'a Report, name: &str) -> &'a Check {
    report
        .checks
        .iter()
        .find(|check| check.name == name)
        .unwrap_or_else(|| panic!("no {name} in\n{}", report.to_text()))
}

const UPSTREAM: &str = "
    [upstreams.openai]
    base_url = 'https://api.openai.com/v1'
    api_key = { env = 'OPENAI_API_KEY' }
    [[tiers]]
    id = 'small'
    [[tiers.models]]
    name = 'm'
    upstream = 'openai'
";

#[test]
fn a_bare_machine_is_told_what_is_missing_and_how_to_get_it() {
    let report = Place::new("").examine(&[]);

    for (name, remedy) in [("ONNX Runtime", "make runtime"), ("models", "model.dir"), ("bundle", "trimtab bundle")] {
        let check = check(&report, name);
        assert_eq!(check.status, Status::Fail, "{check:?}");
        assert!(check.remedy.as_ref().is_some_and(|text| text.contains(remedy)), "{check:?}");
    }
    assert!(check(&report, "ONNX Runtime").found.contains("libonnxruntime.so"));
    assert_eq!(check(&report, "store").status, Status::Ok);
    assert_eq!(report.worst(), Status::Fail);
}

#[test]
fn keys_are_reported_by_presence_and_never_by_value() {
    let place = Place::new(UPSTREAM);

    let with = place.examine(&[("OPENAI_API_KEY", "sk-very-secret")]);
    let without = place.examine(&[]);

    assert_eq!(check(&with, "upstream openai").found, "https://api.openai.com/v1 with a key");
    let missing = check(&without, "configuration");
    assert_eq!(missing.status, Status::Fail);
    assert!(missing.found.contains("`OPENAI_API_KEY` is not set"), "{missing:?}");
    assert_eq!(check(&without, "upstream openai").status, Status::Ok);
    for report in [with, without] {
        assert!(!report.to_text().contains("very-secret"));
        assert!(!report.to_json().to_string().contains("very-secret"));
    }
}

#[test]
fn an_upstream_that_only_embeds_is_in_use_and_access_keys_are_a_key() {
    let more = "
        [[tiers.models]]
        name = 'claude'
        upstream = 'aws'
        [upstreams.aws]
        kind = 'bedrock'
        region = 'eu-west-1'
        access_key_id = { env = 'OPENAI_API_KEY' }
        secret_access_key = { env = 'OPENAI_API_KEY' }
        [upstreams.embedder]
        base_url = 'http://127.0.0.1:9'
        [[embeddings]]
        name = 'embed'
        upstream = 'embedder'
        [upstreams.idle]
        base_url = 'http://127.0.0.1:9'
    ";

    let report = Place::new(&format!("{UPSTREAM}{more}")).examine(&[("OPENAI_API_KEY", "sk-1")]);

    assert_eq!(check(&report, "upstream embedder").found, "http://127.0.0.1:9 without a key");
    assert!(check(&report, "upstream aws").found.ends_with("with a key"), "{}", report.to_text());
    assert_eq!(check(&report, "upstream idle").status, Status::Warn);
}

#[test]
fn every_problem_of_the_configuration_is_a_check_of_its_own() {
    let report = Place::new("prompts = 'all'\nqueue = 1\n").examine(&[]);

    let failed: Vec<&Check> = report.checks.iter().filter(|check| check.name == "configuration").collect();
    assert_eq!(failed.len(), 2, "{}", report.to_text());
    assert!(failed.iter().all(|check| check.status == Status::Fail && check.remedy.is_some()));
}

#[test]
fn a_store_in_use_and_a_taken_port_are_warnings() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    let place = Place::new("");
    let data = place.0.path().join("data");
    std::fs::create_dir(&data).expect("a directory");
    let lock = std::fs::File::create(data.join("t.db.lock")).expect("a lock file");
    lock.lock().expect("the lock");

    let report = place.examine(&[("TRIMTAB__SERVER__LISTEN", &address)]);

    assert_eq!(check(&report, "listen").status, Status::Warn);
    assert_eq!(check(&report, "admin_listen").status, Status::Ok);
    assert!(check(&report, "store").found.contains("in use"), "{}", report.to_text());
}

#[test]
fn a_store_that_cannot_be_written_fails() {
    let place = Place::new("");
    std::fs::write(place.0.path().join("data"), "a file where a directory should be").expect("a file");

    let report = place.examine(&[("TRIMTAB__STORE__PATH", "/proc/trimtab/t.db")]);

    assert_eq!(check(&report, "store").status, Status::Fail);
}

#[test]
fn the_table_puts_remedies_below_what_they_mend() {
    let report = Report { checks: vec![Check::ok("version", "1"), Check::fail("bundle", "none", "train one")] };

    assert_eq!(report.to_text(), "ok    version  1\nFAIL  bundle   none\n               → train one\n");
    let json = report.to_json();
    assert_eq!(json["status"], "fail");
    assert_eq!(json["checks"][1]["remedy"], "train one");
    assert!(json["checks"][0].get("remedy").is_none());
}

#[test]
fn the_shipped_bundle_is_verified_where_it_is_there() {
    let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("models");
    if !models.join("default/manifest.json").is_file() {
        return; // Bundles are trained, not compiled: a tree without one has nothing to verify.
    }
    let models = models.display().to_string();

    let report = Place::new("").examine(&[("TRIMTAB__MODEL__DIR", &models)]);

    for name in ["models", "bundle", "tiers", "encoder"] {
        assert_eq!(check(&report, name).status, Status::Ok, "{}", report.to_text());
    }
}
