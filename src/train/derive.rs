//! A bundle that is another one but for a few files: what is not changed is copied byte by byte.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::domain::ids::{BundleId, ModelName};
use crate::model::bundle::Bundle;
use crate::model::generation::{Generation, PrepareSettings};
use crate::model::manifest::Manifest;
use crate::model::publish::BundleWriter;
use crate::train::clock;
use crate::train::error::TrainError;
use crate::train::progress::{Phase, Progress, step};
use crate::train::rows::Rows;

/// What is different in the new bundle.
#[derive(Clone, Debug, Default)]
pub(crate) struct Changes {
    /// Files with their new content, by path. Files that the parent has not are added.
    pub(crate) files: BTreeMap<String, Vec<u8>>,
    /// Models that the new bundle knows besides the parent's.
    pub(crate) models: Vec<ModelName>,
    /// The new bundle's name. By default the parent's with the moment.
    pub(crate) id: Option<String>,
}

/// Writes a bundle like `parent` with these changes to `out`, which must not exist, and loads it as a server would.
///
/// # Errors
/// The disk refuses, the new bundle does not load, or the caller asks to stop. Nothing is left at `out` then.
pub(crate) fn derive(
    parent: &Bundle,
    changes: Changes,
    (out, models): (&Path, &Path),
    progress: &dyn Progress,
) -> Result<(BundleId, PathBuf), TrainError> {
    let failed = |error| TrainError::model("writing the bundle")(error);
    if out.symlink_metadata().is_ok() {
        return Err(TrainError::OutputExists(out.to_path_buf()));
    }
    let old = parent.manifest();
    let mut writer = BundleWriter::create(out).map_err(failed)?;
    let total = old.files.len() + changes.files.len();
    let kept = old.files.iter().filter(|file| !changes.files.contains_key(&file.path));
    for (done, file) in kept.enumerate() {
        step(progress, Phase::Publish, (done, total))?;
        writer.write(&file.path, &parent.read(&file.path).map_err(failed)?).map_err(failed)?;
    }
    for (path, bytes) in &changes.files {
        writer.write(path, bytes).map_err(failed)?;
    }
    step(progress, Phase::Publish, (total.saturating_sub(1), total))?;
    let created = clock::now();
    let id = changes.id.unwrap_or_else(|| format!("{}+{}", old.id, created.replace([':', '-'], "")));
    let manifest = Manifest {
        id: BundleId::from(id),
        parent: Some(old.id.clone()),
        created,
        made_by: format!("trimtab {}", env!("CARGO_PKG_VERSION")),
        models: old.models.iter().cloned().chain(changes.models).collect(),
        ..old.clone()
    };
    let id = manifest.id.clone();
    let path = writer.publish(manifest).map_err(failed)?;
    let settings = PrepareSettings { slots: NonZeroUsize::MIN, careful: None, ..PrepareSettings::new(&path, models) };
    if let Err(error) = Generation::prepare(&settings) {
        std::fs::remove_dir_all(&path).map_err(TrainError::io("removing", &path))?;
        return Err(TrainError::model("loading the new bundle")(error));
    }
    progress.at(Phase::Publish, total as u64, total as u64);
    Ok((id, path))
}

/// A value as a JSON file, with a line for every field and for every row of a table.
pub(crate) fn json<T: Serialize>(value: &T) -> Result<Vec<u8>, TrainError> {
    let mut bytes = Vec::new();
    let mut serializer = serde_json::Serializer::with_formatter(&mut bytes, Rows::default());
    value.serialize(&mut serializer).map_err(TrainError::model("writing the bundle"))?;
    bytes.push(b'\n');
    Ok(bytes)
}

/// Values as a JSON Lines file.
pub(crate) fn json_lines<T: Serialize>(values: &[T]) -> Result<Vec<u8>, TrainError> {
    let mut bytes = Vec::new();
    for value in values {
        serde_json::to_writer(&mut bytes, value).map_err(TrainError::model("writing the bundle"))?;
        bytes.push(b'\n');
    }
    Ok(bytes)
}
