//! Browsers with cookie jars, against a model of what their users are promised.

pub(crate) mod history;
mod model;
pub(crate) mod world;
