//! The data that ships: what docs/retrain.md promises of the sample, and what datasets/sources.toml says of the default bundle.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::support::app::{install_default_models, trimtab};

const FITTING: &str = "Will a 12-speed cassette work with an 8-speed freehub? Say which adapter I need, if any.";

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn run(home: &Path, arguments: &[&str]) -> String {
    let (code, out, error) = trimtab(home, arguments, "");
    assert_eq!(code, Some(0), "{arguments:?}\n{out}\n{error}");
    out
}

fn apgr(home: &Path, bundle: &str) -> f64 {
    let held_out = repository("datasets/sample/held-out.jsonl");
    let held_out = held_out.to_str().unwrap();
    let models = ["--weak", "demo-small", "--strong", "demo-large"];
    let arguments = [&["eval", "--json", "--bundle", bundle, "--outcomes", held_out], models.as_slice()].concat();
    serde_json::from_str::<Value>(&run(home, &arguments)).unwrap()["apgr"].as_f64().unwrap()
}

fn chosen(home: &Path) -> String {
    let decision: Value = serde_json::from_str(&run(home, &["route", "--json", FITTING])).unwrap();
    decision["model"].as_str().unwrap().to_owned()
}

#[test]
fn the_first_retrain_of_the_guide_goes_as_it_says() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    install_default_models(&home.join("models"));
    let outcomes = repository("datasets/sample/outcomes.jsonl");
    let train = ["train", "--base", "models/default", "--outcomes", outcomes.to_str().unwrap()];

    let (before, asked_before) = (apgr(home, "models/default"), chosen(home));
    run(home, &[&train[..], &["--out", "models/bundles/shop"]].concat());
    let after = apgr(home, "models/bundles/shop");
    run(home, &["bundle", "promote", "models/bundles/shop"]);
    let asked_after = chosen(home);
    run(home, &["bundle", "rollback"]);

    assert!(after > before + 0.1, "APGR {before} before and {after} after");
    assert_ne!(asked_before, "demo-large");
    assert_eq!(asked_after, "demo-large");
    assert_eq!(chosen(home), asked_before);
}

#[test]
fn the_sources_are_those_of_the_default_bundle() {
    let sources: toml::Table = fs::read_to_string(repository("datasets/sources.toml")).unwrap().parse().unwrap();
    let manifest = fs::read(repository("models/default/manifest.json")).unwrap();
    let manifest: Value = serde_json::from_slice(&manifest).unwrap();

    let stated: BTreeMap<String, u64> = sources["outcomes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|source| (source["name"].as_str().unwrap().to_owned(), source["rows"].as_integer().unwrap() as u64))
        .collect();
    let used = serde_json::from_value::<Vec<(String, u64)>>(manifest["trained_on"]["datasets"].clone()).unwrap();

    assert_eq!(stated, used.into_iter().collect());
}
