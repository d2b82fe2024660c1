//! Platt scaling.

use crate::domain::calibration::Calibrator;
use crate::domain::probability::sigmoid;
use crate::train::calibrate::Observation;

/// What a fit is held to, and how firmly: as if this many observations said so.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hold {
    /// The slope before anything is seen.
    pub slope: f64,
    /// How many observations stand behind it.
    pub slope_weight: f64,
    /// The intercept before anything is seen.
    pub intercept: f64,
    /// How many observations stand behind it.
    pub intercept_weight: f64,
}

impl Hold {
    /// Lightly to the identity: the head is trusted until a few observations say otherwise.
    pub const LIGHT: Self = Self { slope: 1.0, slope_weight: 4.0, intercept: 0.0, intercept_weight: 4.0 };
}

/// Newton steps; a two-number problem settles within a handful.
const STEPS: usize = 30;

/// Fits slope and intercept by Newton's method on the log-loss, the slope never negative.
#[must_use]
pub fn platt(observations: &[Observation], hold: Hold) -> Calibrator {
    let (mut slope, mut intercept) = (hold.slope, hold.intercept);
    // The curvature of one observation at even odds is a quarter.
    let (hold_slope, hold_intercept) = (hold.slope_weight / 4.0, hold.intercept_weight / 4.0);
    for _ in 0..STEPS {
        let (mut g_slope, mut g_intercept) =
            (hold_slope * (slope - hold.slope), hold_intercept * (intercept - hold.intercept));
        let (mut h_slope, mut h_cross, mut h_intercept) = (hold_slope, 0.0, hold_intercept);
        for &Observation { logit, score, weight } in observations {
            let p = sigmoid(slope * logit + intercept);
            let (error, curvature) = (weight * (p - score), weight * (p * (1.0 - p)).max(1e-9));
            g_slope += error * logit;
            g_intercept += error;
            h_slope += curvature * logit * logit;
            h_cross += curvature * logit;
            h_intercept += curvature;
        }
        let determinant = h_slope * h_intercept - h_cross * h_cross;
        if determinant.abs() < 1e-12 {
            break;
        }
        let d_slope = (g_slope * h_intercept - g_intercept * h_cross) / determinant;
        let d_intercept = (g_intercept * h_slope - g_slope * h_cross) / determinant;
        // A step is bounded so that well-separated data cannot run away.
        slope = (slope - d_slope.clamp(-1.0, 1.0)).clamp(0.0, 20.0);
        intercept -= d_intercept.clamp(-1.0, 1.0);
        if d_slope.abs() + d_intercept.abs() < 1e-9 {
            break;
        }
    }
    Calibrator::Platt { slope, intercept }
}
