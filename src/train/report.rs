//! An evaluation as one page that needs nothing else, with its plots as pictures beside it.

mod ink;
mod page;
mod pictures;
mod plots;
mod words;

use std::fs;
use std::path::{Path, PathBuf};

use crate::train::error::TrainError;
use crate::train::evaluate::EvalReport;
use crate::train::report::pictures::Plot;

/// Checks that a report can be written there, before the work that it will tell about.
///
/// # Errors
/// Something is there already, or there is no directory to put it in.
pub fn check_free(directory: &Path) -> Result<(), TrainError> {
    if directory.symlink_metadata().is_ok() {
        return Err(TrainError::ReportExists(directory.to_path_buf()));
    }
    let parent = parent(directory);
    fs::metadata(&parent).map(drop).map_err(TrainError::io("looking for the directory of the report", &parent))
}

/// Writes `index.html`, a PNG file per plot and `report.json` to a directory that must not exist. It appears with all of them or not at all.
///
/// # Errors
/// Something is there already, a plot cannot be drawn, or the disk refuses.
pub fn write(report: &EvalReport, directory: &Path) -> Result<(), TrainError> {
    check_free(directory)?;
    let json = serde_json::to_vec_pretty(report).map_err(TrainError::model("writing the report"))?;
    let mut files: Vec<(String, Vec<u8>)> = vec![("report.json".to_owned(), json)];
    let mut drawings = Vec::new();
    for plot in Plot::ALL {
        files.push((plot.file(), pictures::png(plot, report)?));
        drawings.push((plot, pictures::svg(plot, report)?));
    }
    files.push(("index.html".to_owned(), page::html(report, &drawings).into_bytes()));
    let name = directory.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    let unfinished = parent(directory).join(format!(".{name}.{}.unfinished", std::process::id()));
    let written = fill(&unfinished, &files).and_then(|()| {
        check_free(directory)?;
        fs::rename(&unfinished, directory).map_err(TrainError::io("writing", directory))
    });
    if written.is_err() {
        // What failed is what the caller should hear about, whether or not this can be cleaned up.
        drop(fs::remove_dir_all(&unfinished));
    }
    written
}

fn fill(directory: &Path, files: &[(String, Vec<u8>)]) -> Result<(), TrainError> {
    fs::create_dir(directory).map_err(TrainError::io("writing", directory))?;
    for (name, bytes) in files {
        let path = directory.join(name);
        fs::write(&path, bytes).map_err(TrainError::io("writing", &path))?;
    }
    Ok(())
}

fn parent(directory: &Path) -> PathBuf {
    let parent = directory.parent().filter(|parent| !parent.as_os_str().is_empty());
    parent.map_or_else(|| PathBuf::from("."), Path::to_path_buf)
}
