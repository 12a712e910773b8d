//! A visitor of an example: a client that keeps cookies, says in `Origin` whose page sends a form,
//! and follows a redirect when it is asked to.

use std::time::Duration;

use ureq::Agent;

use super::server::Example;

pub(crate) struct Visitor {
    agent: Agent,
    origin: String,
    /// `Origin` and `User-Agent` of its requests.
    headers: Vec<(&'static str, String)>,
}

/// Status, headers and body of an answer, in one text.
pub(crate) struct Page(pub(crate) String);

impl Visitor {
    pub(crate) fn new(example: &Example) -> Self {
        let config =
            Agent::config_builder().http_status_as_error(false).max_redirects(0).max_redirects_will_error(false);
        let origin = format!("http://{}", example.host());
        let agent = config.timeout_global(Some(Duration::from_secs(30))).build().into();
        Self { agent, headers: vec![("Origin", origin.clone())], origin }
    }

    /// Sends this header too, in place of one of the same name.
    pub(crate) fn with(mut self, name: &'static str, value: &str) -> Self {
        self.headers.retain(|(other, _)| *other != name);
        self.headers.push((name, value.to_owned()));
        self
    }

    /// Another one with these cookies alone.
    pub(crate) fn bearing(example: &Example, cookies: &str) -> Self {
        Self::new(example).with("Cookie", cookies)
    }

    #[track_caller]
    pub(crate) fn get(&self, path: &str) -> Page {
        self.send("GET", path, None)
    }

    #[track_caller]
    pub(crate) fn send(&self, method: &str, path: &str, body: Option<(&str, &[u8])>) -> Page {
        let mut request = http::Request::builder().method(method).uri(format!("{}{path}", self.origin));
        for (name, value) in &self.headers {
            request = request.header(*name, value);
        }
        if let Some((kind, _)) = body {
            request = request.header("Content-Type", kind);
        }
        let request = request.body(body.map_or_else(Vec::new, |(_, body)| body.to_vec())).unwrap();
        let mut response = self.agent.run(request).unwrap_or_else(|error| panic!("{method} {path}: {error}"));
        let mut text = format!("{}\n", response.status());
        for (name, value) in response.headers() {
            text += &format!("{name}: {}\n", value.to_str().unwrap());
        }
        Page(text + "\n" + &response.body_mut().read_to_string().unwrap())
    }

    /// Sends a form.
    #[track_caller]
    pub(crate) fn post(&self, path: &str, fields: &[(&str, &str)]) -> Page {
        let form = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        self.send("POST", path, Some(("application/x-www-form-urlencoded", form.as_bytes())))
    }

    /// Sends a form, and opens the page that its answer leads to, if it leads to one.
    #[track_caller]
    pub(crate) fn submit(&self, path: &str, fields: &[(&str, &str)]) -> Page {
        let answer = self.post(path, fields);
        if answer.0.starts_with("303") { self.get(&answer.header("location")) } else { answer }
    }

    /// The cookies that it keeps, as it sends them.
    pub(crate) fn cookies(&self) -> String {
        let jar = self.agent.cookie_jar_lock();
        let cookies: Vec<_> = jar.iter().map(|cookie| format!("{}={}", cookie.name(), cookie.value())).collect();
        cookies.join("; ")
    }
}

impl Page {
    #[track_caller]
    pub(crate) fn holds(self, text: &str) -> Self {
        assert!(self.0.contains(text), "there is no {text:?} in\n{}", self.0);
        self
    }

    #[track_caller]
    pub(crate) fn misses(self, text: &str) -> Self {
        assert!(!self.0.contains(text), "there is {text:?} in\n{}", self.0);
        self
    }

    /// The text between these two, where they stand first.
    #[track_caller]
    pub(crate) fn between(&self, before: &str, after: &str) -> String {
        let found = self.0.split_once(before).and_then(|(_, rest)| rest.split_once(after));
        found.unwrap_or_else(|| panic!("there is no {before:?} in\n{}", self.0)).0.to_owned()
    }

    #[track_caller]
    pub(crate) fn header(&self, name: &str) -> String {
        self.between(&format!("\n{name}: "), "\n")
    }

    /// The token of its form.
    #[track_caller]
    pub(crate) fn token(&self) -> String {
        self.between("name=\"csrf\" value=\"", "\"")
    }
}
