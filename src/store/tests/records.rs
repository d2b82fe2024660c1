//! What is recorded is what is read.

use super::*;

#[tokio::test]
async fn a_decision_and_its_outcome_survive_reopening() {
    let home = Home::new();
    let store = home.open().await;
    store.journal().record_decision(decision(1));
    store.journal().record_outcome(outcome(1));
    store.close(DEADLINE).await.unwrap();

    let store = home.open().await;
    let found = store.decision(id(1)).await.unwrap().unwrap();

    assert_eq!(found.decision, decision(1));
    assert_eq!(found.outcome, Some(outcome(1)));
    assert_eq!(found.feedback, vec![]);
}

#[tokio::test]
async fn a_decision_is_found_while_it_waits_to_be_written() {
    let home = Home::new();
    let store = home.open().await;

    store.journal().record_decision(decision(1));

    assert!(store.decision(id(1)).await.unwrap().is_some());
    assert!(store.decision(id(2)).await.unwrap().is_none());
}

#[tokio::test]
async fn many_batches_are_all_written_and_counted() {
    let home = Home::new();
    let store = home.open().await;
    for number in 0..1_500 {
        store.journal().record_decision(decision(number));
    }
    store.journal().record_outcome(outcome(7));
    store.sync(DEADLINE).await.unwrap();

    let counts = store.reader().counts().await.unwrap();
    let recent = store.reader().recent(2).await.unwrap();
    let stats = store.journal().stats();

    assert_eq!((counts.decisions, counts.outcomes, counts.feedback), (1_500, 1, 0));
    assert_eq!(recent.iter().map(|one| one.decision.id).collect::<Vec<_>>(), [id(1_499), id(1_498)]);
    assert_eq!((stats.written, stats.dropped, stats.lost), (1_501, 0, 0));
}

#[tokio::test]
async fn a_record_of_odd_numbers_is_stored() {
    let home = Home::new();
    let store = home.open().await;
    let odd = DecisionRecord {
        threshold: f64::NAN,
        input_tokens: u64::MAX,
        aim: AimRecord::Threshold(f64::NEG_INFINITY),
        session: Some("nul \0 and é".to_owned()),
        ..decision(1)
    };
    store.journal().record_decision(odd);
    store.sync(DEADLINE).await.unwrap();

    let found = store.decision(id(1)).await.unwrap().unwrap().decision;

    assert!(found.threshold.is_nan());
    assert_eq!(found.input_tokens, i64::MAX as u64);
    assert_eq!(found.aim, AimRecord::Threshold(f64::NEG_INFINITY));
    assert_eq!(found.session.as_deref(), Some("nul \0 and é"));
}

#[tokio::test]
async fn the_first_record_of_a_decision_stands() {
    let home = Home::new();
    let store = home.open().await;
    store.journal().record_decision(decision(1));
    store.journal().record_decision(DecisionRecord { route_us: 1, ..decision(1) });
    store.journal().record_outcome(outcome(1));
    store.journal().record_outcome(OutcomeRecord { total_ms: 1, ..outcome(1) });
    store.sync(DEADLINE).await.unwrap();

    let found = store.decision(id(1)).await.unwrap().unwrap();

    assert_eq!((found.decision, found.outcome), (decision(1), Some(outcome(1))));
}

#[tokio::test]
async fn a_read_only_reader_follows_a_store_that_is_being_written() {
    let home = Home::new();
    let store = home.open().await;
    let reader = Store::open_read_only(&home.path()).await.unwrap();

    store.journal().record_decision(decision(1));
    store.sync(DEADLINE).await.unwrap();

    assert_eq!(reader.counts().await.unwrap().decisions, 1);
}

const CANARY: &str = "canary-7f3a@example.org";

/// The bytes of a store that was given the canary as prompt and as comment.
async fn bytes_with_canary(prompts: PromptRetention) -> Vec<u8> {
    let home = Home::new();
    let store = Store::open(StoreSettings { prompts, ..home.settings() }).await.unwrap();
    store.journal().record_decision(DecisionRecord { prompt: Some(format!("tell {CANARY} so")), ..decision(1) });
    let said = Feedback { success: Some(true), comment: Some(format!("told {CANARY} so")), ..nothing_said(1) };
    store.feedback(entry(said)).await.unwrap();
    let mut bytes = home.bytes();
    store.close(DEADLINE).await.unwrap();
    bytes.extend(home.bytes());
    bytes
}

fn holds(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

#[tokio::test]
async fn prompts_reach_the_disk_only_as_the_operator_allows() {
    let full = bytes_with_canary(PromptRetention::Full).await;
    let redacted = bytes_with_canary(PromptRetention::Redacted).await;
    let none = bytes_with_canary(PromptRetention::None).await;

    assert!(holds(&full, CANARY));
    assert!(!holds(&redacted, "canary") && holds(&redacted, "tell [email] so") && holds(&redacted, "told [email] so"));
    assert!(!holds(&none, "canary") && !holds(&none, "tell") && !holds(&none, "told"));
}
