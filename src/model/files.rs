//! Reading and writing files so that nothing half-written, oversized or foreign is ever used.

use std::fs::{self, File};
use std::io::{ErrorKind, Read, Write};
use std::path::{Component, Path, PathBuf};

use sha2::{Digest as _, Sha256};

use crate::model::error::PrepareError;
use crate::model::manifest::FileRef;

/// Largest manifest, encoder description or calibration that is read. A real one has kilobytes.
pub(crate) const MAX_DESCRIPTION_BYTES: u64 = 4 << 20;

/// The lower-case hexadecimal SHA-256 of some bytes.
#[must_use]
pub fn digest_of(bytes: &[u8]) -> String {
    hexadecimal(&Sha256::digest(bytes))
}

fn hexadecimal(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(64), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Joins a relative path to a directory, refusing whatever would leave it.
pub(crate) fn inside(directory: &Path, relative: &str) -> Result<PathBuf, PrepareError> {
    let plain = Path::new(relative).components().all(|part| matches!(part, Component::Normal(_)));
    if relative.is_empty() || relative.contains('\\') || !plain {
        return Err(PrepareError::Path { path: relative.to_owned() });
    }
    Ok(directory.join(relative))
}

/// Reads a whole file of at most `limit` bytes.
pub(crate) fn read_capped(directory: &Path, relative: &str, limit: u64) -> Result<Vec<u8>, PrepareError> {
    let path = inside(directory, relative)?;
    let file = open(directory, relative, &path)?;
    let mut bytes = Vec::new();
    file.take(limit + 1).read_to_end(&mut bytes).map_err(PrepareError::io(&path))?;
    if bytes.len() as u64 > limit {
        return Err(PrepareError::Size { file: relative.to_owned(), expected: limit, found: bytes.len() as u64 });
    }
    Ok(bytes)
}

/// Checks that a file exists with the size and digest that a manifest says. Reads it once, in pieces.
pub(crate) fn check(directory: &Path, expected: &FileRef) -> Result<(), PrepareError> {
    let path = inside(directory, &expected.path)?;
    let file = open(directory, &expected.path, &path)?;
    let length = file.metadata().map_err(PrepareError::io(&path))?.len();
    if length != expected.bytes {
        return Err(PrepareError::Size { file: expected.path.clone(), expected: expected.bytes, found: length });
    }
    let found = digest_of_file(file).map_err(PrepareError::io(&path))?;
    if found != expected.sha256 {
        return Err(PrepareError::Digest { file: expected.path.clone(), expected: expected.sha256.clone(), found });
    }
    Ok(())
}

fn open(directory: &Path, relative: &str, path: &Path) -> Result<File, PrepareError> {
    let missing = || PrepareError::Missing { directory: directory.to_path_buf(), file: relative.to_owned() };
    let file = File::open(path).map_err(|source| {
        let absent = matches!(source.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory);
        if absent { missing() } else { PrepareError::io(path)(source) }
    })?;
    let kind = file.metadata().map_err(PrepareError::io(path))?;
    if kind.is_file() { Ok(file) } else { Err(missing()) }
}

fn digest_of_file(mut file: File) -> std::io::Result<String> {
    let mut hasher = Sha256::new();
    let mut piece = vec![0_u8; 1 << 18];
    loop {
        let read = file.read(&mut piece)?;
        let Some(filled) = piece.get(..read).filter(|filled| !filled.is_empty()) else { break };
        hasher.update(filled);
    }
    Ok(hexadecimal(&hasher.finalize()))
}

/// Describes a file that is already in a directory.
pub(crate) fn describe(directory: &Path, relative: &str) -> Result<FileRef, PrepareError> {
    let path = inside(directory, relative)?;
    let file = open(directory, relative, &path)?;
    let bytes = file.metadata().map_err(PrepareError::io(&path))?.len();
    let sha256 = digest_of_file(file).map_err(PrepareError::io(&path))?;
    Ok(FileRef { path: relative.to_owned(), sha256, bytes })
}

/// Writes a file and makes sure that it is on the disk.
pub(crate) fn write_synced(path: &Path, bytes: &[u8]) -> Result<(), PrepareError> {
    let write = || -> std::io::Result<()> {
        let mut file = File::create(path)?;
        file.write_all(bytes)?;
        file.sync_all()
    };
    write().map_err(PrepareError::io(path))
}

/// Makes sure that the names in a directory are on the disk. Platforms that cannot open directories skip this.
pub(crate) fn sync_directory(path: &Path) -> Result<(), PrepareError> {
    match File::open(path) {
        Ok(directory) if cfg!(unix) => directory.sync_all().map_err(PrepareError::io(path)),
        Ok(_) => Ok(()),
        Err(source) if cfg!(unix) => Err(PrepareError::io(path)(source)),
        Err(_) => Ok(()),
    }
}

/// A directory that is removed when dropped, unless it was moved to where it belongs.
///
/// It lies beside its destination, so that the move is one rename on one file system.
#[derive(Debug)]
pub(crate) struct Staging {
    path: PathBuf,
    destination: PathBuf,
    moved: bool,
}

impl Staging {
    /// Makes an empty directory beside `destination`, which must not exist.
    pub(crate) fn beside(destination: &Path) -> Result<Self, PrepareError> {
        if destination.symlink_metadata().is_ok() {
            return Err(PrepareError::Exists { path: destination.to_path_buf() });
        }
        let parent = parent_of(destination);
        fs::create_dir_all(parent).map_err(PrepareError::io(parent))?;
        let path = unused_name(destination);
        fs::create_dir(&path).map_err(PrepareError::io(&path))?;
        Ok(Self { path, destination: destination.to_path_buf(), moved: false })
    }

    /// The directory while it is being filled.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Moves the finished directory to its destination.
    pub(crate) fn finish(mut self) -> Result<PathBuf, PrepareError> {
        sync_directory(&self.path)?;
        if self.destination.symlink_metadata().is_ok() {
            return Err(PrepareError::Exists { path: self.destination.clone() });
        }
        fs::rename(&self.path, &self.destination).map_err(PrepareError::io(&self.destination))?;
        self.moved = true;
        sync_directory(parent_of(&self.destination))?;
        Ok(self.destination.clone())
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        if !self.moved {
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

/// The directory a path is in.
pub(crate) fn parent_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."))
}

/// A hidden name beside a path that nothing of this process or another uses.
pub(crate) fn unused_name(path: &Path) -> PathBuf {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    parent_of(path).join(format!(".{name}.{}-{number}.partial", std::process::id()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_paths_that_leave_the_directory() {
        for path in ["", "..", "../x", "/etc/passwd", "a/../../b", "./a", "a\\b", "a/.."] {
            assert!(matches!(inside(Path::new("bundle"), path), Err(PrepareError::Path { .. })), "{path}");
        }
        assert!(inside(Path::new("bundle"), "index/items.jsonl").is_ok());
    }

    #[test]
    fn reads_no_more_than_the_limit() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("big"), vec![b' '; 100]).unwrap();

        assert!(matches!(read_capped(root.path(), "big", 99), Err(PrepareError::Size { .. })));
        assert_eq!(read_capped(root.path(), "big", 100).unwrap().len(), 100);
    }

    #[test]
    fn an_abandoned_staging_directory_leaves_nothing() {
        let root = tempfile::tempdir().unwrap();

        let staging = Staging::beside(&root.path().join("out")).unwrap();
        fs::write(staging.path().join("file"), b"half").unwrap();
        drop(staging);

        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0);
    }
}
