//! One call that loads the session, runs the handler, and finishes or fails the request, for any
//! server. The adapters use this call.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::finished::{Finished, ResponseHeaders};
use super::head::RequestHead;
use super::layer::{LostChange, SessionLayer};
use crate::error::{Error, Result};
use crate::session::Session;

impl SessionLayer {
    /// Runs a handler with the request's session, and adds the session's headers to the handler's
    /// response. Works with every server whose request converts to a [`RequestHead`] and whose
    /// response implements [`ResponseHeaders`].
    ///
    /// # Errors
    ///
    /// - The handler's error, or the error of [`finish`](Self::finish).
    /// - An error that [`is_panic`](Error::is_panic) if the handler panicked.
    /// - With [`LostChange::Refuse`], an error that [`is_lost`](Error::is_lost).
    ///
    /// After an error, nothing more of the session is saved. If the error
    /// [is unknown](Error::is_unknown), the store may have carried out the commit that failed.
    ///
    /// The caller makes the error page, which has no headers of the session. If the handler
    /// committed a new id before it failed (by [`save`](Session::save) after
    /// [`log_in`](Session::log_in), for example), the client never receives this id.
    /// [`try_around`](Self::try_around) announces such an id on the error page.
    ///
    /// # Examples
    ///
    /// A server whose responses are lists of headers:
    ///
    /// ```
    /// use lembro::LembroStore;
    /// use lembro::web::{RequestHead, SessionLayer};
    ///
    /// type Headers = Vec<(String, String)>;
    ///
    /// let layer = SessionLayer::new(LembroStore::new()?);
    /// let request = [("Host", "example.com"), ("Cookie", "theme=dark")];
    /// let response = layer.around(RequestHead::from_headers(request), |session| {
    ///     session.insert("user", "ada")?;
    ///     Ok::<Headers, lembro::Error>(vec![("Content-Type".into(), "text/html".into())])
    /// })?;
    /// let (name, value) = &response[1];
    /// assert!(name == "Set-Cookie" && value.starts_with("id="));
    /// # Ok::<(), lembro::Error>(())
    /// ```
    #[expect(single_use_lifetimes, reason = "`impl Trait` cannot leave it out yet")]
    pub fn around<'r, R: ResponseHeaders, E: From<Error>>(
        &self,
        request: impl Into<RequestHead<'r>>,
        handler: impl FnOnce(&mut Session) -> Result<R, E>,
    ) -> Result<R, E> {
        let mut session = self.load(request);
        let answered = catch(&mut session, handler);
        let (answered, finished) = self.end(&mut session, answered);
        let mut response = answered?;
        finished.write_to(&mut response);
        Ok(response)
    }

    /// As [`around`](Self::around), but always returns a response: `failed` makes the error page,
    /// for an error of any type. The error page gets the session's headers, too. They announce the
    /// id that the handler committed before it failed, or the id of a pending renewal.
    ///
    /// [`error_page`](Self::error_page) is a plain page for errors of this crate.
    ///
    /// # Examples
    ///
    /// ```
    /// use lembro::LembroStore;
    /// use lembro::web::{RequestHead, SessionLayer};
    ///
    /// let layer = SessionLayer::new(LembroStore::new()?);
    /// let headers = layer.try_around(
    ///     RequestHead::default(),
    ///     |session| {
    ///         session.log_in("user-42")?;
    ///         session.save()?;
    ///         Err(lembro::Error::size("the template is too large"))
    ///     },
    ///     |error| vec![("X-Error".to_owned(), error.to_string())],
    /// );
    /// assert!(headers.iter().any(|(name, _)| name == "Set-Cookie"));
    /// # Ok::<(), lembro::Error>(())
    /// ```
    #[expect(single_use_lifetimes, reason = "`impl Trait` cannot leave it out yet")]
    pub fn try_around<'r, R: ResponseHeaders, E: From<Error>>(
        &self,
        request: impl Into<RequestHead<'r>>,
        handler: impl FnOnce(&mut Session) -> Result<R, E>,
        failed: impl FnOnce(E) -> R,
    ) -> R {
        let mut session = self.load(request);
        let answered = catch(&mut session, handler);
        self.respond(&mut session, answered, failed)
    }

    /// The second half of [`try_around`](Self::try_around), for an async handler. `session` is from
    /// [`load`](Self::load), and `answered` is the handler's result. Ends the request by
    /// [`finish`](Self::finish) or [`fail`](Self::fail), and adds the session's headers to the
    /// response or the error page.
    ///
    /// # Examples
    ///
    /// ```
    /// use lembro::LembroStore;
    /// use lembro::web::{RequestHead, SessionLayer};
    ///
    /// type Headers = Vec<(String, String)>;
    ///
    /// async fn page(session: &mut lembro::Session) -> lembro::Result<Headers> {
    ///     session.insert("user", "ada")?;
    ///     Ok(Vec::new())
    /// }
    ///
    /// async fn serve(layer: &SessionLayer) -> Headers {
    ///     let mut session = layer.load(RequestHead::default());
    ///     let answered = page(&mut session).await;
    ///     let failed = |error: lembro::Error| vec![("X-Error".to_owned(), error.to_string())];
    ///     layer.respond(&mut session, answered, failed)
    /// }
    /// # use std::task::{Context, Poll, Waker};
    /// # let layer = SessionLayer::new(LembroStore::new()?);
    /// # let polled = std::pin::pin!(serve(&layer)).poll(&mut Context::from_waker(Waker::noop()));
    /// # assert!(matches!(polled, Poll::Ready(headers) if headers[0].0 == "Set-Cookie"));
    /// # Ok::<(), lembro::Error>(())
    /// ```
    pub fn respond<R: ResponseHeaders, E: From<Error>>(
        &self,
        session: &mut Session,
        answered: Result<R, E>,
        failed: impl FnOnce(E) -> R,
    ) -> R {
        let (answered, finished) = self.end(session, answered);
        let mut response = answered.unwrap_or_else(failed);
        finished.write_to(&mut response);
        response
    }

    /// Ends a request by [`finish`](Self::finish) or [`fail`](Self::fail). The caller adds the
    /// headers of the [`Finished`] to the response or to the error page.
    pub(super) fn end<R, E: From<Error>>(
        &self,
        session: &mut Session,
        answered: Result<R, E>,
    ) -> (Result<R, E>, Finished) {
        let response = match answered {
            Ok(response) => response,
            Err(error) => return (Err(error), self.fail(session)),
        };
        let finished = self.finish(session).and_then(|finished| {
            let is_refused = finished.is_lost() && self.lost_change == LostChange::Refuse;
            if is_refused { Err(Error::lost(session.handle()?)) } else { Ok(finished) }
        });
        match finished {
            Ok(finished) => (Ok(response), finished),
            Err(error) => (Err(error.into()), self.fail(session)),
        }
    }

    /// The status and text of a plain error page. Reports the error on [`errors`](Self::errors).
    ///
    /// The status is 503 if the store failed or is full, 409 for a lost change that is
    /// [refused](LostChange::Refuse), and 500 for any other error.
    pub fn error_page(&self, error: &Error) -> (u16, &'static str) {
        self.sessions.report(error);
        match error {
            error if error.is_store() || error.is_full() => (503, "Service unavailable"),
            error if error.is_lost() => (409, "Your session has ended, so nothing was saved"),
            _ => (500, "Internal server error"),
        }
    }
}

/// Runs a handler, and turns its panic into an error. After a panic, unsaved changes are not saved.
pub(super) fn catch<S, R, E: From<Error>>(session: S, handler: impl FnOnce(S) -> Result<R, E>) -> Result<R, E> {
    catch_unwind(AssertUnwindSafe(|| handler(session))).unwrap_or_else(|_panic| Err(Error::panic().into()))
}
