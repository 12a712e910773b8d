//! The adapter for `rouille`: one call around the handler.

use rouille::{Request, Response};

use super::{RequestHead, ResponseHeaders, SessionLayer};
use crate::error::Result;
use crate::session::Session;

impl<'r> From<&'r Request> for RequestHead<'r> {
    fn from(request: &'r Request) -> Self {
        Self::from_headers(request.headers()).secure(request.is_secure())
    }
}

impl SessionLayer {
    /// Runs a handler with the request's session, and gives its response the headers that the
    /// session needs.
    ///
    /// The handler returns a `Response`, or a `Result` with one, so that it can use `?` on the
    /// session. Layers nest: one handler can have a session of each. The inner one is finished
    /// first.
    ///
    /// When the store fails or is full, here or in the handler, the response is a plain 503; any
    /// other error of the session's, a value of another type than the one asked for, say, is a 500,
    /// and so is a panic. Nothing more is saved then (of a commit whose [outcome is
    /// unknown](crate::Error::is_unknown) it is not known), and the error goes to
    /// [`errors`](Self::errors). The client keeps its cookie; it is sent another one only if a commit
    /// has given the session a new id by then, or a timed renewal is pending.
    /// [`try_around`](Self::try_around) leaves the page to you.
    ///
    /// What the handler did at once stays done when it fails after that: `save`, `modify`,
    /// `log_out`.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use lembro::{LembroStore, web::SessionLayer};
    /// use rouille::Response;
    ///
    /// # fn main() -> Result<(), lembro::Error> {
    /// let layer = SessionLayer::new(LembroStore::new()?);
    /// rouille::start_server("127.0.0.1:8080", move |request| {
    ///     layer.rouille(request, |session| {
    ///         let visits = session.get::<u64>("visits")?.unwrap_or(0) + 1;
    ///         session.insert("visits", &visits)?;
    ///         Ok(Response::text(format!("Visit number {visits}")))
    ///     })
    /// })
    /// # }
    /// ```
    ///
    /// # In a WebSocket
    ///
    /// The request that opens it ends with the 101 response, and its session with it. So the
    /// socket's thread has a handle of its own. Each message is a [`step`](Session::step): read
    /// again before, saved after it, and the socket ends when the session has. What only reads
    /// prolongs nothing;
    /// [`touch`](Session::touch) does. A [login](Session::log_in) ends the sockets that were opened
    /// before it: the page connects again, with its new cookie. A
    /// [timed renewal](crate::Policy::renew_after) does not end them.
    ///
    /// ```no_run
    /// use std::thread;
    /// use lembro::{LembroStore, Step, web::SessionLayer};
    /// use rouille::{Response, websocket};
    ///
    /// # fn main() -> Result<(), lembro::Error> {
    /// let layer = SessionLayer::new(LembroStore::new()?);
    /// rouille::start_server("127.0.0.1:8080", move |request| {
    ///     layer.rouille(request, |session| {
    ///         let Ok((response, socket)) = websocket::start(request, None::<&str>) else {
    ///             return Ok(Response::empty_400());
    ///         };
    ///         session.insert("in_chat", &true)?;
    ///         // A handle of the socket's own; what is unsaved is saved first.
    ///         let Some(mut own) = session.fork()? else { return Ok(Response::empty_400()) };
    ///         thread::spawn(move || -> Result<(), lembro::Error> {
    ///             for _message in socket.into_iter().flatten() {
    ///                 let step = own.step(|session| {
    ///                     let sent = session.get::<u64>("sent")?.unwrap_or(0) + 1;
    ///                     session.insert("sent", &sent)
    ///                 })?;
    ///                 if step == Step::Ended {
    ///                     break;
    ///                 }
    ///             }
    ///             Ok(())
    ///         });
    ///         Ok(response)
    ///     })
    /// })
    /// # }
    /// ```
    pub fn rouille<A: Answer>(&self, request: &Request, handler: impl FnOnce(&mut Session) -> A) -> Response {
        self.try_around(
            request,
            |session| handler(session).into_result(),
            |error| {
                let (status, text) = self.error_page(&error);
                Response::text(text).with_status_code(status)
            },
        )
    }
}

/// What a handler may return to [`SessionLayer::rouille`]: a `Response`, or a [`Result`] with one.
pub trait Answer {
    /// As a result.
    ///
    /// # Errors
    ///
    /// The one that it is.
    fn into_result(self) -> Result<Response>;
}

impl Answer for Response {
    fn into_result(self) -> Result<Response> {
        Ok(self)
    }
}

impl Answer for Result<Response> {
    fn into_result(self) -> Result<Response> {
        self
    }
}

impl ResponseHeaders for Response {
    fn take(&mut self, name: &str) -> Vec<String> {
        let named = self.headers.extract_if(.., |(one, _)| one.eq_ignore_ascii_case(name));
        // rouille sends no header that is not ASCII: what is merged into such a one would be lost
        // with it.
        named.map(|(_, value)| value.into_owned()).filter(|value| value.is_ascii()).collect()
    }

    fn add(&mut self, name: &str, value: String) {
        self.headers.push((name.to_owned().into(), value.into()));
    }
}
