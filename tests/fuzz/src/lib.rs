//! What is fuzzed: the checks of `tests/from_outside`, one target for each.

#[path = "../../from_outside/mod.rs"]
pub mod from_outside;
