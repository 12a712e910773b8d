//! The checks of `tests/it/support/from_outside`, each of which is a fuzz target.

#[path = "../../it/support/from_outside/mod.rs"]
pub mod from_outside;
#[path = "../../it/support/request_target.rs"]
mod request_target;
