//! Constructors of errors within the crate.

use std::borrow::Cow;
use std::fmt;
use std::path::Path;

use super::{Error, Kind, Source};
use crate::sync::Arc;

impl Error {
    pub(crate) fn option(option: impl Into<Cow<'static, str>>, problem: impl Into<String>) -> Self {
        Kind::Option { option: option.into(), problem: without_middle(problem.into()) }.into()
    }

    /// Prepends the path of the option's section in the configuration, such as `store.redis`.
    #[cfg(feature = "web")]
    pub(crate) fn within(self, section: &'static str) -> Self {
        match &self.inner.kind {
            // The error is about the section as a whole.
            Kind::Option { option, problem } if section.ends_with(&**option) => Self::option(section, problem),
            Kind::Option { option, problem } => Self::option(format!("{section}.{option}"), problem),
            _ => self,
        }
    }

    pub(crate) fn id(problem: impl Into<String>) -> Self {
        Kind::Id(problem.into()).into()
    }

    pub(crate) fn contention(handle: impl fmt::Display, attempts: u32) -> Self {
        Kind::Contention { handle: handle.to_string(), attempts }.into()
    }

    pub(crate) fn late(what: &'static str) -> Self {
        Kind::Late(what).into()
    }

    #[cfg(feature = "web")]
    pub(crate) fn panic() -> Self {
        Kind::Panic.into()
    }

    pub(crate) fn too_many_logins(max: usize) -> Self {
        Kind::TooManyLogins(max).into()
    }

    pub(crate) fn write_value(key: &str, source: serde_json::Error) -> Self {
        Self::value(key, "the value cannot be written as JSON", Some(source))
    }

    pub(crate) fn read_value(key: &str, source: serde_json::Error) -> Self {
        Self::value(key, "the value is not of the type asked for", Some(source))
    }

    /// An error for a value that would not be the same after writing it as JSON and reading it.
    pub(crate) fn refuse_value(key: &str, problem: &'static str) -> Self {
        Self::value(key, problem, None)
    }

    fn value(key: &str, action: &'static str, source: Option<serde_json::Error>) -> Self {
        Kind::Value { key: key.to_owned(), action, source: source.map(|source| Arc::new(source) as Source) }.into()
    }

    pub(crate) fn corrupt(problem: impl Into<Cow<'static, str>>) -> Self {
        Kind::Corrupt(problem.into()).into()
    }

    pub(crate) fn random(source: rand::rngs::SysError) -> Self {
        Kind::Random { source: Arc::new(source) }.into()
    }

    pub(crate) fn persist(path: &Path, problem: impl Into<String>) -> Self {
        Kind::Persist { path: path.to_owned(), problem: problem.into() }.into()
    }

    pub(crate) fn background(problem: impl Into<String>) -> Self {
        Kind::Background(problem.into()).into()
    }
}

/// Cuts the middle out of a long text. A problem can quote a long value and give the reason after
/// the value, so both ends of the text are kept.
fn without_middle(text: String) -> String {
    // Bytes kept at each end. A problem that quotes no long value is shorter than both together.
    const EACH: usize = 400;
    if text.len() <= 2 * EACH {
        return text;
    }
    let mut begin = EACH;
    let mut end = text.len() - EACH;
    while !text.is_char_boundary(begin) {
        begin -= 1;
    }
    while !text.is_char_boundary(end) {
        end += 1;
    }
    format!("{} ... {}", &text[..begin], &text[end..])
}
