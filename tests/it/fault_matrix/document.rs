//! `docs/fault-matrix.md`, written from the list of faults.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use crate::fault_matrix::cells::{Bill, Cell, Client, Fault, Moves, Sees};
use crate::fault_matrix::natives::Speaks;
use crate::fault_matrix::{faults, natives};

const INTRODUCTION: &str = r#"# The fault matrix

What trimtab does about every fault of an upstream or a client. Each row is a test against a scripted upstream over real sockets, in each of chat completions, Messages, Responses and Google's generateContent; each test checks what the caller reads, how often
which upstream is asked, which breaker counts it, and what the one record of the call says that it cost. This file is written by the tests: `UPDATE_DOCS=1 cargo test --test it fault_matrix`.

*Beside a healthy target* is what the caller reads when the next target of the call works, *alone* when there is none. *Calls* is how often the upstream with the fault is asked, with the default `[retry]`. Then comes the breaker that
counts a failure for each of these calls: of the target, or of the upstream with this key. As many of them in a row as open a breaker open that one and no other, which is a test too. *Billed* is beside a healthy target; a call that ends in an error costs nothing.
What the words mean is told in [failures.md](failures.md).

| in this table | chat completions | Messages | Responses | Google |
|---|---|---|---|---|
| `502 upstream_failed` | status 502, `error.code` | status 502, `error.type` `api_error` | as chat completions | status 502, `error.status` `UNAVAILABLE` |
| `429 rate_limit_exceeded` | status 429, `error.code`, `retry-after` | status 429, `error.type` `rate_limit_error`, `retry-after` | as chat completions | status 429, `error.status` `RESOURCE_EXHAUSTED`, `retry-after` |
| 400, 413, 422: the upstream's words | the status and its error | the status, and its message with the `error.type` of the status | as chat completions | the status, and its message with `INVALID_ARGUMENT` |
| the beginning, then `500` | an event with the status as `error.code`, no `[DONE]` | an `error` event, the last one, with the `error.type` of the status | an `error` event with the code `server_error`, then `response.failed` | an event with an `error`, the last one, with the `error.status` of the status |
| the beginning, then `CODE` | an event with `error.code`, no `[DONE]` | an `error` event, the last one; its `error.type` is `timeout_error` for `upstream_idle` and `upstream_slow`, else `api_error` | an `error` event with `code`, then `response.failed` | an event with an `error`, the last one; its `error.status` is `DEADLINE_EXCEEDED` for `upstream_idle` and `upstream_slow`, else `UNAVAILABLE` |

| fault | answer | beside a healthy target | alone | calls | breaker | billed |
|---|---|---|---|---|---|---|
"#;

const NATIVES: &str = r"
## Upstreams with dialects of their own

The same against upstreams of the other kinds, each with the provider's own events and errors.

| fault | upstream | answer | beside a healthy target | alone | calls | breaker | billed |
|---|---|---|---|---|---|---|---|
";

/// The document.
fn document() -> String {
    let mut text = INTRODUCTION.to_owned();
    for fault in faults::faults() {
        for (delivery, row) in rows(&fault) {
            writeln!(text, "| {} | {delivery} | {} |", fault.name, row.join(" | ")).unwrap();
        }
    }
    text.push_str(NATIVES);
    for faults in natives::faults().chunk_by(|one, next| one.name == next.name) {
        // Upstreams that have the same rows share them.
        let mut shared: Vec<(Vec<&str>, Vec<Row>)> = Vec::new();
        for fault in faults {
            let rows = rows(fault);
            match shared.iter_mut().find(|(_, known)| *known == rows) {
                Some((names, _)) => names.push(fault.speaks.name()),
                None => shared.push((vec![fault.speaks.name()], rows)),
            }
        }
        for (names, rows) in shared {
            let names = if names.len() == faults.len() { "all".to_owned() } else { names.join(", ") };
            for (delivery, row) in rows {
                writeln!(text, "| {} | {names} | {delivery} | {} |", faults[0].name, row.join(" | ")).unwrap();
            }
        }
    }
    text
}

/// How an answer is delivered, and what is told of it.
type Row = (&'static str, [String; 5]);

fn rows(fault: &Fault) -> Vec<Row> {
    match (&fault.whole, &fault.stream) {
        (Some(whole), Some(stream)) if row(whole) == row(stream) => vec![("both", row(whole))],
        (whole, stream) => {
            let whole = whole.iter().map(|cell| ("whole", row(cell)));
            whole.chain(stream.iter().map(|cell| ("stream", row(cell)))).collect()
        }
    }
}

fn row(cell: &Cell) -> [String; 5] {
    let breaker = match cell.moves {
        Moves::None => "–",
        Moves::Target => "target",
        Moves::Key => "upstream and key",
    };
    let billed = match (cell.bill, cell.client) {
        (Bill::Healthy, _) => "the healthy target's count",
        (Bill::Own, Client::LeavesMidway | Client::StopsReading) => "the upstream's count: the answer was made",
        (Bill::Own, _) => "the upstream's count",
        (Bill::Estimate, _) => "an estimate of the prompt and what came",
        (Bill::Nothing, _) => "nothing",
    };
    [sees(cell.sees), sees(cell.alone), cell.calls.to_string(), breaker.to_owned(), billed.to_owned()]
}

fn sees(sees: Sees) -> String {
    match sees {
        Sees::Healthy => "the healthy target's answer".to_owned(),
        Sees::Own(_) => "the answer".to_owned(),
        Sees::Error(status @ (400 | 413 | 422), _) => format!("{status}: the upstream's words"),
        Sees::Error(status, code) => format!("`{status} {code}`"),
        Sees::Cut(_, code) => format!("the beginning, then `{code}`"),
        Sees::Nothing => "–".to_owned(),
    }
}

#[test]
fn the_document_of_the_fault_matrix_is_up_to_date() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/fault-matrix.md");
    let text = document();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&path, &text).unwrap();
    }
    let found = fs::read_to_string(&path).unwrap_or_default();
    assert!(found == text, "docs/fault-matrix.md is out of date; run UPDATE_DOCS=1 cargo test --test it fault_matrix");
    let readme = fs::read_to_string(path.with_file_name("../README.md")).unwrap();
    let natives = natives::faults().len() / Speaks::NATIVE.len();
    for told in [format!("each of {} faults", faults::faults().len()), format!("for {natives} of upstreams")] {
        assert!(readme.contains(&told), "README.md does not say `{told}`");
    }
}
