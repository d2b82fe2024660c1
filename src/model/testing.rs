//! A models directory with the tiny bundle, for tests to damage and vary.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tempfile::TempDir;

use crate::model::files;
use crate::model::generation::{Generation, PrepareSettings};
use crate::model::publish::copy_directory;
use crate::model::registry::Prepared;

pub(crate) struct TinyModels {
    root: TempDir,
}

impl TinyModels {
    /// A fresh models directory: the tiny encoders and the tiny bundle as `default`.
    pub(crate) fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        for encoder in fs::read_dir(fixture("encoders")).unwrap() {
            let encoder = encoder.unwrap();
            copy_directory(&encoder.path(), &root.path().join("encoders").join(encoder.file_name())).unwrap();
        }
        copy_directory(&fixture("bundles/tiny"), &root.path().join("default")).unwrap();
        Self { root }
    }

    pub(crate) fn models(&self) -> &Path {
        self.root.path()
    }

    pub(crate) fn bundle(&self) -> PathBuf {
        self.root.path().join("default")
    }

    /// A copy of the tiny bundle with a name of its own, changed by `change` and made consistent again.
    pub(crate) fn variant(&self, id: &str, change: impl FnOnce(&Path)) -> PathBuf {
        let path = self.root.path().join("bundles").join(id);
        copy_directory(&fixture("bundles/tiny"), &path).unwrap();
        edit(&path.join("manifest.json"), |manifest| manifest["id"] = id.into());
        change(&path);
        redigest(&path);
        path
    }

    /// A copy whose calibration adds to every success logit, so that its answers differ from the tiny bundle's.
    pub(crate) fn optimist(&self, id: &str) -> PathBuf {
        self.variant(id, |path| {
            edit(&path.join("calibration.json"), |calibration| {
                for map in calibration["success"].as_array_mut().unwrap() {
                    *map = serde_json::json!({ "kind": "platt", "slope": 1.0, "intercept": 9.0 });
                }
            });
        })
    }

    pub(crate) fn encoder(&self, kind: &str) -> PathBuf {
        let mut encoders = fs::read_dir(self.root.path().join("encoders")).unwrap().map(|entry| entry.unwrap().path());
        let wanted = format!("\"kind\": \"{kind}\"");
        encoders.find(|path| fs::read_to_string(path.join("encoder.json")).unwrap().contains(&wanted)).unwrap()
    }

    pub(crate) fn settings(&self, bundle: &Path) -> PrepareSettings {
        PrepareSettings::new(bundle, self.models())
    }

    pub(crate) fn generation(&self) -> Generation {
        Generation::prepare(&self.settings(&self.bundle())).unwrap_or_else(|error| panic!("{error}"))
    }

    pub(crate) fn prepared(&self, bundle: &Path) -> Prepared {
        Prepared::new(&self.settings(bundle)).unwrap_or_else(|error| panic!("{error}"))
    }
}

pub(crate) fn fixture(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(path)
}

/// Changes a JSON file.
pub(crate) fn edit(path: &Path, change: impl FnOnce(&mut Value)) {
    let mut value: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    change(&mut value);
    fs::write(path, serde_json::to_vec_pretty(&value).unwrap()).unwrap();
}

/// Makes a manifest list its files as they are now.
pub(crate) fn redigest(bundle: &Path) {
    edit(&bundle.join("manifest.json"), |manifest| {
        for file in manifest["files"].as_array_mut().unwrap() {
            let path = file["path"].as_str().unwrap().to_owned();
            if let Ok(described) = files::describe(bundle, &path) {
                *file = serde_json::to_value(described).unwrap();
            }
        }
    });
}

/// Changes one byte in the middle of a file.
pub(crate) fn flip_byte(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(path, bytes).unwrap();
}

pub(crate) fn files_in(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}
