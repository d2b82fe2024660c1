use super::*;
use crate::domain::embedding::Embedding;
use crate::domain::familiarity::Familiarity;
use crate::domain::probability::Probability;
use crate::domain::scores::{Neighbourhood, OutputTokens, ScoreTimings};

const TTL: Duration = Duration::from_secs(300);
const EDITION: Edition = Edition { generation: 7, learned: 3 };

fn settings() -> DecisionCacheSettings {
    DecisionCacheSettings { ttl: TTL, max_entries: NonZeroUsize::new(100).unwrap(), max_bytes: 1 << 20 }
}

fn cache() -> DecisionCache {
    DecisionCache::new(settings())
}

fn scores(scorer: Scorer, difficulty: f64) -> Arc<Scores> {
    Arc::new(Scores {
        scorer,
        tasks: Vec::new(),
        difficulty: Probability::clamped(difficulty),
        prior: Vec::new(),
        success: Vec::new(),
        output_tokens: OutputTokens { p50: 100.0, p90: 200.0 },
        neighbourhood: Neighbourhood::default(),
        familiarity: Familiarity::default(),
        tokens: 4,
        truncated: false,
        timings: ScoreTimings::default(),
        embedding: Embedding::normalise(vec![1.0, 0.0]).unwrap(),
    })
}

/// Where the scores of `caller`'s ask belong.
fn place_of(cache: &DecisionCache, caller: &str, prompt: &Prompt) -> ScorePlace {
    let caller = CallerId::from(caller);
    cache.place(&Ask { caller: &caller, prompt, edition: EDITION, control: None }).unwrap()
}

fn place(cache: &DecisionCache, caller: &str, ask: &str) -> ScorePlace {
    place_of(cache, caller, &Prompt::from_ask(ask))
}

fn difficulty(cache: &DecisionCache, place: &ScorePlace, now: Instant) -> Option<f64> {
    match cache.find(place, Scorer::Fast, now)? {
        Found::True(scores) => Some(scores.difficulty.get()),
        Found::Outrun(_) => None,
    }
}

fn outrun(cache: &DecisionCache, place: &ScorePlace, now: Instant) -> Option<f64> {
    match cache.find(place, Scorer::Fast, now)? {
        Found::True(_) => None,
        Found::Outrun(scores) => Some(scores.difficulty.get()),
    }
}

#[test]
fn an_ask_is_found_again_by_its_own_caller_alone_until_it_is_too_old() {
    let (cache, now) = (cache(), Instant::now());
    cache.keep(&place(&cache, "alice", "Sort a list."), &scores(Scorer::Fast, 0.25), now);
    let find = |caller: &str, ask: &str, after: Duration| difficulty(&cache, &place(&cache, caller, ask), now + after);
    let nearly = TTL - Duration::from_millis(1);

    assert_eq!(find("alice", "Sort a list.", nearly), Some(0.25));
    assert_eq!(find("bob", "Sort a list.", nearly), None, "another caller");
    assert_eq!(find("alice", "Sort a list!", nearly), None, "another ask");
    assert_eq!(find("alice", "Sort a list.", TTL), None);
    let totals = cache.totals(now);
    assert_eq!((totals.entries, totals.bytes, totals.expired, totals.outdated), (0, 0, 1, 0));
}

#[test]
fn what_is_around_the_ask_does_not_count_and_that_it_was_cut_does() {
    let (cache, now) = (cache(), Instant::now());
    let prompt = Prompt::from_ask("Sort a list.");
    cache.keep(&place_of(&cache, "a", &prompt), &scores(Scorer::Fast, 0.25), now);
    let mut longer = prompt.clone();
    (longer.shape.turns, longer.shape.tools, longer.shape.input_tokens) = (40, 12, 90_000);
    let cut = Prompt { truncated: true, ..prompt };

    assert_eq!(difficulty(&cache, &place_of(&cache, "a", &longer), now), Some(0.25));
    assert_eq!(difficulty(&cache, &place_of(&cache, "a", &cut), now), None);
}

#[test]
fn another_generation_is_a_miss_and_ends_the_entry() {
    let (cache, now) = (cache(), Instant::now());
    let before = place(&cache, "a", "Sort a list.");
    cache.keep(&before, &scores(Scorer::Fast, 0.25), now);
    let other = ScorePlace { edition: Edition { generation: 8, ..EDITION }, ..before.clone() };

    assert!(cache.find(&other, Scorer::Fast, now).is_none());
    assert!(cache.find(&before, Scorer::Fast, now).is_none());
    let totals = cache.totals(now);
    assert_eq!((totals.entries, totals.outdated, totals.expired, totals.evicted), (0, 1, 0, 0));
}

#[test]
fn what_was_learned_since_leaves_scores_to_be_refreshed_within_their_time() {
    let (cache, now) = (cache(), Instant::now());
    let before = place(&cache, "a", "Sort a list.");
    cache.keep(&before, &scores(Scorer::Fast, 0.25), now);
    let later = ScorePlace { edition: Edition { learned: 4, ..EDITION }, ..before.clone() };
    assert_eq!(outrun(&cache, &later, now), Some(0.25));

    let mut fresh = Scores::clone(&scores(Scorer::Fast, 0.5));
    fresh.tasks = vec![0.0; 10];
    let bytes = cache.totals(now).bytes;
    cache.refresh(&later, &Arc::new(fresh));

    assert_eq!(difficulty(&cache, &later, now), Some(0.5));
    assert_eq!(difficulty(&cache, &before, now), Some(0.5), "who read the edition before is content with more");
    assert_eq!(cache.totals(now).bytes, bytes + 80);
    cache.refresh(&before, &scores(Scorer::Fast, 0.75));
    assert_eq!(difficulty(&cache, &later, now), Some(0.5), "what is older takes the place of nothing");
    assert!(cache.find(&later, Scorer::Fast, now + TTL).is_none(), "it is as old as it was");
    cache.refresh(&later, &scores(Scorer::Fast, 0.5));
    assert_eq!(cache.totals(now).entries, 0, "what left meanwhile stays away");
}

#[test]
fn the_two_scorers_are_kept_apart() {
    let (cache, now) = (cache(), Instant::now());
    let place = place(&cache, "a", "Sort a list.");
    cache.keep(&place, &scores(Scorer::Fast, 0.25), now);
    assert!(cache.find(&place, Scorer::Careful, now).is_none());

    cache.keep(&place, &scores(Scorer::Careful, 0.75), now);

    let found = |scorer| match cache.find(&place, scorer, now)? {
        Found::True(scores) | Found::Outrun(scores) => Some(scores.difficulty.get()),
    };
    assert_eq!((found(Scorer::Fast), found(Scorer::Careful)), (Some(0.25), Some(0.75)));
}

#[test]
fn callers_control_what_is_read_and_kept() {
    let (cache, now) = (cache(), Instant::now());
    let (caller, prompt) = (CallerId::from("a"), Prompt::from_ask("Sort a list."));
    let controlled = |control| cache.place(&Ask { caller: &caller, prompt: &prompt, edition: EDITION, control });
    cache.keep(&controlled(None).unwrap(), &scores(Scorer::Fast, 0.25), now);

    assert!(controlled(Some(CacheControl::Bypass)).is_none());
    assert_eq!(difficulty(&cache, &controlled(Some(CacheControl::OnlyIfCached)).unwrap(), now), Some(0.25));
    let refresh = controlled(Some(CacheControl::Refresh)).unwrap();
    assert_eq!(difficulty(&cache, &refresh, now), None);
    cache.keep(&refresh, &scores(Scorer::Fast, 0.5), now);
    assert_eq!(difficulty(&cache, &controlled(None).unwrap(), now), Some(0.5));
    assert_eq!(cache.totals(now).entries, 1);
}

#[test]
fn the_ask_that_was_asked_longest_ago_goes_first() {
    let cache = DecisionCache::new(DecisionCacheSettings { max_entries: NonZeroUsize::new(2).unwrap(), ..settings() });
    let now = Instant::now();
    let keep = |ask: &str| cache.keep(&place(&cache, "a", ask), &scores(Scorer::Fast, 0.5), now);
    let is_there = |ask: &str| difficulty(&cache, &place(&cache, "a", ask), now).is_some();
    keep("one");
    keep("two");
    assert!(is_there("one"));

    keep("three");

    assert_eq!([is_there("one"), is_there("two"), is_there("three")], [true, false, true]);
    assert_eq!(cache.totals(now).evicted, 1);
}

#[test]
fn never_holds_more_bytes_than_it_may() {
    let cache = DecisionCache::new(DecisionCacheSettings { max_bytes: 10_000, ..settings() });
    let now = Instant::now();
    for at in 0..50 {
        cache.keep(&place(&cache, "a", &format!("ask {at}")), &scores(Scorer::Fast, 0.5), now);
        assert!(cache.totals(now).bytes <= 10_000);
    }
    let totals = cache.totals(now);
    assert!(totals.entries > 2 && totals.evicted > 2, "{totals:?}");

    let mut huge = Scores::clone(&scores(Scorer::Fast, 0.5));
    huge.tasks = vec![0.0; 2_000];
    cache.keep(&place(&cache, "a", "huge"), &Arc::new(huge), now);

    assert_eq!(cache.totals(now), totals, "what is too large for the cache pushes nothing out of it");
}

#[test]
fn old_asks_leave_when_new_ones_come() {
    let (cache, now) = (cache(), Instant::now());
    cache.keep(&place(&cache, "a", "old"), &scores(Scorer::Fast, 0.5), now);

    cache.keep(&place(&cache, "a", "new"), &scores(Scorer::Fast, 0.5), now + TTL);

    let totals = cache.totals(now);
    assert_eq!((totals.entries, totals.expired), (1, 1));
}

#[test]
fn clears_one_caller_or_all() {
    let (cache, now) = (cache(), Instant::now());
    for (caller, ask) in [("alice", "one"), ("alice", "two"), ("bob", "one")] {
        cache.keep(&place(&cache, caller, ask), &scores(Scorer::Fast, 0.5), now);
    }
    let holders: Vec<_> = cache.tenants().into_iter().map(|(caller, (entries, _))| (caller, entries)).collect();
    assert_eq!(holders, [(CallerId::from("alice"), 2), (CallerId::from("bob"), 1)]);

    assert_eq!(cache.clear(Some(&CallerId::from("alice"))), 2);
    assert_eq!(cache.clear(None), 1);
    assert_eq!((cache.totals(now).entries, cache.totals(now).bytes), (0, 0));
}

#[test]
fn counts_what_requests_found() {
    let cache = cache();

    for recall in [Recall::Hit, Recall::Hit, Recall::Refreshed, Recall::Miss, Recall::Bypass] {
        cache.count(recall);
    }

    let totals = cache.totals(Instant::now());
    assert_eq!((totals.hits, totals.refreshed, totals.misses, totals.bypassed), (2, 1, 1, 1));
}
