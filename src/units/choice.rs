//! Conversions to and from text for the enums of options and for enums that applications store.

use serde::{Deserialize as _, Deserializer};

use super::tree::Tree;
use crate::error::{Error, Result};

/// Implements `Display`, `FromStr`, `Serialize` and `Deserialize` for an enum, all with the same
/// names. `flags`: the choices for `true` and `false` in a configuration file.
macro_rules! choice {
    ($choice:ident, $option:literal, [$($name:literal => $variant:ident),+ $(,)?] $(, flags $flags:expr)?) => {
        impl $choice {
            const NAMES: &[(&str, Self)] = &[$(($name, Self::$variant)),+];
        }

        impl std::fmt::Display for $choice {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(match self {
                    $(Self::$variant => $name,)+
                })
            }
        }

        impl std::str::FromStr for $choice {
            type Err = crate::Error;

            /// Reads the text that `Display` writes, also in camel case, with hyphens and in
            /// capitals.
            ///
            /// # Errors
            ///
            /// [`Error::is_option`](crate::Error::is_option) for any other text.
            fn from_str(text: &str) -> crate::Result<Self> {
                crate::units::parse(text, $option, "", Self::NAMES)
            }
        }

        impl serde::Serialize for $choice {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $choice {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let flags: Option<[Self; 2]> = None $(.or(Some($flags)))?;
                crate::units::read(deserializer, $option, flags, Self::NAMES)
            }
        }
    };
}
pub(crate) use choice;

/// The choice of this name. `also`: the option's other values, for the error.
pub(crate) fn parse<T: Copy>(text: &str, option: &'static str, also: &str, names: &[(&str, T)]) -> Result<T> {
    let plain = |name: &str| name.replace(['-', '_'], "").to_ascii_lowercase();
    let chosen = names.iter().find(|(name, _)| plain(name) == plain(text));
    let problem = || Error::option(option, format!("{text:?} is none of {also}{}", list(names)));
    chosen.map(|(_, choice)| *choice).ok_or_else(problem)
}

/// Reads a choice. `flags`: the choices for `true` and `false`.
pub(crate) fn read<'de, T: Copy, D: Deserializer<'de>>(
    deserializer: D,
    option: &'static str,
    flags: Option<[T; 2]>,
    names: &[(&str, T)],
) -> Result<T, D::Error> {
    let also = if flags.is_some() { "true, false, " } else { "" };
    let choice = match (Tree::deserialize(deserializer)?, flags) {
        (Tree::Text(text), _) => parse(&text, option, also, names),
        (Tree::Flag(true), Some([choice, _])) | (Tree::Flag(false), Some([_, choice])) => Ok(choice),
        _ => Err(Error::option(option, format!("neither of {also}{}", list(names)))),
    };
    choice.map_err(serde::de::Error::custom)
}

fn list<T>(names: &[(&str, T)]) -> String {
    names.iter().map(|(name, _)| format!("{name:?}")).collect::<Vec<_>>().join(", ")
}
