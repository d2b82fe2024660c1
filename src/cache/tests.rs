use serde_json::json;

use super::*;

const TTL: Duration = Duration::from_secs(60);

fn settings(matching: Matching) -> CacheSettings {
    CacheSettings {
        matching,
        ttl: TTL,
        stale_for: Duration::ZERO,
        max_entries: NonZeroUsize::new(100).unwrap(),
        max_bytes: 1 << 20,
        max_answer_bytes: 1 << 16,
        rules: Rules { temperatures: Temperatures::Unset, tool_calls: ToolCalls::Left },
    }
}

fn exact() -> Cache {
    Cache::new(settings(Matching::Exact))
}

fn chat(ask: &str, extra: &Value) -> ChatRequest {
    let mut body = json!({ "model": "auto", "messages": [{ "role": "user", "content": ask }] });
    for (name, value) in extra.as_object().unwrap() {
        body[name] = value.clone();
    }
    ChatRequest::from_text(&body.to_string()).unwrap()
}

fn place(cache: &Cache, caller: &str, ask: &str) -> Place {
    cache.place(&CallerId::from(caller), &chat(ask, &json!({}))).unwrap()
}

fn answer(text: &str) -> Kept {
    let message = json!({ "role": "assistant", "content": text });
    let body = json!({ "choices": [{ "index": 0, "message": message, "finish_reason": "stop" }], "model": "cheap" })
        .to_string();
    Kept {
        body: Bytes::from(body),
        model: ModelName::from("cheap"),
        tier: TierId::from("small"),
        cost: Some(NanoUsd(140_000)),
    }
}

#[test]
fn gives_an_answer_again_to_its_own_caller_until_it_is_too_old() {
    let (cache, now) = (exact(), Instant::now());
    cache.keep(place(&cache, "alice", "Hi"), answer("hello"), now);
    let last = now + TTL - Duration::from_secs(1);

    let hit = cache.same(&place(&cache, "alice", "Hi"), last).unwrap();
    cache.answered(&hit);

    assert_eq!((hit.kept.body, hit.age), (answer("hello").body, TTL - Duration::from_secs(1)));
    assert!(cache.same(&place(&cache, "bob", "Hi"), now).is_none());
    assert!(cache.same(&place(&cache, "alice", "Ho"), now).is_none());
    assert!(cache.same(&place(&cache, "alice", "Hi"), now + TTL).is_none());
    let totals = cache.totals(now);
    assert_eq!((totals.entries, totals.bytes, totals.hits, totals.expired), (0, 0, 1, 1));
    assert_eq!(totals.saved, NanoUsd(140_000));
}

#[test]
fn the_answer_that_was_asked_for_longest_ago_goes_first() {
    let cache = Cache::new(CacheSettings { max_entries: NonZeroUsize::new(2).unwrap(), ..settings(Matching::Exact) });
    let now = Instant::now();
    cache.keep(place(&cache, "a", "one"), answer("1"), now);
    cache.keep(place(&cache, "a", "two"), answer("2"), now);
    assert!(cache.same(&place(&cache, "a", "one"), now).is_some());

    cache.keep(place(&cache, "a", "three"), answer("3"), now);

    let is_there = |ask: &str| cache.same(&place(&cache, "a", ask), now).is_some();
    assert_eq!([is_there("one"), is_there("two"), is_there("three")], [true, false, true]);
    assert_eq!(cache.totals(now).evicted, 1);
}

#[test]
fn never_holds_more_bytes_than_it_may() {
    let cache = Cache::new(CacheSettings { max_bytes: 10_000, max_answer_bytes: 5_000, ..settings(Matching::Exact) });
    let now = Instant::now();
    for at in 0..50 {
        cache.keep(place(&cache, "a", &format!("ask {at}")), answer(&"x".repeat(at * 50)), now);
        assert!(cache.totals(now).bytes <= 10_000);
    }
    let before = cache.totals(now).entries;

    cache.keep(place(&cache, "a", "huge"), answer(&"x".repeat(6_000)), now);

    assert!(before > 2);
    assert!(cache.same(&place(&cache, "a", "huge"), now).is_none());
    assert_eq!(cache.totals(now).entries, before, "what is too large for the cache pushes nothing out of it");
}

#[test]
fn a_younger_answer_replaces_an_older_one() {
    let (cache, now) = (exact(), Instant::now());
    cache.keep(place(&cache, "a", "Hi"), answer("old"), now);
    let refresh = chat("Hi", &json!({ "trimtab": { "cache": "refresh" } }));
    let refreshing = cache.place(&CallerId::from("a"), &refresh).unwrap();

    assert!(cache.same(&refreshing, now).is_none());
    cache.keep(refreshing, answer("new"), now);

    assert_eq!(cache.same(&place(&cache, "a", "Hi"), now).unwrap().kept.body, answer("new").body);
    assert_eq!(cache.totals(now).entries, 1);
}

#[test]
fn what_asks_for_variety_or_storage_takes_no_part_unless_told() {
    let tenant = CallerId::from("a");
    let takes_part = |temperatures, extra: Value| {
        let rules = Rules { temperatures, tool_calls: ToolCalls::Left };
        let cache = Cache::new(CacheSettings { rules, ..settings(Matching::Exact) });
        cache.place(&tenant, &chat("Hi", &extra)).is_some()
    };
    let (zero, unset, warm) = (json!({ "temperature": 0 }), json!({}), json!({ "temperature": 0.7 }));

    assert!(takes_part(Temperatures::Unset, zero.clone()) && takes_part(Temperatures::Zero, zero));
    assert!(takes_part(Temperatures::Unset, unset.clone()) && !takes_part(Temperatures::Zero, unset));
    assert!(takes_part(Temperatures::Any, warm.clone()) && !takes_part(Temperatures::Unset, warm));
    assert!(!takes_part(Temperatures::Any, json!({ "store": true })));
    assert!(!takes_part(Temperatures::Any, json!({ "trimtab": { "cache": "bypass" } })));
}

#[test]
fn requests_that_take_no_part_are_counted() {
    let (cache, now) = (exact(), Instant::now());
    let tenant = CallerId::from("a");

    assert!(cache.place(&tenant, &chat("Hi", &json!({ "store": true }))).is_none());
    assert!(cache.place(&tenant, &chat("Hi", &json!({}))).is_some());

    assert_eq!(cache.totals(now).bypassed, 1);
}

#[test]
fn only_requests_worded_alike_are_worth_embedding() {
    let (cache, now) = (Cache::new(settings(Matching::Similar(0.95))), Instant::now());
    cache.keep(pointed(&cache, "What is the capital of France?", (0.0, "e")), answer("Paris"), now);
    let is_worth = |ask, encoder| cache.has_alike(&place(&cache, "a", ask), encoder);

    assert!(is_worth("what's the capital of France", "e"));
    assert!(!is_worth("what's the capital of Germany", "e"));
    assert!(!cache.has_alike(&place(&cache, "b", "what's the capital of France"), "e"), "another caller");
    // An answer that is kept after a swap can be found by requests worded alike, although nobody has asked for one yet.
    assert!(!is_worth("Explain recursion", "new"));
    cache.keep(pointed(&cache, "Explain recursion", (0.0, "new")), answer("see recursion"), now);
    assert!(is_worth("please explain recursion", "new"));
    assert!(!is_worth("what's the capital of France", "new"), "embedded by another encoder");
}

#[test]
fn keeps_tool_calls_only_where_told_and_never_what_is_unfit() {
    let now = Instant::now();
    let kept = |tool_calls, message: Value, reason: &str| {
        let rules = Rules { temperatures: Temperatures::Unset, tool_calls };
        let cache = Cache::new(CacheSettings { rules, ..settings(Matching::Exact) });
        let body = json!({ "choices": [{ "index": 0, "message": message, "finish_reason": reason }] }).to_string();
        cache.keep(place(&cache, "a", "Hi"), Kept { body: Bytes::from(body), ..answer("") }, now);
        cache.totals(now).entries == 1
    };
    let calls = json!({ "content": null, "tool_calls": [{ "id": "a" }] });

    assert!(!kept(ToolCalls::Left, calls.clone(), "tool_calls"));
    assert!(kept(ToolCalls::Kept, calls, "tool_calls"));
    assert!(!kept(ToolCalls::Kept, json!({ "content": "half" }), "content_filter"));
    assert!(kept(ToolCalls::Left, json!({ "content": "whole" }), "stop"));
}

/// A place whose text points in a direction of the plane, by the encoder of that name.
fn pointed(cache: &Cache, ask: &str, (degrees, encoder): (f32, &str)) -> Place {
    let mut place = place(cache, "a", ask);
    let (sine, cosine) = degrees.to_radians().sin_cos();
    place
        .set_point(Point { embedding: Embedding::normalise(vec![cosine, sine]).unwrap(), encoder: Arc::from(encoder) });
    place
}

#[test]
fn a_similar_request_finds_the_answer_and_a_near_miss_does_not() {
    let (cache, now) = (Cache::new(settings(Matching::Similar(0.95))), Instant::now());
    cache.keep(pointed(&cache, "What is the capital of France?", (0.0, "e")), answer("Paris"), now);
    let found = |ask, degrees| cache.similar(&pointed(&cache, ask, (degrees, "e")), now);

    let hit = found("what's the capital of France", 10.0).unwrap();
    cache.answered(&hit);

    assert_eq!((hit.likeness, hit.kept.body), (Likeness::Similar, answer("Paris").body));
    assert!(found("what's the capital of France", 30.0).is_none(), "too far away");
    assert!(found("what's the capital of Germany", 0.0).is_none(), "another name");
    assert_eq!((cache.totals(now).similar, cache.totals(now).hits), (1, 0));
    let bob = cache.place(&CallerId::from("bob"), &chat("what's the capital of France", &json!({}))).unwrap();
    let mut bobs = bob;
    let point = Point { embedding: Embedding::normalise(vec![1.0, 0.0]).unwrap(), encoder: Arc::from("e") };
    bobs.set_point(point);
    assert!(cache.similar(&bobs, now).is_none(), "another caller");
}

#[test]
fn another_encoder_empties_what_is_near_and_leaves_what_is_the_same() {
    let (cache, now) = (Cache::new(settings(Matching::Similar(0.95))), Instant::now());
    cache.keep(pointed(&cache, "Explain recursion", (0.0, "one")), answer("old"), now);
    let before = cache.totals(now).bytes;

    assert!(cache.similar(&pointed(&cache, "Can you explain recursion", (0.0, "two")), now).is_none());
    assert!(cache.totals(now).bytes < before);
    assert!(cache.same(&place(&cache, "a", "Explain recursion"), now).is_some());

    // A call that began under the old encoder ends after the swap: its answer is kept, its embedding is not.
    cache.keep(pointed(&cache, "Explain iteration", (0.0, "one")), answer("late"), now);
    assert!(cache.similar(&pointed(&cache, "Please explain iteration", (0.0, "two")), now).is_none());
    assert!(cache.same(&place(&cache, "a", "Explain iteration"), now).is_some());
}

#[test]
fn clears_one_caller_or_all() {
    let (cache, now) = (Cache::new(settings(Matching::Similar(0.9))), Instant::now());
    for (caller, ask) in [("alice", "one"), ("alice", "two"), ("bob", "one")] {
        cache.keep(place(&cache, caller, ask), answer("x"), now);
    }
    let holders: Vec<_> = cache.tenants().into_iter().map(|(caller, (entries, _))| (caller, entries)).collect();
    assert_eq!(holders, [(CallerId::from("alice"), 2), (CallerId::from("bob"), 1)]);

    assert_eq!(cache.clear(Some(&CallerId::from("alice"))), 2);
    assert_eq!(cache.clear(None), 1);
    assert_eq!((cache.totals(now).entries, cache.totals(now).bytes), (0, 0));
}

#[test]
fn an_answer_that_is_too_old_is_the_last_one_until_it_is_forgotten() {
    let stale_for = Duration::from_secs(600);
    let cache = Cache::new(CacheSettings { stale_for, ..settings(Matching::Exact) });
    let (mine, now) = (place(&cache, "alice", "Hi"), Instant::now());
    cache.keep(mine.clone(), answer("hello"), now);
    let late = now + TTL + Duration::from_secs(30);

    assert!(cache.same(&mine, late).is_none(), "it is no hit");
    let last = cache.last(&mine, late).unwrap();
    assert_eq!((last.kept.body, last.age), (answer("hello").body, Duration::from_secs(90)));
    assert!(cache.last(&place(&cache, "bob", "Hi"), late).is_none(), "another caller's");
    let refresh = chat("Hi", &json!({ "trimtab": { "cache": "refresh" } }));
    let refresh = cache.place(&CallerId::from("alice"), &refresh).unwrap();
    assert!(cache.last(&refresh, late).is_none(), "the caller wants a new one");
    assert!(cache.last(&mine, now + TTL + stale_for).is_none());
    let stats = cache.totals(now);
    assert_eq!((stats.entries, stats.bytes, stats.hits, stats.expired), (0, 0, 0, 1));
}
