use super::*;

const MINUTE: Duration = Duration::from_secs(60);

fn sessions(max_sessions: usize) -> Sessions {
    Sessions::new(SessionSettings { idle_reset: 15 * MINUTE, max_sessions: NonZeroUsize::new(max_sessions).unwrap() })
}

fn turn(model: &str, rank: usize) -> Turn {
    Turn { model: model.into(), rank, input_tokens: 5_000, standing: Standing::Session }
}

fn named(sessions: &Sessions, caller: &str, name: &str) -> SessionKey {
    sessions.key(&caller.into(), Thread::Named(name))
}

fn model(sessions: &Sessions, key: &SessionKey, now: Instant) -> Option<String> {
    sessions.held(key, now).map(|held| held.model.to_string())
}

#[test]
fn holds_the_model_of_the_last_turn_until_it_was_idle_for_long() {
    let (sessions, start) = (sessions(10), Instant::now());
    let key = named(&sessions, "alice", "s");

    assert_eq!(model(&sessions, &key, start), None);
    sessions.note(key.clone(), turn("small", 0), start);
    sessions.note(key.clone(), turn("large", 2), start + 10 * MINUTE);

    assert_eq!(model(&sessions, &key, start + 24 * MINUTE).as_deref(), Some("large"));
    assert_eq!(model(&sessions, &key, start + 25 * MINUTE), None);
    let noted = sessions.note(key.clone(), turn("small", 0), start + 25 * MINUTE);
    assert_eq!(
        (noted, model(&sessions, &key, start + 26 * MINUTE).as_deref()),
        (Noted { live: 1, reset: 1, evicted: 0 }, Some("small"))
    );
}

#[test]
fn a_weaker_model_that_answered_once_does_not_move_the_session_down() {
    let (sessions, now) = (sessions(10), Instant::now());
    let key = named(&sessions, "alice", "s");
    sessions.note(key.clone(), turn("large", 2), now);

    sessions.note(key.clone(), Turn { input_tokens: 9_000, ..turn("small", 0) }, now + 14 * MINUTE);

    let held = sessions.held(&key, now + 15 * MINUTE).expect("the turn kept the session alive");
    assert_eq!((held.model.as_str(), held.cached_tokens), ("large", 0), "its own cache is cold by now");
}

#[test]
fn two_callers_and_two_kinds_of_thread_share_nothing() {
    let (sessions, now) = (sessions(10), Instant::now());
    sessions.note(named(&sessions, "alice", "s"), turn("large", 2), now);

    assert_eq!(model(&sessions, &named(&sessions, "bob", "s"), now), None);
    let opening = |digest| sessions.key(&"alice".into(), Thread::Opening(digest));
    assert_eq!(model(&sessions, &opening(1), now), None);
    assert!(opening(1) != opening(2) && opening(1) == opening(1));
}

#[test]
fn short_and_old_prompts_are_not_taken_for_cached() {
    let (sessions, now) = (sessions(10), Instant::now());
    let key = named(&sessions, "alice", "s");

    sessions.note(key.clone(), Turn { input_tokens: LEAST_CACHED - 1, ..turn("small", 0) }, now);
    assert_eq!(sessions.held(&key, now).expect("a session").cached_tokens, 0);
    sessions.note(key.clone(), Turn { input_tokens: LEAST_CACHED, ..turn("small", 0) }, now);
    assert_eq!(sessions.held(&key, now).expect("a session").cached_tokens, LEAST_CACHED);
    assert_eq!(sessions.held(&key, now + CACHED_FOR).expect("a session").cached_tokens, 0);
}

#[test]
fn a_full_table_forgets_the_longest_idle_session() {
    let (sessions, start) = (sessions(3), Instant::now());
    let key = |name: &str| named(&sessions, "alice", name);
    let note =
        |name: &str, second: u64| sessions.note(key(name), turn("small", 0), start + Duration::from_secs(second));
    for (second, name) in ["a", "b", "c", "a"].into_iter().enumerate() {
        note(name, second as u64);
    }

    let noted = note("d", 5);

    assert_eq!(noted, Noted { live: 3, reset: 0, evicted: 1 });
    let live: Vec<bool> = ["a", "b", "c", "d"].map(|name| sessions.held(&key(name), start).is_some()).to_vec();
    assert_eq!(live, [true, false, true, true]);
    let table = sessions.lock();
    assert_eq!((table.entries.len(), table.order.len(), table.live), (3, 3, 3));
}

#[test]
fn what_is_idle_is_forgotten_by_and_by_without_being_asked_for() {
    let (sessions, start) = (sessions(10_000), Instant::now());
    for name in 0..200 {
        sessions.note(named(&sessions, "alice", &name.to_string()), turn("small", 0), start);
    }

    let later = (0..4).map(|_| sessions.note(named(&sessions, "alice", "new"), turn("small", 0), start + 60 * MINUTE));
    let reset: Vec<u64> = later.map(|noted| noted.reset).collect();

    assert_eq!(reset, [64, 64, 64, 8]);
    assert_eq!(sessions.lock().entries.len(), 1);
}

#[test]
fn an_opening_becomes_a_session_when_the_conversation_goes_on() {
    let (sessions, now) = (sessions(10), Instant::now());
    let key = sessions.key(&"alice".into(), Thread::Opening(7));
    let first = Turn { standing: Standing::Opening, ..turn("small", 0) };

    assert_eq!(sessions.note(key.clone(), first.clone(), now).live, 0);
    assert_eq!(sessions.note(key.clone(), turn("small", 0), now).live, 1);
    // Another conversation that opens alike does not end the first.
    assert_eq!(sessions.note(key, first, now).live, 1);
}

#[test]
fn a_clock_that_runs_late_harms_nothing() {
    let (sessions, now) = (sessions(10), Instant::now() + 60 * MINUTE);
    let key = named(&sessions, "alice", "s");
    sessions.note(key.clone(), turn("small", 0), now);

    sessions.note(key.clone(), turn("small", 0), now - 50 * MINUTE);

    assert!(sessions.held(&key, now + MINUTE).is_some());
}
