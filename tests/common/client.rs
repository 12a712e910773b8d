//! Clients for those servers: one that keeps cookies as a browser does, and one that sends any bytes at all.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use lembro::SessionId;
use ureq::Agent;

use super::Site;

/// Nothing here takes long; a test that hangs is to fail.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: String,
    /// The values of its `Set-Cookie` headers.
    pub(crate) cookies: Vec<String>,
}

impl Answer {
    /// The only `Set-Cookie` it has.
    #[track_caller]
    pub(crate) fn cookie(&self) -> &str {
        assert_eq!(self.cookies.len(), 1, "one Set-Cookie: {self:?}");
        &self.cookies[0]
    }

    /// The `id=...` that a browser would send back.
    #[track_caller]
    pub(crate) fn sent_back(&self) -> String {
        self.cookie().split(';').next().unwrap().to_owned()
    }

    /// The session id in its cookie.
    #[track_caller]
    pub(crate) fn id(&self) -> SessionId {
        let cookie = self.sent_back();
        // A persistent one says after its id when it was written.
        cookie.split(['=', '.']).nth(1).unwrap().parse().unwrap()
    }

    #[track_caller]
    pub(crate) fn assert_silent(&self) {
        assert!(self.cookies.is_empty(), "no Set-Cookie: {self:?}");
    }
}

/// Keeps its cookies and its connection.
pub(crate) struct Browser(Agent);

impl Browser {
    pub(crate) fn new() -> Self {
        let config = Agent::config_builder().http_status_as_error(false).timeout_global(Some(PATIENCE));
        Self(config.build().into())
    }

    /// One more connection of this browser: its own socket, open already, and the same cookies.
    ///
    /// Made one after the other, because `tiny_http` can leave one of several connections that arrive at the same moment
    /// waiting until another is closed. A test in which requests wait for each other would wait for ever.
    pub(crate) fn connection(&self, site: &Site, path: &str) -> Self {
        let another = Self::new();
        another.get(site, path);
        let uri = site.url("/").parse().unwrap();
        for cookie in self.0.cookie_jar_lock().iter() {
            let cookie = ureq::Cookie::parse(format!("{}={}", cookie.name(), cookie.value()), &uri).unwrap();
            another.0.cookie_jar_lock().insert(cookie, &uri).unwrap();
        }
        another
    }

    #[track_caller]
    pub(crate) fn get(&self, site: &Site, path: &str) -> Answer {
        let mut response = self.0.get(site.url(path)).call().unwrap();
        let cookies = response.headers().get_all("Set-Cookie");
        let cookies = cookies.iter().map(|value| value.to_str().unwrap().to_owned()).collect();
        let status = response.status().as_u16();
        Answer { status, body: response.body_mut().read_to_string().unwrap(), cookies }
    }
}

/// Sends one request with this `Cookie` header, byte for byte; `None` if the server hung up without an answer.
pub(crate) fn send(site: &Site, path: &str, cookie: &[u8]) -> Option<Answer> {
    let mut socket = TcpStream::connect(site.address()).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let head = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nCookie: ");
    let request = [head.as_bytes(), cookie, b"\r\n\r\n"].concat();
    // The server may hang up in the middle of it, and that shows in the answer.
    let _ = socket.write_all(&request).and_then(|()| socket.shutdown(Shutdown::Write));
    let mut answer = Vec::new();
    let _ = socket.read_to_end(&mut answer);
    let answer = String::from_utf8(answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let cookies = head.lines().filter_map(|line| line.strip_prefix("Set-Cookie: ")).map(ToOwned::to_owned).collect();
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some(Answer { status, body: body.to_owned(), cookies })
}
