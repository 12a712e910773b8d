//! An empty library: `tests/suite` runs lembro's suite on `axum` and `feather`, and the example
//! `axum` has async handlers.
