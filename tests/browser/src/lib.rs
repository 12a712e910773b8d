//! The cookie layer in a real browser: a Chromium that is driven over its debugging protocol, and a
//! rouille server for it.
//!
//! ```text
//! cargo test --manifest-path tests/browser/Cargo.toml
//! ```
//!
//! Needs a `chromium` (on Debian: `apt-get install chromium`); the variable `CHROME` names another
//! one. Each test has a server of its own on a free port of the loopback and a Chromium of its own
//! with an empty profile, so tests run side by side. No test sleeps: what one waits for is a
//! response, an event of the browser or a request at a [`Gate`], each for
//! [`PATIENCE`] at most. Only a slow upload takes real time.

mod application;
mod chromium;
mod gate;
mod site;

use std::time::Duration;

pub use self::application::{application, id_in, layer, layer_by, layer_with, page, redirect, serve, serve_held};
pub use self::chromium::{Chromium, Cookie, Tab};
pub use self::gate::{Gate, Hold, Holds, Step, orders};
pub use self::site::Site;

/// Nothing here takes long; a test that hangs is to fail.
pub const PATIENCE: Duration = Duration::from_secs(30);
