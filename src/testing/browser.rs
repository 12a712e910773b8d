//! A browser without a network, for the tests of an application: it keeps cookies by the rules of
//! RFC 6265bis and goes by a manual clock.
//!
//! ```text
//! browser    requests to an application, and the cookies of its responses
//!   request  the request that the application gets
//!   jar      the cookies that are kept and sent
//!   cookie   the reading of a Set-Cookie
//!   address  hosts and paths
//! ```

mod address;
mod cookie;
mod jar;
mod request;

use self::address::Address;
pub use self::cookie::Cookie;
pub use self::jar::Jar;
pub use self::request::Request;
use crate::clock::Clock;
use crate::error::Result;
use crate::session::Session;
use crate::web::{ResponseHeaders, SessionLayer};

/// A user's browser: it sends requests to an application without a socket, and keeps the cookies of
/// the responses as browsers do.
///
/// The application is a closure from a request to a response. The request is a [`Request`], or a
/// framework's type that is made from one, such as `rouille::Request`. The response is any type
/// with [`ResponseHeaders`].
///
/// A clone has the same cookies, as a thief's browser has after a theft.
///
/// # Examples
///
/// The test of a login:
///
/// ```
/// # #[cfg(feature = "rouille")]
/// # fn main() -> lembro::Result<()> {
/// use std::time::Duration;
/// use lembro::testing::Browser;
/// use lembro::web::SessionLayer;
/// use lembro::{Clock, LembroOptions, LembroStore, Session};
/// use rouille::{Request, Response, post_input};
///
/// // The application:
/// fn answer(request: &Request, session: &mut Session) -> lembro::Result<Response> {
///     if request.url() == "/login" {
///         let form = post_input!(request, { user: String, password: String });
///         if let Ok(form) = form && form.password == "difference-engine" {
///             session.log_in(&form.user)?;
///         }
///         return Ok(Response::redirect_303("/"));
///     }
///     let user = session.owner()?.map(|user| Response::text(format!("Hello, {user}")));
///     Ok(user.unwrap_or_else(|| Response::text("Who are you?").with_status_code(401)))
/// }
///
/// // Its test:
/// let time = Clock::manual();
/// let layer = SessionLayer::new(LembroStore::with_options(LembroOptions::new().clock(&time))?);
/// let site = |request: Request| layer.rouille(&request, |session| answer(&request, session));
///
/// let mut ada = Browser::new("https://example.com").with_clock(&time);
/// assert_eq!(ada.get("/", site).status_code, 401);
/// ada.post("/login", &[("user", "ada"), ("password", "difference-engine")], site);
/// assert_eq!(ada.get("/", site).status_code, 200);
/// assert!(ada.cookie("id").is_some_and(|cookie| cookie.secure && cookie.http_only));
/// time.advance(Duration::from_secs(60 * 60));
/// assert_eq!(ada.get("/", site).status_code, 401);
/// # Ok(())
/// # }
/// # #[cfg(not(feature = "rouille"))]
/// # fn main() {}
/// ```
#[derive(Clone, Debug)]
pub struct Browser {
    site: String,
    clock: Clock,
    jar: Jar,
}

impl Browser {
    /// A browser without cookies, on a page of this site, such as `https://example.com` or
    /// `http://localhost:8080`.
    pub fn new(site: &str) -> Self {
        Self { site: Address::new(site).origin(), clock: Clock::system(), jar: Jar::default() }
    }

    /// Sets the clock by which cookies end. Default: the machine's.
    #[must_use]
    pub fn with_clock(self, clock: impl Into<Clock>) -> Self {
        Self { clock: clock.into(), ..self }
    }

    /// Follows a link to an absolute URL, or to a path on the browser's site. Returns the response;
    /// a redirect is not followed.
    pub fn get<Q: for<'r> From<&'r Request>, R: ResponseHeaders>(
        &mut self,
        url: &str,
        application: impl FnOnce(Q) -> R,
    ) -> R {
        self.send(Request::new("GET", url), application)
    }

    /// Sends a form with these fields, and returns the response.
    pub fn post<Q: for<'r> From<&'r Request>, R: ResponseHeaders>(
        &mut self,
        url: &str,
        fields: &[(&str, &str)],
        application: impl FnOnce(Q) -> R,
    ) -> R {
        self.send(Request::form(url, fields), application)
    }

    /// Sends a request with the browser's cookies, and returns the response.
    ///
    /// # Examples
    ///
    /// A form on another site's page is sent without the session's cookie:
    ///
    /// ```
    /// use lembro::LembroStore;
    /// use lembro::testing::{Browser, Request};
    /// use lembro::web::SessionLayer;
    ///
    /// let layer = SessionLayer::new(LembroStore::new()?);
    /// let mut browser = Browser::new("https://example.com");
    /// browser.visit(&layer, |session| session.log_in("user-42"))?;
    ///
    /// let application = |request: Request| {
    ///     let session = layer.load(&request);
    ///     vec![("X-User".to_owned(), session.owner().unwrap().unwrap_or("no user").to_owned())]
    /// };
    /// let form = Request::form("/transfer", &[("to", "mallory")]);
    /// assert_eq!(browser.send(form.clone(), application)[0].1, "user-42");
    /// assert_eq!(browser.send(form.from_elsewhere(), application)[0].1, "no user");
    /// # Ok::<(), lembro::Error>(())
    /// ```
    pub fn send<Q: for<'r> From<&'r Request>, R: ResponseHeaders>(
        &mut self,
        request: Request,
        application: impl FnOnce(Q) -> R,
    ) -> R {
        let request = self.prepare(request);
        let mut response = application(Q::from(&request));
        self.accept(&request, &mut response);
        response
    }

    /// Runs a handler with the session that the browser's cookie opens, and keeps the cookie that
    /// the layer sets. It is for tests that need no request.
    ///
    /// # Errors
    ///
    /// Those of the handler and of [`SessionLayer::finish`]. After an error, the browser keeps
    /// the cookie that [`SessionLayer::fail`] sets, if any.
    ///
    /// # Examples
    ///
    /// ```
    /// use lembro::{Clock, LembroOptions, LembroStore};
    /// use lembro::testing::Browser;
    /// use lembro::web::SessionLayer;
    ///
    /// let layer = SessionLayer::new(LembroStore::new()?);
    /// let mut browser = Browser::new("https://example.com");
    /// browser.visit(&layer, |session| session.log_in("user-42"))?;
    /// let thief = browser.clone();
    /// browser.visit(&layer, |session| session.log_out())?;
    /// for mut browser in [browser, thief] {
    ///     assert!(browser.visit(&layer, |session| session.is_new())?);
    /// }
    /// # Ok::<(), lembro::Error>(())
    /// ```
    pub fn visit<T>(&mut self, layer: &SessionLayer, handler: impl FnOnce(&mut Session) -> Result<T>) -> Result<T> {
        let request = self.prepare(Request::new("GET", "/"));
        let mut session = layer.load(&request);
        let answered = handler(&mut session).and_then(|value| Ok((value, layer.finish(&mut session)?)));
        let (answered, finished) = match answered {
            Ok((value, finished)) => (Ok(value), finished),
            Err(error) => (Err(error), layer.fail(&mut session)),
        };
        if let Some(text) = finished.cookie() {
            self.jar.receive(text, &request.url, self.clock.wall());
        }
        answered
    }

    /// The request as this browser sends it now: with an absolute URL and the headers `Host` and
    /// `Cookie`.
    ///
    /// Together with [`accept`](Self::accept) it is for parallel requests, and for responses that
    /// overtake each other or are lost.
    pub fn prepare(&self, mut request: Request) -> Request {
        if request.url.starts_with('/') {
            request.url.insert_str(0, &self.site);
        }
        let now = self.clock.wall();
        let cookies = if request.is_from_elsewhere {
            let is_safe = ["GET", "HEAD"].contains(&request.method());
            self.jar.header_from_elsewhere(&request.url, now, is_safe)
        } else {
            self.jar.header(&request.url, now)
        };
        let host = Address::new(&request.url).authority().to_owned();
        request.headers.insert(0, ("Host".to_owned(), host));
        if cookies.is_empty() { request } else { request.with_header("Cookie", &cookies) }
    }

    /// Keeps the cookies of a response to a prepared request. Leaves the response as it was.
    pub fn accept(&mut self, request: &Request, response: &mut impl ResponseHeaders) {
        const SET_COOKIE: &str = "Set-Cookie";
        for text in response.take(SET_COOKIE) {
            self.jar.receive(&text, &request.url, self.clock.wall());
            response.add(SET_COOKIE, text);
        }
    }

    /// The cookie of this name that the browser sends to its site's path `/`.
    pub fn cookie(&self, name: &str) -> Option<&Cookie> {
        let now = self.clock.wall();
        self.jar.sent(&self.site, now, |cookie| cookie.name == name).into_iter().next()
    }

    /// The browser's cookies. A test can plant one there, or close the browser.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::SystemTime;
    /// use lembro::testing::Browser;
    ///
    /// let mut browser = Browser::new("https://example.com");
    /// let (cookie, now) = ("id=planted; Secure", SystemTime::now());
    /// assert!(browser.jar().receive(cookie, "https://example.com/", now));
    /// assert_eq!(browser.cookie("id").unwrap().value, "planted");
    /// browser.jar().close();
    /// assert!(browser.cookie("id").is_none());
    /// ```
    pub fn jar(&mut self) -> &mut Jar {
        &mut self.jar
    }
}
