//! Why a bundle is refused and why an inference fails.

use std::path::{Path, PathBuf};

use crate::model::runtime::RuntimeError;

/// Why a bundle or an encoder cannot be used. Nothing has changed when one of these is returned: whatever served goes on serving.
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    /// A file that the manifest names is not there.
    #[error("`{file}` is missing from {}; restore it or train the bundle again, then run `trimtab bundle verify`", directory.display())]
    Missing {
        /// The bundle or encoder directory.
        directory: PathBuf,
        /// The path inside it.
        file: String,
    },
    /// A file has other content than the manifest says.
    #[error(
        "`{file}` has digest {found}, the manifest says {expected}; run `trimtab bundle verify`, then restore the file"
    )]
    Digest {
        /// The path inside the directory.
        file: String,
        /// What the manifest says.
        expected: String,
        /// What the file has.
        found: String,
    },
    /// A file has another length than the manifest says, or is larger than it may be.
    #[error("`{file}` has {found} bytes, expected {expected}; run `trimtab bundle verify`, then restore the file")]
    Size {
        /// The path inside the directory.
        file: String,
        /// The length that is right, or the most that is allowed.
        expected: u64,
        /// The length it has.
        found: u64,
    },
    /// The manifest belongs to another version of the format.
    #[error("`{file}` has {what} {found}, this build reads {supported}; use a bundle made by this version of trimtab")]
    Schema {
        /// Which file.
        file: String,
        /// Which number is foreign.
        what: &'static str,
        /// What the file has.
        found: u32,
        /// What this build reads.
        supported: u32,
    },
    /// A JSON file cannot be read.
    #[error("`{file}` is not valid: {source}; run `trimtab bundle verify`, then restore the file")]
    Manifest {
        /// Which file.
        file: String,
        /// What is wrong with it, and where.
        source: serde_json::Error,
    },
    /// A manifest says something that cannot be true.
    #[error("`{file}` is inconsistent: {problem}; train the bundle again")]
    Inconsistent {
        /// Which file.
        file: String,
        /// What contradicts what.
        problem: String,
    },
    /// A path in a manifest leaves its directory.
    #[error("the path `{path}` leaves its directory; a manifest may only name files beside it")]
    Path {
        /// The offending path.
        path: String,
    },
    /// Two parts speak of embeddings of different lengths.
    #[error("{what} has dimension {found}, expected {expected}; the parts of this bundle do not belong together")]
    Dimension {
        /// Which part.
        what: String,
        /// What the rest of the bundle has.
        expected: usize,
        /// What this part has.
        found: usize,
    },
    /// A graph has other inputs or outputs than it should.
    #[error("`{file}` does not fit: {problem}; it was exported for another version or bundle")]
    Shape {
        /// The graph.
        file: String,
        /// What differs.
        problem: String,
    },
    /// The bundle answers a golden row differently from when it was made.
    #[error("golden row {row} differs: {problem}; the bundle, its encoder and this build do not belong together")]
    Golden {
        /// The line in `golden.jsonl`, from 1.
        row: usize,
        /// What differs.
        problem: String,
    },
    /// The calibration is unusable or was fitted for something else.
    #[error("`{file}` cannot be used: {problem}; run `trimtab calibrate`")]
    Calibration {
        /// The calibration file.
        file: String,
        /// What is wrong.
        problem: String,
    },
    /// The neighbour index is unusable.
    #[error("`{file}` cannot be used: {problem}; run `trimtab bundle verify`, then train the bundle again")]
    Index {
        /// The file of the index.
        file: String,
        /// What is wrong.
        problem: String,
    },
    /// The encoder is absent or is not the one the bundle was trained with.
    #[error("encoder {digest} cannot be used: {problem}")]
    Encoder {
        /// The digest the bundle asks for.
        digest: String,
        /// What is wrong and what to do.
        problem: String,
    },
    /// ONNX Runtime is absent or unusable.
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
    /// ONNX Runtime refused a graph or a device.
    #[error("ONNX Runtime cannot open `{file}`: {source}")]
    Graph {
        /// The graph.
        file: String,
        /// What ONNX Runtime said.
        source: ort::Error,
    },
    /// The device that was asked for is not there.
    #[error(
        "device `cuda` is not available: {source}; run `make runtime-gpu`, or set `device = \"cpu\"` or `\"auto\"`"
    )]
    Device {
        /// What ONNX Runtime said.
        source: ort::Error,
    },
    /// The bundle loads but cannot score.
    #[error("the first scoring failed: {0}")]
    WarmUp(#[from] InferenceError),
    /// Something is already where the bundle should go.
    #[error("{} already exists; choose another directory or remove it", path.display())]
    Exists {
        /// The destination.
        path: PathBuf,
    },
    /// There is nothing to go back to.
    #[error("there is no earlier bundle to go back to; see `trimtab bundle list`")]
    NoEarlier,
    /// A file or directory cannot be read or written.
    #[error("{}: {source}{}", path.display(), room(source))]
    Io {
        /// Which one.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Preparing stopped in the middle, by a defect of ours or of a library.
    #[error("preparing {} failed inside: {problem}; please report it", path.display())]
    Defect {
        /// The bundle.
        path: PathBuf,
        /// What was said.
        problem: String,
    },
}

/// What to do where a disk is full.
fn room(source: &std::io::Error) -> &'static str {
    use std::io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    if matches!(source.kind(), FileTooLarge | QuotaExceeded | StorageFull) {
        "; nothing is left of what was begun, so make room there and start again"
    } else {
        ""
    }
}

impl PrepareError {
    /// Wraps what the system said about a path.
    pub(crate) fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Io { path, source }
    }

    /// A low-cardinality word for metrics.
    #[must_use]
    pub const fn metric_label(&self) -> &'static str {
        match self {
            Self::Missing { .. } => "missing",
            Self::Digest { .. } => "digest",
            Self::Size { .. } => "size",
            Self::Schema { .. } => "schema",
            Self::Manifest { .. } => "manifest",
            Self::Inconsistent { .. } => "inconsistent",
            Self::Path { .. } => "path",
            Self::Dimension { .. } => "dimension",
            Self::Shape { .. } => "shape",
            Self::Golden { .. } => "golden",
            Self::Calibration { .. } => "calibration",
            Self::Index { .. } => "index",
            Self::Encoder { .. } => "encoder",
            Self::Runtime(_) => "runtime",
            Self::Graph { .. } => "graph",
            Self::Device { .. } => "device",
            Self::WarmUp(_) => "warm_up",
            Self::Exists { .. } => "exists",
            Self::NoEarlier => "no_earlier",
            Self::Io { .. } => "io",
            Self::Defect { .. } => "defect",
        }
    }
}

/// Why a loaded model gave no answer. Inside the room; outward it becomes a `ScoreFailure`.
#[derive(Debug, thiserror::Error)]
pub enum InferenceError {
    /// The tokeniser refused the text.
    #[error("the tokeniser failed: {0}")]
    Tokenizer(String),
    /// ONNX Runtime failed.
    #[error("ONNX Runtime failed: {0}")]
    Runtime(#[from] ort::Error),
    /// A token is not in the encoder's table.
    #[error("token {token} is none of the encoder's {tokens}")]
    Token {
        /// The token's number.
        token: i64,
        /// How many tokens there are, numbered from 0.
        tokens: usize,
    },
    /// A graph gave numbers of another shape than it declares.
    #[error("output `{output}` has {found} numbers, expected {expected}")]
    Shape {
        /// Which output.
        output: &'static str,
        /// How many numbers it should have.
        expected: usize,
        /// How many it has.
        found: usize,
    },
    /// A graph gave NaN or infinity.
    #[error("output `{output}` holds a number that is not finite")]
    NotFinite {
        /// Which output.
        output: &'static str,
    },
    /// A further session cannot be opened.
    #[error(transparent)]
    Session(Box<PrepareError>),
    /// A defect inside a library unwound.
    #[error("scoring stopped inside: {0}")]
    Panicked(String),
    /// The worker that held the request is gone.
    #[error("the worker stopped")]
    WorkerGone,
}

/// What a caught panic said.
pub(crate) fn panic_text(payload: &(dyn std::any::Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_else(|| "a panic without a message".to_owned())
}
