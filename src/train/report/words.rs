//! What was found, in plain English, before any plot.

use crate::train::evaluate::{EvalReport, Figure, Saving, Slice};

/// A figure in percent with its interval.
pub(super) fn percent(figure: Figure) -> String {
    let interval = figure.ci.map_or(String::new(), |[low, high]| format!(" [{:.1}, {:.1}]", low * 100.0, high * 100.0));
    format!("{:.1} %{interval}", figure.value * 100.0)
}

/// A figure with three digits and its interval.
pub(super) fn plain(figure: Figure) -> String {
    let interval = figure.ci.map_or(String::new(), |[low, high]| format!(" [{low:.3}, {high:.3}]"));
    format!("{:.3}{interval}", figure.value)
}

/// A difference with its sign and its interval.
pub(super) fn signed(figure: Figure) -> String {
    let interval = figure.ci.map_or(String::new(), |[low, high]| format!(" [{low:+.3}, {high:+.3}]"));
    format!("{:+.3}{interval}", figure.value)
}

/// A figure that may not exist.
pub(super) fn or_dash(figure: Option<Figure>, words: fn(Figure) -> String) -> String {
    figure.map_or_else(|| "–".to_owned(), words)
}

/// A count with its thousands set apart.
pub(super) fn count(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A measure as it is written in a sentence.
pub(super) fn measure(name: &str) -> String {
    match name {
        "apgr" => "APGR".to_owned(),
        "aiq" => "AIQ".to_owned(),
        other => other.to_owned(),
    }
}

/// The findings, most important first: the point, and what it rests on. Every claim of a lead has an interval that excludes zero.
pub(super) fn findings(report: &EvalReport) -> Vec<(String, String)> {
    let mut found = vec![gap(report), ranking(report)];
    found.extend(mix(report));
    found.extend(report.savings.iter().find(|saving| saving.loss_points == 1).map(|saving| spared(report, saving)));
    found.push(calibration(report));
    found.extend(middle(report));
    found.extend(weakest(report));
    found
}

fn gap(report: &EvalReport) -> (String, String) {
    let half = Figure { value: report.cpt50, ci: report.cpt50_ci };
    (
        format!("Half of the quality gap takes {} of the strong calls; a random mix needs 50 %.", percent(half)),
        format!(
            "The gap: on {} prompts {} scores {:.1} % and {} {:.1} %.",
            count(report.n),
            report.weak,
            report.weak_score * 100.0,
            report.strong,
            report.strong_score * 100.0
        ),
    )
}

fn ranking(report: &EvalReport) -> (String, String) {
    let lead = |over: &str| report.differences.iter().find(|one| one.measure == "apgr" && one.over == over);
    let against = |over: &str, words: &str| match lead(over) {
        Some(one) if one.clear && one.lead.value > 0.0 => (format!("better than {words}"), signed(one.lead)),
        Some(one) if one.clear => (format!("worse than {words}"), signed(one.lead)),
        Some(one) => (format!("not shown to differ from {words}"), signed(one.lead)),
        None => (format!("not compared with {words}"), "–".to_owned()),
    };
    let (shuffle, by_shuffle) = against("random", "a shuffle");
    let (length, by_length) = against("length", "sending the longest prompts up first");
    let apgr = Figure { value: report.apgr, ci: report.apgr_ci };
    let headroom = report.headroom.map_or(String::new(), |figure| {
        format!(" It captures {} of what a router that knows every score would gain.", percent(figure))
    });
    (
        format!("Its order of prompts is {shuffle}, and {length}."),
        format!(
            "APGR {}, against 0.5 for a shuffle ({by_shuffle}) and {} for length ({by_length}).{headroom}",
            plain(apgr),
            or_dash(report.length_apgr.map(|figure| Figure { ci: None, ..figure }), plain)
        ),
    )
}

fn spared(report: &EvalReport, saving: &Saving) -> (String, String) {
    let lead = match saving.lead {
        Some(lead) if lead.is_clear() && lead.value > 0.0 => "more than",
        Some(lead) if lead.is_clear() => "less than",
        Some(_) | None => "not shown to be more than",
    };
    (
        format!(
            "Giving up one point of quality saves {} of the strong calls and {} of their cost.",
            or_dash(saving.calls, percent),
            or_dash(saving.cost, percent)
        ),
        format!(
            "Against always using {}. That is {lead} the {} of the calls that a random mix saves. The setting is chosen in hindsight: take it as the most that can be had.",
            report.strong,
            or_dash(saving.calls_by_mixing, percent)
        ),
    )
}

fn mix(report: &EvalReport) -> Option<(String, String)> {
    let lead = report.differences.iter().find(|one| one.measure == "aiq")?;
    let words = match (lead.clear, lead.lead.value > 0.0) {
        (true, true) => "It beats the best fixed mix of single models",
        (true, false) => "It loses to the best fixed mix of single models",
        (false, _) => "It is not shown to differ from the best fixed mix of single models",
    };
    let details = format!(
        "Mean quality over all budgets (AIQ): {}; lead {}.",
        or_dash(report.aiq.router, plain),
        signed(lead.lead)
    );
    Some((format!("{words} over all budgets."), details))
}

fn calibration(report: &EvalReport) -> (String, String) {
    let (mut predicted, mut observed) = (0.0, 0.0);
    for bin in report.models.iter().flat_map(|model| &model.reliability) {
        predicted += bin.share * bin.predicted;
        observed += bin.share * bin.observed;
    }
    let models = report.models.len().max(1) as f64;
    let bias = (predicted - observed) / models * 100.0;
    let direction = if bias < -1.0 {
        format!("It expects too little: on average {:.1} points less than was observed.", -bias)
    } else if bias > 1.0 {
        format!("It expects too much: on average {bias:.1} points more than was observed.")
    } else {
        "On average it expects neither too much nor too little.".to_owned()
    };
    let ece = Figure { value: report.ece * 100.0, ci: report.ece_ci.map(|ci| ci.map(|end| end * 100.0)) };
    let interval = ece.ci.map_or(String::new(), |[low, high]| format!(" [{low:.1}, {high:.1}]"));
    (format!("Predicted success is {:.1} points{interval} off (ECE, mean over models).", ece.value), direction)
}

fn middle(report: &EvalReport) -> Option<(String, String)> {
    let one = report.escalation.iter().find(|one| (one.dial - 0.5).abs() < 1e-9)?;
    let details = format!(
        "Of those, {} needed it. Of the prompts that needed it, {} went up.",
        percent(one.precision?),
        percent(one.recall?)
    );
    Some((format!("At the middle of the dial {} of the prompts go up.", percent(one.share?)), details))
}

/// The slice where the router does worst, if that is shown.
fn weakest(report: &EvalReport) -> Option<(String, String)> {
    let lost = |slice: &&Slice| slice.apgr_minus_random.is_some_and(|lead| lead.is_clear() && lead.value < 0.0);
    let value = |slice: &&Slice| slice.apgr_minus_random.map_or(0.0, |lead| lead.value);
    let worst = report.slices.iter().filter(lost).min_by(|a, b| value(a).total_cmp(&value(b)))?;
    Some((
        format!("It does worse than a shuffle on {} prompts of the {} “{}”.", count(worst.n), worst.by, worst.value),
        format!("APGR {} there.", or_dash(worst.apgr, plain)),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_set_apart() {
        assert_eq!([7, 999, 1_000, 14_042, 1_234_567].map(count), ["7", "999", "1,000", "14,042", "1,234,567"]);
    }
}
