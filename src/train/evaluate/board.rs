//! The figures of some prompts: what every round of the bootstrap computes.

use crate::train::evaluate::arena::Arena;
use crate::train::evaluate::sheet::{Chance, Recorder};
use crate::train::evaluate::sweep::{self, Choices};
use crate::train::metrics::frontier::{Frontier, Point};
use crate::train::metrics::weighted::{Predictions, Ranking};

/// Points of the curve of the gap recovered.
pub(super) const CURVE_POINTS: usize = 21;
/// Shares at which baselines that only rank are tried.
const SHARES: usize = 21;
/// Losses of quality at which savings are told, in points of a hundred.
pub(super) const LOSSES: [u8; 3] = [0, 1, 2];
/// Settings of the dial at which escalations are judged, as steps of the sweep.
pub(super) const MARKS: [usize; 3] = [8, 20, 32];
/// Budgets at which quality is compared, as hundredths of the way from the cheapest model's cost to the dearest's.
pub(super) const BUDGETS: [u8; 3] = [25, 50, 75];

/// How much is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Detail {
    /// Everything, with baselines and curves.
    Whole,
    /// What a slice shows.
    Slice,
}

/// Score and cost of the chosen model by prompt, at every setting: `[setting][prompt]`.
struct Sweep(Vec<Vec<(f64, f64)>>);

/// Some prompts of an arena, laid out for rounds.
pub(super) struct Board<'a> {
    arena: &'a Arena,
    rows: Vec<usize>,
    detail: Detail,
    scores: Vec<Vec<f64>>,
    costs: Vec<Vec<f64>>,
    predictions: Vec<Predictions>,
    gaps: Vec<f64>,
    /// Gain in score and in cost of the strong model.
    steps: Vec<(f64, f64)>,
    /// Whether a choice of the dial marks went up, whether that helped, and whether it would have helped: `[mark][prompt]`.
    escalations: Vec<Vec<Escalation>>,
    gap_predictions: Predictions,
    router: Ranking,
    oracle: Ranking,
    length: Ranking,
    task: Ranking,
    dial: Sweep,
    by_length: Sweep,
    by_task: Sweep,
    by_oracle: Sweep,
}

#[derive(Clone, Copy, Default)]
struct Escalation {
    sent: bool,
    helped: bool,
    needed: bool,
}

impl<'a> Board<'a> {
    /// Lays out these prompts. `task_means` are the wishes of a router that knows tasks alone.
    pub(super) fn new(arena: &'a Arena, rows: Vec<usize>, (task_means, detail, seed): (&[f64], Detail, u64)) -> Self {
        let pick = |column: &Vec<f64>| rows.iter().filter_map(|&at| column.get(at)).copied().collect::<Vec<f64>>();
        let scores: Vec<Vec<f64>> = arena.scores.iter().map(pick).collect();
        let costs: Vec<Vec<f64>> = arena.costs.iter().map(pick).collect();
        let predicted: Vec<Vec<f64>> = arena.predicted.iter().map(pick).collect();
        let column = |columns: &[Vec<f64>], at: usize| columns.get(at).cloned().unwrap_or_default();
        let minus = |a: Vec<f64>, b: Vec<f64>| a.iter().zip(&b).map(|(a, b)| a - b).collect::<Vec<f64>>();
        let between = |columns: &[Vec<f64>]| minus(column(columns, arena.strong), column(columns, arena.weak));
        let gaps = between(&scores);
        let wishes = pick(&arena.wishes);
        let better: Vec<f64> = gaps.iter().map(|gap| f64::from(u8::from(*gap > 0.0))).collect();
        let length = |at: &usize| arena.facts.get(*at).map_or(0.0, |facts| facts.characters as f64);
        let lengths: Vec<f64> = rows.iter().map(length).collect();
        let rank = |wishes: &[f64]| Ranking::of(wishes, seed);
        let (length, task) = (rank(&lengths), rank(&pick(&task_means.to_vec())));
        let chosen: Choices =
            arena.choices.iter().map(|row| rows.iter().filter_map(|&at| row.get(at)).copied().collect()).collect();
        let lay = |choices: &Choices| Sweep::of(choices, (&scores, &costs));
        let by = |ranking: &Ranking| match detail {
            Detail::Whole => lay(&sweep::of_an_order(ranking.order(), (arena.weak, arena.strong), SHARES)),
            Detail::Slice => Sweep(Vec::new()),
        };
        let by_oracle = match detail {
            Detail::Whole => lay(&sweep::of_the_oracle((&scores, &costs))),
            Detail::Slice => Sweep(Vec::new()),
        };
        Self {
            escalations: MARKS.iter().map(|&mark| escalations(arena.weak, chosen.get(mark), &scores)).collect(),
            predictions: predicted.iter().zip(&scores).map(|(p, y)| Predictions::of(p, y)).collect(),
            gap_predictions: Predictions::of(&wishes, &better),
            router: rank(&wishes),
            oracle: rank(&gaps),
            dial: lay(&chosen),
            by_length: by(&length),
            by_task: by(&task),
            by_oracle,
            length,
            task,
            steps: gaps.iter().copied().zip(between(&costs)).collect(),
            arena,
            rows,
            detail,
            scores,
            costs,
            gaps,
        }
    }

    /// How many prompts there are.
    pub(super) const fn len(&self) -> usize {
        self.rows.len()
    }

    /// The predictions of a model, for reliability diagrams.
    pub(super) fn predictions(&self, model: usize) -> Option<&Predictions> {
        self.predictions.get(model)
    }

    /// What baselines that follow a curve cost and achieve on all these prompts, for plots.
    pub(super) fn curves(&self) -> [(&'static str, Vec<Point>); 3] {
        let once = vec![1.0; self.len()];
        let oracle = Frontier::of(&self.by_oracle.points(&once)).points().to_vec();
        [("length", self.by_length.points(&once)), ("task mean", self.by_task.points(&once)), ("oracle", oracle)]
    }

    /// Records every figure of these prompts, each counting as often as `weights` say.
    pub(super) fn record(&self, weights: &[f64], to: &mut Recorder) {
        let singles = self.models(weights, to);
        self.recovered(weights, to);
        self.escalated(weights, to);
        self.cost_quality((weights, &singles), to);
    }

    fn models(&self, weights: &[f64], to: &mut Recorder) -> Vec<Point> {
        let total: f64 = weights.iter().sum();
        let mean = |column: &[f64]| column.iter().zip(weights).map(|(x, w)| x * w).sum::<f64>() / total;
        let mut singles = Vec::with_capacity(self.scores.len());
        let (mut ece, mut brier) = (0.0, 0.0);
        for (at, ((scores, costs), predictions)) in
            self.scores.iter().zip(&self.costs).zip(&self.predictions).enumerate()
        {
            let point = Point { cost: mean(costs), quality: mean(scores) };
            let (error, square) = (predictions.ece(weights), predictions.brier(weights));
            to.put(|| format!("score {at}"), Some(point.quality));
            to.put(|| format!("cost {at}"), Some(point.cost));
            to.put(|| format!("auc {at}"), predictions.auc(weights));
            to.put_with(|| format!("ece {at}"), Some(error), || Some(by_chance(&[predictions], weights)));
            to.put(|| format!("brier {at}"), Some(square));
            ece += error;
            brier += square;
            singles.push(point);
        }
        let models = singles.len().max(1) as f64;
        let all = || self.predictions.iter().collect::<Vec<&Predictions>>();
        to.put_with(|| "ece".to_owned(), Some(ece / models), || Some(by_chance(&all(), weights)));
        to.put(|| "brier".to_owned(), Some(brier / models));
        to.put(|| "auc".to_owned(), self.gap_predictions.auc(weights));
        singles
    }

    fn recovered(&self, weights: &[f64], to: &mut Recorder) {
        let of = |ranking: &Ranking, points| ranking.recovered((&self.gaps, weights), points);
        let router = of(&self.router, CURVE_POINTS);
        let area = |ranking: &Ranking| of(ranking, 2).map(|found| found.apgr);
        let (own, oracle) = (router.as_ref().map(|found| found.apgr), area(&self.oracle));
        to.put(|| "apgr".to_owned(), own);
        for (name, at) in [("cpt20", 0), ("cpt50", 1), ("cpt80", 2)] {
            to.put(|| name.to_owned(), router.as_ref().and_then(|found| found.cpt.get(at)).copied());
        }
        to.put(|| "oracle_apgr".to_owned(), oracle);
        // The mean over all shuffles is one half exactly.
        to.put(|| "apgr - random".to_owned(), own.map(|own| own - 0.5));
        to.put(|| "headroom".to_owned(), own.zip(oracle).map(|(own, oracle)| (own - 0.5) / (oracle - 0.5)));
        for (name, ranking) in [("length", &self.length), ("task", &self.task)] {
            let other = area(ranking);
            to.put(|| format!("apgr {name}"), other);
            to.put(|| format!("apgr - {name}"), own.zip(other).map(|(own, other)| own - other));
        }
        if self.detail == Detail::Whole {
            for point in 0..CURVE_POINTS {
                to.put(|| format!("pgr {point}"), router.as_ref().and_then(|found| found.at.get(point)).copied());
            }
        }
    }

    fn escalated(&self, weights: &[f64], to: &mut Recorder) {
        let total: f64 = weights.iter().sum();
        for (mark, escalations) in MARKS.iter().zip(&self.escalations) {
            let (mut sent, mut helped, mut needed) = (0.0, 0.0, 0.0);
            for (one, weight) in escalations.iter().zip(weights) {
                sent += weight * f64::from(u8::from(one.sent));
                helped += weight * f64::from(u8::from(one.helped));
                needed += weight * f64::from(u8::from(one.needed));
            }
            to.put(|| format!("share {mark}"), Some(sent / total));
            to.put(|| format!("precision {mark}"), (sent > 0.0).then(|| helped / sent));
            to.put(|| format!("recall {mark}"), (needed > 0.0).then(|| helped / needed));
        }
    }

    fn cost_quality(&self, (weights, singles): (&[f64], &[Point]), to: &mut Recorder) {
        let points = self.dial.points(weights);
        let cheapest = singles.iter().map(|point| point.cost).fold(f64::INFINITY, f64::min);
        let dearest = singles.iter().map(|point| point.cost).fold(f64::NEG_INFINITY, f64::max);
        let first = singles.iter().filter(|point| point.cost <= cheapest).copied();
        // Nobody needs a router to take the cheapest model, so every curve may begin there.
        let curve =
            |points: &[Point]| Frontier::of(&points.iter().copied().chain(first.clone()).collect::<Vec<Point>>());
        let own = curve(&points);
        let mean = |frontier: &Frontier| frontier.mean_quality([cheapest, dearest]);
        let mix = Frontier::of(singles);
        to.put(|| "aiq".to_owned(), mean(&own));
        to.put(|| "aiq mix".to_owned(), mean(&mix));
        to.put(|| "aiq - mix".to_owned(), mean(&own).zip(mean(&mix)).map(|(own, mix)| own - mix));
        for budget in BUDGETS {
            let cost = cheapest + (dearest - cheapest) * f64::from(budget) / 100.0;
            let (own, mix) = (own.quality_at(cost), mix.quality_at(cost));
            to.put(|| format!("quality {budget}"), own);
            to.put(|| format!("quality - mix {budget}"), own.zip(mix).map(|(own, mix)| own - mix));
        }
        self.savings((weights, singles, &points), to);
        if self.detail == Detail::Slice {
            return;
        }
        for (step, point) in points.iter().enumerate() {
            to.put(|| format!("dial quality {step}"), Some(point.quality));
            to.put(|| format!("dial cost {step}"), Some(point.cost));
        }
        let ends = [self.arena.weak, self.arena.strong].map(|at| singles.get(at).copied());
        let random: Vec<Point> = ends.into_iter().flatten().collect();
        let oracle = mean(&curve(&self.by_oracle.points(weights)));
        to.put(|| "aiq random".to_owned(), mean(&curve(&random)));
        to.put(|| "aiq length".to_owned(), mean(&curve(&self.by_length.points(weights))));
        to.put(|| "aiq task".to_owned(), mean(&curve(&self.by_task.points(weights))));
        to.put(|| "aiq oracle".to_owned(), oracle);
        let captured = || Some((mean(&own)? - mean(&mix)?) / (oracle? - mean(&mix)?));
        to.put(|| "headroom over mix".to_owned(), captured());
    }

    /// What is saved against sending everything to the strong model while losing at most so many points.
    fn savings(&self, (weights, singles, points): (&[f64], &[Point], &[Point]), to: &mut Recorder) {
        let single = |at: usize| singles.get(at).copied().unwrap_or(Point { cost: f64::NAN, quality: f64::NAN });
        let (weak, strong) = (single(self.arena.weak), single(self.arena.strong));
        for loss in LOSSES {
            let target = strong.quality - f64::from(loss) / 100.0;
            let reached = if self.scores.len() == 2 {
                let found = self.router.reaching((weak.quality, target), &self.steps, weights);
                found.map(|(share, extra)| (1.0 - share, 1.0 - (weak.cost + extra) / strong.cost))
            } else {
                let enough = points.iter().enumerate().filter(|(_, point)| point.quality >= target - 1e-12);
                let best = enough.min_by(|a, b| a.1.cost.total_cmp(&b.1.cost));
                best.map(|(step, point)| (1.0 - self.share_of_strong(step, weights), 1.0 - point.cost / strong.cost))
            };
            // A fixed mix of the two loses in proportion.
            let mixed = (f64::from(loss) / 100.0 / (strong.quality - weak.quality)).clamp(0.0, 1.0);
            let (calls, cost) = (reached.map(|saved| saved.0), reached.map(|saved| saved.1));
            to.put(|| format!("calls saved {loss}"), calls.or(Some(0.0)));
            to.put(|| format!("cost saved {loss}"), cost.or(Some(0.0)));
            to.put(|| format!("calls saved by mixing {loss}"), Some(mixed));
            to.put(|| format!("calls saved - mixing {loss}"), calls.map(|calls| calls - mixed));
        }
    }

    fn share_of_strong(&self, step: usize, weights: &[f64]) -> f64 {
        let Some(choices) = self.arena.choices.get(step) else { return 0.0 };
        let total: f64 = weights.iter().sum();
        let is_strong = |at: &usize| choices.get(*at).is_some_and(|&model| usize::from(model) == self.arena.strong);
        self.rows.iter().zip(weights).filter(|(at, _)| is_strong(at)).map(|(_, weight)| weight).sum::<f64>() / total
    }
}

/// What chance adds to the mean calibration error of these models.
fn by_chance(predictions: &[&Predictions], weights: &[f64]) -> Chance {
    let added: f64 = predictions.iter().map(|predictions| predictions.ece_by_chance(weights)).sum();
    Chance { added: added / predictions.len().max(1) as f64, taken: 0.0 }
}

impl Sweep {
    fn of(choices: &Choices, (scores, costs): (&[Vec<f64>], &[Vec<f64>])) -> Self {
        let cell = |columns: &[Vec<f64>], (at, &model): (usize, &u16)| {
            columns.get(usize::from(model)).and_then(|column| column.get(at)).copied().unwrap_or(0.0)
        };
        let setting =
            |row: &Vec<u16>| row.iter().enumerate().map(|one| (cell(scores, one), cell(costs, one))).collect();
        Self(choices.iter().map(setting).collect())
    }

    fn points(&self, weights: &[f64]) -> Vec<Point> {
        let total: f64 = weights.iter().sum();
        let point = |setting: &Vec<(f64, f64)>| {
            let (mut quality, mut cost) = (0.0, 0.0);
            for (&(score, spent), weight) in setting.iter().zip(weights) {
                quality += weight * score;
                cost += weight * spent;
            }
            Point { cost: cost / total, quality: quality / total }
        };
        self.0.iter().map(point).collect()
    }
}

fn escalations(weak: usize, chosen: Option<&Vec<u16>>, scores: &[Vec<f64>]) -> Vec<Escalation> {
    let Some(chosen) = chosen else { return Vec::new() };
    let judge = |(at, &model): (usize, &u16)| {
        let score = |model: usize| scores.get(model).and_then(|column| column.get(at)).copied().unwrap_or(0.0);
        let below = score(weak);
        let needed = (0..scores.len()).any(|model| score(model) > below);
        let sent = usize::from(model) != weak;
        Escalation { sent, helped: sent && score(usize::from(model)) > below, needed }
    };
    chosen.iter().enumerate().map(judge).collect()
}

/// The wishes of a router that knows nothing but the task: the mean gap of the task's prompts in the other four fifths.
///
/// It needs labels of these very prompts, which the router does not.
pub(super) fn task_means(arena: &Arena) -> Vec<f64> {
    const FOLDS: usize = 5;
    let gap = |at: usize| {
        let score = |model: usize| arena.scores.get(model).and_then(|column| column.get(at)).copied().unwrap_or(0.0);
        score(arena.strong) - score(arena.weak)
    };
    let mut sums: std::collections::HashMap<(&str, usize), (f64, f64)> = std::collections::HashMap::new();
    for (at, facts) in arena.facts.iter().enumerate() {
        let sum = sums.entry((facts.task, at % FOLDS)).or_default();
        *sum = (sum.0 + gap(at), sum.1 + 1.0);
    }
    let count = arena.facts.len().max(1);
    let overall = (0..count).map(gap).sum::<f64>() / count as f64;
    let wish = |(at, facts): (usize, &super::arena::Facts)| {
        let others = (0..FOLDS).filter(|fold| *fold != at % FOLDS).filter_map(|fold| sums.get(&(facts.task, fold)));
        let (sum, count) = others.fold((0.0, 0.0), |total, one| (total.0 + one.0, total.1 + one.1));
        // Ten prompts of the overall mean keep rare tasks from going to an end.
        (sum + 10.0 * overall) / (count + 10.0)
    };
    arena.facts.iter().enumerate().map(wish).collect()
}
