//! Opening a bundle and its encoder: every file is checked before any library sees it.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::domain::baseline::Baseline;
use crate::domain::operating::OperatingPoints;
use crate::domain::scores::LabelSpace;
use crate::domain::signals::SIGNALS_VERSION;
use crate::domain::task::Task;
use crate::model::error::PrepareError;
use crate::model::files::{self, MAX_DESCRIPTION_BYTES};
use crate::model::manifest::{EncoderRef, FileRef, MANIFEST_FILE, Manifest, SCHEMA};

/// The name of the description inside an encoder directory.
pub const ENCODER_FILE: &str = "encoder.json";

/// The name of the golden rows inside a bundle.
pub const GOLDEN_FILE: &str = "golden.jsonl";

/// The name of the optional description of the calibration prompts inside a bundle.
pub const BASELINE_FILE: &str = "baseline.json";

/// The name of the operating points inside a bundle. Optional.
pub const OPERATING_FILE: &str = "operating.json";

/// The name of the points of comparison for models without labels inside a bundle. Optional.
pub const MARKET_FILE: &str = "market.json";

/// A bundle directory whose manifest is sound and whose every file has the size and digest the manifest says.
#[derive(Clone, Debug)]
pub struct Bundle {
    directory: PathBuf,
    manifest: Manifest,
}

impl Bundle {
    /// Opens and verifies a bundle directory. Reads every byte of it once; opens none of it with a library.
    ///
    /// # Errors
    /// Whatever is missing, altered, foreign or contradictory, with the file's name.
    pub fn open(directory: &Path) -> Result<Self, PrepareError> {
        let manifest = read_manifest(directory)?;
        check_manifest(&manifest)?;
        for file in &manifest.files {
            files::check(directory, file)?;
        }
        Ok(Self { directory: directory.to_path_buf(), manifest })
    }

    /// The manifest.
    #[must_use]
    pub const fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Where the bundle is.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// What the bundle has labels for.
    #[must_use]
    pub fn label_space(&self) -> LabelSpace {
        LabelSpace::new(self.manifest.tiers.clone(), self.manifest.models.clone())
    }

    /// Finds the encoder the bundle needs: beside it, one above that, then in the models directory.
    ///
    /// # Errors
    /// It is nowhere, or it is damaged.
    pub fn encoder(&self, wanted: &EncoderRef, models: &Path) -> Result<EncoderDirectory, PrepareError> {
        let places =
            [self.directory.join("../encoders"), self.directory.join("../../encoders"), models.join("encoders")];
        let found =
            places.iter().map(|place| place.join(&wanted.digest)).find(|place| place.join(ENCODER_FILE).is_file());
        let Some(found) = found else {
            let problem = format!(
                "`{}` is not installed in {}; build it with `make encoders` or copy its directory there",
                wanted.name,
                models.join("encoders").display()
            );
            return Err(PrepareError::Encoder { digest: wanted.digest.clone(), problem });
        };
        let encoder = EncoderDirectory::open(&found)?;
        if encoder.description.dimension != wanted.dimension {
            let what = format!("encoder `{}`", encoder.description.name);
            return Err(PrepareError::Dimension {
                what,
                expected: wanted.dimension,
                found: encoder.description.dimension,
            });
        }
        Ok(encoder)
    }

    /// Whether the manifest lists a file: how optional parts are told.
    #[must_use]
    pub fn lists(&self, relative: &str) -> bool {
        self.manifest.files.iter().any(|file| file.path == relative)
    }

    /// What its calibration prompts looked like. `None` where it does not say, or says it in a way that is not of this build: an older server
    /// must be able to serve a newer bundle.
    ///
    /// # Errors
    /// The file is listed and is not what it should be.
    pub fn baseline(&self) -> Result<Option<Baseline>, PrepareError> {
        if !self.lists(BASELINE_FILE) {
            return Ok(None);
        }
        let baseline: Baseline = self.read_json(BASELINE_FILE)?;
        if !baseline.is_usable() {
            tracing::warn!(bundle = %self.manifest.id, "the bundle's baseline is not of this build; going on without it");
        }
        Ok(Some(baseline).filter(Baseline::is_usable))
    }

    /// Its operating points, where training measured some.
    ///
    /// # Errors
    /// The file is listed and is not what it should be.
    pub fn operating(&self) -> Result<Option<OperatingPoints>, PrepareError> {
        if self.lists(OPERATING_FILE) { self.read_json(OPERATING_FILE).map(Some) } else { Ok(None) }
    }

    /// The bytes of a file that the manifest lists.
    ///
    /// # Errors
    /// The manifest does not list it, or it cannot be read.
    pub fn read(&self, relative: &str) -> Result<Vec<u8>, PrepareError> {
        let file = listed(&self.manifest, relative)?;
        files::read_capped(&self.directory, relative, file.bytes)
    }

    /// The digest that the manifest says a file has.
    ///
    /// # Errors
    /// The manifest does not list it.
    pub fn digest(&self, relative: &str) -> Result<&str, PrepareError> {
        listed(&self.manifest, relative).map(|file| file.sha256.as_str())
    }

    /// Reads a JSON file of the bundle.
    ///
    /// # Errors
    /// It is not listed, too large, or not what it should be.
    pub fn read_json<T: DeserializeOwned>(&self, relative: &str) -> Result<T, PrepareError> {
        parse(relative, &self.read(relative)?)
    }

    /// Reads a JSON Lines file of the bundle. Blank lines are skipped.
    ///
    /// # Errors
    /// It is not listed, or a line is not what it should be.
    pub fn read_json_lines<T: DeserializeOwned>(&self, relative: &str) -> Result<Vec<T>, PrepareError> {
        let bytes = self.read(relative)?;
        let lines = bytes.split(|&byte| byte == b'\n').filter(|line| !line.trim_ascii().is_empty());
        lines.map(|line| parse(relative, line)).collect()
    }
}

/// Reads a manifest without checking the files it names. For listings; [`Bundle::open`] is for use.
///
/// # Errors
/// The manifest is missing, too large, of a foreign schema or malformed.
pub fn read_manifest(directory: &Path) -> Result<Manifest, PrepareError> {
    #[derive(Deserialize)]
    struct Versioned {
        schema: u32,
    }

    let bytes = files::read_capped(directory, MANIFEST_FILE, MAX_DESCRIPTION_BYTES)?;
    // The schema is read first: a manifest of another schema need not have the fields of this one.
    let Versioned { schema: found } = parse(MANIFEST_FILE, &bytes)?;
    if found != SCHEMA {
        return Err(PrepareError::Schema { file: MANIFEST_FILE.into(), what: "schema", found, supported: SCHEMA });
    }
    parse(MANIFEST_FILE, &bytes)
}

fn check_manifest(manifest: &Manifest) -> Result<(), PrepareError> {
    let file = || MANIFEST_FILE.to_owned();
    let inconsistent = |problem: String| Err(PrepareError::Inconsistent { file: file(), problem });
    if manifest.signals_version != SIGNALS_VERSION {
        let (found, supported) = (manifest.signals_version, SIGNALS_VERSION);
        return Err(PrepareError::Schema { file: file(), what: "signals version", found, supported });
    }
    if manifest.tasks != Task::ALL {
        return inconsistent("its tasks are not the tasks of this build, in order".to_owned());
    }
    if manifest.tiers.is_empty() {
        return inconsistent("it has no tiers".to_owned());
    }
    for entry in &manifest.files {
        files::inside(Path::new(""), &entry.path)?;
        if entry.path == MANIFEST_FILE {
            return inconsistent("it lists itself".to_owned());
        }
    }
    for used in used_files(manifest) {
        files::inside(Path::new(""), used)?;
        listed(manifest, used)?;
    }
    Ok(())
}

/// Every file that some part of the manifest refers to.
fn used_files(manifest: &Manifest) -> impl Iterator<Item = &str> {
    let mut used = vec![manifest.heads.path.as_str(), manifest.heads.calibration.as_str(), GOLDEN_FILE];
    if let Some(careful) = &manifest.careful {
        used.extend([careful.heads.path.as_str(), careful.heads.calibration.as_str()]);
    }
    if let Some(index) = &manifest.index {
        used.extend([index.items.as_str(), index.vectors.as_str()]);
        used.extend(index.graph.as_deref());
    }
    used.into_iter()
}

fn listed<'a>(manifest: &'a Manifest, relative: &str) -> Result<&'a FileRef, PrepareError> {
    manifest.files.iter().find(|file| file.path == relative).ok_or_else(|| PrepareError::Inconsistent {
        file: MANIFEST_FILE.to_owned(),
        problem: format!("it uses `{relative}` but does not list it among its files"),
    })
}

pub(crate) fn parse<T: DeserializeOwned>(file: &str, bytes: &[u8]) -> Result<T, PrepareError> {
    serde_json::from_slice(bytes).map_err(|source| PrepareError::Manifest { file: file.to_owned(), source })
}

/// What `encoder.json` says.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct EncoderDescription {
    /// The schema of the description.
    pub schema: u32,
    /// The name, for people.
    pub name: String,
    /// Which sort of encoder.
    pub kind: EncoderKind,
    /// How its weights are stored, for example `int8`.
    pub precision: String,
    /// The length of its embeddings.
    pub dimension: usize,
    /// Most tokens it reads, special tokens included.
    pub max_tokens: usize,
    /// Whether `[CLS]` and `[SEP]` go around the tokens.
    pub add_special_tokens: bool,
    /// Every file but this one.
    pub files: Vec<FileRef>,
}

/// Which sort of encoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EncoderKind {
    /// A table of token embeddings and their mean: microseconds.
    Static,
    /// A transformer: milliseconds.
    Transformer,
}

/// An encoder directory that is named by the digest of its description and whose every file is what that says.
#[derive(Clone, Debug)]
pub struct EncoderDirectory {
    directory: PathBuf,
    digest: String,
    description: EncoderDescription,
}

impl EncoderDirectory {
    /// Opens and verifies an encoder directory.
    ///
    /// # Errors
    /// It is not named by the digest of its description, or a file is missing or altered.
    pub fn open(directory: &Path) -> Result<Self, PrepareError> {
        let bytes = files::read_capped(directory, ENCODER_FILE, MAX_DESCRIPTION_BYTES)?;
        let digest = files::digest_of(&bytes);
        let canonical = directory.canonicalize().map_err(PrepareError::io(directory))?;
        let name = canonical.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if name != digest {
            return Err(PrepareError::Digest { file: ENCODER_FILE.to_owned(), expected: name, found: digest });
        }
        let description: EncoderDescription = parse(ENCODER_FILE, &bytes)?;
        if description.schema != 1 {
            let found = description.schema;
            return Err(PrepareError::Schema { file: ENCODER_FILE.to_owned(), what: "schema", found, supported: 1 });
        }
        if description.dimension == 0 || description.max_tokens < 8 {
            let problem = "it needs a positive dimension and at least eight tokens".to_owned();
            return Err(PrepareError::Inconsistent { file: ENCODER_FILE.to_owned(), problem });
        }
        for file in &description.files {
            files::check(directory, file)?;
        }
        Ok(Self { directory: directory.to_path_buf(), digest, description })
    }

    /// What the encoder is.
    #[must_use]
    pub const fn description(&self) -> &EncoderDescription {
        &self.description
    }

    /// Where it is.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// How manifests refer to it.
    #[must_use]
    pub fn reference(&self) -> EncoderRef {
        let EncoderDescription { name, dimension, .. } = &self.description;
        EncoderRef { digest: self.digest.clone(), name: name.clone(), dimension: *dimension }
    }

    /// The bytes of one of its files.
    pub(crate) fn read(&self, relative: &str) -> Result<Vec<u8>, PrepareError> {
        let file = self.description.files.iter().find(|file| file.path == relative);
        let missing = || PrepareError::Missing { directory: self.directory.clone(), file: relative.to_owned() };
        files::read_capped(&self.directory, relative, file.ok_or_else(missing)?.bytes)
    }
}

#[cfg(test)]
mod tests;
