//! Requests that wait for an answer where no target gave one.

use super::*;
use crate::domain::deferred::NotDeferred;
use crate::domain::ids::{DecisionId, DeferredId};
use crate::upstream::dispatch::{Deferred, Degraded, WaitingRoom};
use crate::upstream::fake::{json, status};

/// A room with so many places.
#[derive(Debug)]
struct Room(Mutex<usize>);

impl WaitingRoom for Room {
    fn defer(&self, targets: &[Arc<Target>]) -> Result<Deferred, NotDeferred> {
        assert!(!targets.is_empty());
        let mut places = self.0.lock().unwrap();
        *places = places.checked_sub(1).ok_or(NotDeferred::Full)?;
        Ok(Deferred { id: DeferredId::of(DecisionId::from_u128(7)), words: Arc::from("Ask for {reference}.") })
    }
}

fn care(places: usize) -> Care {
    Care { waiting_room: Some(Arc::new(Room(Mutex::new(places)))), ..Care::NONE }
}

#[tokio::test]
async fn a_reference_stands_in_when_nothing_answers() {
    for ask in [WHOLE, STREAM] {
        let fake = FakeUpstream::script([status(503)]).await;

        let call = call(Plan { care: care(1), ..plan(vec![target("a", &fake)]) }, ask).await;
        let degraded = call.result.as_ref().unwrap().degraded.unwrap();
        let (text, outcome) = call.read().await;

        assert_eq!((degraded.as_str(), degraded.age()), ("queued", None));
        let reference = degraded.reference().unwrap().to_string();
        assert!(text.contains(&format!("Ask for {reference}.")), "{text}");
        assert!(text.contains(&format!(r#""deferred":"{reference}""#)), "{text}");
        assert_eq!(text.ends_with("data: [DONE]\n\n"), ask.stream);
        assert_eq!((outcome.class, outcome.served_by, outcome.cost), (Class::Transient, None, None));
    }
}

#[tokio::test]
async fn without_room_the_error_names_the_attempts_and_says_so_or_the_words_stand_in() {
    let fake = FakeUpstream::script([status(503)]).await;
    let words = Care { degraded: Some(Arc::from("Try later.")), ..care(0) };

    let bare = call(Plan { care: care(0), ..plan(vec![target("a", &fake)]) }, WHOLE).await;
    let wordy = call(Plan { care: words, ..plan(vec![target("a", &fake)]) }, WHOLE).await;

    assert_eq!(wordy.result.as_ref().unwrap().degraded, Some(Degraded::Template));
    wordy.read().await;
    let (error, _) = bare.failed().await;
    let said = error.to_string();
    assert!(said.starts_with("no target answered: `m-a` at `a`") && said.contains("is full"), "{said}");
}

#[tokio::test]
async fn neither_an_answer_nor_a_refused_request_waits() {
    let (good, picky) = (FakeUpstream::script([json(ANSWER)]).await, FakeUpstream::script([status(422)]).await);

    let answered = call(Plan { care: care(1), ..plan(vec![target("a", &good)]) }, WHOLE).await;
    let refused = call(Plan { care: care(1), ..plan(vec![target("a", &picky)]) }, WHOLE).await;

    assert_eq!(answered.result.as_ref().unwrap().degraded, None);
    answered.read().await;
    let (error, _) = refused.failed().await;
    assert!(matches!(error, DispatchError::Rejected { status: 422, .. }), "{error}");
}
