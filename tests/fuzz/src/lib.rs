//! The checks of `tests/from_outside`, each of which is a fuzz target.

#[path = "../../from_outside/mod.rs"]
pub mod from_outside;
