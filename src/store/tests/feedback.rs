//! Reports: found, counted once, refused with a reason.

use super::*;
use crate::domain::feedback::Rating;

#[tokio::test]
async fn feedback_right_after_the_decision_finds_it() {
    let home = Home::new();
    let store = home.open().await;
    store.journal().record_decision(decision(1));

    let receipt = store.feedback(verdict(1, true)).await.unwrap();

    assert_eq!((receipt.decision_id, receipt.replayed), (id(1), false));
    let learnable = receipt.learnable;
    assert_eq!(learnable.embedding, Some(vec![0.5; 256]));
    assert_eq!(learnable.encoder, decision(1).encoder);
    assert_eq!((learnable.model.as_str(), learnable.tier.as_str()), ("small-1", "small"));
    assert_eq!(learnable.verdict, Some(Probability::ONE));
}

#[tokio::test]
async fn feedback_judges_the_model_that_served() {
    let home = Home::new();
    let store = home.open().await;
    store.journal().record_decision(decision(1));
    store.journal().record_outcome(outcome(1));
    let prefers_the_chosen_one = Feedback { preferred_model: Some("small-1".into()), ..nothing_said(1) };

    let learnable = store.feedback(entry(prefers_the_chosen_one)).await.unwrap().learnable;

    assert_eq!((learnable.model.as_str(), learnable.tier.as_str()), ("large-1", "large"));
    assert_eq!(learnable.verdict, Some(Probability::ZERO));
}

#[tokio::test]
async fn feedback_keeps_everything_that_was_said() {
    let home = Home::new();
    let store = home.open().await;
    store.journal().record_decision(decision(1));
    let said = Feedback {
        success: Some(false),
        score: Some(Probability::clamped(0.3)),
        rating: Some(Rating::try_from(2).unwrap()),
        preferred_model: Some("large-1".into()),
        label: Some(Task::Reasoning),
        source: Some("judge".to_owned()),
        comment: Some("too short".to_owned()),
        ..nothing_said(1)
    };

    store.feedback(entry(said.clone())).await.unwrap();

    let stored = store.decision(id(1)).await.unwrap().unwrap().feedback;
    assert_eq!(stored.iter().map(|record| &record.feedback).collect::<Vec<_>>(), [&said]);
}

#[tokio::test]
async fn feedback_for_an_unknown_decision_is_refused() {
    let home = Home::new();
    let store = home.open().await;

    assert_eq!(store.feedback(verdict(9, true)).await, Err(FeedbackError::UnknownDecision(id(9))));
}

#[tokio::test]
async fn a_caller_reports_on_its_own_decisions_and_a_judge_on_everybodys() {
    let home = Home::new();
    let store = home.open().await;
    store.journal().record_decision(decision(1));
    let by = |caller: &str, right| FeedbackEntry { caller: caller.into(), right, ..verdict(1, false) };

    let stranger = store.feedback(by("mallory", FeedbackRight::Own)).await;
    let own = store.feedback(by("local", FeedbackRight::Own)).await;
    let judge = store.feedback(by("judge", FeedbackRight::Any)).await;

    assert_eq!(stranger, Err(FeedbackError::UnknownDecision(id(1))), "as if it did not exist");
    assert!(own.is_ok() && judge.is_ok());
    assert_eq!(store.reader().counts().await.unwrap().feedback, 2);
}

fn keyed(key: &str, entry: FeedbackEntry) -> FeedbackEntry {
    FeedbackEntry { idempotency_key: Some(key.to_owned()), ..entry }
}

#[tokio::test]
async fn the_same_key_and_content_give_the_same_receipt_even_after_reopening() {
    let home = Home::new();
    let store = home.open().await;
    store.journal().record_decision(decision(1));
    let first = store.feedback(keyed("k", verdict(1, true))).await.unwrap();
    store.close(DEADLINE).await.unwrap();
    let store = home.open().await;

    let later = FeedbackEntry { at_unix_ms: START_MS + 9_999, ..keyed("k", verdict(1, true)) };
    let second = store.feedback(later).await.unwrap();

    assert_eq!(second, FeedbackReceipt { replayed: true, ..first });
    assert_eq!(store.reader().counts().await.unwrap().feedback, 1);
}

#[tokio::test]
async fn the_same_key_with_other_content_is_a_conflict() {
    let home = Home::new();
    let store = home.open().await;
    store.journal().record_decision(decision(1));
    store.journal().record_decision(decision(2));
    store.feedback(keyed("k", verdict(1, true))).await.unwrap();

    for other in [verdict(1, false), verdict(2, true)] {
        let refused = store.feedback(keyed("k", other)).await;

        assert_eq!(refused, Err(FeedbackError::IdempotencyConflict { key: "k".to_owned() }));
    }
    let another_caller = FeedbackEntry { caller: "other".into(), ..keyed("k", verdict(1, false)) };
    assert!(!store.feedback(another_caller).await.unwrap().replayed);
}

#[tokio::test]
async fn without_a_key_only_an_exact_repeat_of_the_latest_word_is_the_same() {
    let home = Home::new();
    let store = home.open().await;
    store.journal().record_decision(decision(1));
    let mut replayed = Vec::new();

    for success in [true, true, false, true] {
        replayed.push(store.feedback(verdict(1, success)).await.unwrap().replayed);
    }

    assert_eq!(replayed, [false, true, false, false]);
}

#[tokio::test]
async fn the_same_report_sent_at_once_is_stored_once() {
    let home = Home::new();
    let store = home.open().await;
    store.journal().record_decision(decision(1));

    let (first, second) =
        tokio::join!(store.feedback(keyed("k", verdict(1, true))), store.feedback(keyed("k", verdict(1, true))));

    assert_eq!([first.unwrap().replayed, second.unwrap().replayed].iter().filter(|replayed| **replayed).count(), 1);
}

#[tokio::test]
async fn reports_that_are_too_long_or_empty_are_refused() {
    let home = Home::new();
    let store = home.open().await;
    store.journal().record_decision(decision(1));
    let good = || Feedback { success: Some(true), ..nothing_said(1) };
    let cases = [
        (entry(Feedback { comment: Some("é".repeat(2_049)), ..good() }), "comment"),
        (entry(Feedback { source: Some("s".repeat(65)), ..good() }), "source"),
        (entry(Feedback { preferred_model: Some("m".repeat(257).into()), ..good() }), "preferred_model"),
        (keyed(&"k".repeat(257), entry(good())), "idempotency_key"),
    ];

    for (case, expected) in cases {
        let refused = store.feedback(case).await;

        assert!(matches!(refused, Err(FeedbackError::TooLong { field, .. }) if field == expected), "{refused:?}");
    }
    assert_eq!(store.feedback(entry(nothing_said(1))).await, Err(FeedbackError::Empty));
}
