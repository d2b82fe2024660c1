//! Whether traffic has drifted away from the bundle that serves, by the counts that a running server keeps beside its store.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::config::Config;
use crate::doctor::Check;
use crate::domain::drift::{DriftReport, Level, State};
use crate::drift::Drift;
use crate::model::bundle::Bundle;
use crate::serve::settings::{drift_file, drift_settings};

const NAME: &str = "drift";

/// Where a running server has the counts of this moment.
const LIVE: &str = "a running server has the figures of the moment: GET /admin/drift";

pub(super) fn check(bundle: &Bundle, config: &Config) -> Check {
    let Some(file) = drift_file(config) else {
        return Check::ok(NAME, format!("no counts are kept, since the store is turned off; {LIVE}"));
    };
    match look(bundle, config, &file) {
        Ok(check) => check,
        Err(problem) => Check::warn(NAME, problem, LIVE),
    }
}

fn look(bundle: &Bundle, config: &Config, file: &Path) -> Result<Check, String> {
    let place = file.display();
    let serving = &bundle.manifest().id;
    let Some(kept_of) = Drift::kept_of(file).map_err(|error| error.to_string())? else {
        return Ok(Check::ok(
            NAME,
            format!("no counts yet in {place}; a running server writes them every few minutes"),
        ));
    };
    if kept_of != *serving {
        let found =
            format!("the counts in {place} are of `{kept_of}`, which serves no more; they begin anew with `{serving}`");
        return Ok(Check::ok(NAME, found));
    }
    let baseline = bundle.baseline().map_err(|error| error.to_string())?;
    let drift = Drift::new(drift_settings(config));
    drift.resume(serving, baseline.as_ref(), file).map_err(|error| error.to_string())?;
    let since = SystemTime::now().duration_since(UNIX_EPOCH).map_err(|error| error.to_string())?;
    let report = drift.look(u64::try_from(since.as_millis()).unwrap_or(u64::MAX));
    Ok(report.map_or_else(|| Check::ok(NAME, format!("no counts in {place}")), |report| said(&report)))
}

/// A report in words: the state, what it rests on, and what to do.
fn said(report: &DriftReport) -> Check {
    let DriftReport { decisions, window_hours, reference_decisions, reference_wanted, .. } = report;
    let compared = format!(
        "{decisions} decisions of the last {window_hours} h against {reference_decisions} of {}",
        reference(report)
    );
    let evidence = evidence(report);
    match report.state {
        State::Collecting => Check::ok(
            NAME,
            format!(
                "collecting: {decisions} decisions of the last {window_hours} h, and {reference_decisions} of {reference_wanted} to compare \
                 them with{evidence}"
            ),
        ),
        State::Steady => Check::ok(NAME, format!("steady: {compared}{evidence}")),
        State::Watch => {
            let remedy = "nothing yet; where it goes on, retrain (docs/retrain.md). GET /admin/drift has every share";
            Check::warn(NAME, format!("watch: {compared}{evidence}"), remedy)
        }
        State::Shifted => {
            let remedy = report.proposal.clone().unwrap_or_else(|| LIVE.to_owned());
            Check::warn(NAME, format!("shifted: {compared}{evidence}"), remedy)
        }
    }
}

fn reference(report: &DriftReport) -> &'static str {
    match report.reference {
        crate::domain::drift::ReferenceKind::Training => "the training",
        crate::domain::drift::ReferenceKind::Traffic => "the first traffic",
    }
}

/// What moved, or what moved most, and what feedback says.
fn evidence(report: &DriftReport) -> String {
    let index = |moved: &crate::domain::drift::Moved| {
        format!("{} PSI {:.2} ({:.2} by chance)", moved.dimension.words(), moved.psi, moved.by_chance)
    };
    let moved: Vec<String> = report.dimensions.iter().filter(|one| one.level > Level::Steady).map(index).collect();
    let most = report.dimensions.iter().max_by(|a, b| a.psi.total_cmp(&b.psi));
    let mut text = match (moved.as_slice(), most) {
        ([], Some(most)) => format!("; most moved: {}", index(most)),
        ([], None) => String::new(),
        (moved, _) => format!("; {}", moved.join(", ")),
    };
    if let Some(found) = report.feedback.calibration {
        text += &format!(
            "; calibration error {:.2} over {} verdicts ({:.2} by chance)",
            found.ece, found.verdicts, found.by_chance
        );
    }
    if let Some(found) = report.feedback.escalation {
        text += &format!("; going up was worth it {:.0} % of {} times", 100.0 * found.precision, found.verdicts);
    }
    text
}

#[cfg(test)]
mod tests;
