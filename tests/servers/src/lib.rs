//! lembro's suite of behaviours, on `axum` and `feather`: see `tests/it/web/suite.rs`. The example
//! `axum` is a login in async handlers.
