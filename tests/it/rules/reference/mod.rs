//! What `rules/model` is made of.

mod bytes;
mod commits;
mod compare;
pub(crate) mod history;
mod model;
mod time;
mod words;
pub(crate) mod world;
