//! Platt scaling.

use crate::domain::calibration::Calibrator;
use crate::domain::probability::sigmoid;
use crate::train::calibrate::Observation;

/// How firmly the slope is held to one and the intercept to zero, as if this many observations said so.
const HOLD: f64 = 4.0;
/// Newton steps; a two-number problem settles within a handful.
const STEPS: usize = 30;

/// Fits slope and intercept by Newton's method on the log-loss, held lightly to the identity, the slope never negative.
#[must_use]
pub fn platt(observations: &[Observation]) -> Calibrator {
    let (mut slope, mut intercept) = (1.0_f64, 0.0_f64);
    for _ in 0..STEPS {
        let (mut g_slope, mut g_intercept) = (HOLD * (slope - 1.0) / 4.0, HOLD * intercept / 4.0);
        let (mut h_slope, mut h_cross, mut h_intercept) = (HOLD / 4.0, 0.0, HOLD / 4.0);
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
