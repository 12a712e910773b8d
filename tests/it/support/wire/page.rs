//! An application for every server: its requests and its pages.

use std::io::{Cursor, Read};
use std::sync::Arc;

use lembro::web::SessionLayer;
use lembro::{Result, Session};

use super::Listener;

/// The request as the application of a test gets it.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) method: String,
    /// The request's target.
    pub(crate) path: String,
}

impl Target {
    pub(crate) fn new(method: &str, path: &str) -> Self {
        Self { method: method.to_owned(), path: path.to_owned() }
    }
}

/// A response, for every server.
pub(crate) struct Page {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, &'static str)>,
    pub(crate) body: Box<dyn Read + Send>,
    /// `None` if it is not known before the body ends.
    pub(crate) length: Option<usize>,
    /// Below it `tiny_http` announces the length. The other servers ignore it.
    pub(crate) chunked_threshold: usize,
}

impl Page {
    pub(crate) fn new(status: u16, headers: &[(&'static str, &'static str)], body: impl Into<Vec<u8>>) -> Self {
        let body = body.into();
        let (headers, length) = (headers.to_vec(), Some(body.len()));
        Self { status, headers, body: Box::new(Cursor::new(body)), length, chunked_threshold: 32 * 1024 }
    }

    pub(crate) fn text(text: impl Into<Vec<u8>>) -> Self {
        Self::new(200, &[("Content-Type", "text/plain")], text)
    }

    pub(crate) fn of_unknown_length(self) -> Self {
        Self { length: None, ..self }
    }

    /// The whole body at once.
    pub(crate) fn read(mut self) -> Vec<u8> {
        let mut body = Vec::new();
        self.body.read_to_end(&mut body).unwrap();
        body
    }

    #[cfg(feature = "rouille")]
    pub(crate) fn into_rouille(self) -> rouille::Response {
        use rouille::ResponseBody;
        rouille::Response {
            status_code: self.status,
            headers: self.headers.into_iter().map(|(name, value)| (name.into(), value.into())).collect(),
            data: match self.length {
                Some(length) => ResponseBody::from_reader_and_size(self.body, length),
                None => ResponseBody::from_reader(self.body),
            },
            upgrade: None,
        }
    }

    #[cfg(feature = "tiny_http")]
    pub(crate) fn into_plain(self) -> tiny_http::Response<Box<dyn Read + Send>> {
        let header = |(name, value)| tiny_http::Header::from_bytes(name, value).unwrap();
        let headers = self.headers.into_iter().map(header).collect();
        let response = tiny_http::Response::new(self.status.into(), headers, self.body, self.length, None);
        response.with_chunked_threshold(self.chunked_threshold)
    }

    /// For servers with the types of the `http` crate. `body` makes the server's body from the
    /// reader and its length.
    #[cfg(feature = "http")]
    pub(crate) fn into_http<B>(self, body: impl FnOnce(Box<dyn Read + Send>, Option<usize>) -> B) -> http::Response<B> {
        let mut response = http::Response::builder().status(self.status);
        for (name, value) in self.headers {
            response = response.header(name, value);
        }
        response.body(body(self.body, self.length)).unwrap()
    }
}

/// Counts a visit in the session.
pub(crate) fn visit(session: &mut Session) -> Result<String> {
    let visits = session.get::<u32>("visits")?.unwrap_or(0) + 1;
    session.insert("visits", &visits)?;
    Ok(visits.to_string())
}

/// The application of most tests. Its failing pages try to save a thousand visits.
pub(crate) fn application(target: &Target, session: &mut Session) -> Result<Page> {
    let text = match target.path.as_str() {
        "/look" => session.get::<u32>("visits")?.unwrap_or(0).to_string(),
        "/static" => "static".to_owned(),
        "/login" => {
            session.log_in("user-42")?;
            session.insert("user", "ada")?;
            "welcome".to_owned()
        }
        "/user" => session.get("user")?.unwrap_or("nobody".to_owned()),
        "/logout" => session.log_out().map(|()| "bye".to_owned())?,
        "/wrong-type" => {
            session.insert("visits", &1_000)?;
            session.get::<Vec<u8>>("visits")?;
            String::new()
        }
        "/too-large" => {
            session.insert("visits", &1_000)?;
            session.insert("all", &"x".repeat(1 << 20))?;
            String::new()
        }
        "/panic" => {
            session.insert("visits", &1_000)?;
            panic!("a handler that panics: this message belongs to the test");
        }
        "/login-then-panic" => {
            session.log_in("ada")?;
            session.save()?;
            panic!("a handler that panics after an early save: this message belongs to the test");
        }
        _ => visit(session)?,
    };
    Ok(Page::text(text))
}

pub(crate) type Application = Arc<dyn Fn(&Target, &mut Session) -> Result<Page> + Send + Sync>;

/// A server under test.
#[derive(Clone, Copy)]
pub(crate) struct Server {
    pub(crate) name: &'static str,
    pub(crate) start: fn(SessionLayer, Application) -> Box<dyn Listener>,
    /// Whether the server streams bodies.
    pub(crate) streams: bool,
    /// Whether the server knows that the response to HEAD has no body.
    pub(crate) knows_head: bool,
    /// Whether the server gives all headers of a name to the application.
    pub(crate) keeps_repeated_headers: bool,
    /// Lets other requests go on while a handler waits.
    pub(crate) pause: fn(),
}

impl Server {
    pub(crate) fn new(name: &'static str, start: fn(SessionLayer, Application) -> Box<dyn Listener>) -> Self {
        let pause = std::thread::yield_now;
        Self { name, start, streams: true, knows_head: true, keeps_repeated_headers: true, pause }
    }

    pub(crate) fn serve(
        &self,
        layer: &SessionLayer,
        application: impl Fn(&Target, &mut Session) -> Result<Page> + Send + Sync + 'static,
    ) -> Box<dyn Listener> {
        (self.start)(layer.clone(), Arc::new(application))
    }
}
