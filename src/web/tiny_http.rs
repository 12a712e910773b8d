//! The adapter for `tiny_http`: one call runs the handler and sends the response.

use std::io::Read;

use tiny_http::{Header, Request, Response, ResponseBox};

use super::around::catch;
use super::finished::{Finished, ResponseHeaders};
use super::head::RequestHead;
use super::layer::SessionLayer;
use crate::error::{Error, Result};
use crate::session::Session;

impl<'r> From<&'r Request> for RequestHead<'r> {
    fn from(request: &'r Request) -> Self {
        let headers = request.headers().iter();
        Self::from_headers(headers.map(|header| (header.field.as_str().as_str(), header.value.as_str())))
            .secure(request.secure())
    }
}

impl SessionLayer {
    /// Runs a handler with the request's session, adds the session's headers to the response, and
    /// sends the response.
    ///
    /// If the store fails or is full, the response is a plain 503. After a panic or any other error
    /// it is a plain 500: see [when something fails](super#when-something-fails). Either way
    /// the thread goes on to its next request. With [`try_tiny_http`](Self::try_tiny_http) you make
    /// that response. It is no error if the client closes the connection before the response.
    ///
    /// For a response that is sent later, such as an upgrade to a WebSocket, call
    /// [`load`](Self::load) and [`finish`](Self::finish) instead.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use lembro::{LembroStore, web::SessionLayer};
    /// use tiny_http::{Response, Server};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    /// let layer = SessionLayer::new(LembroStore::new()?);
    /// let server = Server::http("127.0.0.1:8080")?;
    /// for request in server.incoming_requests() {
    ///     layer.tiny_http(request, |_request, session| {
    ///         let visits = session.get::<u64>("visits")?.unwrap_or(0) + 1;
    ///         session.insert("visits", &visits)?;
    ///         Ok(Response::from_string(format!("Visit number {visits}")))
    ///     });
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn tiny_http<R: Read>(
        &self,
        request: Request,
        handler: impl FnOnce(&mut Request, &mut Session) -> Result<Response<R>>,
    ) {
        self.try_tiny_http(request, handler, |error: Error| {
            let (status, text) = self.error_page(&error);
            Response::from_string(text).with_status_code(status).boxed()
        });
    }

    /// [`tiny_http`](Self::tiny_http) with any error type: `failed` makes the response for the
    /// handler's error, for its panic, and for an error while the session is saved. That response
    /// gets the session's headers too.
    pub fn try_tiny_http<R: Read, E: From<Error>>(
        &self,
        mut request: Request,
        handler: impl FnOnce(&mut Request, &mut Session) -> Result<Response<R>, E>,
        failed: impl FnOnce(E) -> ResponseBox,
    ) {
        let mut session = self.load(&request);
        let answered = catch(&mut session, |session| handler(&mut request, session));
        let (answered, finished) = self.end(&mut session, answered);
        let _client_has_gone = match answered {
            Ok(response) => request.respond(finished.add_to(response)),
            Err(error) => request.respond(finished.add_to(failed(error))),
        };
    }
}

impl Finished {
    /// Returns the response with the headers merged into it, as by [`write_to`](Self::write_to).
    pub fn add_to<R: Read>(&self, response: Response<R>) -> Response<R> {
        if self.headers().next().is_none() {
            return response;
        }
        // The headers of tiny_http's responses cannot be removed, so a new response is made.
        let mut headers = response.headers().to_vec();
        self.write_to(&mut headers);
        let (status, length) = (response.status_code(), response.data_length());
        let chunked_threshold = response.chunked_threshold();
        let response = Response::new(status, headers, response.into_reader(), length, None);
        response.with_chunked_threshold(chunked_threshold)
    }
}

impl ResponseHeaders for Vec<Header> {
    fn take(&mut self, name: &str) -> Vec<String> {
        let is_named = |header: &mut Header| header.field.as_str().as_str().eq_ignore_ascii_case(name);
        self.extract_if(.., is_named).map(|header| header.value.as_str().to_owned()).collect()
    }

    fn add(&mut self, name: &str, value: String) {
        // No value is refused, because ours are ASCII and the others were headers before.
        self.extend(Header::from_bytes(name, value));
    }
}
