//! The lock that keeps two servers off one store.

use std::ffi::OsString;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use crate::store::error::StoreError;

/// Held for as long as the value lives. The operating system frees it with the process, however that ends; the file stays behind
/// on purpose, since removing it would let two processes lock two files of one name.
#[derive(Debug)]
pub(super) struct StoreLock {
    _file: File,
}

impl StoreLock {
    /// Takes the lock `<store>.lock` and writes our process id into it.
    ///
    /// # Errors
    /// [`StoreError::Locked`] when another process, or another store of this one, holds it; file system errors.
    pub(super) fn take(store: &Path) -> Result<Self, StoreError> {
        let path = lock_path(store);
        let failed = |source| StoreError::from_io(path.clone(), source);
        let opened = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
        let mut file = opened.map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {
                // The id is a courtesy to whoever is refused; a full disk must not keep a server from starting.
                let _ = write_holder(&mut file);
                Ok(Self { _file: file })
            }
            Err(TryLockError::WouldBlock) => {
                let holder = read_holder(&mut file);
                Err(StoreError::Locked { path: store.to_owned(), lock: path, holder })
            }
            Err(TryLockError::Error(source)) => Err(failed(source)),
        }
    }
}

fn lock_path(store: &Path) -> PathBuf {
    let mut name = OsString::from(store);
    name.push(".lock");
    PathBuf::from(name)
}

fn write_holder(file: &mut File) -> std::io::Result<()> {
    file.set_len(0)?;
    file.seek(SeekFrom::Start(0))?;
    writeln!(file, "{}", std::process::id())
}

fn read_holder(file: &mut File) -> String {
    let mut text = String::new();
    let read = file.take(32).read_to_string(&mut text);
    match (read, text.trim().parse::<u32>()) {
        (Ok(_), Ok(pid)) => format!("process {pid}"),
        (Ok(_), Err(_)) | (Err(_), _) => "another process".to_owned(),
    }
}
