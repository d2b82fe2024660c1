//! What can be wrong with a request body.

/// A request that cannot be read. Every message names the field and the remedy; none repeats what the caller sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChatError {
    /// The bytes are not UTF-8.
    #[error("the body is not valid UTF-8 (byte {offset}); send JSON encoded as UTF-8")]
    NotUtf8 {
        /// Where the first bad byte is.
        offset: usize,
    },
    /// The bytes are not JSON.
    #[error("the body is not valid JSON: {problem}; check the syntax there")]
    NotJson {
        /// What the parser said, with line and column.
        problem: String,
    },
    /// A field is absent.
    #[error("`{field}` is missing; {fix}")]
    Missing {
        /// Which field.
        field: String,
        /// What to send.
        fix: &'static str,
    },
    /// A field is there, with the wrong kind of value.
    #[error("`{field}` must be {expected}")]
    Wrong {
        /// Which field.
        field: String,
        /// What it must be.
        expected: &'static str,
    },
    /// A field that may be given once was given twice, so that readers could disagree about its value.
    #[error("`{field}` is given more than once; send it once")]
    Duplicate {
        /// Which field.
        field: String,
    },
    /// A field of the `trimtab` object that does not exist.
    #[error("`{field}` is not an option; the options are {known}")]
    Unknown {
        /// Which field.
        field: String,
        /// What there is.
        known: String,
    },
}

impl ChatError {
    /// The field at fault, for the `param` of an OpenAI error.
    #[must_use]
    pub fn field(&self) -> Option<&str> {
        match self {
            Self::NotUtf8 { .. } | Self::NotJson { .. } => None,
            Self::Missing { field, .. }
            | Self::Wrong { field, .. }
            | Self::Duplicate { field }
            | Self::Unknown { field, .. } => Some(field),
        }
    }
}
