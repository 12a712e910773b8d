//! The cookie layer, for any blocking server: a request's session before the handler, the
//! response's headers after it.
//!
//! ```text
//! layer       SessionLayer: load and finish
//!   decision    what the end of a request leads to; pure
//!   cookie      which ids a request presents; the Set-Cookie texts
//!     token       the same for a token in a header
//!     value       the text in which an id travels
//!     keys        signatures
//!     options     the cookie's options, and what they must not be
//!   head        what of a request the layer reads
//!   finished    what it adds to a response, merged with what is there
//! around      one call around a handler, for every server
//!   rouille     an adapter
//!   tiny_http   an adapter
//!   http        an adapter, for servers that speak the types of the `http` crate
//! ```
//!
//! # With `rouille` (feature `rouille`)
//!
//! One call around the handler. It may return a `Response` or a [`Result`](crate::Result) with one.
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
//! One call around the handler, which sends the response too.
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
//! `tiny_http`, which is below `rouille` too, drops a connection whose headers are not ASCII; such
//! a request never gets here.
//!
//! # With a server that speaks the `http` crate's types (feature `http`)
//!
//! One call around the handler, for `touche`, `feather`, `hyper`, `axum` and others. The request is
//! given as `&Request`, `&Parts` or `&HeaderMap`. None of these says whether the connection is
//! encrypted, which matters for a cookie that is [`Secure::Auto`]: where the server does its own
//! TLS, give `RequestHead::from(&request).secure(true)`.
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
//! The layer reads no body. A handler that does takes the request apart, with `into_parts`, and
//! gives the layer the `Parts`.
//!
//! A body that is streamed is made after the response's headers, so the request is over and its
//! session saved. What the stream reads or writes later goes through a handle of its own, from
//! [`fork`](crate::Session::fork), as for [a WebSocket](#a-websocket).
//!
//! # In an async handler
//!
//! [`load`](SessionLayer::load) before the handler, [`respond`](SessionLayer::respond) after it. A
//! `Session` is `Send` and holds no lock, so a handler may keep it across an `.await`; a borrow
//! from it, such as the text that `get_str` gives, it may not, because a `Session` is not `Sync`.
//!
//! A look and a commit in a [`LembroStore`](crate::LembroStore) take microseconds and wait for no
//! I/O, so a runtime's threads may do them. On Redis each is a round trip, which blocks its thread
//! until the answer or the store's time limit: there run the whole request on a thread for blocking
//! work, with `layer.http` inside tokio's `spawn_blocking`. So a password's hash, too. The handlers
//! of `feather` are coroutines: there such a round trip stops others on its thread.
//!
//! A login is finished before the next `.await`. A handler whose client has gone away ends at one,
//! unfinished. What is not committed by then never happened, and the client's cookie goes on
//! working; but if a [`save`](crate::Session::save) has committed the login, no response tells the
//! client its new id, and the old one is dead. So let [`log_in`](crate::Session::log_in) be the
//! last that a handler does, without a `save` of its own: `respond` commits it and makes the
//! headers in one step. A panic drops the session unsaved, and the runtime or the server answers
//! it.
//!
//! # When something fails
//!
//! The adapters answer. If the store failed or is full, the response is a plain 503; for any other
//! error of the session's, and for a panic, it is a 500. Nothing more is saved then, and the error
//! goes to [`errors`](SessionLayer::errors). [`try_around`](SessionLayer::try_around), and
//! `try_tiny_http`, take a handler with an error type of the application's, and a closure that
//! makes the page for an error.
//!
//! If the session ended while the handler changed it, the response is the handler's, and an
//! [event](crate::Event::LostChange) is raised. With [`LostChange::Refuse`] the response is a 409.
//!
//! # Forms and polls
//!
//! [`csrf_token`](crate::Session::csrf_token) goes into a hidden field of each form. The handler of
//! the form calls [`check_csrf`](crate::Session::check_csrf) first. The layer does not read bodies,
//! so it cannot do that by itself.
//!
//! The handler of what a page polls begins with [`peek`](crate::Session::peek). Otherwise a browser
//! that was left open is logged out by the lifetime only.
//!
//! # From a file
//!
//! [`SessionLayer::from_config`] makes a layer of everything that a file says: the store, memory or
//! Redis, the policy and the cookie. `examples/configured.rs` reads it from TOML.
//!
//! # Clients without cookies
//!
//! Programs and mobile applications send a token in a header: [`SessionLayer::token`], in place of
//! the cookie or beside it. [`TokenOptions`] says what that means for caches and for forms.
//! `examples/api.rs` is an API that `curl` can talk to.
//!
//! # Several layers
//!
//! Two applications on one server, two stores, two timeouts: two layers whose cookies have
//! different names. Their calls nest.
//! `examples/two_layers.rs` has both an admin and a shop.
//!
//! # A WebSocket
//!
//! The thread that serves it has a handle of its own on the session, from
//! [`fork`](crate::Session::fork) in the request that opens the socket. Each message is a
//! [`step`](crate::Session::step) of it, which sees what other requests changed, saves what it
//! changes itself, and says when the session has ended. A login on such a handle is an error,
//! because no response can announce the new id. `SessionLayer::rouille` and `examples/chat.rs` have
//! the code.
//!
//! The session's cookie is `SameSite=Lax` unless you say otherwise, so a foreign page that opens a
//! socket comes without it; with `SameSite::None` check the `Origin` header. A
//! [login](crate::Session::log_in) in another request ends such a handle: the page connects again,
//! with its new cookie. A [timed renewal](crate::Policy::renew_after) does not.
//!
//! # A long answer
//!
//! The headers of a response are made when its handler returns. A body that is made after that, a
//! download of several minutes or a stream of server-sent events, has a fork too, and each part of
//! it is a step: so a logout ends the stream, and the session does not stay as it was when the
//! request began.
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
//!             session.touch()?; // the user waits here: that is no idle time
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
//! The default, [`Secure::Always`], is right behind every proxy that speaks https to the client;
//! nothing needs to be trusted. [`Secure::Auto`] is for applications that are used over plain http
//! too: it asks whether the connection is encrypted, and, if
//! [`trust_proxy`](CookieOptions::trust_proxy) says so, what the proxy reports. (rouille reports
//! its own TLS as unencrypted: take `Always` there.)
//!
//! On an address that strangers can reach, `tiny_http` and `rouille` need one: [`in_front`].
//!
//! # Caches
//!
//! What a response must say to caches it says by itself: see [`Finished`].
//!
//! What it does about each rule of a security review, and what is left to the application:
//! [`security`]. Who could attack it, and how: [`threats`]. What other session libraries call the
//! same things: [`coming_from`](crate::coming_from).
//!
//! # With another server
//!
//! [`SessionLayer::around`] takes a [`RequestHead`] made from the request's headers, and a response
//! that implements [`ResponseHeaders`]: two methods. [`SessionLayer::try_around`] makes the page
//! for an error too. The head should
//!
//! - have every `Cookie` header, byte for byte: a value that is not text must not hide the others;
//! - say whether the connection is encrypted.
//!
//! By hand it is [`load`](SessionLayer::load) before the handler and
//! [`finish`](SessionLayer::finish) after it, or, if the handler or `finish` failed,
//! [`fail`](SessionLayer::fail); the headers of either go into the response. `finish` comes before
//! the response is sent, or the next request of the client may come before the save. It is not
//! called when the handler failed or panicked: nothing more is saved then. The headers of `fail`
//! tell the client an id that the handler has committed.
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
