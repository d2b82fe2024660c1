//! The command line from outside.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::support::app::{install_tiny_models, trimtab};

/// The rows of `trimtab export` in a test's directory.
pub(crate) fn export(directory: &Path, arguments: &[&str]) -> Vec<Value> {
    let mut all = vec!["export"];
    all.extend(arguments);
    fs::write(directory.join("trimtab.toml"), "[store]\npath = \"trimtab.db\"\n").unwrap();
    let (code, out, error) = trimtab(directory, &all, "");
    assert_eq!(code, Some(0), "{error}");
    out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn home() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    install_tiny_models(&directory.path().join("models"));
    directory
}

#[test]
fn route_prints_a_sentence_for_people() {
    let home = home();

    let (code, out, error) = trimtab(home.path(), &["route", "What is the capital of France?"], "");

    assert_eq!(code, Some(0), "{error}");
    assert!(out.contains("was chosen") && out.contains("demo-small") && out.contains("µs"), "{out}");
    let lines = || out.lines().skip(1).filter(|line| line.contains("demo-"));
    assert!(lines().count() == 3 && lines().all(|line| line.contains("utility ")), "{out}");
    assert!(lines().any(|line| line.starts_with('→') && line.contains(" = ") && line.contains(" for cost")), "{out}");
}

#[test]
fn route_reads_standard_input_and_files_and_prints_json() {
    let home = home();
    fs::write(home.path().join("a.txt"), "Write a poem about rain.").unwrap();
    fs::write(
        home.path().join("b.jsonl"),
        "\"Hello?\"\n{\"prompt\": \"2 + 2\"}\n{\"messages\": [{\"role\": \"user\", \"content\": \"hi\"}]}\n",
    )
    .unwrap();

    let (_, piped, _) = trimtab(home.path(), &["route", "--json", "--quality", "1"], "Explain entropy.");
    let (code, files, error) = trimtab(home.path(), &["route", "--json", "-f", "a.txt", "-f", "b.jsonl"], "");

    let piped: Value = serde_json::from_str(&piped).unwrap();
    assert_eq!(piped["reason"], "strongest_asked");
    assert_eq!(code, Some(0), "{error}");
    assert_eq!(files.lines().count(), 4);
    assert!(files.lines().all(|line| serde_json::from_str::<Value>(line).unwrap()["model"].is_string()));
}

#[test]
fn route_says_what_is_wrong_with_its_input() {
    let home = home();
    fs::write(home.path().join("bad.jsonl"), "\"fine\"\n{\"text\": 1}\n").unwrap();

    let (bad_line, _, error) = trimtab(home.path(), &["route", "-f", "bad.jsonl"], "");
    let (bad_dial, _, dial_error) = trimtab(home.path(), &["route", "--quality", "1.5", "hi"], "");

    assert_eq!(bad_line, Some(1));
    assert!(error.contains("line 2"), "{error}");
    assert_eq!(bad_dial, Some(1));
    assert!(dial_error.contains("trimtab.quality"), "{dial_error}");
}

#[test]
fn serve_check_reports_every_problem_at_once() {
    let home = home();
    fs::write(
        home.path().join("trimtab.toml"),
        "[server]\nlisten = \"nowhere\"\nmax_boddy_bytes = 7\n[policies.economy]\nquality = 7\n",
    )
    .unwrap();

    let (code, _, error) = trimtab(home.path(), &["serve", "--check"], "");

    assert_eq!(code, Some(2));
    for path in ["server.listen", "server.max_boddy_bytes", "policies.economy.quality"] {
        assert!(error.contains(path), "no {path} in {error}");
    }
}

#[test]
fn serve_check_accepts_a_sound_configuration() {
    let home = home();

    let (code, out, error) = trimtab(home.path(), &["serve", "--check"], "");

    assert_eq!(code, Some(0), "{error}");
    assert!(out.contains("sound"));
}

#[test]
fn serve_check_reads_the_authorities_of_upstreams() {
    let home = home();
    let tiers = "[[tiers]]\nid = \"small\"\n[[tiers.models]]\nname = \"m\"\nupstream = \"own\"\n";
    let own = "[upstreams.own]\nbase_url = \"https://127.0.0.1:1/v1\"\nca_file = \"ca.pem\"\n";
    fs::write(home.path().join("trimtab.toml"), format!("{own}{tiers}")).unwrap();
    let check = || trimtab(home.path(), &["serve", "--check"], "");

    let (missing, _, missing_error) = check();
    fs::write(home.path().join("ca.pem"), "no certificate").unwrap();
    let (wrong, _, wrong_error) = check();

    for (code, error) in [(missing, missing_error), (wrong, wrong_error)] {
        assert_eq!(code, Some(1), "{error}");
        assert!(error.contains("ca.pem"), "{error}");
    }
}

#[test]
fn refuses_to_listen_elsewhere_without_keys() {
    let home = home();

    let (code, _, error) = trimtab(home.path(), &["serve", "--listen", "0.0.0.0:0"], "");

    assert_eq!(code, Some(2));
    assert!(error.contains("server.keys"), "{error}");
}

#[test]
fn a_missing_onnx_runtime_is_named_with_its_remedy() {
    let home = home();
    fs::write(home.path().join("trimtab.toml"), "[model]\nruntime = \"nowhere/libonnxruntime.so\"\n").unwrap();

    for arguments in [&["serve"][..], &["route", "hi"]] {
        let (code, _, error) = trimtab(home.path(), arguments, "");

        assert_eq!(code, Some(1), "{error}");
        assert!(error.contains("make runtime"), "{error}");
    }
}

#[test]
fn catalog_and_doctor_say_what_is_there() {
    let home = home();

    let (_, catalog, _) = trimtab(home.path(), &["catalog"], "");
    let (_, doctor, _) = trimtab(home.path(), &["doctor", "--json"], "");

    assert!(catalog.contains("demo-medium") && catalog.contains("examples/"), "{catalog}");
    let report: Value = serde_json::from_str(&doctor).unwrap();
    let checks = report["checks"].as_array().unwrap();
    assert!(checks.iter().any(|check| check["name"].as_str().unwrap().contains("ONNX")), "{report}");
}

#[test]
fn catalog_shows_every_place_of_a_model() {
    let home = home();
    let file = r#"
        [upstreams.near]
        base_url = "http://127.0.0.1:1/v1"
        [upstreams.far]
        base_url = "http://127.0.0.1:2/v1"
        [[tiers]]
        id = "small"
        [[tiers.models]]
        name = "m"
        price = { input = 1.0, output = 2.0 }
        targets = [{ upstream = "near" }, { upstream = "far", price = { input = 3.0, output = 4.0 } }]
    "#;
    fs::write(home.path().join("trimtab.toml"), file).unwrap();

    let (code, catalog, error) = trimtab(home.path(), &["catalog"], "");

    assert_eq!(code, Some(0), "{error}");
    let row = |upstream: &str| catalog.lines().find(|line| line.contains(upstream)).map(str::to_owned).unwrap();
    assert!(row("near").contains(" 1 ") && row("far").contains(" 3 "), "{catalog}");
}

#[test]
fn exports_parquet_only_to_a_file() {
    let home = home();

    let (code, _, error) = trimtab(home.path(), &["export", "--format", "parquet"], "");

    assert_eq!(code, Some(1));
    assert!(error.contains("--out"), "{error}");
}
