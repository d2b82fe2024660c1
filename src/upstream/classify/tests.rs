use super::*;

#[test]
fn every_status_has_its_class_and_advice() {
    let cases = [
        (400, Class::Rejected, Advice::GiveUp),
        (401, Class::Unauthorised, Advice::MoveOn),
        (402, Class::Unauthorised, Advice::MoveOn),
        (403, Class::Unauthorised, Advice::MoveOn),
        (404, Class::Unauthorised, Advice::MoveOn),
        (405, Class::Unauthorised, Advice::MoveOn),
        (410, Class::Unauthorised, Advice::MoveOn),
        (408, Class::Transient, Advice::Backoff),
        (413, Class::TooLong, Advice::MoveOn),
        (422, Class::Rejected, Advice::GiveUp),
        (429, Class::Throttled, Advice::Backoff),
        (500, Class::Transient, Advice::Backoff),
        (503, Class::Transient, Advice::Backoff),
        (529, Class::Throttled, Advice::Backoff),
        (302, Class::Garbage, Advice::Backoff),
    ];
    for (status, class, advice) in cases {
        let trouble = Trouble::Status { status, said: Said::default() };

        assert_eq!((trouble.class(), trouble.advice()), (class, advice), "{status}");
    }
}

#[test]
fn a_hint_is_the_advice_only_where_asking_again_helps() {
    let said = Said { hint: Some(Duration::from_secs(1)), ..Said::default() };

    assert_eq!(Trouble::Status { status: 429, said }.advice(), Advice::Wait(Duration::from_secs(1)));
    assert_eq!(Trouble::Status { status: 400, said }.advice(), Advice::GiveUp);
}

#[test]
fn silence_and_size_are_not_asked_for_twice() {
    let second = Duration::from_secs(1);
    for trouble in [Trouble::SilentHeaders(second), Trouble::SilentStart(second), Trouble::TooLarge { limit: 1 }] {
        assert_eq!(trouble.advice(), Advice::MoveOn, "{trouble}");
    }
    for trouble in [Trouble::Connect(String::new()), Trouble::Ended, Trouble::NotAnAnswer(NotAnAnswer::Empty)] {
        assert_eq!(trouble.advice(), Advice::Backoff, "{trouble}");
    }
}

#[test]
fn what_is_reported_under_a_success_counts_as_what_it_says_it_is() {
    let said = |clue| Said { clue, ..Said::default() };
    let hint = Some(Duration::from_secs(1));
    let cases = [
        (Some(429), said(None), Class::Throttled, Advice::Backoff),
        (Some(429), Said { hint, ..said(None) }, Class::Throttled, Advice::Wait(Duration::from_secs(1))),
        (None, Said { status: Some(429), ..said(None) }, Class::Throttled, Advice::Backoff),
        (Some(502), Said { status: Some(429), ..said(None) }, Class::Transient, Advice::Backoff),
        (Some(401), said(None), Class::Unauthorised, Advice::MoveOn),
        (Some(400), said(None), Class::Rejected, Advice::GiveUp),
        (None, said(None), Class::Transient, Advice::Backoff),
        (None, said(Some(Clue::ContextTooLong)), Class::TooLong, Advice::Larger),
        (Some(429), said(Some(Clue::NoMoney)), Class::Unauthorised, Advice::MoveOn),
        (None, said(Some(Clue::NeverFits)), Class::Throttled, Advice::MoveOn),
    ];
    for (status, said, class, advice) in cases {
        let trouble = Trouble::reported(status, said);

        assert_eq!((trouble.class(), trouble.advice()), (class, advice), "{status:?} {said:?}");
    }
}

#[test]
fn what_an_upstream_says_changes_what_its_status_means() {
    let cases = [
        (400, Clue::ContextTooLong, Class::TooLong, Advice::Larger, Blame::Caller),
        (413, Clue::ContextTooLong, Class::TooLong, Advice::Larger, Blame::Caller),
        (429, Clue::NoMoney, Class::Unauthorised, Advice::MoveOn, Blame::Lane),
        (400, Clue::NoMoney, Class::Unauthorised, Advice::MoveOn, Blame::Nobody),
        (422, Clue::NoMoney, Class::Unauthorised, Advice::MoveOn, Blame::Nobody),
        (400, Clue::NoModel, Class::Unauthorised, Advice::MoveOn, Blame::Nobody),
        (404, Clue::NoModel, Class::Unauthorised, Advice::MoveOn, Blame::Target),
        (429, Clue::NeverFits, Class::Throttled, Advice::MoveOn, Blame::Caller),
        (400, Clue::ContentFilter, Class::Rejected, Advice::GiveUp, Blame::Caller),
        (503, Clue::NoModel, Class::Transient, Advice::Backoff, Blame::Target),
    ];
    for (status, clue, class, advice, blame) in cases {
        let trouble = Trouble::Status { status, said: Said { clue: Some(clue), ..Said::default() } };

        assert_eq!((trouble.class(), trouble.advice(), trouble.blame()), (class, advice, blame), "{status} {clue:?}");
    }
}

#[test]
fn blame_falls_on_whoever_failed() {
    let status = |status, hint: Option<Duration>| Trouble::Status { status, said: Said { hint, ..Said::default() } };
    let second = Duration::from_secs(1);
    let cases = [
        (Trouble::Deadline, Blame::Nobody),
        (Trouble::Connect(String::new()), Blame::Lane),
        (Trouble::SilentStart(second), Blame::Target),
        (Trouble::NotAnAnswer(NotAnAnswer::Empty), Blame::Target),
        (status(401, None), Blame::Lane),
        (status(403, None), Blame::Target),
        (status(422, None), Blame::Caller),
        (status(429, None), Blame::Target),
        (status(429, Some(second)), Blame::Nobody),
        (status(500, None), Blame::Target),
        (Trouble::Reported { status: None, hint: None }, Blame::Target),
        (Trouble::Reported { status: Some(429), hint: None }, Blame::Target),
        (Trouble::Reported { status: Some(429), hint: Some(second) }, Blame::Nobody),
    ];
    for (trouble, blame) in cases {
        assert_eq!(trouble.blame(), blame, "{trouble}");
    }
}

#[test]
fn a_request_that_never_fits_leaves_the_target_to_others() {
    let hint = Some(Duration::from_secs(20));
    let throttled = |clue| Trouble::Status { status: 429, said: Said { clue, hint, ..Said::default() } };

    let (too_large, busy) = (throttled(Some(Clue::NeverFits)), throttled(None));

    assert_eq!((too_large.blame(), too_large.rest()), (Blame::Caller, None));
    assert_eq!((busy.blame(), busy.rest()), (Blame::Nobody, hint));
}

#[test]
fn what_one_provider_has_no_words_for_is_asked_of_the_next_and_a_mistake_of_nobody() {
    let field = || "tools[0]".to_owned();
    let cases = [
        (Untranslatable::Unsupported { field: field(), provider: "X", problem: "p" }, Advice::MoveOn),
        (Untranslatable::Elsewhere { field: field(), problem: "p" }, Advice::MoveOn),
        (Untranslatable::Wrong { field: field(), expected: "e" }, Advice::GiveUp),
    ];
    for (problem, advice) in cases {
        assert_eq!(Trouble::from(problem.clone()).advice(), advice, "{problem}");
    }
}
