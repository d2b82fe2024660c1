//! What an evaluation found.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde::Serialize;

use crate::train::error::TrainError;
use crate::train::evaluate::EvalOptions;
use crate::train::evaluate::arena::{Arena, Field};
use crate::train::evaluate::board::{BUDGETS, Board, CURVE_POINTS, Detail, LOSSES, MARKS, task_means};
use crate::train::evaluate::costs::CostNote;
use crate::train::evaluate::parts::{
    Areas, Baseline, CurvePoint, DialPoint, Difference, Escalation, ModelFigures, Saving,
};
use crate::train::evaluate::sheet::{Figure, Rounds, Sheet};
use crate::train::evaluate::slices::{Slice, slices};
use crate::train::evaluate::sweep::{STEPS, dial};
use crate::train::metrics::weighted::Ranking;

/// What was measured. Every interval is at 95 %, by a paired bootstrap over prompts.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct EvalReport {
    /// Prompts that all the models answered.
    pub n: usize,
    /// The weaker model of the pair; without a pair, the cheapest model.
    pub weak: String,
    /// The stronger model of the pair; without a pair, the model with the best mean score.
    pub strong: String,
    /// Mean score of the weaker model.
    pub weak_score: f64,
    /// Mean score of the stronger model.
    pub strong_score: f64,
    /// Area under the gap recovered against the share sent to the stronger model, over every prompt.
    pub apgr: f64,
    /// Its interval.
    pub apgr_ci: Option<[f64; 2]>,
    /// Share of strong calls at which a fifth of the gap is first recovered.
    pub cpt20: f64,
    /// Its interval.
    pub cpt20_ci: Option<[f64; 2]>,
    /// Share of strong calls at which half of the gap is first recovered.
    pub cpt50: f64,
    /// Its interval.
    pub cpt50_ci: Option<[f64; 2]>,
    /// Share of strong calls at which four fifths of the gap are first recovered.
    pub cpt80: f64,
    /// Its interval.
    pub cpt80_ci: Option<[f64; 2]>,
    /// How well the gain tells prompts where the strong model does better from the others.
    pub auc: Option<f64>,
    /// Its interval.
    pub auc_ci: Option<[f64; 2]>,
    /// Expected calibration error of the success probabilities, the mean over models.
    pub ece: f64,
    /// Its interval, in which what chance adds to a calibration error is allowed for at the lower end.
    pub ece_ci: Option<[f64; 2]>,
    /// Brier score of the success probabilities, the mean over models.
    pub brier: f64,
    /// Its interval.
    pub brier_ci: Option<[f64; 2]>,
    /// The area of a router that knows both scores.
    pub oracle_apgr: f64,
    /// The mean area of routers that shuffle.
    pub random_apgr: f64,
    /// Where the middle 95 % of single shuffles lie.
    pub random_apgr_range: [f64; 2],
    /// The area of a router that sends the longest prompts up first.
    pub length_apgr: Option<Figure>,
    /// The area of a router that knows the mean gap of every task from labels of other prompts of this very set.
    pub task_apgr: Option<Figure>,
    /// The share of the area between shuffling and knowing everything that the router captures.
    pub headroom: Option<Figure>,
    /// The router's lead over baselines. A lead is claimed only where its interval excludes zero.
    pub differences: Vec<Difference>,
    /// Every model compared.
    pub models: Vec<ModelFigures>,
    /// Where costs come from.
    pub costs: CostNote,
    /// Mean quality over budgets from the cheapest model's cost to the dearest's (AIQ).
    pub aiq: Areas,
    /// What the dial costs and achieves.
    pub dial: Vec<DialPoint>,
    /// How well prompts are sent up at 0.2, 0.5 and 0.8 of the dial.
    pub escalation: Vec<Escalation>,
    /// What is saved against sending everything to the strong model.
    pub savings: Vec<Saving>,
    /// Ways to choose that need no router, and one that cannot be had.
    pub baselines: Vec<Baseline>,
    /// The same by dataset, task, language and length.
    pub slices: Vec<Slice>,
    /// Median time to score one prompt, in microseconds: tokens, embedding, heads and neighbours, on one thread.
    pub p50_us: f64,
    /// The 99th percentile of that time.
    pub p99_us: f64,
    /// Prompts without a score, which go to the strongest model.
    pub unscored: usize,
    /// Prompts whose text the encoder cut.
    pub truncated: usize,
    /// Prompts of the outcomes that not every model answered.
    pub prompts_left_out: usize,
    /// Models of the outcomes that were not compared.
    pub models_left_out: usize,
    /// The seed.
    pub seed: u64,
    /// Rounds of the bootstrap.
    pub rounds: usize,
    /// The bundle's name.
    pub bundle: String,
    /// The gap recovered against the share sent to the strong model.
    pub curve: Vec<CurvePoint>,
}

/// Single shuffles whose spread is told.
const SHUFFLES: u64 = 200;

/// Computes everything.
pub(super) fn report((field, arena): (&Field, &Arena), options: &EvalOptions) -> Result<EvalReport, TrainError> {
    let rounds = Rounds { count: options.bootstrap, seed: options.seed };
    let means = task_means(arena);
    let board = Board::new(arena, (0..arena.facts.len()).collect(), (&means, Detail::Whole, options.seed));
    let sheet = Sheet::fill(board.len(), rounds, &|weights, to| board.record(weights, to));
    let name = |at: usize| arena.models.get(at).map_or_else(String::new, |judge| judge.model.clone());
    let score = |at: usize| sheet.value(&format!("score {at}")).unwrap_or(0.0);
    let (weak, strong) = (arena.weak, arena.strong);
    let (weak_score, strong_score) = (score(weak), score(strong));
    let no_gap = || TrainError::NoGap { weak: name(weak), weak_score, strong: name(strong), strong_score };
    let apgr = sheet.get("apgr").ok_or_else(no_gap)?;
    let (random_apgr, random_apgr_range) = shuffled(arena, options.seed);
    let value = |name: &str| sheet.value(name).unwrap_or(0.0);
    let micros = &arena.timing.micros;
    let percentile = |share: f64| {
        micros.get((share * micros.len().saturating_sub(1) as f64).round() as usize).copied().unwrap_or(0.0)
    };
    Ok(EvalReport {
        n: board.len(),
        weak: name(weak),
        strong: name(strong),
        weak_score,
        strong_score,
        apgr: apgr.value,
        apgr_ci: apgr.ci,
        cpt20: value("cpt20"),
        cpt20_ci: sheet.ci("cpt20"),
        cpt50: value("cpt50"),
        cpt50_ci: sheet.ci("cpt50"),
        cpt80: value("cpt80"),
        cpt80_ci: sheet.ci("cpt80"),
        auc: sheet.value("auc"),
        auc_ci: sheet.ci("auc"),
        ece: value("ece"),
        ece_ci: sheet.ci("ece"),
        brier: value("brier"),
        brier_ci: sheet.ci("brier"),
        oracle_apgr: value("oracle_apgr"),
        random_apgr,
        random_apgr_range,
        length_apgr: sheet.get("apgr length"),
        task_apgr: sheet.get("apgr task"),
        headroom: sheet.get("headroom"),
        differences: differences(&sheet),
        models: models((arena, Some(&board)), &sheet),
        costs: arena.cost_note.clone(),
        aiq: Areas {
            router: sheet.get("aiq"),
            mix: sheet.get("aiq mix"),
            oracle: sheet.get("aiq oracle"),
            headroom: sheet.get("headroom over mix"),
            quality_at: BUDGETS.iter().map(|&at| (at, sheet.get(&format!("quality {at}")))).collect(),
        },
        dial: (0..STEPS).filter_map(|step| dial_point(&sheet, step)).collect(),
        escalation: MARKS.iter().map(|&mark| escalation(&sheet, mark)).collect(),
        savings: LOSSES.iter().map(|&loss| saving(&sheet, loss)).collect(),
        baselines: baselines((&sheet, &board), (weak, strong)),
        slices: slices(arena, &means, rounds),
        p50_us: percentile(0.5),
        p99_us: percentile(0.99),
        unscored: arena.timing.unscored,
        truncated: arena.timing.truncated,
        prompts_left_out: field.block.prompts_left_out,
        models_left_out: field.block.models_left_out,
        seed: options.seed,
        rounds: options.bootstrap,
        bundle: arena.bundle.clone(),
        curve: (0..CURVE_POINTS).filter_map(|point| curve_point(&sheet, point)).collect(),
    })
}

/// The mean area of shuffles, and where the middle 95 % of them lie.
fn shuffled(arena: &Arena, seed: u64) -> (f64, [f64; 2]) {
    let column = |at: usize| arena.scores.get(at).cloned().unwrap_or_default();
    let gaps: Vec<f64> = column(arena.strong).iter().zip(column(arena.weak)).map(|(s, w)| s - w).collect();
    let once = vec![1.0; gaps.len()];
    let mut random = StdRng::seed_from_u64(seed);
    let area = |_| {
        let wishes: Vec<f64> = gaps.iter().map(|_| random.random()).collect();
        Ranking::of(&wishes, seed).recovered((&gaps, &once), 2).map(|found| found.apgr)
    };
    let mut areas: Vec<f64> = (0..SHUFFLES).filter_map(area).collect();
    areas.sort_by(f64::total_cmp);
    let at =
        |share: f64| areas.get((share * areas.len().saturating_sub(1) as f64).round() as usize).copied().unwrap_or(0.5);
    (areas.iter().sum::<f64>() / areas.len().max(1) as f64, [at(0.025), at(0.975)])
}

fn differences(sheet: &Sheet) -> Vec<Difference> {
    let told = [
        ("apgr", "random", "apgr - random"),
        ("apgr", "length", "apgr - length"),
        ("apgr", "task mean", "apgr - task"),
        ("aiq", "best fixed mix", "aiq - mix"),
        ("quality at half of the budget", "best fixed mix", "quality - mix 50"),
    ];
    let difference = |(measure, over, name): (&'static str, &'static str, &str)| {
        sheet.get(name).map(|lead| Difference { measure, over, lead, clear: lead.is_clear() })
    };
    told.into_iter().filter_map(difference).collect()
}

/// The figures of every model.
pub(super) fn models((arena, board): (&Arena, Option<&Board<'_>>), sheet: &Sheet) -> Vec<ModelFigures> {
    let figures = |(at, judge): (usize, &super::judges::Judge)| {
        let get = |name: &str| sheet.get(&format!("{name} {at}"));
        let reliability = board.and_then(|board| Some(board.predictions(at)?.bins(&vec![1.0; board.len()])));
        ModelFigures {
            model: judge.model.clone(),
            judged_by: judge.words(),
            score: get("score"),
            cost: get("cost"),
            auc: get("auc"),
            brier: get("brier"),
            ece: get("ece"),
            reliability: reliability.unwrap_or_default(),
        }
    };
    arena.models.iter().enumerate().map(figures).collect()
}

fn dial_point(sheet: &Sheet, step: usize) -> Option<DialPoint> {
    let (quality, cost) = (sheet.get(&format!("dial quality {step}"))?, sheet.get(&format!("dial cost {step}"))?);
    Some(DialPoint { dial: dial(step), quality, cost })
}

/// What happens at a mark of the dial.
pub(super) fn escalation(sheet: &Sheet, mark: usize) -> Escalation {
    let get = |name: &str| sheet.get(&format!("{name} {mark}"));
    Escalation { dial: dial(mark), share: get("share"), precision: get("precision"), recall: get("recall") }
}

/// What is saved at a loss.
pub(super) fn saving(sheet: &Sheet, loss_points: u8) -> Saving {
    let get = |name: &str| sheet.get(&format!("{name} {loss_points}"));
    Saving {
        loss_points,
        calls: get("calls saved"),
        cost: get("cost saved"),
        calls_by_mixing: get("calls saved by mixing"),
        lead: get("calls saved - mixing"),
    }
}

fn baselines((sheet, board): (&Sheet, &Board<'_>), (weak, strong): (usize, usize)) -> Vec<Baseline> {
    let get = |name: &str| sheet.get(name);
    let curves = board.curves();
    let single = |name, words, at: usize| Baseline {
        name,
        words,
        apgr: None,
        aiq: None,
        quality: get(&format!("score {at}")),
        cost: get(&format!("cost {at}")),
        points: Vec::new(),
    };
    let curve = |name, words, (apgr, aiq): (Option<Figure>, &str)| Baseline {
        name,
        words,
        apgr,
        aiq: get(aiq),
        quality: None,
        cost: None,
        points: curves.iter().find(|curve| curve.0 == name).map(|curve| curve.1.clone()).unwrap_or_default(),
    };
    let half = Figure { value: 0.5, ci: None };
    vec![
        single("cheapest", "every prompt to the weak or cheapest model", weak),
        single("strongest", "every prompt to the strong or best model", strong),
        curve("random", "a random share to the strongest model", (Some(half), "aiq random")),
        curve("length", "the longest prompts first", (get("apgr length"), "aiq length")),
        curve(
            "task mean",
            "tasks with the largest mean gap first, from labels of these prompts",
            (get("apgr task"), "aiq task"),
        ),
        curve(
            "best fixed mix",
            "the best random mix of single models for each budget (zero router)",
            (None, "aiq mix"),
        ),
        curve("oracle", "knows every score beforehand", (get("oracle_apgr"), "aiq oracle")),
    ]
}

fn curve_point(sheet: &Sheet, point: usize) -> Option<CurvePoint> {
    let recovered = sheet.get(&format!("pgr {point}"))?;
    Some(CurvePoint { share: point as f64 / (CURVE_POINTS - 1) as f64, recovered })
}
