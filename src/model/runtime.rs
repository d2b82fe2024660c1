//! Finding and starting ONNX Runtime, once per process.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};

use ort::environment::Environment;

use crate::model::error::panic_text;

/// The environment variable that names the library, or the directory it is in.
pub const PATH_VARIABLE: &str = "ORT_DYLIB_PATH";

/// Why ONNX Runtime cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    /// There is no library.
    #[error(transparent)]
    Missing(#[from] RuntimeMissing),
    /// There is one, but it does not load or is too old.
    #[error("ONNX Runtime at {} cannot be used: {problem}; run `make runtime`", path.display())]
    Unusable {
        /// The library.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
}

/// ONNX Runtime was not found. Names every place that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("ONNX Runtime was not found; run `make runtime`, or set {PATH_VARIABLE}; looked in: {}", self.list())]
pub struct RuntimeMissing {
    /// The files and directories that were looked at, in order.
    pub looked_in: Vec<PathBuf>,
}

impl RuntimeMissing {
    fn list(&self) -> String {
        let places: Vec<String> = self.looked_in.iter().map(|place| place.display().to_string()).collect();
        places.join(", ")
    }
}

/// Where to look. An explicit place is the only place: a wrong one is an error, never silently replaced.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Search {
    /// The library or its directory, as configured or as the environment says.
    pub explicit: Option<PathBuf>,
    /// The running program.
    pub executable: Option<PathBuf>,
    /// The current directory.
    pub current: Option<PathBuf>,
    /// The places the system's loader looks at.
    pub system: Vec<PathBuf>,
}

impl Search {
    /// The search this process would make.
    #[must_use]
    pub fn of_process() -> Self {
        let listed = |name: &str| std::env::var_os(name).map(|paths| std::env::split_paths(&paths).collect::<Vec<_>>());
        let mut system: Vec<PathBuf> =
            ["LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH"].into_iter().filter_map(listed).flatten().collect();
        system.extend(SYSTEM_DIRECTORIES.iter().map(PathBuf::from));
        Self {
            explicit: std::env::var_os(PATH_VARIABLE).filter(|path| !path.is_empty()).map(PathBuf::from),
            executable: std::env::current_exe().ok(),
            current: std::env::current_dir().ok(),
            system,
        }
    }

    /// Finds the library.
    ///
    /// # Errors
    /// Lists every place looked at when there is none.
    pub fn locate(&self) -> Result<PathBuf, RuntimeMissing> {
        let places = self.places();
        let found = places.iter().find_map(|place| library_at(place));
        found.ok_or(RuntimeMissing { looked_in: places })
    }

    fn places(&self) -> Vec<PathBuf> {
        if let Some(explicit) = &self.explicit {
            return vec![explicit.clone()];
        }
        let directory = self.executable.as_deref().and_then(Path::parent);
        let mut places: Vec<PathBuf> = directory.iter().map(PathBuf::from).collect();
        places.extend(self.current.iter().map(|current| current.join(".runtime")));
        places.extend(directory.iter().flat_map(|directory| directory.ancestors()).map(|above| above.join(".runtime")));
        places.extend(self.system.iter().cloned());
        let mut seen = std::collections::HashSet::new();
        places.retain(|place| seen.insert(place.clone()));
        places
    }
}

const SYSTEM_DIRECTORIES: &[&str] = &[
    "/usr/local/lib",
    "/usr/lib",
    "/usr/lib64",
    "/usr/lib/x86_64-linux-gnu",
    "/usr/lib/aarch64-linux-gnu",
    "/opt/homebrew/lib",
    "/opt/onnxruntime/lib",
];

/// Finds ONNX Runtime for this process: `ORT_DYLIB_PATH`, beside the program, `.runtime/` here and above the program, the system.
///
/// # Errors
/// Lists every place looked at and the remedy when there is none.
pub fn locate() -> Result<PathBuf, RuntimeMissing> {
    Search::of_process().locate()
}

/// The library at a place, which is the file itself or its directory. Prefers the plain name to a versioned one, and the highest version.
fn library_at(place: &Path) -> Option<PathBuf> {
    if place.is_file() {
        return Some(place.to_path_buf());
    }
    let plain = ["libonnxruntime.so", "libonnxruntime.dylib", "onnxruntime.dll"].map(|name| place.join(name));
    if let Some(found) = plain.into_iter().find(|path| path.is_file()) {
        return Some(found);
    }
    let entries = std::fs::read_dir(place).ok()?;
    let versioned =
        entries.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| is_versioned(path) && path.is_file());
    versioned.max()
}

fn is_versioned(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    name.starts_with("libonnxruntime.so.1") || (name.starts_with("libonnxruntime.1") && name.ends_with(".dylib"))
}

static ENVIRONMENT: OnceLock<Environment> = OnceLock::new();
static STARTING: Mutex<()> = Mutex::new(());

/// Starts ONNX Runtime from this library. Later calls do nothing, whatever they name: a process has one runtime.
///
/// # Errors
/// The library does not load, is not ONNX Runtime, or is too old. The process may then try another one.
pub fn init(library: &Path) -> Result<(), RuntimeError> {
    start(library).map(|_| ())
}

/// The running environment, started from the library that [`locate`] finds if nothing has started it before.
pub(crate) fn environment() -> Result<&'static Environment, RuntimeError> {
    match ENVIRONMENT.get() {
        Some(environment) => Ok(environment),
        None => start(&locate()?),
    }
}

fn start(library: &Path) -> Result<&'static Environment, RuntimeError> {
    let _starting = STARTING.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(environment) = ENVIRONMENT.get() {
        return Ok(environment);
    }
    let unusable = |problem: String| RuntimeError::Unusable { path: library.to_path_buf(), problem };
    // ort asserts that the library gives it an interface: a library that is something else may unwind from here.
    let built = catch_unwind(AssertUnwindSafe(|| {
        let builder = ort::init_from(library).map_err(|error| error.to_string())?;
        builder.with_name("trimtab").with_telemetry(false).build().map_err(|error| error.to_string())
    }));
    let environment = match built {
        Ok(result) => result.map_err(unusable)?,
        Err(payload) => return Err(unusable(panic_text(&*payload))),
    };
    Ok(ENVIRONMENT.get_or_init(|| environment))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn touch(path: &Path) {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, b"").unwrap();
    }

    #[test]
    fn finds_the_library_above_the_program_and_prefers_the_current_directory() {
        let root = tempfile::tempdir().unwrap();
        let search = Search {
            executable: Some(root.path().join("target/release/trimtab")),
            current: Some(root.path().join("here")),
            ..Search::default()
        };
        touch(&root.path().join(".runtime/libonnxruntime.so.1.31.1"));
        assert_eq!(search.locate().unwrap(), root.path().join(".runtime/libonnxruntime.so.1.31.1"));

        touch(&root.path().join("here/.runtime/libonnxruntime.so"));

        assert_eq!(search.locate().unwrap(), root.path().join("here/.runtime/libonnxruntime.so"));
    }

    #[test]
    fn an_explicit_place_is_the_only_place() {
        let root = tempfile::tempdir().unwrap();
        touch(&root.path().join(".runtime/libonnxruntime.so"));
        let wrong = root.path().join("nowhere/libonnxruntime.so");
        let search =
            Search { explicit: Some(wrong.clone()), current: Some(root.path().to_path_buf()), ..Search::default() };

        let missing = search.locate().unwrap_err();

        assert_eq!(missing.looked_in, [wrong]);
    }

    #[test]
    fn a_missing_library_names_every_place_and_the_remedy() {
        let root = tempfile::tempdir().unwrap();
        let search = Search {
            current: Some(root.path().to_path_buf()),
            system: vec!["/no/such/lib".into()],
            ..Search::default()
        };

        let message = search.locate().unwrap_err().to_string();

        assert!(
            message.contains("make runtime") && message.contains("/no/such/lib") && message.contains(".runtime"),
            "{message}"
        );
    }

    #[test]
    fn a_file_that_is_no_library_is_an_error_and_not_a_panic() {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join("libonnxruntime.so");
        std::fs::write(&file, b"not a library").unwrap();
        if ENVIRONMENT.get().is_some() {
            return; // Another test of this process has started the real one.
        }

        let error = init(&file).unwrap_err();

        assert!(error.to_string().contains("make runtime"), "{error}");
    }
}
