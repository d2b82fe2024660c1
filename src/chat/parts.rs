//! An answer as a row of parts: reasoning, text, a refusal, tool calls. Chat completions stream them as loose deltas; other dialects
//! open, grow and close each part by itself.

use crate::chat::completion::{Call, Proof, Said};
use crate::chat::signed_id;

/// What a part is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Thinking,
    Text,
    Refusal,
    Tool,
}

/// A part that begins. `id` and `name` are those of a tool call and empty otherwise.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Opening<'a> {
    pub(crate) at: usize,
    pub(crate) kind: Kind,
    pub(crate) id: &'a str,
    pub(crate) name: &'a str,
}

/// A piece of a part.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Piece<'a> {
    pub(crate) at: usize,
    pub(crate) kind: Kind,
    pub(crate) text: &'a str,
}

/// What is told of the parts. Places count from zero in the order of opening. One part is open at a time, except where a model's tool
/// calls come interleaved.
pub(crate) trait Parts {
    fn open(&mut self, part: Opening<'_>);
    fn grow(&mut self, piece: Piece<'_>);
    fn close(&mut self, at: usize, kind: Kind);

    /// Proves the thought that is open. Dialects without a word for it leave it out.
    fn sign(&mut self, _at: usize, _signature: &str) {}

    /// Tells of an encrypted thought, which is whole at once. Dialects without a word for it leave it out.
    fn secret(&mut self, _at: usize, _data: &str) -> Place {
        Place::Left
    }
}

/// Whether a part has taken its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Taken,
    Left,
}

/// Makes parts of what a model says. The parts do not depend on how the answer was cut into chunks.
#[derive(Debug)]
pub(crate) struct Assembler {
    /// What makes the ids of tool calls unique where the upstream gave none.
    seed: String,
    next: usize,
    prose: Option<(usize, Kind)>,
    calls: Vec<Slot>,
    bytes: usize,
}

/// A tool call.
#[derive(Debug)]
struct Slot {
    index: Option<u64>,
    id: String,
    /// Arguments that came before the name did.
    held: String,
    scan: Scan,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Unnamed,
    Open(usize),
    Closed,
}

impl Assembler {
    pub(crate) const fn new(seed: String) -> Self {
        Self { seed, next: 0, prose: None, calls: Vec::new(), bytes: 0 }
    }

    /// How many tool calls there were.
    pub(crate) fn calls(&self) -> usize {
        self.calls.iter().filter(|slot| slot.state != State::Unnamed).count()
    }

    /// Bytes of answer so far.
    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes what was said next.
    pub(crate) fn feed(&mut self, said: &Said, parts: &mut impl Parts) {
        // A whole answer tells its thoughts twice: as one text, and each with its proof.
        let is_thinking = matches!(self.prose, Some((_, Kind::Thinking)));
        let once = said.reasoning().filter(|text| is_thinking || !said.is_proven(text));
        self.prose(Kind::Thinking, once, parts);
        for proof in said.proofs() {
            self.proof(proof, parts);
        }
        self.prose(Kind::Text, said.content.as_deref(), parts);
        self.prose(Kind::Refusal, said.refusal.as_deref(), parts);
        for call in said.tool_calls.iter().flatten() {
            self.call(call, parts);
        }
    }

    /// A proof belongs to the thought that is open; where none is, it brings its own words.
    fn proof(&mut self, proof: Proof<'_>, parts: &mut impl Parts) {
        match proof {
            Proof::Signed { text, signature } => {
                if !matches!(self.prose, Some((_, Kind::Thinking))) {
                    self.begin_prose(Kind::Thinking, parts);
                    self.prose(Kind::Thinking, Some(text), parts);
                }
                if let Some((at, _)) = self.prose {
                    parts.sign(at, signature);
                }
                self.end_prose(parts);
            }
            Proof::Secret { data } => {
                self.end_prose(parts);
                self.settle(parts);
                if parts.secret(self.next, data) == Place::Taken {
                    self.next += 1;
                }
            }
        }
    }

    /// Closes what is open.
    pub(crate) fn finish(&mut self, parts: &mut impl Parts) {
        self.end_prose(parts);
        for slot in &mut self.calls {
            slot.close(parts);
        }
    }

    fn prose(&mut self, kind: Kind, text: Option<&str>, parts: &mut impl Parts) {
        let Some(text) = text.filter(|text| !text.is_empty()) else { return };
        self.bytes += text.len();
        let at = match self.prose {
            Some((at, open)) if open == kind => at,
            Some(_) | None => self.begin_prose(kind, parts),
        };
        parts.grow(Piece { at, kind, text });
    }

    fn begin_prose(&mut self, kind: Kind, parts: &mut impl Parts) -> usize {
        self.end_prose(parts);
        self.settle(parts);
        let at = self.take_place();
        self.prose = Some((at, kind));
        parts.open(Opening { at, kind, id: "", name: "" });
        at
    }

    fn call(&mut self, call: &Call, parts: &mut impl Parts) {
        let place = self.slot(call);
        if place == self.calls.len() {
            self.end_prose(parts);
            self.settle(parts);
            let id = call.id.clone().filter(|id| !id.is_empty());
            let id = id.unwrap_or_else(|| format!("call_{}_{place}", self.seed));
            let (held, scan) = (String::new(), Scan::default());
            self.calls.push(Slot { index: call.index, id, held, scan, state: State::Unnamed });
        }
        let next = self.next;
        let Some(slot) = self.calls.get_mut(place) else { return };
        if slot.state == State::Unnamed && !call.name().is_empty() {
            self.bytes += call.name().len();
            self.next += 1;
            slot.state = State::Open(next);
            let signed = call.signature().map(|signature| signed_id::join(&slot.id, signature));
            let id = signed.as_deref().unwrap_or(&slot.id);
            parts.open(Opening { at: next, kind: Kind::Tool, id, name: call.name() });
            let held = std::mem::take(&mut slot.held);
            slot.grow(&held, parts);
        }
        self.bytes += call.arguments().len();
        slot.grow(call.arguments(), parts);
    }

    /// The place of the call that a piece belongs to; the end of the row for a new one. Some servers give no index, and some give every
    /// call the same one, with an id of its own.
    fn slot(&self, call: &Call) -> usize {
        let id = call.id.as_deref().unwrap_or_default();
        let same = match call.index {
            Some(index) => {
                let same = self.calls.iter().rposition(|slot| slot.index == Some(index));
                same.filter(|place| {
                    id.is_empty()
                        || self.calls.get(*place).is_some_and(|slot| slot.id == id || slot.has_made_id(&self.seed))
                })
            }
            None if id.is_empty() && call.name().is_empty() => self.calls.len().checked_sub(1),
            None if id.is_empty() => None,
            None => self.calls.iter().rposition(|slot| slot.id == id),
        };
        same.unwrap_or(self.calls.len())
    }

    fn end_prose(&mut self, parts: &mut impl Parts) {
        if let Some((at, kind)) = self.prose.take() {
            parts.close(at, kind);
        }
    }

    /// Closes the calls whose arguments are whole. One that is not goes on beside the next.
    fn settle(&mut self, parts: &mut impl Parts) {
        for slot in self.calls.iter_mut().filter(|slot| slot.scan.is_whole()) {
            slot.close(parts);
        }
    }

    const fn take_place(&mut self) -> usize {
        let at = self.next;
        self.next += 1;
        at
    }
}

impl Slot {
    fn grow(&mut self, text: &str, parts: &mut impl Parts) {
        if text.is_empty() {
            return;
        }
        match self.state {
            State::Unnamed => self.held.push_str(text),
            State::Open(at) => {
                self.scan.read(text);
                parts.grow(Piece { at, kind: Kind::Tool, text });
            }
            // What comes after whole arguments is none of them.
            State::Closed => {}
        }
    }

    fn close(&mut self, parts: &mut impl Parts) {
        if let State::Open(at) = self.state {
            self.state = State::Closed;
            parts.close(at, Kind::Tool);
        }
    }

    fn has_made_id(&self, seed: &str) -> bool {
        self.id.strip_prefix("call_").is_some_and(|rest| rest.starts_with(seed))
    }
}

/// Watches JSON go by to know when it is whole.
#[derive(Clone, Copy, Debug, Default)]
struct Scan {
    depth: usize,
    has_begun: bool,
    in_text: bool,
    is_escaped: bool,
}

impl Scan {
    fn read(&mut self, text: &str) {
        for byte in text.bytes() {
            match byte {
                _ if self.is_escaped => self.is_escaped = false,
                b'\\' if self.in_text => self.is_escaped = true,
                b'"' => self.in_text = !self.in_text,
                b'{' | b'[' if !self.in_text => {
                    self.depth += 1;
                    self.has_begun = true;
                }
                b'}' | b']' if !self.in_text => self.depth = self.depth.saturating_sub(1),
                _ => {}
            }
        }
    }

    const fn is_whole(self) -> bool {
        self.has_begun && self.depth == 0
    }
}

#[cfg(test)]
mod tests;
