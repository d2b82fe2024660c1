//! Bundles: verified before anything opens them, swapped under load, rolled back.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tokio_util::task::TaskTracker;

use crate::support::app::{PATIENCE, chat, copy_tree, fixtures, install_default_models, install_tiny_models, trimtab};
use crate::support::{Setup, TestApp};

fn home() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    install_tiny_models(&directory.path().join("models"));
    directory
}

/// A second bundle: the tiny one under another name.
fn install_twin(models: &Path, id: &str) {
    let twin = models.join("bundles").join(id);
    copy_tree(&fixtures().join("bundles/tiny"), &twin);
    let manifest = twin.join("manifest.json");
    let mut json: Value = serde_json::from_slice(&fs::read(&manifest).unwrap()).unwrap();
    json["id"] = json!(id);
    fs::write(manifest, json.to_string()).unwrap();
}

fn flip_a_byte(file: &Path) {
    let mut bytes = fs::read(file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(file, bytes).unwrap();
}

#[test]
fn damaged_bundles_are_refused_by_file_and_never_promoted() {
    let home = home();
    let models = home.path().join("models");
    type Damage = fn(&Path);
    let damages: [(&str, &str, Damage); 5] = [
        ("flipped", "heads.onnx", |bundle| flip_a_byte(&bundle.join("heads.onnx"))),
        ("missing", "calibration.json", |bundle| fs::remove_file(bundle.join("calibration.json")).unwrap()),
        ("truncated", "vectors.f32", |bundle| {
            let file = bundle.join("vectors.f32");
            let bytes = fs::read(&file).unwrap();
            fs::write(&file, &bytes[..bytes.len() - 4]).unwrap();
        }),
        ("dimension", "dimension", |bundle| {
            let file = bundle.join("manifest.json");
            let mut manifest: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
            manifest["encoder"]["dimension"] = json!(777);
            fs::write(&file, manifest.to_string()).unwrap();
        }),
        ("unmanifested", "manifest.json", |bundle| fs::remove_file(bundle.join("manifest.json")).unwrap()),
    ];
    for (id, named, damage) in damages {
        install_twin(&models, id);
        damage(&models.join("bundles").join(id));

        let path = format!("models/bundles/{id}");
        let (verified, _, error) = trimtab(home.path(), &["bundle", "verify", &path], "");
        let (promoted, _, _) = trimtab(home.path(), &["bundle", "promote", &path], "");

        assert_eq!((verified, promoted), (Some(1), Some(1)), "{id}");
        assert!(error.contains(named), "{id}: no `{named}` in {error}");
    }
    assert!(!models.join("CURRENT").exists());
}

#[test]
fn bundles_are_listed_promoted_and_rolled_back() {
    let home = home();
    install_twin(&home.path().join("models"), "twin");

    let (_, before, _) = trimtab(home.path(), &["bundle", "list"], "");
    let (promoted, _, error) = trimtab(home.path(), &["bundle", "promote", "models/bundles/twin"], "");
    let (_, after, _) = trimtab(home.path(), &["bundle", "list", "--json"], "");
    let (rolled, back, _) = trimtab(home.path(), &["bundle", "rollback"], "");
    let (verified, sound, _) = trimtab(home.path(), &["bundle", "verify"], "");

    assert!(before.lines().any(|line| line.starts_with("serving") && line.contains("default")), "{before}");
    assert_eq!(promoted, Some(0), "{error}");
    let serving = after
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .find(|bundle| bundle["status"] == "serving");
    assert_eq!(serving.unwrap()["bundle"]["id"], "twin");
    assert_eq!(rolled, Some(0));
    assert!(back.contains("default"), "{back}");
    assert_eq!(verified, Some(0));
    assert!(sound.contains("tiny is sound"), "{sound}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hot_swap_under_load_drops_nothing() {
    let directory = home();
    let models = directory.path().join("models");
    install_twin(&models, "twin");
    let app = Arc::new(TestApp::start_in(directory, Setup::default()).await.unwrap());
    let (tasks, swapped) = (TaskTracker::new(), Arc::new(AtomicBool::new(false)));
    let workers: Vec<_> = (0..4)
        .map(|_| {
            let (app, swapped) = (Arc::clone(&app), Arc::clone(&swapped));
            tasks.spawn(async move {
                let mut seen = Vec::new();
                while !swapped.load(Ordering::Relaxed) {
                    let reply = app.post("/v1/route", &chat("auto", "Which planet is largest?")).await;
                    assert_eq!(reply.status, 200, "{}", reply.text);
                    let decision = reply.json();
                    assert!(decision.get("scoring_failure").is_none(), "{decision}");
                    // One generation from the scores to the record: the header and the body agree.
                    assert_eq!(decision["bundle"], reply.header("x-trimtab-bundle"));
                    seen.push(decision["bundle"].as_str().unwrap().to_owned());
                }
                seen
            })
        })
        .collect();

    fs::write(models.join("CURRENT"), "bundles/twin\ndefault\n").unwrap();
    wait_for_bundle(&app, "twin").await;
    swapped.store(true, Ordering::Relaxed);

    for worker in workers {
        let seen = worker.await.unwrap();
        let first_new = seen.iter().position(|bundle| bundle == "twin").unwrap_or(seen.len());
        assert!(seen[first_new..].iter().all(|bundle| bundle == "twin"), "the old bundle came back: {seen:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_bundle_leaves_the_old_one_serving() {
    let directory = home();
    let models = directory.path().join("models");
    install_twin(&models, "broken");
    flip_a_byte(&models.join("bundles/broken/heads.onnx"));
    let app = TestApp::start_in(directory, Setup::default()).await.unwrap();

    fs::write(models.join("CURRENT"), "bundles/broken\ndefault\n").unwrap();
    let refused = "trimtab_model_prepare_failures_total 1";
    wait_until(async || app.get("/metrics").await.text.contains(refused)).await;

    assert_eq!(app.post("/v1/route", &chat("auto", "hi")).await.json()["bundle"], "tiny");
}

async fn wait_for_bundle(app: &TestApp, bundle: &str) {
    wait_until(async || app.get("/health/ready").await.json()["bundle"] == bundle).await;
}

/// Looks again and again until something outside this process's control has happened, such as a poll of a file.
async fn wait_until(happened: impl AsyncFn() -> bool) {
    let waited = tokio::time::timeout(PATIENCE, async {
        let mut looks = tokio::time::interval(Duration::from_millis(50));
        while !happened().await {
            looks.tick().await;
        }
    });
    waited.await.expect("it happens in time");
}

#[tokio::test]
async fn operating_points_are_shown_on_the_command_line_and_to_administration() {
    let directory = tempfile::tempdir().unwrap();
    install_default_models(&directory.path().join("models"));
    let (_, listed, error) = trimtab(directory.path(), &["bundle", "list"], "");
    let (_, for_programs, _) = trimtab(directory.path(), &["bundle", "list", "--json"], "");
    let app = TestApp::start_in(directory, Setup::default()).await.unwrap();

    let serving = app.send(app.client.get(format!("{}/admin/bundle", app.admin_url))).await.json();

    assert!(listed.contains("share-30") && listed.contains("% of prompts to the strongest tier: "), "{listed}{error}");
    assert!(listed.contains("of its quality at "), "{listed}");
    let measured_on = serving["operating"]["measured_on"].as_str().unwrap();
    assert!(listed.contains(&format!("measured on {measured_on}\n")), "{listed}");
    let for_programs: Value = serde_json::from_str(for_programs.lines().next().unwrap()).unwrap();
    assert_eq!(serving["operating"]["points"][2]["name"], "share-30");
    assert_eq!(serving["operating"], for_programs["operating"]);
}
