//! The cookie layer, for any blocking server: a request's session before the handler, the response's headers after it.
//!
//! ```text
//! layer       SessionLayer: load and finish
//!   decision    what the end of a request leads to; pure
//!   cookie      which ids a request presents; the Set-Cookie texts
//!     keys        signatures
//!     options     the cookie's options, and what they must not be
//!   head        what of a request the layer reads
//!   finished    what it adds to a response, merged with what is there
//! tiny_http   an adapter
//! rouille     an adapter
//! ```
//!
//! # With `tiny_http` (feature `tiny_http`)
//!
//! ```no_run
//! # #[cfg(feature = "tiny_http")]
//! # fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
//! use lembro::LembroStore;
//! use lembro::http::SessionLayer;
//!
//! let layer = SessionLayer::new(LembroStore::new()?);
//! let server = tiny_http::Server::http("127.0.0.1:8080")?;
//! for request in server.incoming_requests() {
//!     let mut session = layer.load(&request);
//!     session.insert("last_page", request.url())?;
//!     let response = tiny_http::Response::from_string("Hello");
//!     let finished = layer.finish(session, &request)?;
//!     request.respond(finished.add_to(response))?;
//! }
//! # Ok(())
//! # }
//! # #[cfg(not(feature = "tiny_http"))]
//! # fn main() {}
//! ```
//!
//! `tiny_http` itself drops a connection whose headers are not ASCII; such a request never gets here.
//!
//! What it does about each rule of a security review, and what is left to the application: [`security`]. What other
//! session libraries call the same things: [`coming_from`](crate::coming_from).
//!
//! # With another server
//!
//! An adapter makes a [`RequestHead`] from the values of the request's `Cookie` headers, gives it to
//! [`SessionLayer::load`] before the handler and to [`SessionLayer::finish`] after it, and *adds* every one of
//! [`Finished::headers`] to the response. It should
//!
//! - pass on every `Cookie` header, byte for byte: a value that is not text must not hide the others;
//! - replace none of the application's own `Set-Cookie` headers;
//! - call `finish` before the response is sent, or the next request of the client may come before the save;
//! - not call `finish` when the handler panicked: nothing is saved then;
//! - answer an error of `finish` with an error, and no cookie.

mod cookie;
mod decision;
mod finished;
mod head;
mod keys;
mod layer;
mod options;
#[cfg(feature = "rouille")]
mod rouille;
#[cfg(feature = "tiny_http")]
mod tiny_http;

#[cfg(any(doc, doctest))]
#[doc = include_str!("security.md")]
pub mod security {}

pub use self::finished::{Finished, ResponseHeaders};
pub use self::head::RequestHead;
pub use self::layer::SessionLayer;
pub use self::options::{CookieLifetime, CookieOptions, Priority, SameSite, Secure, SiteData};
#[cfg(feature = "rouille")]
pub use self::rouille::Answer;
