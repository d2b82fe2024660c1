//! The plots, drawn once for the page (SVG) and once for the picture (PNG).

use plotters::coord::Shift;
use plotters::coord::types::RangedCoordf64;
use plotters::element::{Circle, EmptyElement, PathElement, Polygon, Text};
use plotters::prelude::{
    Cartesian2d, ChartBuilder, ChartContext, Color, DrawingArea, DrawingAreaErrorKind, DrawingBackend, LineSeries,
    RGBColor,
};

use crate::train::evaluate::{CostSource, DialPoint, EvalReport, ModelFigures};
use crate::train::metrics::frontier::{Frontier, Point};
use crate::train::report::ink::{GRID, INK, LENGTH, MIX, MUTED, ORACLE, PAPER, ROUTER, Scale};

/// What drawing returns.
type Drawn<DB> = Result<(), DrawingAreaErrorKind<<DB as DrawingBackend>::ErrorType>>;
type Area<DB> = DrawingArea<DB, Shift>;
type Chart<'a, DB> = ChartContext<'a, DB, Cartesian2d<RangedCoordf64, RangedCoordf64>>;

/// Settings of the dial that are marked.
const MARKED: [f64; 3] = [0.2, 0.5, 0.8];
/// Reliability diagrams that are drawn at most.
pub(super) const MOST_DIAGRAMS: usize = 6;

/// Axes of a chart.
struct Axes<'a> {
    x: [f64; 2],
    y: [f64; 2],
    x_words: &'a str,
    y_words: &'a str,
    x_text: &'a dyn Fn(&f64) -> String,
}

fn percent(value: &f64) -> String {
    format!("{:.0} %", value * 100.0)
}

fn axes<'a, DB: DrawingBackend>(
    area: &'a Area<DB>,
    axes: &Axes<'_>,
    s: Scale,
) -> Result<Chart<'a, DB>, DrawingAreaErrorKind<DB::ErrorType>> {
    let mut chart = ChartBuilder::on(area)
        .margin_right(s.px(28))
        .margin_left(s.px(8))
        .margin_top(s.px(8))
        .x_label_area_size(s.px(48))
        .y_label_area_size(s.px(72))
        .build_cartesian_2d(axes.x[0]..axes.x[1], axes.y[0]..axes.y[1])?;
    chart
        .configure_mesh()
        .light_line_style(GRID.mix(0.0))
        .bold_line_style(GRID.stroke_width(s.px(1)))
        .axis_style(MUTED.stroke_width(s.px(1)))
        .set_all_tick_mark_size(s.px(5))
        .x_desc(axes.x_words)
        .y_desc(axes.y_words)
        .label_style(s.letters(MUTED))
        .axis_desc_style(s.letters(INK))
        .x_label_formatter(&|x| (axes.x_text)(x))
        .y_label_formatter(&percent)
        .x_labels(7)
        .y_labels(7)
        .draw()?;
    Ok(chart)
}

/// A row of names with their lines.
fn legend<DB: DrawingBackend>(area: &Area<DB>, entries: &[(&str, RGBColor, bool)], s: Scale) -> Drawn<DB> {
    let mut x = s.at(72);
    let y = s.at(16);
    for &(words, colour, line) in entries {
        if line {
            area.draw(&PathElement::new(vec![(x, y), (x + s.at(22), y)], colour.stroke_width(s.px(3))))?;
        } else {
            area.draw(&Circle::new((x + s.at(11), y), s.px(5), colour.filled()))?;
        }
        let style = s.beside(INK);
        area.draw(&Text::new(words.to_owned(), (x + s.at(30), y + s.at(2)), style.clone()))?;
        let (width, _) = area.estimate_text_size(words, &style)?;
        x += s.at(30) + width as i32 + s.at(26);
    }
    Ok(())
}

fn line<DB: DrawingBackend>(
    chart: &mut Chart<'_, DB>,
    points: &[(f64, f64)],
    (colour, width): (RGBColor, u32),
) -> Drawn<DB> {
    chart.draw_series(LineSeries::new(points.iter().copied(), colour.stroke_width(width)))?;
    Ok(())
}

fn band<DB: DrawingBackend>(chart: &mut Chart<'_, DB>, ends: &[(f64, [f64; 2])], colour: RGBColor) -> Drawn<DB> {
    let low = ends.iter().map(|&(x, [low, _])| (x, low));
    let high = ends.iter().rev().map(|&(x, [_, high])| (x, high));
    let outline: Vec<(f64, f64)> = low.chain(high).collect();
    if outline.len() > 4 {
        chart.draw_series(std::iter::once(Polygon::new(outline, colour.mix(0.18).filled())))?;
    }
    Ok(())
}

/// Where the words of a dot stand.
#[derive(Clone, Copy)]
enum Side {
    Left,
    Right,
    Below,
}

fn dot<DB: DrawingBackend>(
    chart: &mut Chart<'_, DB>,
    at: (f64, f64),
    (colour, words, side): (RGBColor, &str, Side),
    s: Scale,
) -> Drawn<DB> {
    let (offset, style) = match side {
        Side::Left => ((s.at(-10), s.at(-10)), s.before(colour)),
        Side::Right => ((s.at(10), s.at(12)), s.beside(colour)),
        Side::Below => ((0, s.at(9)), s.below(colour)),
    };
    let mark = EmptyElement::at(at)
        + Circle::new((0, 0), s.px(5), colour.filled())
        + Text::new(words.to_owned(), offset, style);
    chart.draw_series(std::iter::once(mark))?;
    Ok(())
}

/// The last part of a model's name, short enough for a plot.
fn short(model: &str) -> String {
    let name = model.rsplit('/').next().unwrap_or(model);
    if name.chars().count() > 26 {
        format!("{}…", name.chars().take(25).collect::<String>())
    } else {
        name.to_owned()
    }
}

/// Quality over cost: the router on its dial with its interval, single models, the best fixed mix, length and the oracle.
pub(super) fn cost_quality<DB: DrawingBackend>(area: &Area<DB>, report: &EvalReport, s: Scale) -> Drawn<DB> {
    area.fill(&PAPER)?;
    let share = report.models.len() == 2 && report.costs.source == CostSource::Unit;
    let factor = if report.costs.source == CostSource::Columns { 1000.0 } else { 1.0 };
    let words = match (share, report.costs.source) {
        (true, _) => format!("share of prompts sent to {}", short(&report.strong)),
        (false, CostSource::Columns) => "mean cost of 1,000 calls, US dollars".to_owned(),
        (false, CostSource::Prices) => "mean cost of a call, in the unit of the prices given".to_owned(),
        (false, CostSource::Unit) => "mean tier of the model that answers".to_owned(),
    };
    let singles: Vec<(&ModelFigures, Point)> =
        report.models.iter().filter_map(|model| Some((model, single(model)?))).collect();
    let oracle: Vec<Point> = curve(report, "oracle");
    let all = || {
        singles
            .iter()
            .map(|one| one.1)
            .chain(oracle.iter().copied())
            .chain(report.dial.iter().map(|point| Point { cost: point.cost.value, quality: point.quality.value }))
    };
    let x = padded(all().map(|point| point.cost * factor), 0.05);
    let y = padded(all().map(|point| point.quality), 0.10);
    let tick = |cost: &f64| if share { percent(cost) } else { number(*cost, x[1] - x[0]) };
    let (top, rest) = area.split_vertically(s.px(32));
    legend(
        &top,
        &[
            ("router", ROUTER, true),
            ("best fixed mix", MIX, true),
            ("longest first", LENGTH, true),
            ("oracle", ORACLE, true),
            ("single model", INK, false),
        ],
        s,
    )?;
    let y_words = "mean score";
    let mut chart = axes(&rest, &Axes { x, y, x_words: &words, y_words, x_text: &tick }, s)?;
    let at = |point: &Point| (point.cost * factor, point.quality);
    let ends: Vec<(f64, [f64; 2])> =
        report.dial.iter().filter_map(|point| Some((point.cost.value * factor, point.quality.ci?))).collect();
    band(&mut chart, &sorted(ends), ROUTER)?;
    let path = |points: &[Point]| sorted(points.iter().map(at).collect());
    line(&mut chart, &path(&oracle), (ORACLE, s.px(2)))?;
    line(&mut chart, &path(&curve(report, "length")), (LENGTH, s.px(2)))?;
    let mix = Frontier::of(&singles.iter().map(|one| one.1).collect::<Vec<Point>>());
    line(&mut chart, &path(mix.points()), (MIX, s.px(2)))?;
    let dial: Vec<(f64, f64)> =
        report.dial.iter().map(|point| (point.cost.value * factor, point.quality.value)).collect();
    line(&mut chart, &dial, (ROUTER, s.px(3)))?;
    let middle = f64::midpoint(x[0], x[1]);
    for (model, point) in &singles {
        let named = mix.points().contains(point) || model.model == report.weak || model.model == report.strong;
        let side = if point.cost * factor < middle { Side::Right } else { Side::Left };
        let words = if named { short(&model.model) } else { String::new() };
        dot(&mut chart, at(point), (if named { INK } else { MUTED }, &words, side), s)?;
    }
    let settings: Vec<Mark> = report.dial.iter().map(|point| mark(point, factor)).collect();
    for (point, words) in marks(&settings, [x[1] - x[0], y[1] - y[0]]) {
        dot(&mut chart, point, (ROUTER, &words, Side::Below), s)?;
    }
    Ok(())
}

/// A setting of the dial and where it stands in the plot.
type Mark = (f64, (f64, f64));

fn mark(point: &DialPoint, factor: f64) -> Mark {
    (point.dial, (point.cost.value * factor, point.quality.value))
}

/// How much of the plot's width and height the words of a mark take.
const WORDS: [f64; 2] = [0.08, 0.05];

/// A dot for every marked setting of the dial, with its words. Where words would cover those of the marks before, they are joined to them.
fn marks(settings: &[Mark], [width, height]: [f64; 2]) -> Vec<((f64, f64), String)> {
    let mut marks: Vec<((f64, f64), String)> = Vec::new();
    let is_marked = |dial: f64| MARKED.iter().any(|mark| (mark - dial).abs() < 1e-9);
    for &(dial, at) in settings.iter().filter(|(dial, _)| is_marked(*dial)) {
        let covers =
            |other: (f64, f64)| (at.0 - other.0).abs() < width * WORDS[0] && (at.1 - other.1).abs() < height * WORDS[1];
        match marks.iter_mut().find(|(other, words)| !words.is_empty() && covers(*other)) {
            Some((_, words)) => {
                *words += &format!(", {dial:.1}");
                marks.push((at, String::new()));
            }
            None => marks.push((at, format!("dial {dial:.1}"))),
        }
    }
    marks
}

/// The gap between the two models that is recovered, over the share of prompts sent to the stronger one.
pub(super) fn gap_recovered<DB: DrawingBackend>(area: &Area<DB>, report: &EvalReport, s: Scale) -> Drawn<DB> {
    area.fill(&PAPER)?;
    let (top, rest) = area.split_vertically(s.px(32));
    legend(&top, &[("router, with its 95 % interval", ROUTER, true), ("sending prompts up at random", MIX, true)], s)?;
    let highs = report.curve.iter().map(|point| point.recovered.ci.map_or(point.recovered.value, |ci| ci[1]));
    let lows = report.curve.iter().map(|point| point.recovered.ci.map_or(point.recovered.value, |ci| ci[0]));
    let y = [lows.fold(0.0, f64::min), highs.fold(1.05, f64::max)];
    let words = format!("share of prompts sent to {}", short(&report.strong));
    let y_words = "share of the quality gap recovered";
    let mut chart = axes(&rest, &Axes { x: [0.0, 1.0], y, x_words: &words, y_words, x_text: &percent }, s)?;
    let ends: Vec<(f64, [f64; 2])> =
        report.curve.iter().filter_map(|point| Some((point.share, point.recovered.ci?))).collect();
    band(&mut chart, &ends, ROUTER)?;
    line(&mut chart, &[(0.0, 0.0), (1.0, 1.0)], (MIX, s.px(2)))?;
    let own: Vec<(f64, f64)> = report.curve.iter().map(|point| (point.share, point.recovered.value)).collect();
    line(&mut chart, &own, (ROUTER, s.px(3)))
}

/// Predicted against observed success of each model, in bins of equal mass.
pub(super) fn reliability<DB: DrawingBackend>(area: &Area<DB>, report: &EvalReport, s: Scale) -> Drawn<DB> {
    area.fill(&PAPER)?;
    let (top, rest) = area.split_vertically(s.px(32));
    legend(&top, &[("a fifteenth of the prompts", ROUTER, false), ("perfectly calibrated", MIX, true)], s)?;
    let shown = shown(report);
    let rows = shown.len().div_ceil(2).max(1);
    for (panel, model) in rest.split_evenly((rows, 2)).iter().zip(&shown) {
        let ece = model.ece.map_or(String::new(), |ece| format!(", ECE {:.3}", ece.value));
        let (title, below) = panel.split_vertically(s.px(26));
        title.draw(&Text::new(format!("{}{ece}", short(&model.model)), (s.at(72), s.at(14)), s.beside(INK)))?;
        let x = [0.0, 1.0];
        let words = Axes { x, y: x, x_words: "predicted success", y_words: "observed score", x_text: &percent };
        let mut chart = axes(&below, &words, s)?;
        line(&mut chart, &[(0.0, 0.0), (1.0, 1.0)], (MIX, s.px(2)))?;
        let bins: Vec<(f64, f64)> = model.reliability.iter().map(|bin| (bin.predicted, bin.observed)).collect();
        line(&mut chart, &bins, (ROUTER, s.px(1)))?;
        chart.draw_series(bins.iter().map(|&bin| Circle::new(bin, s.px(5), ROUTER.filled())))?;
    }
    Ok(())
}

/// The models whose diagrams are drawn: the two ends first, then the others in file order.
pub(super) fn shown(report: &EvalReport) -> Vec<&ModelFigures> {
    let is_end = |model: &&ModelFigures| model.model == report.weak || model.model == report.strong;
    let ends = report.models.iter().filter(is_end);
    ends.chain(report.models.iter().filter(|model| !is_end(model))).take(MOST_DIAGRAMS).collect()
}

fn single(model: &ModelFigures) -> Option<Point> {
    Some(Point { cost: model.cost?.value, quality: model.score?.value })
}

fn curve(report: &EvalReport, name: &str) -> Vec<Point> {
    report.baselines.iter().find(|baseline| baseline.name == name).map_or_else(Vec::new, |found| found.points.clone())
}

fn sorted<T: Copy>(mut points: Vec<(f64, T)>) -> Vec<(f64, T)> {
    points.sort_by(|a, b| a.0.total_cmp(&b.0));
    points
}

/// The range of values with some room on both sides.
fn padded(values: impl Iterator<Item = f64>, room: f64) -> [f64; 2] {
    let (low, high) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), x| (low.min(x), high.max(x)));
    let extra = (high - low).max(1e-9) * room;
    [low - extra, high + extra]
}

/// A number with the digits that tell ticks of a span apart.
fn number(value: f64, span: f64) -> String {
    let digits = (1.0 - span.max(1e-12).log10()).ceil().clamp(0.0, 8.0) as usize;
    format!("{value:.digits$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(settings: &[Mark]) -> Vec<String> {
        marks(settings, [1.0, 1.0]).into_iter().map(|mark| mark.1).collect()
    }

    #[test]
    fn settings_that_cost_the_same_and_do_differently_well_are_marked_apart() {
        let steep = [(0.2, (0.50, 0.2)), (0.5, (0.52, 0.5)), (0.8, (0.54, 0.8))];

        assert_eq!(words(&steep), ["dial 0.2", "dial 0.5", "dial 0.8"]);
    }

    #[test]
    fn settings_that_fall_together_share_their_words_and_keep_their_dots() {
        let together = [(0.2, (0.50, 0.60)), (0.35, (0.9, 0.9)), (0.5, (0.50, 0.60)), (0.8, (0.51, 0.61))];

        assert_eq!(words(&together), ["dial 0.2, 0.5, 0.8", "", ""]);
        assert_eq!(marks(&together, [1.0, 1.0])[2].0, (0.51, 0.61));
    }

    #[test]
    fn words_are_joined_to_those_that_they_would_cover_and_to_no_others() {
        // The cost falls again at the last one, which stands on the first.
        let back = [(0.2, (0.50, 0.60)), (0.5, (0.70, 0.62)), (0.8, (0.51, 0.61))];

        assert_eq!(words(&back), ["dial 0.2, 0.8", "dial 0.5", ""]);
    }
}
