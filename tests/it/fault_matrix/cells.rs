//! What a fault is, what happens in a cell, and what is expected of it.

use crate::fault_matrix::answers::FIRST;
use crate::fault_matrix::natives::Speaks;
use crate::support::fake::{Reply, hang, status};

/// One fault, streaming and not. A cell that makes no sense is absent.
#[derive(Clone)]
pub(super) struct Fault {
    pub(super) name: &'static str,
    pub(super) place: Place,
    pub(super) speaks: Speaks,
    pub(super) whole: Option<Cell>,
    pub(super) stream: Option<Cell>,
}

/// Where the upstream with the fault is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// It plays a script.
    Scripted,
    /// Nothing listens there.
    Refused,
    /// Its name is none.
    NoName,
    /// Its name has no address.
    Nameless,
    /// It is asked over TLS, which it does not speak.
    NotTls,
    /// It speaks TLS, and nobody trusts it.
    Untrusted,
    /// Its connections never open.
    Full,
}

/// What happens in a cell.
#[derive(Clone)]
pub(super) struct Cell {
    pub(super) reply: Reply,
    pub(super) limits: Limits,
    pub(super) client: Client,
    /// What the caller sees beside a healthy target.
    pub(super) sees: Sees,
    /// The same without one.
    pub(super) alone: Sees,
    /// How often the upstream with the fault is asked.
    pub(super) calls: usize,
    pub(super) moves: Moves,
    pub(super) bill: Bill,
}

/// The limits of the upstream with the fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Limits {
    Long,
    /// Short ones, for what never answers.
    Short,
    /// A short one between two pieces alone.
    ShortIdle,
    /// So much must come within a short time.
    Throughput,
}

impl Limits {
    /// The `timeouts` of the upstream.
    pub(super) fn toml(self) -> String {
        let wait = if self == Self::Short { "400ms" } else { "10s" };
        let idle = if matches!(self, Self::Long | Self::Throughput) { "10s" } else { "400ms" };
        let least = if self == Self::Throughput { 1000 } else { 0 };
        format!(
            r#"{{ connect = "{wait}", headers = "{wait}", first_token = "{wait}", idle = "{idle}", total = "15s", min_throughput = {least}, min_throughput_window = "400ms" }}"#
        )
    }
}

/// What the client does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Client {
    Reads,
    ReadsSlowly,
    StopsReading,
    LeavesAtOnce,
    LeavesMidway,
}

/// What the caller sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sees {
    /// The answer of the healthy target.
    Healthy,
    /// The whole answer of the upstream with the fault, which holds this text.
    Own(&'static str),
    /// An error with this status and code. Without a code it is in the upstream's words.
    Error(u16, &'static str),
    /// This text, and then an error with this code.
    Cut(&'static str, &'static str),
    /// It did not stay to see.
    Nothing,
}

/// Which breaker counts a failure for each call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Moves {
    None,
    Target,
    Key,
}

/// What is billed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bill {
    /// The healthy target's count.
    Healthy,
    /// The count of the upstream with the fault.
    Own,
    /// The prompt, and what came of the answer, by estimate.
    Estimate,
    Nothing,
}

pub(super) const FAILED: Sees = Sees::Error(502, "upstream_failed");
pub(super) const THROTTLED: Sees = Sees::Error(429, "rate_limit_exceeded");

/// The upstream fails before the first token, is asked once more, and then the healthy target is.
pub(super) fn fails(reply: Reply) -> Cell {
    Cell {
        reply,
        limits: Limits::Long,
        client: Client::Reads,
        sees: Sees::Healthy,
        alone: FAILED,
        calls: 2,
        moves: Moves::Target,
        bill: Bill::Healthy,
    }
}

/// The upstream refuses the request itself.
pub(super) fn refuses(code: u16) -> Cell {
    refuses_as(status(code), (code, ""))
}

/// The same in its own words, with this status and code.
pub(super) fn refuses_as(reply: Reply, (status, code): (u16, &'static str)) -> Cell {
    let refusal = Sees::Error(status, code);
    Cell { sees: refusal, alone: refusal, bill: Bill::Nothing, ..fails(reply).once().counted_by(Moves::None) }
}

/// The answer is as good as any.
pub(super) fn answers(reply: Reply, text: &'static str) -> Cell {
    let sees = Sees::Own(text);
    Cell { sees, alone: sees, bill: Bill::Own, ..fails(reply).once().counted_by(Moves::None) }
}

/// The answer breaks after its first token.
pub(super) fn breaks(reply: Reply, code: &'static str) -> Cell {
    let sees = Sees::Cut(FIRST, code);
    Cell { sees, alone: sees, bill: Bill::Estimate, ..fails(reply).once() }
}

/// The client does not stay to the end.
pub(super) fn leaves(reply: Reply, client: Client) -> Cell {
    let cell = fails(reply).once().counted_by(Moves::None);
    Cell { client, sees: Sees::Nothing, alone: Sees::Nothing, bill: Bill::Nothing, ..cell }
}

impl Cell {
    /// The same upstream is not asked again.
    pub(super) fn once(self) -> Self {
        Self { calls: 1, ..self }
    }

    pub(super) fn within(self, limits: Limits) -> Self {
        Self { limits, ..self }
    }

    pub(super) fn counted_by(self, moves: Moves) -> Self {
        Self { moves, ..self }
    }

    pub(super) fn alone(self, alone: Sees) -> Self {
        Self { alone, ..self }
    }

    pub(super) fn billed(self, bill: Bill) -> Self {
        Self { bill, ..self }
    }

    pub(super) fn read_by(self, client: Client) -> Self {
        Self { client, ..self }
    }

    pub(super) fn after(self, text: &'static str) -> Self {
        let cut = |sees| if let Sees::Cut(_, code) = sees { Sees::Cut(text, code) } else { sees };
        Self { sees: cut(self.sees), alone: cut(self.alone), ..self }
    }
}

/// The same however the answer is delivered.
pub(super) fn both(name: &'static str, cell: &Cell) -> Fault {
    Fault {
        name,
        place: Place::Scripted,
        speaks: Speaks::OpenAi,
        whole: Some(cell.clone()),
        stream: Some(cell.clone()),
    }
}

pub(super) fn each(name: &'static str, whole: Cell, stream: Cell) -> Fault {
    Fault { name, place: Place::Scripted, speaks: Speaks::OpenAi, whole: Some(whole), stream: Some(stream) }
}

pub(super) fn streamed(name: &'static str, stream: Cell) -> Fault {
    Fault { name, place: Place::Scripted, speaks: Speaks::OpenAi, whole: None, stream: Some(stream) }
}

pub(super) fn whole_only(name: &'static str, whole: Cell) -> Fault {
    Fault { name, place: Place::Scripted, speaks: Speaks::OpenAi, whole: Some(whole), stream: None }
}

pub(super) fn at(place: Place, name: &'static str) -> Fault {
    let cell = fails(hang()).counted_by(Moves::Key).within(Limits::Short);
    Fault { place, ..both(name, &cell) }
}
