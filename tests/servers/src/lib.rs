//! lembro's suite of behaviours, on `axum` and `feather`: see `tests/suite`. The example `axum` is
//! a login in async handlers.
