//! A user who logs in twice at once, by a double click on the button or by two scripts, is logged
//! in afterwards, whatever the order in which the server and the browser deal with the two
//! requests.

use std::sync::Arc;
use std::time::Duration;

use lembro::web::CookieOptions;
use lembro::{Clock, ManualClock};
use lembro_browser_tests::{Chromium, Hold, Holds, Site, Step, Tab, layer_by, orders, serve_held};

struct Stage {
    time: ManualClock,
    site: Site,
    holds: Arc<Holds>,
    chromium: Chromium,
    tab: Tab,
    other: Tab,
}

impl Stage {
    fn new() -> Self {
        let time = Clock::manual();
        let (site, holds) = serve_held(&layer_by(&time, CookieOptions::new()));
        let chromium = Chromium::start();
        let (tab, other) = (chromium.tab(), chromium.tab());
        Self { time, site, holds, chromium, tab, other }
    }

    /// A visitor on the page with the form, who has a session, because there is tea in the cart, or
    /// has none.
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

    /// In both tabs, and after the grace of the ids that were superseded too.
    #[track_caller]
    fn is_logged_in_for_good(&self, order: &[(usize, Step)]) {
        let cookie = self.chromium.cookie();
        assert_eq!(self.other.open(&self.site.url("/")), "signed in as ada", "{order:?}");
        self.time.advance(Duration::from_secs(61));
        assert_eq!(self.tab.reload(), "signed in as ada", "{order:?}");
        assert_eq!(self.chromium.cookie(), cookie, "{order:?}");
    }
}

/// A double click: the second one when the first one's request is at the server. The browser then
/// gives the first request up, and drops its response.
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
    let stage = Stage::new();
    for (number, order) in orders().iter().enumerate() {
        stage.visitor(has_session);
        let [(one, first), (two, second)] = stage.logins(number);
        let page = stage.tab.follow_through(&double_click(&one, &two), || {
            second.wait();
            for (request, step) in order {
                [&first, &second][*request].take(*step);
            }
        });
        assert_eq!(page, "signed in as ada", "{order:?}");
        stage.is_logged_in_for_good(order);
    }
}

#[test]
fn a_double_click_on_the_login_button_logs_a_new_visitor_in_whatever_the_order() {
    a_double_click(false);
}

#[test]
fn a_double_click_on_the_login_button_logs_a_visitor_with_a_session_in_whatever_the_order() {
    a_double_click(true);
}

#[track_caller]
fn two_fetches(has_session: bool) {
    let stage = Stage::new();
    for (number, order) in orders().iter().enumerate() {
        stage.visitor(has_session);
        let logins = stage.logins(number);
        for (name, hold) in &logins {
            let fetch = format!("fetch('/login?hold={name}', {{method: 'POST'}}).then(answer => answer.status)");
            stage.tab.begin(&format!("window.{name} = {fetch}"));
            hold.wait();
        }
        for (request, step) in order {
            let (name, hold) = &logins[*request];
            hold.take(*step);
            if *step == Step::Answer {
                assert_eq!(stage.tab.run(&format!("window.{name}")), "200", "{order:?}");
            }
        }
        stage.is_logged_in_for_good(order);
    }
}

#[test]
fn two_logins_at_once_whose_responses_both_arrive_log_a_new_visitor_in_whatever_the_order() {
    two_fetches(false);
}

#[test]
fn two_logins_at_once_whose_responses_both_arrive_log_a_visitor_with_a_session_in_whatever_the_order() {
    two_fetches(true);
}

#[test]
fn a_double_click_before_the_first_login_is_committed_keeps_what_the_visitor_had() {
    let stage = Stage::new();
    stage.visitor(true);
    let [(one, first), (two, second)] = stage.logins(0);
    stage.tab.follow_through(&double_click(&one, &two), || {
        second.wait();
        first.take(Step::Look);
        second.take(Step::Look);
        for step in [Step::Commit, Step::Answer] {
            first.take(step);
            second.take(step);
        }
    });
    assert_eq!(stage.tab.fetch("/data"), "cart=tea user=ada");
}
