//! The layers of a configuration, merged key by key: defaults, file, environment, flags.

use std::collections::BTreeMap;
use std::path::PathBuf;

use toml::{Table, Value};

use crate::config::error::ConfigError;
use crate::config::{DEFAULT_FILE, DEFAULT_TOML, DEMO_TOML, Sources};

/// The merged tables, and where the keys came from that no file holds.
pub(super) struct Layers {
    /// Every key with the value that won.
    pub(super) table: Table,
    /// For keys set as text outside of a file: what set them, for example ``the environment variable `TRIMTAB__LOG__FILTER` ``.
    pub(super) origins: BTreeMap<String, String>,
    /// The file that was read, if any.
    pub(super) file: Option<PathBuf>,
    /// Whether the demo's tiers were added because nothing else was configured.
    pub(super) demo: bool,
}

/// Reads and merges every layer. Stops at a file that is not TOML, since every later problem would be noise.
pub(super) fn merge(sources: &Sources<'_>) -> Result<Layers, Vec<ConfigError>> {
    let mut table = embedded(DEFAULT_TOML)?;
    let file = read_file(sources)?;
    let path = file.map(|(path, layer)| {
        overlay(&mut table, layer);
        path
    });
    let mut layers = Layers { table, origins: BTreeMap::new(), file: path, demo: false };
    let mut problems = Vec::new();
    for (variable, parts, value) in sources.environment.settings() {
        let origin = format!("the environment variable `{variable}`");
        problems.extend(layers.set(&parts, value, origin).err());
    }
    for (key, value) in sources.overrides {
        let parts: Vec<&str> = key.split('.').collect();
        problems.extend(layers.set(&parts, value, format!("the flag for `{key}`")).err());
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    layers.demo = is_absent(layers.table.get("tiers")) && is_absent(layers.table.get("upstreams"));
    if layers.demo {
        overlay(&mut layers.table, embedded(DEMO_TOML)?);
    }
    Ok(layers)
}

impl Layers {
    /// Sets one key from text. Text that is a TOML array or inline table is taken as one; scalars are read when their type is known.
    fn set(&mut self, parts: &[&str], text: &str, origin: String) -> Result<(), ConfigError> {
        let refuse = |problem: &str| ConfigError {
            path: parts.join(".").to_lowercase(),
            problem: format!("{origin} {problem}"),
            fix: "name a key as SECTION__KEY, and a list item by its number from 0".to_owned(),
        };
        let Some((last, parents)) = parts.split_last() else {
            return Err(refuse("names no key"));
        };
        let mut path = String::new();
        let mut place = Place::Table(&mut self.table);
        for part in parents {
            place = place.enter(part, &mut path).ok_or_else(|| refuse("goes through something that has no keys"))?;
        }
        let value = structured(text).unwrap_or_else(|| Value::String(text.to_owned()));
        place.put(last, value, &mut path).ok_or_else(|| refuse("sets something that has no keys"))?;
        self.origins.insert(path, origin);
        Ok(())
    }
}

/// Somewhere that holds values.
enum Place<'a> {
    Table(&'a mut Table),
    Array(&'a mut Vec<Value>),
}

impl<'a> Place<'a> {
    fn enter(self, part: &str, path: &mut String) -> Option<Self> {
        let value = match self {
            Self::Table(table) => {
                let key = key(table, part);
                push_key(path, &key);
                table.entry(key).or_insert_with(|| Value::Table(Table::new()))
            }
            Self::Array(items) => {
                let at: usize = part.parse().ok()?;
                path.push_str(&format!("[{at}]"));
                items.get_mut(at)?
            }
        };
        match value {
            Value::Table(table) => Some(Self::Table(table)),
            Value::Array(items) => Some(Self::Array(items)),
            Value::String(_) | Value::Integer(_) | Value::Float(_) | Value::Boolean(_) | Value::Datetime(_) => None,
        }
    }

    fn put(self, part: &str, value: Value, path: &mut String) -> Option<()> {
        match self {
            Self::Table(table) => {
                let key = key(table, part);
                push_key(path, &key);
                let mut layer = Table::new();
                layer.insert(key, value);
                forget_other_aim(table, &layer);
                table.extend(layer);
            }
            Self::Array(items) => {
                let at: usize = part.parse().ok()?;
                path.push_str(&format!("[{at}]"));
                *items.get_mut(at)? = value;
            }
        }
        Some(())
    }
}

/// The key of a table that a variable means: variables cannot carry small letters, `-` or `.`.
fn key(table: &Table, part: &str) -> String {
    let plain = |text: &str| text.to_lowercase().replace(['-', '.'], "_");
    let wanted = plain(part);
    table.keys().find(|key| plain(key) == wanted).cloned().unwrap_or_else(|| part.to_lowercase())
}

fn push_key(path: &mut String, key: &str) {
    if !path.is_empty() {
        path.push('.');
    }
    path.push_str(key);
}

fn structured(text: &str) -> Option<Value> {
    let start = text.trim_start().chars().next()?;
    if !matches!(start, '[' | '{') {
        return None;
    }
    format!("value = {text}").parse::<Table>().ok()?.remove("value")
}

fn overlay(base: &mut Table, layer: Table) {
    forget_other_aim(base, &layer);
    for (key, value) in layer {
        match (base.get_mut(&key), value) {
            (Some(Value::Table(below)), Value::Table(above)) => overlay(below, above),
            (_, value) => {
                base.insert(key, value);
            }
        }
    }
}

/// A policy aims by one of these keys. The layer that says one takes the others away from the layers below it.
fn forget_other_aim(base: &mut Table, layer: &Table) {
    const AIMS: [&str; 3] = ["quality", "threshold", "success_value_usd"];
    // A table of that name is a policy called `quality`, not an aim.
    let is_aim = |value: Option<&Value>| value.is_some_and(|value| !value.is_table());
    if AIMS.iter().any(|said| is_aim(layer.get(*said))) {
        for other in AIMS {
            if !layer.contains_key(other) && is_aim(base.get(other)) {
                base.remove(other);
            }
        }
    }
}

fn is_absent(value: Option<&Value>) -> bool {
    match value {
        None => true,
        Some(Value::Array(items)) => items.is_empty(),
        Some(Value::Table(table)) => table.is_empty(),
        Some(Value::String(_) | Value::Integer(_) | Value::Float(_) | Value::Boolean(_) | Value::Datetime(_)) => false,
    }
}

fn read_file(sources: &Sources<'_>) -> Result<Option<(PathBuf, Table)>, Vec<ConfigError>> {
    let path = match sources.file {
        Some(path) => path.to_owned(),
        None => {
            let path = sources.directory.join(DEFAULT_FILE);
            if !path.exists() {
                return Ok(None);
            }
            path
        }
    };
    let refuse = |problem: String, fix: &str| {
        vec![ConfigError { path: path.display().to_string(), problem, fix: fix.to_owned() }]
    };
    let text = std::fs::read_to_string(&path).map_err(|error| {
        refuse(format!("the configuration file cannot be read: {error}"), "name a readable TOML file with `--config`")
    })?;
    match text.parse::<Table>() {
        Ok(table) => Ok(Some((path, table))),
        Err(error) => Err(refuse(
            format!("line {} is not TOML: {}", line_of(&text, &error), error.message()),
            "correct that line; texts stand in double quotes, tables in square brackets",
        )),
    }
}

fn line_of(text: &str, error: &toml::de::Error) -> usize {
    let start = error.span().map_or(0, |span| span.start);
    1 + text.bytes().take(start).filter(|&byte| byte == b'\n').count()
}

fn embedded(text: &str) -> Result<Table, Vec<ConfigError>> {
    text.parse().map_err(|error: toml::de::Error| {
        let fix = "this is a fault of trimtab: please report it".to_owned();
        vec![ConfigError { path: "the embedded defaults".to_owned(), problem: error.message().to_owned(), fix }]
    })
}
