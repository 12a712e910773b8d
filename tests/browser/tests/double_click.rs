//! Two logins at once, by a double click or by two scripts, which log the user in in every order.

use std::sync::Arc;
use std::time::Duration;

use lembro::web::CookieOptions;
use lembro::{Clock, ManualClock};
use lembro_browser_tests::{Chromium, Hold, Holds, Site, Step, Tab, layer_by, orders, serve_held};

struct Fixture {
    time: ManualClock,
    site: Site,
    holds: Arc<Holds>,
    chromium: Chromium,
    tab: Tab,
    other: Tab,
}

impl Fixture {
    fn new() -> Self {
        let time = Clock::manual();
        let (site, holds) = serve_held(&layer_by(&time, CookieOptions::new()));
        let chromium = Chromium::start();
        let (tab, other) = (chromium.tab(), chromium.tab());
        Self { time, site, holds, chromium, tab, other }
    }

    /// Makes the visitor a new one, with a session (a cart with tea) or without.
    fn visitor(&self, has_session: bool) {
        self.tab.open(&self.site.url("/logout"));
        if has_session {
            self.tab.fetch("/set?key=cart&value=tea");
        }
        assert_eq!(self.chromium.cookies().len(), usize::from(has_session));
    }

    /// The two logins of one order, and their names.
    fn logins(&self, number: usize) -> [(String, Arc<Hold>); 2] {
        ["one", "two"].map(|login| {
            let name = format!("{login}{number}");
            let hold = self.holds.of(&name);
            (name, hold)
        })
    }

    /// Checks both tabs, and again after the grace of the superseded ids.
    #[track_caller]
    fn is_logged_in_for_good(&self, order: &[(usize, Step)]) {
        let cookie = self.chromium.cookie();
        assert_eq!(self.other.open(&self.site.url("/")), "signed in as ada", "{order:?}");
        self.time.advance(Duration::from_secs(61));
        assert_eq!(self.tab.reload(), "signed in as ada", "{order:?}");
        assert_eq!(self.chromium.cookie(), cookie, "{order:?}");
    }
}

/// A double click, whose second click comes when the first one's request is at the server. The
/// browser then abandons the first request and drops its response.
fn double_click(one: &str, two: &str) -> String {
    format!(
        "const {{login}} = document.forms;
        login.action = '/login?hold={one}';
        login.requestSubmit();
        fetch('/arrived?name={one}').then(() => {{
            login.action = '/login?hold={two}';
            login.requestSubmit();
        }})"
    )
}

#[track_caller]
fn a_double_click(has_session: bool) {
    let fixture = Fixture::new();
    for (number, order) in orders().iter().enumerate() {
        fixture.visitor(has_session);
        let [(one, first), (two, second)] = fixture.logins(number);
        let page = fixture.tab.follow_through(&double_click(&one, &two), || {
            second.wait();
            for (request, step) in order {
                [&first, &second][*request].take(*step);
            }
        });
        assert_eq!(page, "signed in as ada", "{order:?}");
        fixture.is_logged_in_for_good(order);
    }
}

#[test]
fn double_click_logs_new_visitor_in() {
    a_double_click(false);
}

#[test]
fn double_click_logs_visitor_with_session_in() {
    a_double_click(true);
}

#[track_caller]
fn two_fetches(has_session: bool) {
    let fixture = Fixture::new();
    for (number, order) in orders().iter().enumerate() {
        fixture.visitor(has_session);
        let logins = fixture.logins(number);
        for (name, hold) in &logins {
            let fetch = format!("fetch('/login?hold={name}', {{method: 'POST'}}).then(answer => answer.status)");
            fixture.tab.begin(&format!("window.{name} = {fetch}"));
            hold.wait();
        }
        for (request, step) in order {
            let (name, hold) = &logins[*request];
            hold.take(*step);
            if *step == Step::Answer {
                assert_eq!(fixture.tab.run(&format!("window.{name}")), "200", "{order:?}");
            }
        }
        fixture.is_logged_in_for_good(order);
    }
}

#[test]
fn two_logins_log_new_visitor_in() {
    two_fetches(false);
}

#[test]
fn two_logins_log_visitor_with_session_in() {
    two_fetches(true);
}

#[test]
fn double_click_keeps_the_visitors_data() {
    let fixture = Fixture::new();
    fixture.visitor(true);
    let [(one, first), (two, second)] = fixture.logins(0);
    fixture.tab.follow_through(&double_click(&one, &two), || {
        second.wait();
        first.take(Step::Look);
        second.take(Step::Look);
        for step in [Step::Commit, Step::Answer] {
            first.take(step);
            second.take(step);
        }
    });
    assert_eq!(fixture.tab.fetch("/data"), "cart=tea user=ada");
}
