//! The cookie layer, for any blocking server. It opens the request's session before the handler
//! runs, and makes the response's headers after it.
//!
//! ```text
//! layer        SessionLayer: load, finish and fail
//!   decision     the steps at the end of a request; pure
//!   cookie       the session cookie: reading it, and the Set-Cookie texts
//!     token        the same for a token in a header
//!     value        the text of an id in a cookie or a token
//!     keys         signatures
//!   check        checks of the cookie's options
//!     grammar      cookie names, paths, domains and header names; pure
//!     options      the cookie's options
//!     attributes   the values of these options
//!   head         the headers of a request that the layer reads
//!   finished     the headers that it adds to a response
//! around       one call around a handler, for every server
//!   rouille, tiny_http, http   the adapters
//! ```
//!
//! # With `rouille` (feature `rouille`)
//!
//! `layer.rouille` calls the handler. The handler returns a `Response` or a
//! [`Result`](crate::Result) with one.
//!
//! ```no_run
//! # #[cfg(feature = "rouille")]
//! # fn main() -> Result<(), lembro::Error> {
//! use lembro::LembroStore;
//! use lembro::web::SessionLayer;
//! use rouille::Response;
//!
//! let layer = SessionLayer::new(LembroStore::new()?);
//! rouille::start_server("127.0.0.1:8080", move |request| {
//!     layer.rouille(request, |session| {
//!         let visits = session.get::<u64>("visits")?.unwrap_or(0) + 1;
//!         session.insert("visits", &visits)?;
//!         Ok(Response::text(format!("Visit number {visits}")))
//!     })
//! })
//! # }
//! # #[cfg(not(feature = "rouille"))]
//! # fn main() {}
//! ```
//!
//! # With `tiny_http` (feature `tiny_http`)
//!
//! `layer.tiny_http` calls the handler and sends its response.
//!
//! ```no_run
//! # #[cfg(feature = "tiny_http")]
//! # fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
//! use lembro::LembroStore;
//! use lembro::web::SessionLayer;
//!
//! let layer = SessionLayer::new(LembroStore::new()?);
//! let server = tiny_http::Server::http("127.0.0.1:8080")?;
//! for request in server.incoming_requests() {
//!     layer.tiny_http(request, |_request, session| {
//!         let visits = session.get::<u64>("visits")?.unwrap_or(0) + 1;
//!         session.insert("visits", &visits)?;
//!         Ok(tiny_http::Response::from_string(format!("Visit number {visits}")))
//!     });
//! }
//! # Ok(())
//! # }
//! # #[cfg(not(feature = "tiny_http"))]
//! # fn main() {}
//! ```
//!
//! `tiny_http`, on which `rouille` is built, drops a connection whose headers are not ASCII. The
//! layer never sees such a request.
//!
//! # With a server that uses the `http` crate's types (feature `http`)
//!
//! `layer.http` calls the handler. It works with `touche`, `feather`, `hyper`, `axum` and others.
//! Pass the request as `&Request`, `&Parts` or `&HeaderMap`. None of these says whether the
//! connection is encrypted, which matters for a cookie that is [`Secure::Auto`]: if the server does
//! its own TLS, pass `RequestHead::from(&request).secure(true)`.
//!
//! ```no_run
//! # #[cfg(feature = "http")]
//! # fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
//! use lembro::LembroStore;
//! use lembro::web::SessionLayer;
//! use touche::{Body, Request, Response, Server};
//!
//! let layer = SessionLayer::new(LembroStore::new()?);
//! Server::bind("127.0.0.1:8080").serve(move |request: Request<Body>| {
//!     Ok::<_, lembro::Error>(layer.http(&request, |session| {
//!         let visits = session.get::<u64>("visits")?.unwrap_or(0) + 1;
//!         session.insert("visits", &visits)?;
//!         Ok(Response::new(Body::from(format!("Visit number {visits}"))))
//!     }))
//! })?;
//! # Ok(())
//! # }
//! # #[cfg(not(feature = "http"))]
//! # fn main() {}
//! ```
//!
//! The layer does not read the body. If the handler needs it, take the request apart with
//! `into_parts`, and pass the `Parts` to the layer.
//!
//! # In an async handler
//!
//! Call [`load`](SessionLayer::load) before the handler and [`respond`](SessionLayer::respond)
//! after it. A `Session` is `Send` and holds no lock, so a handler may keep it across an `.await`.
//! It is not `Sync`, so a borrow from it, such as the text of `get_str`, may not live across one.
//!
//! A look and a commit in a [`LembroStore`](crate::LembroStore) take microseconds and wait for no
//! network, so the runtime's threads may run them. On Redis each is a round trip, which blocks its
//! thread until the answer arrives or the store's time limit is over. With Redis, run the whole
//! request on a thread for blocking work, with `layer.http` inside tokio's `spawn_blocking`. Hash
//! passwords on such a thread too. The handlers of `feather` are coroutines, so such a round trip
//! blocks the other handlers on its thread.
//!
//! If the client disconnects, the runtime drops the handler at an `.await`. Then uncommitted
//! changes are lost, and the client's cookie still works. But if a [`save`](crate::Session::save)
//! has committed a login by then, no response tells the client its new id, and the old id is dead.
//! So call [`log_in`](crate::Session::log_in) last in the handler, without a `save`: `respond`
//! commits it and makes the headers in one step. If the handler panics, the session is dropped
//! unsaved, and the runtime or the server sends the response.
//!
//! # When something fails
//!
//! If a request fails, the adapter sends the response. If the store failed or is full, the response
//! is a plain 503. After a panic, or any other error of the session, it is a plain 500. In all
//! these cases nothing more of the session is saved, and the error goes to
//! [`errors`](SessionLayer::errors). Earlier calls of `save`, `modify` and `log_out` have taken
//! effect; the outcome of a commit that failed may be [unknown](crate::Error::is_unknown).
//! [`try_around`](SessionLayer::try_around) and `try_tiny_http` take a handler with the
//! application's own error type, and a closure that makes the error page.
//!
//! If the session ended while the handler changed it, the handler's response is sent, and an
//! [event](crate::Event::LostChange) is raised. With [`LostChange::Refuse`] the response is a 409.
//!
//! # Forms and polls
//!
//! Put [`csrf_token`](crate::Session::csrf_token) into a hidden field of each form, and call
//! [`check_csrf`](crate::Session::check_csrf) first in the form's handler. The layer cannot check
//! the token by itself, because it reads no bodies.
//!
//! If a page polls a handler, call [`peek`](crate::Session::peek) first in that handler. Otherwise
//! the polling prolongs the session, and a browser that is left open is logged out only when the
//! session's lifetime ends.
//!
//! # From a file
//!
//! [`SessionLayer::from_config`] makes a layer from a configuration file, which sets the store
//! (memory or Redis), the policy and the cookie. `examples/configured.rs` reads such a file in
//! TOML.
//!
//! # Clients without cookies
//!
//! With [`SessionLayer::token`], programs and mobile applications send the id as a token in a
//! header, in place of the cookie or beside it. [`TokenOptions`] explains what that means for
//! caches and for forms. `examples/api.rs` is an API that `curl` can talk to.
//!
//! # Several layers
//!
//! Two applications on one server, with two stores and two timeouts, take two layers whose cookies
//! have different names. Call one layer inside the handler of the other. `examples/two_layers.rs`
//! has an admin page and a shop.
//!
//! # A WebSocket
//!
//! The request that opens the socket calls [`fork`](crate::Session::fork), and the thread that
//! serves the socket uses this fork. For each message the thread calls
//! [`step`](crate::Session::step). A step sees the changes of other requests, saves its own, and
//! reports the end of the session. A login on a fork is an error, because no response can announce
//! the new id. `SessionLayer::rouille` and `examples/chat.rs` have the code.
//!
//! The session's cookie is `SameSite=Lax` by default, so the request for a socket from another
//! site's page has no cookie. With `SameSite::None`, check the `Origin` header. A
//! [login](crate::Session::log_in) in another request ends the fork, and the page connects again
//! with its new cookie. A [timed renewal](crate::Policy::renew_after) does not end the fork.
//!
//! # A long answer
//!
//! The headers of a response are made when its handler returns, and by then the session is saved. A
//! body that is made later, such as a long download or a stream of server-sent events, uses a fork
//! too. Make each part of the body in a step, so that the part sees the session's current data, and
//! a logout ends the stream.
//!
//! ```
//! # #[cfg(feature = "rouille")]
//! # fn main() -> Result<(), lembro::Error> {
//! use std::io::{self, Read};
//! use lembro::web::SessionLayer;
//! use lembro::{LembroStore, Session, Step};
//! use rouille::{Response, ResponseBody};
//!
//! /// A body with one line for each piece of work.
//! struct Progress {
//!     own: Session,
//!     left: u32,
//! }
//!
//! impl Read for Progress {
//!     fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
//!         if self.left == 0 {
//!             return Ok(0);
//!         }
//!         // ... a piece of the work ...
//!         self.left -= 1;
//!         let step = self.own.step(|session| {
//!             session.touch()?; // the user waits: the session is not idle
//!             session.insert("left", &self.left)
//!         });
//!         match step.map_err(io::Error::other)? {
//!             Step::Done(()) => format!("{:9} left\n", self.left).as_bytes().read(buffer),
//!             Step::Ended => Ok(0),
//!         }
//!     }
//! }
//!
//! let layer = SessionLayer::new(LembroStore::new()?);
//! let answer = |session: &mut Session| {
//!     session.insert("left", &3)?;
//!     let Some(own) = session.fork()? else { return Ok(Response::empty_404()) };
//!     let body = ResponseBody::from_reader(Progress { own, left: 3 });
//!     Ok(Response { data: body, ..Response::text("") })
//! };
//! # let request = rouille::Request::fake_http("GET", "/", vec![], vec![]);
//! # let response = layer.rouille(&request, answer);
//! # let mut text = String::new();
//! # response.data.into_reader_and_size().0.read_to_string(&mut text).unwrap();
//! # let words: Vec<_> = text.split_whitespace().collect();
//! # assert_eq!(words, ["2", "left", "1", "left", "0", "left"]);
//! # Ok(())
//! # }
//! # #[cfg(not(feature = "rouille"))]
//! # fn main() {}
//! ```
//!
//! # Behind a proxy
//!
//! The default, [`Secure::Always`], works with every proxy that speaks https to the client, and
//! trusts no header. [`Secure::Auto`] is for applications that are used over plain http too. It
//! checks whether the connection is encrypted. With [`trust_proxy`](CookieOptions::trust_proxy) it
//! also reads the proxy's headers. rouille reports its own TLS as unencrypted, so take `Always`
//! with rouille.
//!
//! On an address that strangers can reach, `tiny_http` and `rouille` need a proxy: see
//! [`in_front`].
//!
//! # More
//!
//! - [`Finished`]: the headers for caches, which the layer sets by itself.
//! - [`security`]: the rules of a security review, what the layer does about each, and what the
//!   application must do.
//! - [`threats`]: the attackers, what they try, and what stops them.
//! - [`coming_from`](crate::coming_from): the names of other session libraries.
//!
//! # With another server
//!
//! [`SessionLayer::around`] takes a [`RequestHead`], made from the request's headers, and a
//! response that implements the two methods of [`ResponseHeaders`]. [`SessionLayer::try_around`]
//! also takes a closure that makes the error page. The head should
//!
//! - have every `Cookie` header byte for byte, so that a value that is not text does not hide the
//!   others;
//! - say whether the connection is encrypted.
//!
//! Without `around`, call [`load`](SessionLayer::load) before the handler and
//! [`finish`](SessionLayer::finish) after it, and put its headers into the response. Call `finish`
//! before the response is sent; otherwise the client's next request may come before the save. If
//! the handler or `finish` fails, call [`fail`](SessionLayer::fail) instead. It saves nothing more.
//! If the handler has committed a new id, the headers from `fail` tell it to the client.
//!
//! ```
//! use lembro::LembroStore;
//! use lembro::web::{RequestHead, SessionLayer};
//!
//! let layer = SessionLayer::new(LembroStore::new()?);
//! let mut session = layer.load(RequestHead::default());
//! let answered = session.insert("user", "ada").and_then(|()| layer.finish(&mut session));
//! let (status, finished) = match answered {
//!     Ok(finished) => (200, finished),
//!     Err(_error) => (500, layer.fail(&mut session)),
//! };
//! let mut headers: Vec<(String, String)> = Vec::new();
//! finished.write_to(&mut headers);
//! # assert_eq!((status, headers.len()), (200, 3));
//! # Ok::<(), lembro::Error>(())
//! ```

mod around;
mod attributes;
mod check;
mod cookie;
mod decision;
mod finished;
mod grammar;
mod head;
#[cfg(feature = "http")]
mod http;
mod keys;
mod layer;
mod options;
#[cfg(feature = "rouille")]
mod rouille;
#[cfg(feature = "tiny_http")]
mod tiny_http;
mod token;
mod value;

#[cfg(any(doc, doctest))]
#[doc = include_str!("in_front.md")]
pub mod in_front {}

#[cfg(any(doc, doctest))]
#[doc = include_str!("security.md")]
pub mod security {}

#[cfg(any(doc, doctest))]
#[doc = include_str!("threats.md")]
pub mod threats {}

pub use self::attributes::{CookieLifetime, Priority, SameSite, Secure, SiteData};
pub use self::finished::{Finished, ResponseHeaders};
pub use self::head::RequestHead;
pub use self::layer::{LostChange, SessionLayer};
pub use self::options::CookieOptions;
#[cfg(feature = "rouille")]
pub use self::rouille::Answer;
pub use self::token::TokenOptions;
