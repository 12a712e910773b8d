//! A site without a server: requests go straight through the layer, over a store in memory under a
//! manual clock that counts calls and fails on demand.

use std::time::Duration;

use lembro::web::{CookieLifetime, CookieOptions, Finished, RequestHead, SessionLayer};
use lembro::{LembroStore, ManualClock, Policy, Result, Session, SessionId};

use super::session::{HOUR, MINUTE, Probe, manual_store};

/// When [`renewing_site`] renews an id.
pub(crate) const AGE: Duration = Duration::from_secs(15 * 60);

#[derive(Clone)]
pub(crate) struct Site {
    pub(crate) layer: SessionLayer,
    pub(crate) store: LembroStore,
    pub(crate) probe: Probe,
    pub(crate) time: ManualClock,
}

/// Ids are renewed after a quarter of an hour, with a minute's grace.
pub(crate) fn renewing_site() -> Site {
    Site::new(CookieOptions::new()).policy(renewing())
}

/// Such a site, and the cookie of a login whose id is due for renewal.
pub(crate) fn due_site() -> (Site, String) {
    let site = renewing_site();
    let cookie = site.log_in();
    site.time.advance(AGE);
    (site, cookie)
}

pub(crate) fn renewing() -> Policy {
    Policy::new().renew_after(AGE).grace(MINUTE).timeout(2 * HOUR)
}

impl Site {
    pub(crate) fn new(cookie: CookieOptions) -> Self {
        let (store, time) = manual_store();
        let probe = Probe::new(store.clone());
        let layer = SessionLayer::new(probe.clone()).cookie(cookie).unwrap();
        Self { layer, store, probe, time }
    }

    /// With a cookie that outlives the browser.
    pub(crate) fn persistent() -> Self {
        Self::new(CookieOptions::new().lifetime(CookieLifetime::Persistent))
    }

    /// The same site and its sessions under another policy.
    pub(crate) fn policy(&self, policy: Policy) -> Self {
        Self { layer: self.layer.clone().policy(policy).unwrap(), ..self.clone() }
    }

    /// The same site and its sessions with other options of the cookie.
    pub(crate) fn cookie(&self, cookie: CookieOptions) -> Self {
        Self { layer: self.layer.clone().cookie(cookie).unwrap(), ..self.clone() }
    }

    pub(crate) fn try_request(&self, head: RequestHead<'_>, handler: impl FnOnce(&mut Session)) -> Result<Finished> {
        let mut session = self.layer.load(head);
        handler(&mut session);
        self.layer.finish(&mut session)
    }

    #[track_caller]
    pub(crate) fn request(&self, head: &RequestHead<'_>, handler: impl FnOnce(&mut Session)) -> Finished {
        self.try_request(head.clone(), handler).unwrap()
    }

    /// A request with this `Cookie` header.
    #[track_caller]
    pub(crate) fn visit(&self, cookie: &str, handler: impl FnOnce(&mut Session)) -> Finished {
        self.request(&RequestHead::new([cookie]), handler)
    }

    /// A request with these headers.
    #[track_caller]
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
        sent_back(&self.visit("", |session| session.insert("user", "ada").unwrap()))
    }

    /// Such a visitor who is logged in.
    pub(crate) fn log_in(&self) -> String {
        sent_back(&self.visit("", |session| {
            session.insert("user", "ada").unwrap();
            session.log_in("user-42").unwrap();
        }))
    }

    /// The user in the session that this `Cookie` header opens.
    pub(crate) fn user(&self, cookie: &str) -> Option<String> {
        let mut user = None;
        let _ = self.visit(cookie, |session| user = session.get("user").unwrap());
        user
    }

    pub(crate) fn value(&self, cookie: &str, key: &str) -> Option<u32> {
        let mut value = None;
        let _ = self.visit(cookie, |session| value = session.get(key).unwrap());
        value
    }

    /// The number of looks at the store.
    pub(crate) fn reads(&self) -> u64 {
        let stats = self.store.stats();
        stats.hits + stats.misses
    }
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

#[track_caller]
pub(crate) fn assert_silent(finished: &Finished) {
    assert_eq!(finished.cookie(), None);
}

/// The session id in a `name=value`.
#[track_caller]
pub(crate) fn id_of(cookie: &str) -> SessionId {
    let (_, value) = cookie.split_once('=').unwrap();
    value.split('.').next().unwrap().parse().unwrap()
}

pub(crate) fn look(session: &mut Session) {
    session.contains_key("user").unwrap();
}

/// Every reason there is to write a cookie again: what it is, the options that it was written by,
/// and those of now.
pub(crate) fn reasons_to_rewrite() -> [(&'static str, CookieOptions, CookieOptions); 4] {
    let (plain, persistent) = (CookieOptions::new(), CookieOptions::new().lifetime(CookieLifetime::Persistent));
    let keys = |keys: &[[u8; 32]]| CookieOptions::new().keys(keys.iter());
    [
        ("none", plain.clone(), plain.clone()),
        ("a persistent cookie that is stale", persistent.clone(), persistent.clone()),
        ("a cookie for the browser session that is to be persistent", plain, persistent),
        ("a cookie that an older key has signed", keys(&[[1; 32]]), keys(&[[2; 32], [1; 32]])),
    ]
}
