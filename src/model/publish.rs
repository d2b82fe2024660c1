//! Writing a bundle: the directory is absent or complete, never in between.

use std::fs;
use std::path::{Path, PathBuf};

use crate::model::bundle::Bundle;
use crate::model::error::PrepareError;
use crate::model::files::{self, Staging};
use crate::model::manifest::{FileRef, MANIFEST_FILE, Manifest};

/// Collects the files of a bundle in a hidden directory beside its destination and moves them there when all are written.
///
/// Dropping an unpublished writer removes everything it wrote.
#[derive(Debug)]
pub struct BundleWriter {
    staging: Staging,
    files: Vec<FileRef>,
}

impl BundleWriter {
    /// Starts a bundle that will appear at `destination`.
    ///
    /// # Errors
    /// Something is there already, or its parent cannot be written.
    pub fn create(destination: &Path) -> Result<Self, PrepareError> {
        Ok(Self { staging: Staging::beside(destination)?, files: Vec::new() })
    }

    /// Where the files are until they are published. A file put here by other means must be given to [`BundleWriter::adopt`].
    #[must_use]
    pub fn path(&self) -> &Path {
        self.staging.path()
    }

    /// Writes a file. A file written twice keeps the later content.
    ///
    /// # Errors
    /// The path leaves the bundle, or the disk refuses.
    pub fn write(&mut self, relative: &str, bytes: &[u8]) -> Result<&FileRef, PrepareError> {
        let path = files::inside(self.staging.path(), relative)?;
        let parent = files::parent_of(&path);
        fs::create_dir_all(parent).map_err(PrepareError::io(parent))?;
        files::write_synced(&path, bytes)?;
        self.adopt(relative)
    }

    /// Lists a file that was put into [`BundleWriter::path`] by other means.
    ///
    /// # Errors
    /// It is not there.
    pub fn adopt(&mut self, relative: &str) -> Result<&FileRef, PrepareError> {
        let described = files::describe(self.staging.path(), relative)?;
        self.files.retain(|file| file.path != relative);
        self.files.push(described);
        // Just pushed.
        self.files.last().ok_or_else(|| PrepareError::Path { path: relative.to_owned() })
    }

    /// Writes the manifest over the files there are so far, so that the bundle can be opened where it is, and gives that path. It is
    /// not published, and more files may follow.
    ///
    /// # Errors
    /// As [`BundleWriter::publish`].
    pub fn rehearse(&self, manifest: Manifest) -> Result<PathBuf, PrepareError> {
        self.write_manifest(manifest)?;
        Ok(self.staging.path().to_path_buf())
    }

    fn write_manifest(&self, manifest: Manifest) -> Result<(), PrepareError> {
        let mut files = self.files.clone();
        files.sort_by(|a, b| a.path.cmp(&b.path));
        let manifest = Manifest { files, ..manifest };
        let mut text = serde_json::to_vec_pretty(&manifest)
            .map_err(|source| PrepareError::Manifest { file: MANIFEST_FILE.to_owned(), source })?;
        text.push(b'\n');
        files::write_synced(&self.staging.path().join(MANIFEST_FILE), &text)?;
        Bundle::open(self.staging.path()).map(drop)
    }

    /// Writes the manifest, with the list of files filled in, checks the whole and moves it to its destination. Gives that path.
    ///
    /// # Errors
    /// The manifest uses a file that was not written, something appeared at the destination meanwhile, or the disk refuses.
    /// The destination is then as it was.
    pub fn publish(self, manifest: Manifest) -> Result<PathBuf, PrepareError> {
        self.write_manifest(manifest)?;
        self.staging.finish()
    }
}

/// Copies a directory so that the copy is absent or complete.
pub(crate) fn copy_directory(from: &Path, to: &Path) -> Result<PathBuf, PrepareError> {
    let staging = Staging::beside(to)?;
    copy_into(from, staging.path())?;
    staging.finish()
}

fn copy_into(from: &Path, to: &Path) -> Result<(), PrepareError> {
    for entry in fs::read_dir(from).map_err(PrepareError::io(from))? {
        let entry = entry.map_err(PrepareError::io(from))?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        let kind = fs::metadata(&source).map_err(PrepareError::io(&source))?;
        if kind.is_dir() {
            fs::create_dir(&target).map_err(PrepareError::io(&target))?;
            copy_into(&source, &target)?;
        } else {
            fs::copy(&source, &target).map_err(PrepareError::io(&source))?;
            fs::File::open(&target).and_then(|file| file.sync_all()).map_err(PrepareError::io(&target))?;
        }
    }
    files::sync_directory(to)
}

#[cfg(test)]
mod tests;
