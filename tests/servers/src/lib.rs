//! An empty library, for the suite on `axum` and `feather` in `tests/suite` and the example `axum`.
