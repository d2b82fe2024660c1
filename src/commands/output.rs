//! Words to the terminal: results to standard output, everything else to standard error.

use std::io::{self, Write};

/// Writes a line of results. A reader that went away, as `head` does, ends the writing without a complaint.
///
/// # Errors
/// A standard output that cannot be written, such as a full disk.
pub(super) fn say(line: &str) -> io::Result<()> {
    match writeln!(io::stdout().lock(), "{line}") {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}

/// Writes a line about the work to standard error. There is nobody to tell if that fails.
pub(super) fn note(line: &str) {
    drop(writeln!(io::stderr().lock(), "{line}"));
}

/// Writes an error with all its causes.
pub(super) fn complain(error: &anyhow::Error) {
    note(&format!("error: {error}"));
    let mut last = error.to_string();
    for cause in error.chain().skip(1) {
        let text = cause.to_string();
        // Transparent errors repeat their source.
        if text != last {
            note(&format!("  because: {text}"));
        }
        last = text;
    }
}
