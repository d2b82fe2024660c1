use super::*;
use crate::config::env::Environment;
use crate::config::{Secrets, Sources};
use crate::doctor::Status;
use crate::domain::drift::{Judged, Sighting};
use crate::domain::ids::BundleId;
use crate::domain::language::Language;
use crate::domain::task::Task;
use crate::drift::{Judgeable, Seen};
use crate::model::testing::TinyModels;

/// A bundle, and a place where its counts are kept.
struct Watched {
    tiny: TinyModels,
    config: Config,
}

impl Watched {
    fn new(file: &str) -> Self {
        let tiny = TinyModels::new();
        let store = tiny.models().join("t.db").display().to_string();
        std::fs::write(tiny.models().join("t.toml"), format!("[store]\npath = '{store}'\n{file}")).unwrap();
        let config = crate::config::load(&Sources {
            file: Some(&tiny.models().join("t.toml")),
            directory: tiny.models(),
            environment: &Environment::default(),
            overrides: &[],
            secrets: Secrets::Unread,
        });
        Self { config: config.unwrap_or_else(|errors| panic!("{errors}")), tiny }
    }

    /// Counts these tasks under a bundle, now, and keeps the counts.
    fn saw(&self, bundle: &str, tasks: &[(Task, usize)]) {
        let drift = Drift::new(drift_settings(&self.config));
        let bundle = BundleId::from(bundle);
        drift.begin(&bundle, None);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64;
        for &(task, times) in tasks {
            for at in 0..times {
                let gain = (at % 40) as f64 / 100.0;
                let (language, chars, density, disagreement) = (Language::ENGLISH, 100, 0.5, 0.1);
                let sighting = Sighting { gain, task, language, chars, density, disagreement };
                drift.saw(&Seen { bundle: &bundle, sighting, judged: Judgeable::Yes, at_unix_ms: now });
            }
        }
        for at in 0..60 {
            drift.judged(
                &bundle,
                Judged { predicted: 0.9, verdict: f64::from(u8::from(at % 10 > 0)), instead_of: None },
            );
        }
        drift.keep(&drift_file(&self.config).unwrap()).unwrap();
    }

    fn check(&self) -> Check {
        check(&Bundle::open(&self.tiny.bundle()).unwrap(), &self.config)
    }
}

const SHORT: &str = "[drift]\nreference_decisions = 100\n";

#[test]
fn what_shifted_is_told_with_its_evidence_and_the_way_to_retrain() {
    let watched = Watched::new(SHORT);

    watched.saw("tiny", &[(Task::OpenQa, 100), (Task::CodeGeneration, 200)]);

    let Check { status, found, remedy, .. } = watched.check();
    assert_eq!(status, Status::Warn, "{found}");
    assert!(found.starts_with("shifted: 200 decisions of the last 24 h against 100 of the first traffic"), "{found}");
    assert!(found.contains("the task mix PSI ") && found.contains("by chance"), "{found}");
    assert!(found.contains("over 60 verdicts"), "{found}");
    let remedy = remedy.unwrap();
    assert!(remedy.contains("trimtab train --base BUNDLE") && remedy.contains("code_generation"), "{remedy}");
}

#[test]
fn steady_traffic_is_told_with_what_moved_most() {
    let watched = Watched::new(SHORT);

    watched.saw("tiny", &[(Task::OpenQa, 300)]);

    let found = watched.check().found;
    assert!(found.contains("200 decisions of the last 24 h against 100") && found.contains("PSI 0.0"), "{found}");
}

#[test]
fn too_little_to_compare_is_no_problem() {
    let watched = Watched::new("");

    let before = watched.check();
    watched.saw("another", &[(Task::OpenQa, 10)]);
    let anew = watched.check();
    watched.saw("tiny", &[(Task::OpenQa, 10)]);
    let few = watched.check();

    assert!(before.found.contains("no counts yet"), "{before:?}");
    assert!(anew.found.contains("of `another`") && anew.found.contains("anew with `tiny`"), "{anew:?}");
    assert!(few.found.contains("10 of 1000"), "{few:?}");
    assert!([before, anew].iter().all(|check| check.status == Status::Ok));
}

#[test]
fn counts_that_cannot_be_read_are_named() {
    let watched = Watched::new("");
    let file = drift_file(&watched.config).unwrap();
    std::fs::write(&file, "not json").unwrap();

    let check = watched.check();

    assert_eq!(check.status, Status::Warn);
    assert!(check.found.contains("t.drift.json") && check.remedy.unwrap().contains("/admin/drift"), "{}", check.found);
}

#[test]
fn without_a_store_the_server_is_asked() {
    let watched = Watched::new("");
    let config =
        Config { store: crate::config::Store { enabled: false, ..watched.config.store.clone() }, ..watched.config };

    let check = check(&Bundle::open(&watched.tiny.bundle()).unwrap(), &config);

    assert!(check.found.contains("GET /admin/drift"), "{check:?}");
}
