//! What can go wrong offline, each with the remedy.

use std::path::{Path, PathBuf};

use crate::model::heads::read::Foreign;
use crate::train::outcomes::Filter;

/// Why a dataset was refused, or a training or evaluation stopped. Nothing is half-written in any of these cases.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// A file or directory could not be read or written.
    #[error("{doing} `{}`: {source}", path.display())]
    Io {
        /// What was being done, for example `reading`.
        doing: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The operating system's reason.
        source: std::io::Error,
    },
    /// A file has no rows at all.
    #[error("`{}` has no rows; give a file with at least one row per prompt and model", .0.display())]
    Empty(PathBuf),
    /// The file is of a kind that is not read.
    #[error("`{}` is neither Parquet nor JSON Lines; convert it to one of these (`.parquet`, `.jsonl`)", .0.display())]
    Format(PathBuf),
    /// A line is not UTF-8.
    #[error("`{}`, line {line}: not valid UTF-8; convert the whole file to UTF-8 (for example with `iconv -t utf-8`)", path.display())]
    Encoding {
        /// The file.
        path: PathBuf,
        /// The line, counted from one.
        line: u64,
    },
    /// A line is not a JSON object.
    #[error("`{}`, line {line}: {detail}; every line must be one JSON object", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// The line, counted from one.
        line: u64,
        /// What the parser said.
        detail: String,
    },
    /// A Parquet file cannot be decoded.
    #[error("`{}` is damaged or is not Parquet ({detail}); write or download it again", path.display())]
    Parquet {
        /// The file.
        path: PathBuf,
        /// What the reader said.
        detail: String,
    },
    /// A column that is needed is not there.
    #[error("`{}` has no column `{column}` (it has: {found}); {}", path.display(), rename(.typo.as_deref()))]
    MissingColumn {
        /// The file.
        path: PathBuf,
        /// The column.
        column: String,
        /// The columns that are there.
        found: String,
        /// The one of them that was probably meant.
        typo: Option<String>,
    },
    /// A value is missing or out of range.
    #[error("`{}`, row {row}, column `{column}`: {found}; expected {expected}", path.display())]
    Value {
        /// The file.
        path: PathBuf,
        /// The row, counted from one (the line, for JSON Lines).
        row: u64,
        /// The column.
        column: &'static str,
        /// What was found.
        found: String,
        /// What is allowed.
        expected: &'static str,
    },
    /// The filters leave nothing.
    #[error("no row of {files} satisfies {}; check the spelling of column and value", listed(.filters))]
    NothingSelected {
        /// The files read.
        files: String,
        /// The filters.
        filters: Vec<Filter>,
    },
    /// Every score is the same, so there is nothing to learn.
    #[error("every score is {score}; a router needs prompts that were answered well and prompts that were not")]
    SingleClass {
        /// The one score.
        score: f32,
    },
    /// One model only.
    #[error(
        "all rows are of the model `{model}`; a router needs outcomes of at least two models, or `--base` with a bundle to adapt"
    )]
    OneModel {
        /// The model.
        model: String,
    },
    /// All models fall in one tier.
    #[error("all models fall in the tier `{tier}`; say which models are weaker and stronger with `--tiers FILE`")]
    OneTier {
        /// The tier.
        tier: String,
    },
    /// Too few prompts to fit, calibrate and test on separate ones.
    #[error(
        "{found} distinct prompts are too few, at least {needed} are needed; add outcomes, or adapt a bundle with `--base`"
    )]
    TooFew {
        /// How many there are.
        found: usize,
        /// How many are needed.
        needed: usize,
    },
    /// The tier file cannot be used.
    #[error("tier file `{}`: {detail}", path.display())]
    Tiers {
        /// The file.
        path: PathBuf,
        /// What is wrong, with the remedy.
        detail: String,
    },
    /// The base bundle does not fit this encoder.
    #[error("the base bundle was made for the encoder {base}, not {given}; pass the encoder directory of that digest")]
    OtherEncoder {
        /// The digest the base names.
        base: String,
        /// The digest given.
        given: String,
    },
    /// Feedback alone cannot make a bundle.
    #[error("feedback moves a bundle that exists; say which with `--base DIRECTORY`")]
    FeedbackWithoutBase,
    /// No encoder was named and there is no base to take it from.
    #[error("no encoder was named; pass `--encoder DIRECTORY` or `--base DIRECTORY`")]
    NoEncoder,
    /// None of the feedback can be used.
    #[error("none of the {rows} feedback rows can be used: {reasons}")]
    UnusableFeedback {
        /// How many rows there were.
        rows: u64,
        /// Counts by reason, with remedies.
        reasons: String,
    },
    /// The evaluation names a model or dataset that the outcomes do not have.
    #[error("the outcomes have no {what} `{name}` (they have: {known}); check the spelling")]
    Unknown {
        /// `model` or `dataset`.
        what: &'static str,
        /// The name asked for.
        name: String,
        /// Some names that exist.
        known: String,
    },
    /// The pair to compare is the same, or never meets on a prompt.
    #[error("`{weak}` and `{strong}` share no prompt in the outcomes; name two models that answered the same prompts")]
    NoPairs {
        /// The weaker model.
        weak: String,
        /// The stronger model.
        strong: String,
    },
    /// The strong model is not better, so no share of its calls recovers a gap.
    #[error(
        "`{strong}` scores {strong_score:.3} and `{weak}` {weak_score:.3} on these prompts; swap `--weak` and `--strong`"
    )]
    NoGap {
        /// The weaker model.
        weak: String,
        /// Its mean score.
        weak_score: f64,
        /// The stronger model.
        strong: String,
        /// Its mean score.
        strong_score: f64,
    },
    /// A model cannot be added to a bundle.
    #[error("`{model}` cannot be added: {detail}")]
    Onboard {
        /// The model.
        model: String,
        /// Why, with the remedy.
        detail: String,
    },
    /// The dial cannot be set as asked.
    #[error("{what}: {detail}")]
    Dial {
        /// The option, or what is wrong.
        what: &'static str,
        /// Why, with the best that can be.
        detail: String,
    },
    /// Prices were given for some models only.
    #[error("no price was given for `{model}`; add `--price {model}=NUMBER`, or give none")]
    NoPrice {
        /// The model.
        model: String,
    },
    /// A tier file names a tier that the bundle does not have.
    #[error(
        "the tier file puts `{model}` in the tier `{tier}`, which the bundle does not have; use the bundle's tiers"
    )]
    NoTier {
        /// The model.
        model: String,
        /// The tier.
        tier: String,
    },
    /// Nothing says how strong a model is.
    #[error("the bundle does not know `{model}` and it has no cost to go by; name its tier with `--tiers FILE`")]
    NoPlace {
        /// The model.
        model: String,
    },
    /// There is nothing to route between.
    #[error(
        "`{model}` is both the cheapest model and the best one ({score:.3}), so nothing is gained by routing; choose other models with `--models`, or give costs with `--price`"
    )]
    CheapestIsBest {
        /// The model.
        model: String,
        /// Its mean score.
        score: f64,
    },
    /// The output directory holds something else.
    #[error("`{}` exists already; bundles are immutable, choose another output directory", .0.display())]
    OutputExists(PathBuf),
    /// The directory of a report holds something.
    #[error("`{}` exists already; choose another directory for the report, or remove it", .0.display())]
    ReportExists(PathBuf),
    /// A plot could not be drawn.
    #[error("drawing the plot of {what}: {detail}")]
    Plot {
        /// What it shows.
        what: &'static str,
        /// What the drawing library said.
        detail: String,
    },
    /// The encoder, heads, index or bundle code failed.
    #[error("{doing}: {detail}")]
    Model {
        /// What was being done.
        doing: &'static str,
        /// What the model room said.
        detail: String,
    },
    /// The numeric library failed.
    #[error("fitting {what}: {detail}")]
    Fit {
        /// Which head.
        what: &'static str,
        /// What it said.
        detail: String,
    },
    /// The caller asked to stop.
    #[error("interrupted; nothing was written")]
    Interrupted,
}

impl TrainError {
    /// Wraps an error of the operating system.
    pub(crate) fn io(doing: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self + use<> {
        let path = path.to_path_buf();
        move |source| Self::Io { doing, path, source }
    }

    /// Wraps an error of the model room.
    pub(crate) fn model<E: std::fmt::Display>(doing: &'static str) -> impl FnOnce(E) -> Self {
        move |error| Self::Model { doing, detail: error.to_string() }
    }

    /// Wraps an error of the numeric library.
    pub(crate) fn fit(what: &'static str) -> impl Fn(candle_core::Error) -> Self {
        move |error| Self::Fit { what, detail: error.to_string() }
    }
}

impl From<Foreign> for TrainError {
    fn from(foreign: Foreign) -> Self {
        Self::model("reading the heads of the base bundle")(foreign)
    }
}

fn rename(typo: Option<&str>) -> String {
    typo.map_or_else(|| "rename a column or add it".to_owned(), |typo| format!("did you mean `{typo}`? rename it"))
}

fn listed(filters: &[Filter]) -> String {
    let words: Vec<String> = filters.iter().map(|filter| format!("`{}={}`", filter.column, filter.value)).collect();
    words.join(" and ")
}
