//! Long pasted logs and quoted mail: enough of them stays to tell what they are, and no more.

/// Shorter asks are left as they are.
const LONG: usize = 3_000;

/// Lines of a log that stay at its start and at its end.
const LOG_LINES: (usize, usize) = (15, 10);

/// Lines of a quotation that stay.
const QUOTED_LINES: (usize, usize) = (15, 0);

/// What a line is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Somebody's words, or code.
    Text,
    /// A line that a program wrote.
    Log,
    /// A line of a mail that is answered.
    Quoted,
}

/// Shortens the logs and quotations of a long ask to their ends. The question may stand before or after them.
pub(super) fn shorten(text: &str) -> String {
    if text.len() < LONG {
        return text.to_owned();
    }
    let lines: Vec<&str> = text.lines().collect();
    let mut kept = String::with_capacity(text.len());
    for run in lines.chunk_by(|a, b| kind(a) == kind(b)) {
        let (head, tail) = match run.first().map_or(Kind::Text, |line| kind(line)) {
            Kind::Text => (run.len(), 0),
            Kind::Log => LOG_LINES,
            Kind::Quoted => QUOTED_LINES,
        };
        let cut = run.len() > head + tail;
        for (at, line) in run.iter().enumerate() {
            if !cut || at < head || at + tail >= run.len() {
                kept.push_str(line);
                kept.push('\n');
            } else if at == head {
                kept.push_str("…\n");
            }
        }
    }
    kept.truncate(kept.trim_end().len());
    kept
}

fn kind(line: &str) -> Kind {
    let line = line.trim_start();
    if line.starts_with('>') {
        Kind::Quoted
    } else if is_log(line) {
        Kind::Log
    } else {
        Kind::Text
    }
}

/// Whether a program wrote a line: a time of day or a level near its start, or a frame of a stack.
fn is_log(line: &str) -> bool {
    const LEVELS: [&str; 10] =
        ["INFO", "WARN", "ERROR", "DEBUG", "TRACE", "FATAL", "npm ERR!", "[info]", "[warn]", "[error]"];
    let start = line.get(..line.floor_char_boundary(48)).unwrap_or(line);
    let is_frame = line.starts_with("at ") && line.ends_with([')', '>']) || line.starts_with("File \"");
    is_frame || has_clock(start.as_bytes()) || LEVELS.iter().any(|level| start.contains(level))
}

/// Whether there is a time such as `12:34:56`.
fn has_clock(start: &[u8]) -> bool {
    start.windows(8).any(|w| {
        matches!(w, [a, b, b':', c, d, b':', e, f] if [a, b, c, d, e, f].iter().all(|digit| digit.is_ascii_digit()))
    })
}
