//! What is fuzzed: the checks of `tests/it/support/from_outside`, one target for each.

#[path = "../../it/support/from_outside/mod.rs"]
pub mod from_outside;
#[path = "../../it/support/request_target.rs"]
mod request_target;
