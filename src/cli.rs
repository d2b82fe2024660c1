//! The command line, as clap reads it.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// A learned router for language models: scores every prompt on this machine and sends it to the cheapest adequate model.
#[derive(Debug, Parser)]
#[command(name = "trimtab", version, max_term_width = 110)]
pub struct Cli {
    /// The configuration file. Without it, `trimtab.toml` in the current directory is read if it is there.
    #[arg(long, short, global = true, env = "TRIMTAB_CONFIG")]
    pub config: Option<PathBuf>,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the server.
    Serve(ServeArgs),
    /// Decide for prompts, without calling a model.
    Route(RouteArgs),
    /// Train a bundle from outcomes and feedback.
    Train(Box<TrainArgs>),
    /// Measure a bundle on outcomes that it has not seen.
    Eval(Box<EvalArgs>),
    /// Add one model to a bundle from a few dozen labels, and say which prompts would teach most about it.
    Onboard(Box<OnboardArgs>),
    /// Find the setting of the dial that does what is asked on your own traffic.
    Calibrate(Box<CalibrateArgs>),
    /// Write the recorded decisions with their feedback, ready for `train --feedback`.
    Export(ExportArgs),
    /// List, verify, promote and roll back bundles.
    #[command(subcommand)]
    Bundle(BundleCommand),
    /// List the configured models with their tiers, prices and capabilities.
    Catalog,
    /// Say what is found where, and what to do about what is not.
    Doctor {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

/// Options of `serve`.
#[derive(Debug, Args)]
pub struct ServeArgs {
    /// Listen here instead of `server.listen`.
    #[arg(long)]
    pub listen: Option<SocketAddr>,
    /// Administration here instead of `server.admin_listen`.
    #[arg(long)]
    pub admin_listen: Option<SocketAddr>,
    /// Only check the configuration, and say what is wrong with it.
    #[arg(long)]
    pub check: bool,
}

/// Options of `route`.
#[derive(Debug, Args)]
pub struct RouteArgs {
    /// The prompt. Without it, or as `-`, standard input is read.
    pub prompt: Option<String>,
    /// Files to read instead: text files are one prompt each; `.jsonl` files hold one per line (a text, or an object with `prompt` or `messages`).
    #[arg(long, short)]
    pub file: Vec<PathBuf>,
    /// The policy.
    #[arg(long)]
    pub policy: Option<String>,
    /// The dial, 0 cheapest to 1 best.
    #[arg(long)]
    pub quality: Option<f64>,
    /// The least gain in success probability that justifies a stronger model, -1 to 1.
    #[arg(long, conflicts_with = "quality", allow_negative_numbers = true)]
    pub threshold: Option<f64>,
    /// Print JSON, one decision per line.
    #[arg(long)]
    pub json: bool,
    /// Show every task and signal.
    #[arg(long)]
    pub explain: bool,
}

/// Options of `train`.
#[derive(Debug, Args)]
pub struct TrainArgs {
    /// Outcomes: Parquet or JSON Lines with `prompt_id, prompt, model, score`. Repeat for more files.
    #[arg(long)]
    pub outcomes: Vec<PathBuf>,
    /// Task labels: Parquet or JSON Lines with `prompt, category`.
    #[arg(long)]
    pub tasks: Option<PathBuf>,
    /// An export of `trimtab export`, to learn from feedback.
    #[arg(long)]
    pub feedback: Option<PathBuf>,
    /// The bundle to start from: its heads are the prior that the data moves.
    #[arg(long)]
    pub base: Option<PathBuf>,
    /// The directory of the encoder. Without it, the base's, or the only static one of the model directory.
    #[arg(long)]
    pub encoder: Option<PathBuf>,
    /// The directory of a transformer encoder, to train the careful scorer too. With --base the base's is found by itself where it is installed.
    #[arg(long)]
    pub careful_encoder: Option<PathBuf>,
    /// Keep only rows whose column has this value, as in `use=train`. Repeat for more.
    #[arg(long = "where", value_name = "COLUMN=VALUE")]
    pub filters: Vec<String>,
    /// The column that names models, where it is not `model`.
    #[arg(long)]
    pub model_column: Option<String>,
    /// Leave out the rows of this model. Repeat for more.
    #[arg(long = "without-model", value_name = "NAME")]
    pub without_models: Vec<String>,
    /// Keep only task rows whose column has this value. Repeat for more.
    #[arg(long = "tasks-where", value_name = "COLUMN=VALUE")]
    pub task_filters: Vec<String>,
    /// Outcomes whose prompts must stay unseen: they, and training prompts nearly the same as one of them, are left out.
    #[arg(long)]
    pub unseen: Vec<PathBuf>,
    /// Keep only unseen rows whose column has this value. Repeat for more.
    #[arg(long = "unseen-where", value_name = "COLUMN=VALUE")]
    pub unseen_filters: Vec<String>,
    /// The bundle's name. Without it, the moment and a digest of the data.
    #[arg(long)]
    pub id: Option<String>,
    /// A TOML table from models to tiers. Without it, tiers are drawn from the models' mean scores.
    #[arg(long)]
    pub tiers: Option<PathBuf>,
    /// Where to write the bundle. The directory must not exist.
    #[arg(long)]
    pub out: PathBuf,
    /// The seed of every random choice.
    #[arg(long, default_value_t = 17)]
    pub seed: u64,
    /// Threads to use; 0 means all cores.
    #[arg(long, default_value_t = 0)]
    pub threads: usize,
    /// The most that one caller's feedback may weigh, as a share of all. Without it, `training.caller_share` of the configuration.
    #[arg(long)]
    pub caller_share: Option<f64>,
    /// Serve the bundle at once if its gates pass.
    #[arg(long)]
    pub promote: bool,
    /// Print the report as JSON.
    #[arg(long)]
    pub json: bool,
}

/// Options of `eval`.
#[derive(Debug, Args)]
pub struct EvalArgs {
    /// The bundle.
    #[arg(long, required_unless_present = "compare", conflicts_with = "compare")]
    pub bundle: Option<PathBuf>,
    /// Two bundles: say whether the second is better than the first.
    #[arg(long, num_args = 2, value_names = ["A", "B"])]
    pub compare: Vec<PathBuf>,
    /// Outcomes: Parquet or JSON Lines. Repeat for more files.
    #[arg(long, required = true)]
    pub outcomes: Vec<PathBuf>,
    /// Only this dataset.
    #[arg(long)]
    pub dataset: Option<String>,
    /// Keep only rows whose column has this value. Repeat for more.
    #[arg(long = "where", value_name = "COLUMN=VALUE")]
    pub filters: Vec<String>,
    /// The weaker of two models, as the file names it. Without a pair, all models that answered the same prompts are compared.
    #[arg(long, requires = "strong")]
    pub weak: Option<String>,
    /// The stronger of two models, as the file names it.
    #[arg(long, requires = "weak")]
    pub strong: Option<String>,
    /// Only these models, instead of a pair.
    #[arg(long = "only", value_name = "MODEL", value_delimiter = ',', conflicts_with = "weak")]
    pub only: Vec<String>,
    /// What a call costs, in any unit. Without it the cost columns of the file count or, where it has none, units. Repeat per model.
    #[arg(long = "price", value_name = "MODEL=NUMBER")]
    pub prices: Vec<String>,
    /// A TOML table from models to tiers. Without it, models are placed among the tiers by cost.
    #[arg(long)]
    pub tiers: Option<PathBuf>,
    /// Write a page with plots, and the plots as PNG files, to this directory, which must not exist.
    #[arg(long, value_name = "DIR", conflicts_with = "compare")]
    pub report: Option<PathBuf>,
    /// The seed of ties and of the bootstrap.
    #[arg(long, default_value_t = 17)]
    pub seed: u64,
    /// Bootstrap rounds for the intervals.
    #[arg(long, default_value_t = 1000)]
    pub bootstrap: usize,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// Options of `onboard`.
#[derive(Debug, Args)]
pub struct OnboardArgs {
    /// The model, as the outcomes and the configuration name it.
    #[arg(long)]
    pub model: String,
    /// Outcomes with rows of the model: Parquet or JSON Lines. Repeat for more files.
    #[arg(long)]
    pub outcomes: Vec<PathBuf>,
    /// The bundle, by directory or id. Without it, the one that serves.
    #[arg(long)]
    pub bundle: Option<String>,
    /// The tier the model is thought to belong to. Without it, the labels alone say.
    #[arg(long)]
    pub tier: Option<String>,
    /// Where to write the new bundle. The directory must not exist.
    #[arg(long)]
    pub out: Option<PathBuf>,
    /// The new bundle's name. Without it, the old one's with the moment.
    #[arg(long)]
    pub id: Option<String>,
    /// Keep only rows whose column has this value, as in `use=train`. Repeat for more.
    #[arg(long = "where", value_name = "COLUMN=VALUE")]
    pub filters: Vec<String>,
    /// The column that names models, where it is not `model`.
    #[arg(long)]
    pub model_column: Option<String>,
    /// Use only this many labels, drawn by the seed.
    #[arg(long)]
    pub labels: Option<usize>,
    /// The standard error of the mean success that is good enough; the report says how many labels it takes.
    #[arg(long, default_value_t = 0.03)]
    pub standard_error: f64,
    /// Print this many prompts that would teach most, as JSON Lines.
    #[arg(long, value_name = "N")]
    pub anchors: Option<usize>,
    /// Choose them from this file of prompts. Without it, from the prompts that come with trimtab.
    #[arg(long)]
    pub prompts: Option<PathBuf>,
    /// The seed of every random choice.
    #[arg(long, default_value_t = 17)]
    pub seed: u64,
    /// Print the report as JSON.
    #[arg(long)]
    pub json: bool,
}

/// Options of `calibrate`.
#[derive(Debug, Args)]
pub struct CalibrateArgs {
    /// The bundle, by directory or id. Without it, the one that serves.
    #[arg(long)]
    pub bundle: Option<String>,
    /// Outcomes of the models on the same prompts: Parquet or JSON Lines. Repeat for more files.
    #[arg(long)]
    pub outcomes: Vec<PathBuf>,
    /// Keep only rows whose column has this value, as in `use=train`. Repeat for more.
    #[arg(long = "where", value_name = "COLUMN=VALUE")]
    pub filters: Vec<String>,
    /// The column that names models, where it is not `model`.
    #[arg(long)]
    pub model_column: Option<String>,
    /// An export of `trimtab export`; without a file, the server's own store.
    #[arg(long, value_name = "FILE", num_args = 0..=1, conflicts_with = "outcomes")]
    pub log: Option<Option<PathBuf>>,
    /// Send this share of traffic to stronger models than the cheapest, 0 to 1. Needs no labels.
    #[arg(long, value_name = "SHARE", allow_negative_numbers = true)]
    pub share_strong: Option<f64>,
    /// Keep at least this part of the strongest model's quality, with confidence `1 - delta`.
    #[arg(long, value_name = "PART", allow_negative_numbers = true)]
    pub target_quality: Option<f64>,
    /// Cost at most this many US dollars for a thousand calls. Needs prices and no labels.
    #[arg(long, value_name = "USD", allow_negative_numbers = true)]
    pub max_cost_per_1k: Option<f64>,
    /// The chance that a promised quality is not kept.
    #[arg(long, default_value_t = 0.05)]
    pub delta: f64,
    /// The weaker of two models, instead of all configured ones.
    #[arg(long)]
    pub weak: Option<String>,
    /// The stronger of them.
    #[arg(long)]
    pub strong: Option<String>,
    /// Write a bundle whose dial is fitted on this traffic. The directory must not exist.
    #[arg(long)]
    pub out: Option<PathBuf>,
    /// Its name. Without it, the old one's with the moment.
    #[arg(long)]
    pub id: Option<String>,
    /// Orders the asks and resamples.
    #[arg(long, default_value_t = 17)]
    pub seed: u64,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// Options of `export`.
#[derive(Debug, Args)]
pub struct ExportArgs {
    /// The format.
    #[arg(long, value_enum, default_value_t = ExportFormat::Jsonl)]
    pub format: ExportFormat,
    /// The file to write. Without it, JSON Lines go to standard output.
    #[arg(long, short)]
    pub out: Option<PathBuf>,
    /// Only decisions that have feedback.
    #[arg(long)]
    pub with_feedback: bool,
    /// Leave prompt texts out, whatever was stored.
    #[arg(long)]
    pub no_prompts: bool,
}

/// The format of an export.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ExportFormat {
    /// JSON Lines.
    Jsonl,
    /// Parquet.
    Parquet,
}

/// What to do with bundles.
#[derive(Debug, Subcommand)]
pub enum BundleCommand {
    /// List the bundles of the model directory.
    List {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Check every digest, shape and golden row of a bundle.
    Verify {
        /// The bundle's directory or id. Without it, the current one.
        bundle: Option<String>,
    },
    /// Serve a bundle. A running server takes it up within a second.
    Promote {
        /// The bundle's directory or id.
        bundle: String,
        /// Serve it even though it failed a gate.
        #[arg(long)]
        force: bool,
    },
    /// Serve the bundle that served before.
    Rollback,
}
