//! From raw head outputs and neighbours to calibrated scores. Pure.

use crate::domain::calibration::Calibrator;
use crate::domain::estimate::Estimate;
use crate::domain::neighbour::{Evidence, Neighbour};
use crate::domain::probability::{Probability, softmax};
use crate::domain::scores::{Neighbourhood, OutputTokens};
use crate::model::heads::HeadOutput;
use crate::model::manifest::Calibration;

/// How many of the nearest neighbours say how familiar a prompt is.
const DENSITY_NEIGHBOURS: usize = 10;

/// Longest answer that is predicted, in tokens.
const MAX_OUTPUT_TOKENS: f64 = 100_000.0;

/// The probability of each task.
pub(crate) fn tasks(output: &HeadOutput, calibration: &Calibration) -> Vec<f64> {
    let logits: Vec<f32> =
        output.task.iter().map(|&logit| (f64::from(logit) / calibration.task_temperature) as f32).collect();
    softmax(&logits)
}

/// The head's calibrated prediction of the success of each position.
pub(crate) fn prior(output: &HeadOutput, calibration: &Calibration) -> Vec<Probability> {
    let predicted = output.success.iter().zip(&calibration.success);
    predicted.map(|(&logit, calibrator): (&f32, &Calibrator)| calibrator.apply(f64::from(logit))).collect()
}

/// The success of each position: the head's prediction as a prior, the neighbours as evidence.
pub(crate) fn success(prior: &[Probability], calibration: &Calibration, neighbours: &[Neighbour]) -> Vec<Estimate> {
    let blend = &calibration.blend;
    let evidence = Evidence::gather(neighbours, blend, prior.len());
    prior.iter().zip(evidence).map(|(&prior, evidence)| evidence.update(prior, blend.prior_strength)).collect()
}

/// The predicted length of the answer: between one token and a hundred thousand, the 90th percentile never below the median.
pub(crate) fn output_tokens(output: &HeadOutput) -> OutputTokens {
    let [p50, p90] = output.output_tokens.map(|logarithm| f64::from(logarithm).exp().clamp(1.0, MAX_OUTPUT_TOKENS));
    OutputTokens { p50, p90: p90.max(p50) }
}

/// The neighbours with how familiar they make the prompt.
pub(crate) fn neighbourhood(neighbours: Vec<Neighbour>) -> Neighbourhood {
    let nearest = neighbours.iter().take(DENSITY_NEIGHBOURS);
    let count = nearest.len();
    let total: f64 = nearest.map(|neighbour| f64::from(neighbour.similarity)).sum();
    Neighbourhood { neighbours, density: if count == 0 { 0.0 } else { total / count as f64 } }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::calibration::Dial;
    use crate::domain::neighbour::BlendSettings;

    fn output(success: &[f32], output_tokens: [f32; 2]) -> HeadOutput {
        HeadOutput { task: vec![0.0, 1.0], difficulty: 0.0, success: success.to_vec(), output_tokens }
    }

    fn calibration() -> Calibration {
        Calibration {
            heads: String::new(),
            index: None,
            success: vec![Calibrator::IDENTITY; 2],
            difficulty: Calibrator::IDENTITY,
            task_temperature: 1.0,
            blend: BlendSettings { k: 8, floor: 0.0, power: 1.0, prior_strength: 10.0 },
            dial: Dial::from_gains(&[0.0, 1.0]).unwrap(),
            sample: crate::domain::steps::DialSample::default(),
        }
    }

    #[test]
    fn neighbours_move_only_the_positions_they_have_labels_for() {
        let neighbour = Neighbour { item: "a".into(), similarity: 1.0, labels: vec![(0, 1.0)].into() };

        let prior = prior(&output(&[0.0, 0.0], [0.0; 2]), &calibration());
        let estimates = success(&prior, &calibration(), &vec![neighbour; 10]);

        assert!((estimates[0].mean.get() - 0.75).abs() < 1e-9, "{estimates:?}");
        assert!((estimates[1].mean.get() - 0.5).abs() < 1e-9, "{estimates:?}");
    }

    #[test]
    fn answer_lengths_stay_in_range_and_in_order() {
        assert_eq!(output_tokens(&output(&[], [-50.0, -60.0])), OutputTokens { p50: 1.0, p90: 1.0 });
        assert_eq!(output_tokens(&output(&[], [80.0, 3.0])), OutputTokens { p50: 100_000.0, p90: 100_000.0 });
    }

    #[test]
    fn density_is_the_mean_of_the_nearest_ten() {
        let similar = |similarity| Neighbour { item: "a".into(), similarity, labels: [].into() };
        let neighbours = [vec![similar(0.8); 10], vec![similar(0.1); 50]].concat();

        assert!((neighbourhood(neighbours).density - 0.8).abs() < 1e-6);
        assert!(neighbourhood(Vec::new()).density.abs() < 1e-9);
    }
}
