//! Targets that may not be asked now, because a breaker is open or they rest, are no reason to give up another one.

use super::*;
use crate::domain::resilience::{Allowance, BreakerSettings};
use crate::upstream::breaker::Breaker;
use crate::upstream::budget::Traffic;
use crate::upstream::classify::Blame;
use crate::upstream::fake::{hang, json, sse, status};

fn fragile(target: Target) -> Target {
    let settings = BreakerSettings { in_a_row: 1, ..BreakerSettings::default() };
    Target { health: Arc::new(Health::new(settings, Arc::new(Breaker::new(settings)))), ..target }
}

fn break_down(target: &Target) {
    assert!(target.health.force(Instant::now()).failed(Blame::Target), "its breaker opens");
}

/// Its breaker is open.
fn broken(target: Target) -> Target {
    let target = fragile(target);
    break_down(&target);
    target
}

/// As many extra calls as anybody wants.
fn generous() -> Arc<Traffic> {
    let much = Allowance { share: 1.0, burst: 10.0 };
    Arc::new(Traffic::new(much, much, PATIENCE))
}

#[tokio::test]
async fn a_late_target_is_not_given_up_for_one_whose_breaker_is_open() {
    let (late, other) = (FakeUpstream::script([hang()]).await, FakeUpstream::script([sse(&["Hel"])]).await);
    let timeouts = Timeouts { headers: 3 * SHORT, first_token: 3 * SHORT, ..Timeouts::default() };
    let care = Care { first_token: Some(SHORT), ..Care::NONE };

    let plan = Plan { care, ..plan(vec![hasty("a", &late, timeouts), broken(target("b", &other))]) };
    let (_, outcome) = call(plan, STREAM).await.read().await;

    assert_eq!(classes(&outcome), [Class::Transient, Class::Skipped, Class::Success]);
    assert!(outcome.attempts[0].detail.ends_with("within 180ms"), "its own limit: {}", outcome.attempts[0].detail);
}

#[tokio::test]
async fn a_key_is_asked_again_while_the_other_key_is_not_to_be_asked() {
    let shaky = FakeUpstream::script([status(503), json(ANSWER)]).await;
    let other = FakeUpstream::script([json(ANSWER)]).await;
    let twin = Target { model: ModelName::from("m-a"), ..broken(target("b", &other)) };

    let (_, outcome) = call(plan(vec![target("a", &shaky), twin]), WHOLE).await.read().await;

    assert_eq!(classes(&outcome), [Class::Transient, Class::Success]);
    assert!(other.requests().is_empty());
}

#[tokio::test]
async fn a_hedge_is_paid_for_only_where_there_is_somebody_to_ask() {
    let late = FakeUpstream::script([hang()]).await;
    let other = FakeUpstream::script([json(ANSWER)]).await;
    let rival = fragile(target("b", &other));
    let timeouts = Timeouts { headers: 8 * SHORT, ..Timeouts::default() };
    let (care, traffic) = (Care { hedge_after: Some(6 * SHORT), ..Care::NONE }, generous());
    let targets = vec![hasty("a", &late, timeouts), rival.clone()];

    let plan = Plan { care, traffic: Arc::clone(&traffic), ..plan(targets) };
    let (call, ()) = tokio::join!(call(plan, WHOLE), async {
        late.asked().await;
        break_down(&rival);
    });

    drop(call.read().await);
    assert_eq!(traffic.hedges.counts(), (0, 0));
}

#[tokio::test]
async fn a_retry_that_is_not_made_is_not_paid_for() {
    let shaky = FakeUpstream::script([status(503)]).await;
    let other = FakeUpstream::script([json(ANSWER)]).await;
    let (first, traffic) = (fragile(target("a", &shaky)), generous());

    let plan = Plan { traffic: Arc::clone(&traffic), ..plan(vec![first, target("b", &other)]) };
    let (_, outcome) = call(plan, WHOLE).await.read().await;

    assert_eq!(classes(&outcome), [Class::Transient, Class::Success], "the failure opened its breaker");
    assert_eq!(traffic.retries.counts(), (0, 0));
}
