//! The adapter for `rouille`: one call around the handler.

use rouille::{Request, Response};

use super::{RequestHead, ResponseHeaders, SessionLayer};
use crate::error::{Error, Result};
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
    /// first; put [`try_rouille`](Self::try_rouille) inside, and the outer one saves nothing either
    /// when it fails.
    ///
    /// When the store fails or is full, here or in the handler, the response is a plain 503; any
    /// other error of the session's, a value of another type than the one asked for, say, is a 500.
    /// Nothing more is saved then (of a commit whose [outcome is unknown](Error::is_unknown) it is
    /// not known), and the error goes to [`errors`](Self::errors). The client keeps its cookie; it
    /// is sent another one only if the handler had committed a new id by then, or a timed renewal
    /// is pending ([`abandon`](Self::abandon)). [`try_rouille`](Self::try_rouille) leaves the
    /// response to you. A handler that panics saves nothing more either; rouille answers with a
    /// 500.
    ///
    /// What the handler did at once stays done when it fails after that: `save`, `modify`,
    /// `destroy`.
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
    /// socket's thread has a session of its own: read again before each message, saved after it,
    /// and the socket ends when the session has. What only reads prolongs nothing;
    /// [`touch`](Session::touch) does. A [login](Session::log_in) ends the sockets that were opened
    /// before it: the page connects again, with its new cookie. A
    /// [timed renewal](crate::Policy::renew_after) does not end them.
    ///
    /// ```no_run
    /// use std::thread;
    /// use lembro::{LembroStore, Saved, web::SessionLayer};
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
    ///         session.save()?; // now it is stored, and can be loaded
    ///         let Some(mut own) = layer.sessions().load(&session.id()?)? else {
    ///             return Ok(Response::empty_400());
    ///         };
    ///         thread::spawn(move || -> Result<(), lembro::Error> {
    ///             for _message in socket.into_iter().flatten() {
    ///                 if !own.reload()? {
    ///                     break;
    ///                 }
    ///                 let sent = own.get::<u64>("sent")?.unwrap_or(0) + 1;
    ///                 own.insert("sent", &sent)?;
    ///                 if own.save()? == Saved::Gone {
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
        let mut session = self.load(request);
        let answered = handler(&mut session).into_result();
        let owed = self.abandon(&session, request);
        let answered = answered.and_then(|mut response| {
            self.finish(session, request)?.write_to(&mut response);
            Ok(response)
        });
        answered.unwrap_or_else(|error| {
            self.sessions().report(&error);
            let (status, text) = if error.is_store() || error.is_full() {
                (503, "Service unavailable")
            } else {
                (500, "Internal server error")
            };
            let mut response = Response::text(text).with_status_code(status);
            owed.iter().for_each(|owed| owed.write_to(&mut response));
            response
        })
    }

    /// The same, with an error type of yours, and what it means left to you.
    ///
    /// # Errors
    ///
    /// What the handler returned; or the store's failure while the session was saved. Nothing is
    /// saved but what the handler committed itself, and there is no cookie to send: a user who is
    /// logged in stays logged in. Do what may fail before you save a login: otherwise the client
    /// never learns its new id.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use lembro::{LembroStore, web::SessionLayer};
    /// use rouille::Response;
    ///
    /// # fn main() -> Result<(), lembro::Error> {
    /// type Anything = Box<dyn std::error::Error + Send + Sync>;
    ///
    /// let layer = SessionLayer::new(LembroStore::new()?);
    /// rouille::start_server("127.0.0.1:8080", move |request| {
    ///     let answer = layer.try_rouille(request, |session| {
    ///         let page = std::fs::read_to_string("page.html")?;
    ///         Ok(Response::html(page.replace("{user}", &session.get_str("user")?.unwrap_or("stranger".into()))))
    ///     });
    ///     answer.unwrap_or_else(|error: Anything| Response::text(error.to_string()).with_status_code(500))
    /// })
    /// # }
    /// ```
    pub fn try_rouille<E: From<Error>>(
        &self,
        request: &Request,
        handler: impl FnOnce(&mut Session) -> Result<Response, E>,
    ) -> Result<Response, E> {
        let mut session = self.load(request);
        let mut response = handler(&mut session)?;
        self.finish(session, request)?.write_to(&mut response);
        Ok(response)
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

    fn add(&mut self, name: &'static str, value: String) {
        self.headers.push((name.into(), value.into()));
    }
}
