//! The room's behaviour from outside: opened, written, read, broken and repaired.

mod export;
mod faults;
mod feedback;
mod opening;
mod process;
mod records;

use std::num::{NonZeroU32, NonZeroUsize};
use std::path::PathBuf;
use std::time::Duration;

use serde_json::json;
use tempfile::TempDir;

use super::*;
use crate::domain::api::Api;
use crate::domain::feedback::Feedback;
use crate::domain::ids::{CallerId, DecisionId, ModelName};
use crate::domain::money::{NanoUsd, Usage};
use crate::domain::outcome::Class;
use crate::domain::probability::Probability;
use crate::domain::signals::Signals;
use crate::domain::task::Task;

/// Long enough for any machine; a test that needs it all has failed.
const DEADLINE: Duration = Duration::from_secs(30);

/// The hour of the first decision.
const START_MS: u64 = 1_795_255_663_123;

struct Home {
    directory: TempDir,
}

impl Home {
    fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap() }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("data").join("trimtab.db")
    }

    fn settings(&self) -> StoreSettings {
        let retry = RetrySettings { attempts: NonZeroU32::new(2).unwrap(), first_delay: Duration::from_millis(1) };
        StoreSettings { feedback_deadline: DEADLINE, retry, ..StoreSettings::at(self.path()) }
    }

    fn settings_with_queue(&self, entries: usize) -> StoreSettings {
        StoreSettings { queue: NonZeroUsize::new(entries).unwrap(), ..self.settings() }
    }

    async fn open(&self) -> Store {
        Store::open(self.settings()).await.unwrap()
    }

    /// The bytes of every file of the store.
    fn bytes(&self) -> Vec<u8> {
        let files = std::fs::read_dir(self.path().parent().unwrap()).unwrap();
        files.flat_map(|file| std::fs::read(file.unwrap().path()).unwrap()).collect()
    }
}

fn id(number: u64) -> DecisionId {
    DecisionId::from_u128((u128::from(START_MS) << 80) | u128::from(number))
}

fn decision(number: u64) -> DecisionRecord {
    let prompt = format!("What is {number} plus {number}?");
    DecisionRecord {
        version: RECORD_VERSION,
        id: id(number),
        at_unix_ms: START_MS + number,
        kind: DecisionKind::Completion,
        caller: CallerId::from("local"),
        policy: "balanced".into(),
        aim: AimRecord::Quality(Probability::HALF),
        threshold: f64::INFINITY,
        model: ModelName::from("small-1"),
        tier: "small".into(),
        reason: "cheapest_adequate".to_owned(),
        sentence: "This is mathematics of low difficulty.".to_owned(),
        propensity: Probability::clamped(0.9),
        bundle: Some("2026-11-21T0300Z-7f3a".into()),
        encoder: Some("ab".repeat(32)),
        scorer: Some("fast".to_owned()),
        task: Some(Task::Mathematics),
        task_p: Some(Probability::clamped(0.75)),
        difficulty: Some(Probability::clamped(0.25)),
        input_tokens: 12,
        considered: ["small-1", "large-1"].map(considered).to_vec(),
        signals: Signals::of(&prompt).features().to_vec(),
        signals_version: 1,
        embedding: Some(halves_of_floats(&[0.5; 256])),
        prompt: Some(prompt),
        route_us: 80,
        session: Some("s-1".to_owned()),
        tags: Some(json!({"team": "search"})),
        api: Some(Api::Messages),
    }
}

fn considered(model: &str) -> ConsideredRecord {
    ConsideredRecord {
        model: model.into(),
        tier: "small".into(),
        p: Some(Probability::clamped(0.7)),
        low: Some(Probability::clamped(0.6)),
        high: Some(Probability::clamped(0.8)),
        known: true,
        cost_p50: Some(NanoUsd(120)),
        cost_p90: None,
        excluded: Some("does not call tools".to_owned()),
    }
}

fn outcome(number: u64) -> OutcomeRecord {
    let attempt = AttemptRecord {
        upstream: "demo".into(),
        model: "large-1".into(),
        tier: "large".into(),
        class: Class::Success,
        status: Some(200),
        took_ms: 9,
        detail: String::new(),
        unused_cost: None,
    };
    OutcomeRecord {
        version: RECORD_VERSION,
        decision_id: id(number),
        at_unix_ms: START_MS + number + 10,
        class: Class::Success,
        served_by: Some("large-1".into()),
        tier: Some("large".into()),
        upstream: Some("demo".into()),
        usage: Some(Usage { input_tokens: 14, cached_input_tokens: 4, output_tokens: 7, ..Usage::default() }),
        cost: Some(NanoUsd(1_500_000)),
        attempts: vec![attempt],
        total_ms: 10,
        first_byte_ms: Some(3),
        stream: true,
        usage_estimated: Some(true),
    }
}

fn nothing_said(number: u64) -> Feedback {
    Feedback {
        decision_id: id(number),
        success: None,
        score: None,
        rating: None,
        preferred_model: None,
        label: None,
        source: None,
        comment: None,
    }
}

fn verdict(number: u64, success: bool) -> FeedbackEntry {
    entry(Feedback { success: Some(success), ..nothing_said(number) })
}

fn entry(feedback: Feedback) -> FeedbackEntry {
    FeedbackEntry {
        feedback,
        idempotency_key: None,
        caller: CallerId::from("local"),
        right: FeedbackRight::Any,
        at_unix_ms: START_MS + 1_000,
    }
}
