//! The adapter for `rouille`: one call around the handler.

use rouille::{Request, Response};

use super::finished::ResponseHeaders;
use super::head::RequestHead;
use super::layer::SessionLayer;
use crate::error::Result;
use crate::session::Session;

impl<'r> From<&'r Request> for RequestHead<'r> {
    fn from(request: &'r Request) -> Self {
        Self::from_headers(request.headers()).secure(request.is_secure())
    }
}

impl SessionLayer {
    /// Runs a handler with the request's session, and adds the session's headers, such as
    /// `Set-Cookie`, to the response.
    ///
    /// The handler returns a `Response`, or a `Result` with one, so that it can use `?` on the
    /// session. Calls of several layers nest. The inner session is finished first.
    ///
    /// If the store fails or is full, the response is a plain 503. After a panic, or any other
    /// error of the session's, it is a plain 500: see [when something
    /// fails](super#when-something-fails). The client keeps its cookie. It gets another one only if
    /// a commit gave the session a new id, or if a timed renewal is pending. For an error page of
    /// your own, call [`try_around`](Self::try_around).
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
    /// The request that opens the socket ends with its 101 response, and so does its session.
    /// Therefore the socket's thread takes a [`fork`](Session::fork) of the session. For each
    /// message it runs a [`step`](Session::step), which reads the session, calls a closure and
    /// saves. If the session has ended, the thread closes the socket. A step that only reads does
    /// not prolong the session; [`touch`](Session::touch) does. A [login](Session::log_in) ends the
    /// sockets that were opened before it, and the page connects again with its new cookie. A
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
    ///         // The socket's own handle. `fork` saves unsaved changes first.
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

/// The values that a handler may return to [`SessionLayer::rouille`]: a `Response`, or a [`Result`]
/// with one.
pub trait Answer {
    /// The handler's result.
    ///
    /// # Errors
    ///
    /// The handler's error.
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
        // rouille drops a header that is not ASCII, so a value merged into one would be lost.
        named.map(|(_, value)| value.into_owned()).filter(|value| value.is_ascii()).collect()
    }

    fn add(&mut self, name: &str, value: String) {
        self.headers.push((name.to_owned().into(), value.into()));
    }
}
