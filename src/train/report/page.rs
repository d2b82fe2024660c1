//! The page.

use std::fmt::Write as _;

use crate::train::evaluate::{EvalReport, Figure, Slice};
use crate::train::report::pictures::Plot;
use crate::train::report::words::{count, findings, measure, or_dash, percent, plain, signed};

const STYLE: &str = include_str!("style.css");

/// The whole page. Nothing in it is fetched from anywhere.
pub(super) fn html(report: &EvalReport, drawings: &[(Plot, String)]) -> String {
    let title = format!("How well {} routes", escape(&report.bundle));
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n<h1>{title}</h1>\n"
    );
    let _ = writeln!(page, "<p class=\"lead\">{}</p>", escape(&subject(report)));
    page += "<h2>Findings</h2>\n<ul class=\"findings\">\n";
    for (point, rest) in findings(report) {
        let _ = writeln!(page, "<li><b>{}</b> {}</li>", escape(&point), escape(&rest));
    }
    page += "</ul>\n";
    for (plot, drawing) in drawings {
        let (heading, caption) = about(*plot, report);
        let _ = writeln!(
            page,
            "<h2>{heading}</h2>\n<figure>\n<div class=\"plot\">{}</div>\n<figcaption>{}</figcaption>\n</figure>",
            inline(drawing, heading),
            escape(&caption)
        );
    }
    page += &models(report);
    page += &baselines(report);
    page += &settings(report);
    page += &slices(report);
    page += &method(report);
    page += "</main>\n</body>\n</html>\n";
    page
}

fn subject(report: &EvalReport) -> String {
    let count = report.models.len();
    let between = if count == 2 {
        format!("between {} and {}", report.weak, report.strong)
    } else {
        format!("among {count} models")
    };
    format!(
        "{} prompts, routed {between}, with the code that serves. Figures in brackets are 95 % intervals.",
        report.n
    )
}

fn about(plot: Plot, report: &EvalReport) -> (&'static str, String) {
    match plot {
        Plot::CostQuality => (
            "Quality over cost",
            format!(
                "The dial moves along the blue line; the band is its 95 % interval. Above and to the left is better. The orange line is what mixing single models at random reaches. Here {}.",
                report.costs.words.replace('`', "")
            ),
        ),
        Plot::GapRecovered => (
            "How much of the gap is recovered",
            format!(
                "Prompts are sent to {} in the router's order. The area under the line is the APGR; a shuffle follows the straight line.",
                report.strong
            ),
        ),
        Plot::Reliability => (
            "Whether probabilities mean what they say",
            "Each dot is a fifteenth of the prompts. Dots above the line: the model does better than predicted; below: worse.".to_owned(),
        ),
    }
}

/// An SVG that scales with the page and says what it is.
fn inline(drawing: &str, name: &str) -> String {
    let body = drawing.find("<svg").and_then(|at| drawing.get(at..)).unwrap_or_default();
    let size = |attribute: &str| {
        let (_, rest) = body.split_once(&format!("{attribute}=\""))?;
        rest.split('"').next()?.parse::<u32>().ok()
    };
    let inner = body.split_once('>').map_or("", |(_, inner)| inner);
    let (width, height) = (size("width").unwrap_or(1), size("height").unwrap_or(1));
    format!("<svg viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"{}\">{inner}", escape(name))
}

fn table(heading: &str, columns: &[&str], rows: &[Vec<String>]) -> String {
    let mut text = format!("<h2>{heading}</h2>\n<div class=\"wide\"><table>\n<thead><tr>");
    for column in columns {
        let _ = write!(text, "<th scope=\"col\">{column}</th>");
    }
    text += "</tr></thead>\n<tbody>\n";
    for row in rows {
        text += "<tr>";
        for (at, cell) in row.iter().enumerate() {
            let cell = figures(cell);
            let _ = if at == 0 {
                write!(text, "<th scope=\"row\">{cell}</th>")
            } else {
                write!(text, "<td{}>{cell}</td>", kind(&cell))
            };
        }
        text += "</tr>\n";
    }
    text + "</tbody>\n</table></div>\n"
}

/// Figures stay on one line, words may break.
fn kind(cell: &str) -> &'static str {
    if cell.starts_with(|first: char| first.is_ascii_digit() || "+-–".contains(first)) { " class=\"n\"" } else { "" }
}

/// A cell whose interval is set back.
fn figures(cell: &str) -> String {
    match cell.split_once(" [") {
        Some((value, rest)) => format!("{} <span class=\"ci\">[{}</span>", escape(value), escape(rest)),
        None => escape(cell),
    }
}

fn models(report: &EvalReport) -> String {
    let money = |figure: Figure| format!("{:.4}", figure.value);
    let row = |model: &crate::train::evaluate::ModelFigures| {
        vec![
            model.model.clone(),
            model.judged_by.clone(),
            or_dash(model.score, percent),
            or_dash(model.cost, money),
            or_dash(model.auc, plain),
            or_dash(model.ece, plain),
            or_dash(model.brier, plain),
        ]
    };
    let cost = format!("Mean cost ({})", report.costs.unit);
    let columns = ["Model", "Judged by", "Mean score", &cost, "AUC", "ECE", "Brier"];
    table("Models and their predictions", &columns, &report.models.iter().map(row).collect::<Vec<_>>())
}

fn baselines(report: &EvalReport) -> String {
    let own = Figure { value: report.apgr, ci: report.apgr_ci };
    let none = || "–".to_owned();
    let mut rows = vec![vec![
        "router".to_owned(),
        "this bundle".to_owned(),
        plain(own),
        or_dash(report.aiq.router, plain),
        none(),
    ]];
    for one in &report.baselines {
        rows.push(vec![
            one.name.to_owned(),
            one.words.to_owned(),
            or_dash(one.apgr, plain),
            or_dash(one.aiq, plain),
            or_dash(one.quality, percent),
        ]);
    }
    let mut text =
        table("Against ways that need no router", &["Way", "What it does", "APGR", "AIQ", "Mean score"], &rows);
    let rows: Vec<Vec<String>> = report
        .differences
        .iter()
        .map(|one| {
            let claim = if one.clear { "shown" } else { "not shown: the interval holds zero" };
            vec![format!("{} over {}", measure(one.measure), one.over), signed(one.lead), claim.to_owned()]
        })
        .collect();
    text += &table("The router’s lead", &["Lead", "Figure", "Claim"], &rows);
    text
}

fn settings(report: &EvalReport) -> String {
    let mut rows = Vec::new();
    for one in &report.escalation {
        let at = report.dial.iter().find(|point| (point.dial - one.dial).abs() < 1e-9);
        rows.push(vec![
            format!("dial {:.1}", one.dial),
            or_dash(at.map(|point| point.quality), percent),
            or_dash(one.share, percent),
            or_dash(one.precision, percent),
            or_dash(one.recall, percent),
        ]);
    }
    let columns = [
        "Setting",
        "Mean score",
        "Sent up",
        "Precision: of those sent up, needed it",
        "Recall: of those that needed it, sent up",
    ];
    let mut text = table("Settings of the dial", &columns, &rows);
    let rows: Vec<Vec<String>> = report
        .savings
        .iter()
        .map(|one| {
            vec![
                format!("{} points", one.loss_points),
                or_dash(one.calls, percent),
                or_dash(one.cost, percent),
                or_dash(one.calls_by_mixing, percent),
            ]
        })
        .collect();
    let columns =
        ["Quality given up, at most", "Strong calls saved", "Cost saved", "Strong calls saved by a random mix"];
    text += &table("Savings at equal quality", &columns, &rows);
    text
}

fn slices(report: &EvalReport) -> String {
    let row = |slice: &Slice| {
        let name = format!("{}: {}", slice.by, slice.value);
        if !slice.measured {
            let mut row = vec![name, count(slice.n), "too few".to_owned()];
            row.resize(8, String::new());
            return row;
        }
        let saved = slice.savings.iter().find(|saving| saving.loss_points == 1).and_then(|saving| saving.calls);
        vec![
            name,
            count(slice.n),
            or_dash(slice.apgr, plain),
            or_dash(slice.apgr_minus_length, signed),
            or_dash(slice.aiq_minus_mix, signed),
            or_dash(saved, percent),
            or_dash(slice.ece, plain),
            or_dash(slice.brier, plain),
        ]
    };
    let columns = [
        "Slice",
        "Prompts",
        "APGR",
        "Lead over length (APGR)",
        "Lead over mix (AIQ)",
        "Strong calls saved, 1 point lost",
        "ECE",
        "Brier",
    ];
    table("By dataset, task, language and length", &columns, &report.slices.iter().map(row).collect::<Vec<_>>())
}

fn method(report: &EvalReport) -> String {
    let lines = [
        "<b>APGR</b>: prompts are sent to the stronger model in the router’s order; PGR is the share of the quality gap recovered so far, and APGR the area under it. A shuffle has 0.5.".to_owned(),
        "<b>CPT</b>: the share of strong calls at which 20, 50 or 80 % of the gap is first recovered.".to_owned(),
        "<b>AIQ</b>: the mean quality over budgets from the cheapest to the dearest model, on the non-decreasing convex hull of cost and quality (RouterBench).".to_owned(),
        "<b>ECE</b>: the mean distance of predicted and observed success in fifteen bins of equal mass. With few prompts it is above zero by chance alone.".to_owned(),
        "<b>Precision and recall</b>: a prompt needed the stronger model if that model scored higher on it.".to_owned(),
        format!(
            "Intervals: paired bootstrap over prompts, {} rounds, seed {}. {} prompts and {} models of the file were left out, since not every model answered every prompt. {} prompts could not be scored.",
            report.rounds, report.seed, report.prompts_left_out, report.models_left_out, report.unscored
        ),
        format!("Scoring took {:.0} µs a prompt at the median and {:.0} µs at the 99th percentile, on one thread.", report.p50_us, report.p99_us),
        "All figures, with more digits: <code>report.json</code> beside this page.".to_owned(),
    ];
    let items: String = lines.iter().map(|line| format!("<li>{line}</li>\n")).collect();
    format!("<h2>How to read this</h2>\n<ul class=\"method\">\n{items}</ul>\n")
}

/// Text that cannot be taken for markup.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
