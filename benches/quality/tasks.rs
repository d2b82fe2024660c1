//! The task head on held-out prompts.

use std::num::NonZeroUsize;

use trimtab::domain::prompt::Prompt;
use trimtab::domain::task::Task;
use trimtab::model::generation::{Generation, PrepareSettings};
use trimtab::train::metrics::bootstrap;
use trimtab::train::outcomes::Filter;
use trimtab::train::progress::Silent;
use trimtab::train::tasks::{TaskRows, class, read};

use crate::Plan;
use crate::row::{Bar, Row};

/// Training rows that a class must have to be measured.
const LEAST_ROWS: usize = 500;

pub(crate) fn rows(plan: &Plan) -> Vec<Row> {
    let part = |split: &str| -> TaskRows {
        let filters = [Filter { column: "split".to_owned(), value: split.to_owned() }];
        read(&plan.data.join("tasks.parquet"), &filters, &Silent).unwrap_or_else(|error| panic!("{error}"))
    };
    let mut counts = vec![0; Task::ALL.len()];
    for row in &part("train").rows {
        counts[class(row)] += 1;
    }
    let settings =
        PrepareSettings { slots: NonZeroUsize::MIN, careful: None, ..PrepareSettings::new(&plan.bundle, &plan.models) };
    let generation = Generation::prepare(&settings).unwrap_or_else(|error| panic!("{error}"));
    let guess = |text: &str| {
        let task = generation.score(&Prompt::from_ask(text)).map_or(Task::Other, |scores| scores.task().0);
        Task::ALL.iter().position(|one| *one == task).unwrap()
    };
    let items: Vec<(usize, usize)> = part("test").rows.iter().map(|row| (guess(&row.text), class(row))).collect();
    let large: Vec<usize> = (0..counts.len()).filter(|&at| counts[at] >= LEAST_ROWS).collect();
    let all: Vec<usize> = (0..counts.len()).filter(|&at| items.iter().any(|item| item.1 == at)).collect();
    let [low, high] = bootstrap(&items, (plan.rounds.min(300), 17), |sample| Some(f1(sample, &large))).unwrap();
    let worst = large.iter().copied().min_by(|&a, &b| f1(&items, &[a]).total_cmp(&f1(&items, &[b]))).unwrap();
    vec![Row {
        measure: format!("Task macro-F1, {} classes with {LEAST_ROWS} training rows", large.len()),
        bar: Bar::AtLeast(0.80),
        value: f1(&items, &large),
        spread: format!("[{low:.3}, {high:.3}]"),
        note: format!(
            "{} prompts; all {} classes {:.3}; weakest {} {:.3}",
            items.len(),
            all.len(),
            f1(&items, &all),
            Task::ALL[worst].as_str(),
            f1(&items, &[worst])
        ),
    }]
}

/// The mean F1 of some classes, with guesses of all classes counted.
fn f1(items: &[(usize, usize)], classes: &[usize]) -> f64 {
    let one = |class: usize| {
        let count =
            |is: fn(usize, (usize, usize)) -> bool| items.iter().filter(|item| is(class, **item)).count() as f64;
        let hits = count(|class, (guess, truth)| guess == class && truth == class);
        let both = count(|class, (guess, _)| guess == class) + count(|class, (_, truth)| truth == class);
        if both > 0.0 { 2.0 * hits / both } else { 0.0 }
    };
    classes.iter().map(|&class| one(class)).sum::<f64>() / classes.len().max(1) as f64
}
