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

/// The findings, most important first. Every claim of a lead has an interval that excludes zero.
pub(super) fn findings(report: &EvalReport) -> Vec<String> {
    let mut found = vec![gap(report), ranking(report)];
    found.extend(report.savings.iter().find(|saving| saving.loss_points == 1).map(|saving| spared(report, saving)));
    found.extend(mix(report));
    found.push(calibration(report));
    found.extend(report.escalation.iter().find(|one| (one.dial - 0.5).abs() < 1e-9).and_then(|one| {
        Some(format!(
            "At the middle of the dial {} of the prompts go up. Of those, {} needed it; of the prompts that needed it, {} went up.",
            percent(one.share?),
            percent(one.precision?),
            percent(one.recall?)
        ))
    }));
    found.extend(weakest(report));
    found
}

fn gap(report: &EvalReport) -> String {
    let half = Figure { value: report.cpt50, ci: report.cpt50_ci };
    format!(
        "On {} prompts {} scores {:.1} % and {} {:.1} %. Half of that gap is recovered by sending {} of the prompts to {}; a random mix needs 50 %.",
        report.n,
        report.weak,
        report.weak_score * 100.0,
        report.strong,
        report.strong_score * 100.0,
        percent(half),
        report.strong
    )
}

fn ranking(report: &EvalReport) -> String {
    let lead = |over: &str| report.differences.iter().find(|one| one.measure == "apgr" && one.over == over);
    let against = |over: &str, words: &str| match lead(over) {
        Some(one) if one.clear && one.lead.value > 0.0 => format!("better than {words} by {}", signed(one.lead)),
        Some(one) if one.clear => format!("worse than {words} by {}", signed(one.lead)),
        Some(one) => format!("not shown to differ from {words} ({})", signed(one.lead)),
        None => format!("not compared with {words}"),
    };
    let apgr = Figure { value: report.apgr, ci: report.apgr_ci };
    let headroom = report.headroom.map_or(String::new(), |figure| {
        format!(" It captures {} of what a router that knows every score would gain.", percent(figure))
    });
    format!(
        "The router ranks prompts with an APGR of {} (random 0.5, perfect {:.3}): {}, and {}.{headroom}",
        plain(apgr),
        report.oracle_apgr,
        against("random", "a shuffle"),
        against("length", "sending the longest prompts up first")
    )
}

fn spared(report: &EvalReport, saving: &Saving) -> String {
    let lead = saving
        .lead
        .filter(Figure::is_clear)
        .map_or("which is not shown to be more than", |lead| if lead.value > 0.0 { "more than" } else { "less than" });
    format!(
        "Giving up one point of quality against always using {} saves {} of its calls and {} of its cost, {lead} the {} of the calls that a random mix saves. \
         The setting is chosen in hindsight, so take it as the most that can be had.",
        report.strong,
        or_dash(saving.calls, percent),
        or_dash(saving.cost, percent),
        or_dash(saving.calls_by_mixing, percent)
    )
}

fn mix(report: &EvalReport) -> Option<String> {
    let lead = report.differences.iter().find(|one| one.measure == "aiq")?;
    let words = if lead.clear && lead.lead.value > 0.0 {
        "beats"
    } else if lead.clear {
        "loses to"
    } else {
        "is not shown to differ from"
    };
    Some(format!(
        "Over all budgets the router's mean quality is {}; it {words} the best fixed mix of single models ({}).",
        or_dash(report.aiq.router, percent),
        signed(lead.lead)
    ))
}

fn calibration(report: &EvalReport) -> String {
    let (mut predicted, mut observed) = (0.0, 0.0);
    for bin in report.models.iter().flat_map(|model| &model.reliability) {
        predicted += bin.share * bin.predicted;
        observed += bin.share * bin.observed;
    }
    let models = report.models.len().max(1) as f64;
    let bias = (predicted - observed) / models * 100.0;
    let direction = if bias < -1.0 {
        format!("It expects too little: {:.1} points below what was observed on average.", -bias)
    } else if bias > 1.0 {
        format!("It expects too much: {bias:.1} points above what was observed on average.")
    } else {
        "On average it neither expects too much nor too little.".to_owned()
    };
    let ece = Figure { value: report.ece, ci: report.ece_ci };
    format!("Predicted success is {} away from what was observed (ECE, mean over models). {direction}", percent(ece))
}

/// The slice where the router does worst, if that is shown.
fn weakest(report: &EvalReport) -> Option<String> {
    let lost = |slice: &&Slice| slice.apgr_minus_random.is_some_and(|lead| lead.is_clear() && lead.value < 0.0);
    let value = |slice: &&Slice| slice.apgr_minus_random.map_or(0.0, |lead| lead.value);
    let worst = report.slices.iter().filter(lost).min_by(|a, b| value(a).total_cmp(&value(b)))?;
    Some(format!(
        "It does worse than a shuffle on {} prompts of the {} “{}”: APGR {}.",
        worst.n,
        worst.by,
        worst.value,
        or_dash(worst.apgr, plain)
    ))
}
