//! A site without a server: requests go straight through the layer, over a store that counts and
//! fails on demand.

use std::time::Duration;

use lembro::web::{CookieLifetime, CookieOptions, Finished, RequestHead, SessionLayer};
use lembro::{LembroStore, ManualClock, Policy, Result, Session, SessionId};

use super::{HOUR, MINUTE, Probe, manual_store};

/// When [`renewing_site`] renews an id.
pub(crate) const AGE: Duration = Duration::from_secs(15 * 60);

pub(crate) struct Site {
    pub(crate) layer: SessionLayer,
    pub(crate) store: LembroStore,
    pub(crate) probe: Probe,
    pub(crate) time: ManualClock,
}

/// Ids are renewed after a quarter of an hour, with a minute's grace.
pub(crate) fn renewing_site() -> Site {
    Site::new(CookieOptions::new(), renewing())
}

pub(crate) fn renewing() -> Policy {
    Policy::new().renew_after(AGE).grace(MINUTE).timeout(2 * HOUR)
}

impl Site {
    pub(crate) fn new(cookie: CookieOptions, policy: Policy) -> Self {
        let (store, time) = manual_store();
        let probe = Probe::new(store.clone());
        let layer = SessionLayer::new(probe.clone()).policy(policy).unwrap().cookie(cookie).unwrap();
        Self { layer, store, probe, time }
    }

    /// The same site and its sessions, after a change of the cookie's options.
    pub(crate) fn with_cookie(self, cookie: CookieOptions) -> Self {
        Self { layer: self.layer.cookie(cookie).unwrap(), ..self }
    }

    pub(crate) fn try_request(&self, cookie: &str, handler: impl FnOnce(&mut Session)) -> Result<Finished> {
        let head = RequestHead::new([cookie]);
        let mut session = self.layer.load(head.clone());
        handler(&mut session);
        self.layer.finish(&mut session)
    }

    #[track_caller]
    pub(crate) fn request(&self, cookie: &str, handler: impl FnOnce(&mut Session)) -> Finished {
        self.try_request(cookie, handler).unwrap()
    }

    /// A visitor who is logged in: what the browser sends from then on.
    pub(crate) fn visitor(&self) -> String {
        let log_in = |session: &mut Session| {
            session.insert("user", "ada").unwrap();
            session.log_in("user-42").unwrap();
        };
        sent_back(&self.request("", log_in))
    }

    /// Which user the server takes the sender of this cookie for.
    pub(crate) fn user(&self, cookie: &str) -> Option<String> {
        let mut user = None;
        let _ = self.request(cookie, |session| user = session.get("user").unwrap());
        user
    }

    pub(crate) fn value(&self, cookie: &str, key: &str) -> Option<u32> {
        let mut value = None;
        let _ = self.request(cookie, |session| value = session.get(key).unwrap());
        value
    }
}

/// The `name=value` that a browser makes of the response.
#[track_caller]
pub(crate) fn sent_back(finished: &Finished) -> String {
    let cookie = finished.cookie().expect("a Set-Cookie");
    cookie.split(';').next().unwrap().to_owned()
}

#[track_caller]
pub(crate) fn assert_silent(finished: &Finished) {
    assert_eq!(finished.cookie(), None);
}

pub(crate) fn id_of(cookie: &str) -> SessionId {
    cookie["id=".len()..].split('.').next().unwrap().parse().unwrap()
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
