//! Browsers with cookie jars, against a model of what their users are promised.

pub(crate) mod history;
mod model;
#[path = "../common/user_agent.rs"]
mod user_agent;
pub(crate) mod world;
