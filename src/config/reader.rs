//! Reads values out of the merged tables by type, and remembers every problem instead of stopping at the first.
//!
//! This is our own and not serde, because serde stops at the first unknown key or wrong type of a document.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::time::Duration;

use toml::{Table, Value};

use crate::config::error::ConfigError;
use crate::config::units;

/// What every section of one reading shares.
pub(super) struct Notes<'a> {
    origins: &'a BTreeMap<String, String>,
    problems: RefCell<Vec<ConfigError>>,
}

impl<'a> Notes<'a> {
    /// Starts without problems. `origins` says which paths were set as text outside of a file.
    pub(super) fn new(origins: &'a BTreeMap<String, String>) -> Self {
        Self { origins, problems: RefCell::new(Vec::new()) }
    }

    /// Remembers a problem.
    pub(super) fn problem(&self, path: impl Into<String>, problem: impl Into<String>, fix: impl Into<String>) {
        let path = path.into();
        let origin = self.origins.get(&path).map_or_else(String::new, |origin| format!(" (set by {origin})"));
        let problem = problem.into() + &origin;
        self.problems.borrow_mut().push(ConfigError { path, problem, fix: fix.into() });
    }

    /// Everything remembered, sorted by path.
    pub(super) fn into_problems(self) -> Vec<ConfigError> {
        let mut problems = self.problems.into_inner();
        problems.sort_by(|a, b| a.path.cmp(&b.path));
        problems.dedup();
        problems
    }
}

/// One table. Every key is asked for by name; [`Section::finish`] reports the keys that nobody asked for.
pub(super) struct Section<'a> {
    path: String,
    table: Cow<'a, Table>,
    asked: Vec<&'static str>,
    notes: &'a Notes<'a>,
}

impl<'a> Section<'a> {
    /// The top of the configuration.
    pub(super) fn root(table: &'a Table, notes: &'a Notes<'a>) -> Self {
        Self { path: String::new(), table: Cow::Borrowed(table), asked: Vec::new(), notes }
    }

    /// Where problems are remembered.
    pub(super) fn notes(&self) -> &'a Notes<'a> {
        self.notes
    }

    /// The path of this table itself.
    pub(super) fn own_path(&self) -> String {
        self.path.clone()
    }

    /// The full path of a key of this table.
    pub(super) fn path(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    /// Remembers a problem with a key of this table.
    pub(super) fn problem(&self, key: &str, problem: impl Into<String>, fix: impl Into<String>) {
        self.notes.problem(self.path(key), problem, fix);
    }

    /// Whether a key is there. Asking makes it a known key.
    pub(super) fn has(&mut self, key: &'static str) -> bool {
        self.asked.push(key);
        self.table.contains_key(key)
    }

    /// A key that may be absent.
    pub(super) fn optional<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&mut Self, &'static str) -> Option<T>,
    ) -> Option<T> {
        if self.has(key) { read(self, key) } else { None }
    }

    /// Text that is not empty.
    pub(super) fn text(&mut self, key: &'static str) -> Option<String> {
        let read = |value: &Value| value.as_str().filter(|text| !text.trim().is_empty()).map(str::to_owned);
        self.read(key, "text that is not empty, in double quotes", read)
    }

    /// A list of texts that are not empty.
    pub(super) fn texts(&mut self, key: &'static str) -> Option<Vec<String>> {
        let text = |value: &Value| value.as_str().filter(|text| !text.trim().is_empty()).map(str::to_owned);
        self.read(key, "a list of texts in double quotes", |value| value.as_array()?.iter().map(text).collect())
    }

    /// Text that `parse` understands, described by `expected`.
    pub(super) fn parsed<T>(
        &mut self,
        key: &'static str,
        expected: &str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Option<T> {
        self.read(key, expected, |value| value.as_str().and_then(&parse))
    }

    /// One of a few words.
    pub(super) fn word<T: Copy>(&mut self, key: &'static str, words: &[(&str, T)]) -> Option<T> {
        let names: Vec<String> = words.iter().map(|(name, _)| format!("\"{name}\"")).collect();
        let find = |text: &str| words.iter().find(|(name, _)| *name == text).map(|(_, value)| *value);
        self.parsed(key, &names.join(" or "), find)
    }

    /// A whole number in a range.
    pub(super) fn integer(&mut self, key: &'static str, range: RangeInclusive<u64>) -> Option<u64> {
        let expected = between("a whole number", range.start(), range.end());
        self.read(key, &expected, |value| {
            let number = value.as_integer().and_then(|number| u64::try_from(number).ok());
            number.filter(|number| range.contains(number))
        })
    }

    /// As [`Section::integer`], for a size in memory.
    pub(super) fn count(&mut self, key: &'static str, range: RangeInclusive<u64>) -> Option<usize> {
        self.integer(key, range).and_then(|number| usize::try_from(number).ok())
    }

    /// A finite number in a range. Whole numbers count.
    pub(super) fn number(&mut self, key: &'static str, range: RangeInclusive<f64>) -> Option<f64> {
        let expected = between("a number", range.start(), range.end());
        self.read(key, &expected, |value| {
            let number = value.as_float().or_else(|| value.as_integer().map(|whole| whole as f64));
            number.filter(|number| range.contains(number))
        })
    }

    /// `true` or `false`.
    pub(super) fn flag(&mut self, key: &'static str) -> Option<bool> {
        self.read(key, "true or false", Value::as_bool)
    }

    /// A duration in a range.
    pub(super) fn duration(&mut self, key: &'static str, range: RangeInclusive<Duration>) -> Option<Duration> {
        let (least, most) = (units::print_duration(*range.start()), units::print_duration(*range.end()));
        let expected = between("a duration such as \"250ms\", \"10s\" or \"2m\"", &least, &most);
        self.parsed(key, &expected, |text| units::duration(text).filter(|duration| range.contains(duration)))
    }

    /// A number of bytes in a range.
    pub(super) fn bytes(&mut self, key: &'static str, range: RangeInclusive<u64>) -> Option<u64> {
        let (least, most) = (units::print_bytes(*range.start()), units::print_bytes(*range.end()));
        let expected = between("a size such as \"32MiB\", or bytes,", &least, &most);
        self.read(key, &expected, |value| {
            let whole = value.as_integer().and_then(|bytes| u64::try_from(bytes).ok());
            whole.or_else(|| value.as_str().and_then(units::bytes)).filter(|bytes| range.contains(bytes))
        })
    }

    /// A table under a key; an empty one where the key is absent.
    pub(super) fn section(&mut self, key: &'static str) -> Section<'a> {
        let is_there = self.has(key);
        let table = if is_there { self.read(key, "a table", |value| value.as_table().cloned()) } else { None };
        self.child(self.path(key), table.unwrap_or_default())
    }

    /// The tables of a list, such as `[[tiers]]`; none where the key is absent.
    pub(super) fn list(&mut self, key: &'static str) -> Vec<Section<'a>> {
        if !self.has(key) {
            return Vec::new();
        }
        let path = self.path(key);
        let items = self.read(key, &format!("a list of tables, written [[{path}]]"), |value| value.as_array().cloned());
        let mut sections = Vec::new();
        for (at, item) in items.unwrap_or_default().into_iter().enumerate() {
            let path = format!("{path}[{at}]");
            match item.as_table() {
                Some(table) => sections.push(self.child(path, table.clone())),
                None => self.notes.problem(path, format!("is {}", describe(&item)), "write a table"),
            }
        }
        sections
    }

    /// The named tables under a key, such as `[upstreams.NAME]`, in order of name.
    pub(super) fn named(&mut self, key: &'static str) -> Vec<(String, Section<'a>)> {
        let section = self.section(key);
        let mut sections = Vec::new();
        for (name, value) in section.table.iter() {
            let path = section.path(name);
            match value.as_table() {
                Some(table) => sections.push((name.clone(), self.child(path, table.clone()))),
                None => section.problem(name, format!("is {}", describe(value)), format!("write a table: [{path}]")),
            }
        }
        sections
    }

    /// The keys of a table that may have any keys, with their values. Makes them all known.
    pub(super) fn entries(self) -> Vec<(String, Value)> {
        self.table.iter().map(|(key, value)| (key.clone(), value.clone())).collect()
    }

    /// The raw value of a key, for forms that have more than one type.
    pub(super) fn raw(&mut self, key: &'static str) -> Option<Value> {
        if self.has(key) { self.table.get(key).cloned() } else { None }
    }

    /// A table found in a raw value of this section.
    pub(super) fn child(&self, path: String, table: Table) -> Section<'a> {
        Section { path, table: Cow::Owned(table), asked: Vec::new(), notes: self.notes }
    }

    /// Reports every key that was not asked for, each with the nearest known one.
    pub(super) fn finish(self) {
        for key in self.table.keys().filter(|key| !self.asked.contains(&key.as_str())) {
            self.problem(key, "unknown key", unknown_key_fix(key, &self.asked));
        }
    }

    fn read<T>(&mut self, key: &'static str, expected: &str, read: impl Fn(&Value) -> Option<T>) -> Option<T> {
        let is_there = self.has(key);
        let Some(value) = self.table.get(key).filter(|_| is_there) else {
            self.problem(key, "is missing", format!("set it to {expected}"));
            return None;
        };
        let given = read(value).or_else(|| read(&self.scalar(key, value)?));
        if given.is_none() {
            self.problem(key, format!("is {}", describe(value)), format!("write {expected}"));
        }
        given
    }

    /// The number or truth value that a text from the environment or a flag spells.
    fn scalar(&self, key: &str, value: &Value) -> Option<Value> {
        let text = value.as_str().filter(|_| self.notes.origins.contains_key(&self.path(key)))?;
        let whole = text.parse().map(Value::Integer).ok();
        let truth = || text.parse().map(Value::Boolean).ok();
        whole.or_else(truth).or_else(|| text.parse().map(Value::Float).ok())
    }
}

/// The nearest of some names, where one is near enough to be meant.
pub(super) fn nearest<'n>(wrong: &str, names: impl IntoIterator<Item = &'n str>) -> Option<&'n str> {
    let distance = |name: &str| strsim::damerau_levenshtein(&wrong.to_lowercase(), &name.to_lowercase());
    let best = names.into_iter().map(|name| (distance(name), name)).min()?;
    (best.0 <= 1 + wrong.chars().count() / 4).then_some(best.1)
}

/// Names as a list for a sentence.
pub(super) fn quoted<T: Display>(names: impl IntoIterator<Item = T>) -> String {
    let names: Vec<String> = names.into_iter().map(|name| format!("`{name}`")).collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

fn unknown_key_fix(key: &str, known: &[&'static str]) -> String {
    match nearest(key, known.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => {
            let mut known = known.to_vec();
            known.sort_unstable();
            known.dedup();
            format!("remove it; the keys here are {}", quoted(known))
        }
    }
}

fn between(what: &str, least: impl Display, most: impl Display) -> String {
    format!("{what} from {least} to {most}")
}

/// A value as a problem names it. Text that is long, or that may be an address with a password in it, is not repeated.
fn describe(value: &Value) -> String {
    match value {
        Value::String(text) if text.is_empty() => "empty".to_owned(),
        Value::String(text) if text.chars().count() > 60 || text.contains('@') => "some other text".to_owned(),
        Value::String(text) => format!("{text:?}"),
        Value::Integer(number) => number.to_string(),
        Value::Float(number) => number.to_string(),
        Value::Boolean(flag) => flag.to_string(),
        Value::Datetime(time) => format!("the time {time}"),
        Value::Array(_) => "a list".to_owned(),
        Value::Table(_) => "a table".to_owned(),
    }
}
