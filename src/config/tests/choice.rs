//! What a policy may aim for, and sessions.

use super::*;
use crate::domain::money::NanoUsd;

#[test]
fn a_policy_has_one_aim_and_money_needs_prices() {
    for (aims, path) in [
        ("quality = 0.5\nsuccess_value_usd = 1", "policies.mine.quality"),
        ("threshold = 0.1\nsuccess_value_usd = 1", "policies.mine.threshold"),
        ("default_tier = 'small'", "policies.mine.quality"),
        ("success_value_usd = 0", "policies.mine.success_value_usd"),
        ("success_value_usd = -1", "policies.mine.success_value_usd"),
        ("success_value_usd = nan", "policies.mine.success_value_usd"),
        ("quality = 0.5\ncareful_cost_usd = -1", "policies.mine.careful_cost_usd"),
        ("quality = 0.5\ncareful_cost_usd = inf", "policies.mine.careful_cost_usd"),
        ("quality = 0.5\nsessions = 'escalate'", "policies.mine.sessions"),
    ] {
        let problem = only_problem(&format!("{RIGHT}\n[policies.mine]\n{aims}"));

        assert_eq!(problem.path, path, "{problem}");
    }
    let unpriced = RIGHT.replace("price = { input = 0.15, output = 0.6 }", "");
    let problem = only_problem(&format!("{unpriced}\n[policies.mine]\nsuccess_value_usd = 0.05"));
    assert!(problem.problem.contains("no model has a price"), "{problem}");
    let config = load_file(&format!("{RIGHT}\n[policies.balanced]\nsuccess_value_usd = 0.05\nsessions = 'off'"));
    let policy = config.expect("a value replaces the default's quality").policy("balanced").expect("a policy").clone();
    assert_eq!(policy.aim, Aim::Value(NanoUsd(50_000_000)));
    assert_eq!(policy.sessions, SessionMode::Off);
}

#[test]
fn sessions_are_checked_key_by_key() {
    for (line, key) in [
        ("mode = 'sometimes'", "mode"),
        ("idle_reset = '0s'", "idle_reset"),
        ("idle_reset = 15", "idle_reset"),
        ("max_sessions = 0", "max_sessions"),
        ("switch_margin = -0.1", "switch_margin"),
        ("switch_margin = nan", "switch_margin"),
        ("idle_rest = '1m'", "idle_rest"),
    ] {
        let problem = only_problem(&format!("[sessions]\n{line}\n{RIGHT}"));

        assert_eq!(problem.path, format!("sessions.{key}"), "{problem}");
    }
    let config = load_file(&format!("[sessions]\nmode = 'off'\nswitch_margin = 0.1\n{RIGHT}")).expect("a right file");
    let policy = config.policy("balanced").expect("a policy");
    assert_eq!((policy.sessions, policy.switch_margin.get()), (SessionMode::Off, 0.1));
}
