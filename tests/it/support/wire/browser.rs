//! A client that keeps cookies and its connection, as a browser does.

use lembro::SessionId;
use ureq::Agent;
use ureq::http::HeaderValue;

use super::{Listener, PATIENCE};

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Answer {
    /// The values of all headers of this name, in their order.
    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        let named = self.headers.iter().filter(|(one, _)| one.eq_ignore_ascii_case(name));
        named.map(|(_, value)| value.as_str()).collect()
    }

    /// The only `Set-Cookie` of the response.
    #[track_caller]
    pub(crate) fn cookie(&self) -> &str {
        let cookies = self.all("Set-Cookie");
        assert_eq!(cookies.len(), 1, "one Set-Cookie: {self:?}");
        cookies[0]
    }

    /// The `id=...` that a browser would send back.
    #[track_caller]
    pub(crate) fn sent_back(&self) -> String {
        self.cookie().split(';').next().unwrap().to_owned()
    }

    #[track_caller]
    pub(crate) fn id(&self) -> SessionId {
        // A persistent cookie has its time after the id.
        self.sent_back().split(['=', '.']).nth(1).unwrap().parse().unwrap()
    }

    #[track_caller]
    pub(crate) fn assert_silent(&self) {
        assert!(self.all("Set-Cookie").is_empty(), "no Set-Cookie: {self:?}");
    }
}

pub(crate) struct Browser(Agent);

impl Browser {
    pub(crate) fn new() -> Self {
        let config = Agent::config_builder().http_status_as_error(false).max_redirects(0);
        Self(config.max_redirects_will_error(false).timeout_global(Some(PATIENCE)).build().into())
    }

    #[track_caller]
    pub(crate) fn get(&self, site: &dyn Listener, path: &str) -> Answer {
        let mut response = self.0.get(format!("http://{}{path}", site.address())).call().unwrap();
        let text = |value: &HeaderValue| value.to_str().unwrap().to_owned();
        let headers = response.headers().iter().map(|(name, value)| (name.to_string(), text(value))).collect();
        let status = response.status().as_u16();
        Answer { status, headers, body: response.body_mut().read_to_string().unwrap() }
    }

    /// Opens another connection of this browser, with the same cookies.
    ///
    /// Open connections one after the other: if several arrive at the same moment, `tiny_http` can
    /// leave one waiting until another is closed, and requests that wait for each other would hang.
    pub(crate) fn connection(&self, site: &dyn Listener, path: &str) -> Self {
        let another = Self::new();
        another.get(site, path);
        let uri = format!("http://{}/", site.address()).parse().unwrap();
        for cookie in self.0.cookie_jar_lock().iter() {
            let cookie = ureq::Cookie::parse(format!("{}={}", cookie.name(), cookie.value()), &uri).unwrap();
            another.0.cookie_jar_lock().insert(cookie, &uri).unwrap();
        }
        another
    }

    /// The `Cookie` header that it would send; `None` if it has none.
    pub(crate) fn cookie_header(&self) -> Option<String> {
        let cookies: Vec<_> =
            self.0.cookie_jar_lock().iter().map(|cookie| format!("{}={}", cookie.name(), cookie.value())).collect();
        (!cookies.is_empty()).then(|| cookies.join("; "))
    }
}
