//! The cookie layer in a real browser: a driven Chromium, and a rouille server for it.
//!
//! ```text
//! cargo test --manifest-path tests/browser/Cargo.toml
//! ```
//!
//! The tests need a `chromium` (on Debian: `apt-get install chromium`); the variable `CHROME` names
//! another one. Each test has its own server on a free port of the loopback, and its own Chromium
//! with an empty profile, so tests run in parallel. No test sleeps: it waits for a response, an
//! event of the browser or a request at a [`Gate`], each for [`PATIENCE`] at most. Only a slow
//! upload takes real time.

mod application;
mod chromium;
mod gate;
mod site;

use std::time::Duration;

pub use self::application::{application, id_in, layer, layer_by, layer_with, page, redirect, serve, serve_held};
pub use self::chromium::{Chromium, Cookie, Tab};
pub use self::gate::{Gate, Hold, Holds, Step, orders};
pub use self::site::Site;

/// The longest wait, after which a test fails instead of hanging.
pub const PATIENCE: Duration = Duration::from_secs(30);
