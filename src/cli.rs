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
    /// The directory of a transformer encoder, to train the careful scorer too.
    #[arg(long)]
    pub careful_encoder: Option<PathBuf>,
    /// Keep only rows whose column has this value, as in `use=train`. Repeat for more.
    #[arg(long = "where", value_name = "COLUMN=VALUE")]
    pub filters: Vec<String>,
    /// The column that names models, where it is not `model`.
    #[arg(long)]
    pub model_column: Option<String>,
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
    },
    /// Serve the bundle that served before.
    Rollback,
}
