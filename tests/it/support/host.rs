//! A cookie layer over a store in memory under a manual clock, and requests to it without a socket.

use lembro::web::{CookieOptions, Finished, RequestHead, SessionLayer};
use lembro::{Clock, LembroOptions, LembroStore, ManualClock, Session, SessionId};

pub(crate) struct Host {
    pub(crate) layer: SessionLayer,
    pub(crate) store: LembroStore,
    pub(crate) time: ManualClock,
}

impl Host {
    pub(crate) fn new(options: CookieOptions) -> Self {
        let time = Clock::manual();
        let store = LembroStore::with_options(LembroOptions::new().clock(&time).interval(0)).unwrap();
        let layer = SessionLayer::new(store.clone()).cookie(options).unwrap();
        Self { layer, store, time }
    }

    /// The same host, restarted with other options.
    pub(crate) fn with(&self, options: CookieOptions) -> Self {
        let (store, time) = (self.store.clone(), self.time.clone());
        Self { layer: SessionLayer::new(store.clone()).cookie(options).unwrap(), store, time }
    }

    pub(crate) fn request(&self, head: &RequestHead<'_>, handler: impl FnOnce(&mut Session)) -> Finished {
        let mut session = self.layer.load(head.clone());
        handler(&mut session);
        self.layer.finish(&mut session).unwrap()
    }

    /// A request with this `Cookie` header.
    pub(crate) fn visit(&self, cookie: &str, handler: impl FnOnce(&mut Session)) -> Finished {
        self.request(&RequestHead::new([cookie]), handler)
    }

    /// A request with these headers.
    pub(crate) fn ask(&self, headers: &[(&str, &str)], handler: impl FnOnce(&mut Session)) -> Finished {
        self.request(&RequestHead::from_headers(headers.iter().copied()), handler)
    }

    /// The owner of the session that these headers open.
    pub(crate) fn owner(&self, headers: &[(&str, &str)]) -> Option<String> {
        let session = self.layer.load(RequestHead::from_headers(headers.iter().copied()));
        session.owner().unwrap().map(ToOwned::to_owned)
    }

    /// A new visitor with the user "ada". Returns the cookie that the browser sends from then on.
    pub(crate) fn visitor(&self) -> String {
        sent_back(&self.request(&RequestHead::default(), |session| session.insert("user", "ada").unwrap()))
    }

    /// The user in the session that this `Cookie` header opens.
    pub(crate) fn user(&self, cookie: &str) -> Option<String> {
        self.layer.load(RequestHead::new([cookie])).get("user").unwrap()
    }

    /// The number of looks at the store.
    pub(crate) fn reads(&self) -> u64 {
        let stats = self.store.stats();
        stats.hits + stats.misses
    }
}

pub(crate) fn look(session: &mut Session) {
    session.contains_key("user").unwrap();
}

/// The `name=value` that a browser makes of the response.
#[track_caller]
pub(crate) fn sent_back(finished: &Finished) -> String {
    let cookie = finished.cookie().expect("a Set-Cookie");
    cookie.split(';').next().unwrap().to_owned()
}

/// The attributes of the response's cookie, in their order.
#[track_caller]
pub(crate) fn attributes(finished: &Finished) -> Vec<&str> {
    finished.cookie().expect("a Set-Cookie").split("; ").skip(1).collect()
}

/// The session id in a `name=value`.
#[track_caller]
pub(crate) fn id_of(cookie: &str) -> SessionId {
    let (_, value) = cookie.split_once('=').unwrap();
    value.split('.').next().unwrap().parse().unwrap()
}
