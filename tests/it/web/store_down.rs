//! Requests while the store is down: under each policy, no client gets another client's session or
//! loses its own.

use std::sync::Arc;
use std::time::Duration;

use lembro::web::{Finished, RequestHead, SessionLayer};
use lembro::{Clock, LembroOptions, LembroStore, ManualClock, Policy, Result, Saved, Session, StoreDown};

use crate::support::wire::UnreliableStore;

struct Site {
    layer: SessionLayer,
    store: Arc<UnreliableStore>,
    time: ManualClock,
}

/// A site with this policy, and the cookie of a session with a user in it.
fn site(store_down: StoreDown) -> (Site, String) {
    let time = Clock::manual();
    let memory = LembroStore::with_options(LembroOptions::new().interval(0).clock(&time)).unwrap();
    let store = Arc::new(UnreliableStore::new(memory));
    let layer = SessionLayer::new(Arc::clone(&store)).policy(Policy::new().store_down(store_down)).unwrap();
    let site = Site { layer, store, time };
    let finished = site.visit("", |session| session.insert("user", "ada")).unwrap();
    let cookie = finished.cookie().unwrap();
    let cookie = cookie[..cookie.find(';').unwrap()].to_owned();
    (site, cookie)
}

impl Site {
    fn visit(&self, cookie: &str, handler: impl FnOnce(&mut Session) -> Result<()>) -> Result<Finished> {
        let head = RequestHead::new((!cookie.is_empty()).then_some(cookie));
        let mut session = self.layer.load(head.clone());
        handler(&mut session)?;
        self.layer.finish(&mut session)
    }

    fn user(&self, cookie: &str) -> Option<String> {
        let mut user = None;
        let looked = self.visit(cookie, |session| {
            user = session.get("user")?;
            Ok(())
        });
        assert_eq!(looked.unwrap().cookie(), None);
        user
    }
}

#[test]
fn by_default_requests_fail_with_the_store() {
    let (site, cookie) = site(StoreDown::FailClosed);
    site.store.fail(true, true);
    assert!(site.visit(&cookie, |session| session.insert("page", "/")).unwrap_err().is_store());
    assert!(site.visit("", |session| session.insert("page", "/")).unwrap_err().is_store());
    site.store.fail(false, false);
    assert_eq!(site.user(&cookie).as_deref(), Some("ada"));
}

#[test]
fn without_a_store_pages_may_be_anonymous() {
    let (site, cookie) = site(StoreDown::Anonymous);
    site.store.fail(true, true);
    for cookie in [cookie.as_str(), ""] {
        let finished = site.visit(cookie, |session| {
            assert_eq!(session.get_str("user")?.as_deref(), None);
            session.insert("theme", "dark")?;
            assert_eq!(session.get_str("theme")?.as_deref(), Some("dark"));
            assert_eq!(session.modify("visits", |visits: &mut Option<u32>| *visits.get_or_insert(0) += 1)?, Some(()));
            Ok(())
        });
        let finished = finished.unwrap();
        assert_eq!((finished.saved(), finished.cookie()), (Saved::Skipped, None));
        assert!(finished.headers().any(|header| header == ("Cache-Control", "no-store")));
    }
    site.store.fail(false, false);
    assert_eq!(site.user(&cookie).as_deref(), Some("ada"));
    let theme = site.visit(&cookie, |session| {
        assert_eq!(session.get_str("theme")?.as_deref(), None);
        Ok(())
    });
    assert_eq!(theme.unwrap().saved(), Saved::Unchanged);
}

#[test]
fn without_a_store_logins_and_logouts_fail() {
    let (site, cookie) = site(StoreDown::Anonymous);
    site.store.fail(true, true);
    let acts: [fn(&mut Session) -> Result<()>; 4] = [
        Session::regenerate,
        Session::log_out,
        |session| session.log_in("ada"),
        // A page must not say that all other devices are logged out.
        |session| session.destroy_others().map(drop),
    ];
    for act in acts {
        assert!(site.visit(&cookie, act).unwrap_err().is_store());
    }
    let first_visits: [fn(&mut Session) -> Result<()>; 2] = [Session::regenerate, |session| session.log_in("bob")];
    for log_in in first_visits {
        let first_visit = |session: &mut Session| log_in(session).and_then(|()| session.insert("user", "bob"));
        assert!(site.visit("", first_visit).unwrap_err().is_store());
    }
    site.store.fail(false, false);
    assert_eq!(site.user(&cookie).as_deref(), Some("ada"));
}

#[test]
fn changes_of_a_found_session_never_seem_saved() {
    let (site, cookie) = site(StoreDown::Anonymous);
    let failed = site.visit(&cookie, |session| {
        assert_eq!(session.get_str("user")?.as_deref(), Some("ada"));
        site.store.fail(true, true);
        session.insert("cart", "tea")
    });
    assert!(failed.unwrap_err().is_store());
}

#[test]
fn unstorable_new_session_costs_no_page() {
    let (site, _) = site(StoreDown::Anonymous);
    site.store.fail(false, true);
    let begun = site.visit("", |session| session.insert("theme", "dark")).unwrap();
    assert_eq!((begun.saved(), begun.cookie()), (Saved::Skipped, None));
}

#[test]
fn failed_visit_costs_no_page_and_is_reported() {
    for store_down in [StoreDown::FailClosed, StoreDown::Anonymous] {
        let (site, cookie) = site(store_down);
        let errors = site.layer.errors();
        site.time.advance(Duration::from_secs(120));
        site.store.fail(false, true);
        assert_eq!(site.user(&cookie).as_deref(), Some("ada"));
        assert!(errors.try_recv().unwrap().is_store() && errors.is_empty());
    }
}
