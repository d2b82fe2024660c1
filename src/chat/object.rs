//! JSON objects that know where they stand in a request, so that every error names its field.

use std::collections::HashSet;

use serde_json::value::RawValue;

use crate::chat::error::ChatError;
use crate::chat::openai::{Fields, top_level};

/// One object of a request: its fields as sent, and the path to it.
#[derive(Debug)]
pub(crate) struct Object<'a> {
    path: String,
    fields: Vec<(String, &'a RawValue)>,
}

impl<'a> Object<'a> {
    /// Reads a whole body.
    ///
    /// # Errors
    /// Bytes that are not UTF-8, not JSON, not an object, and fields given twice.
    pub(crate) fn body(body: &'a [u8]) -> Result<Self, ChatError> {
        let text = std::str::from_utf8(body).map_err(|error| ChatError::NotUtf8 { offset: error.valid_up_to() })?;
        Ok(Self { path: String::new(), fields: top_level(text)? })
    }

    /// Reads the object at a path.
    ///
    /// # Errors
    /// Anything that is not an object.
    pub(crate) fn at(path: String, raw: &'a RawValue) -> Result<Self, ChatError> {
        match serde_json::from_str(raw.get()) {
            Ok(Fields(fields)) => Ok(Self { path, fields }),
            Err(_) => Err(ChatError::Wrong { field: path, expected: "an object" }),
        }
    }

    /// The path to one of its fields.
    pub(crate) fn path_of(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    /// A field exactly as sent; `None` where it is absent or null.
    pub(crate) fn raw(&self, name: &str) -> Option<&'a RawValue> {
        self.fields.iter().find(|(key, _)| key == name).map(|(_, raw)| *raw).filter(|raw| raw.get() != "null")
    }

    /// The fields that are there and not null, in order, exactly as sent.
    pub(crate) fn fields(&self) -> impl Iterator<Item = (&str, &'a RawValue)> {
        self.fields.iter().map(|(name, raw)| (name.as_str(), *raw)).filter(|(_, raw)| raw.get() != "null")
    }

    /// Every field, in order, exactly as sent, the null ones too.
    pub(crate) fn into_fields(self) -> impl Iterator<Item = (String, &'a RawValue)> {
        self.fields.into_iter()
    }

    /// The same with every name in camel case, since Google's API takes `topK` and `top_k` alike.
    ///
    /// # Errors
    /// A field that is given in both ways.
    pub(crate) fn in_camel_case(self) -> Result<Self, ChatError> {
        let Self { path, fields } = self;
        let told = Self { path, fields: fields.into_iter().map(|(name, raw)| (camel(&name), raw)).collect() };
        let mut names = HashSet::with_capacity(told.fields.len());
        match told.fields.iter().find(|(name, _)| !names.insert(name.as_str())) {
            Some((name, _)) => Err(ChatError::Duplicate { field: told.path_of(name) }),
            None => Ok(told),
        }
    }

    /// An error about the object itself.
    pub(crate) fn is_not(&self, expected: &'static str) -> ChatError {
        ChatError::Wrong { field: self.path.clone(), expected }
    }

    /// An error about one of the fields.
    pub(crate) fn wrong(&self, name: &str, expected: &'static str) -> ChatError {
        ChatError::Wrong { field: self.path_of(name), expected }
    }

    /// An error about a field that is not there.
    pub(crate) fn missing(&self, name: &str, fix: &'static str) -> ChatError {
        ChatError::Missing { field: self.path_of(name), fix }
    }

    /// A text.
    ///
    /// # Errors
    /// Anything else but null.
    pub(crate) fn text(&self, name: &str) -> Result<Option<String>, ChatError> {
        let read = |raw: &RawValue| serde_json::from_str(raw.get()).map_err(|_| self.wrong(name, "a text"));
        self.raw(name).map(read).transpose()
    }

    /// A text that must be there.
    ///
    /// # Errors
    /// Anything else.
    pub(crate) fn needed_text(&self, name: &str, fix: &'static str) -> Result<String, ChatError> {
        self.text(name)?.ok_or_else(|| self.missing(name, fix))
    }

    /// True or false.
    ///
    /// # Errors
    /// Anything else but null.
    pub(crate) fn flag(&self, name: &str) -> Result<Option<bool>, ChatError> {
        let read = |raw: &RawValue| serde_json::from_str(raw.get()).map_err(|_| self.wrong(name, "true or false"));
        self.raw(name).map(read).transpose()
    }

    /// A count.
    ///
    /// # Errors
    /// Anything else but null.
    pub(crate) fn count(&self, name: &str) -> Result<Option<u64>, ChatError> {
        let expected = "a whole number, zero or more";
        let read = |raw: &RawValue| serde_json::from_str(raw.get()).map_err(|_| self.wrong(name, expected));
        self.raw(name).map(read).transpose()
    }

    /// The elements of a list, each with its path; none where it is absent.
    ///
    /// # Errors
    /// Anything but a list or null.
    pub(crate) fn list(&self, name: &str) -> Result<Vec<(String, &'a RawValue)>, ChatError> {
        let Some(raw) = self.raw(name) else { return Ok(Vec::new()) };
        elements(&self.path_of(name), raw)
    }

    /// The object in a field.
    ///
    /// # Errors
    /// Anything else but null.
    pub(crate) fn object(&self, name: &str) -> Result<Option<Self>, ChatError> {
        self.raw(name).map(|raw| Self::at(self.path_of(name), raw)).transpose()
    }
}

/// The elements of a list, each with its path.
///
/// # Errors
/// Anything but a list.
pub(crate) fn elements<'a>(path: &str, raw: &'a RawValue) -> Result<Vec<(String, &'a RawValue)>, ChatError> {
    let wrong = || ChatError::Wrong { field: path.to_owned(), expected: "a list" };
    // Most of what is no list is a text, of which no parser need make an error.
    if !raw.get().starts_with('[') {
        return Err(wrong());
    }
    let list: Vec<&RawValue> = serde_json::from_str(raw.get()).map_err(|_| wrong())?;
    Ok(list.into_iter().enumerate().map(|(at, raw)| (format!("{path}[{at}]"), raw)).collect())
}

/// A name in camel case: `top_k` is `topK`. One that begins with an underscore, or has none, is left as it is.
pub(crate) fn camel(name: &str) -> String {
    if name.starts_with('_') {
        return name.to_owned();
    }
    let mut words = name.split('_');
    let mut told = words.next().unwrap_or_default().to_owned();
    for word in words {
        let mut letters = word.chars();
        told.extend(letters.next().map(|first| first.to_ascii_uppercase()));
        told.push_str(letters.as_str());
    }
    told
}

/// What a JSON value is, by its first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    Text,
    List,
    Other,
}

/// What a JSON value is.
pub(crate) fn shape(raw: &RawValue) -> Shape {
    match raw.get().as_bytes().first() {
        Some(b'"') => Shape::Text,
        Some(b'[') => Shape::List,
        Some(_) | None => Shape::Other,
    }
}
