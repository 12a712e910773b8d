//! A login in one tab beside requests of another tab that still carry the old cookie.
//!
//! Both tabs are logged in afterwards. The other tab's change is saved, or its page says that it is
//! not.

use std::time::Duration;

use crossbeam_channel::Receiver;
use lembro::web::{CookieOptions, LostChange, SessionLayer};
use lembro::{Clock, Event};
use lembro_browser_tests::{Chromium, Site, Step, Tab, layer, layer_by, orders, serve_held};

const LOST: &str = "Your session has ended, so nothing was saved";

fn log_in(name: &str) -> String {
    format!("document.forms.login.action = '/login?hold={name}', document.forms.login.requestSubmit()")
}

fn lost_changes(events: &Receiver<Event>) -> usize {
    events.try_iter().filter(|event| matches!(event, Event::LostChange { .. })).count()
}

/// Runs a login in one tab and a request for `path` in the other in each order of their steps.
/// `expect` gets the other's status, whether it was committed before the login, the session's data
/// afterwards, and the number of lost changes that were reported.
fn in_every_order(lost_change: LostChange, path: &str, expect: impl Fn(&str, bool, &str, usize)) {
    let time = Clock::manual();
    let layer = layer_by(&time, CookieOptions::new()).lost_change(lost_change);
    let events = layer.events();
    let (site, holds) = serve_held(&layer);
    let chromium = Chromium::start();
    let (tab, other) = (chromium.tab(), chromium.tab());
    for (number, order) in orders().iter().enumerate() {
        tab.open(&site.url("/logout"));
        other.open(&site.url("/public"));
        tab.fetch("/set?key=cart&value=tea");
        let names = [format!("login{number}"), format!("other{number}")];
        let requests = names.each_ref().map(|name| holds.of(name));
        lost_changes(&events);

        let page = tab.follow_through(&log_in(&names[0]), || {
            requests[0].wait();
            let fetch = format!("fetch('{path}&hold={}', {{method: 'POST'}})", names[1]);
            other.begin(&format!("window.other = {fetch}.then(answer => answer.status)"));
            requests[1].wait();
            for (request, step) in order {
                requests[*request].take(*step);
                if (*request, *step) == (1, Step::Answer) {
                    other.run("window.other");
                }
            }
        });
        assert_eq!(page, "signed in as ada", "{order:?}");
        let cookie = chromium.cookie();
        let place = |request| order.iter().position(|at| *at == (request, Step::Commit));
        let status = other.run("window.other");
        expect(&status, place(1) < place(0), &other.fetch("/data"), lost_changes(&events));
        assert_eq!(other.open(&site.url("/")), "signed in as ada", "{order:?}");
        time.advance(Duration::from_secs(61));
        assert_eq!(tab.reload(), "signed in as ada", "{order:?}");
        assert_eq!(chromium.cookie(), cookie, "{order:?}");
    }
}

#[test]
fn change_beside_login_is_saved_or_refused() {
    in_every_order(LostChange::Refuse, "/set?key=theme&value=dark", |status, before_login, data, lost| {
        let (expected_status, expected_data) =
            if before_login { ("200", "cart=tea theme=dark user=ada") } else { ("409", "cart=tea user=ada") };
        assert_eq!((status, data, lost), (expected_status, expected_data, usize::from(!before_login)));
    });
}

#[test]
fn change_beside_login_is_saved_or_reported() {
    in_every_order(LostChange::Serve, "/set?key=theme&value=dark", |status, before_login, data, lost| {
        let expected_data = if before_login { "cart=tea theme=dark user=ada" } else { "cart=tea user=ada" };
        assert_eq!((status, data, lost), ("200", expected_data, usize::from(!before_login)));
    });
}

#[test]
fn page_loaded_beside_login_is_served() {
    in_every_order(LostChange::Refuse, "/data?", |status, _, data, lost| {
        assert_eq!((status, data, lost), ("200", "cart=tea user=ada", 0));
    });
}

/// Submits a form beside a login that is committed in between; returns the form's tab.
fn submits_too_late(layer: &SessionLayer) -> (Site, Chromium, Tab) {
    let (site, holds) = serve_held(layer);
    let chromium = Chromium::start();
    let (tab, other) = (chromium.tab(), chromium.tab());
    tab.open(&site.url("/public"));
    tab.fetch("/set?key=cart&value=tea");
    other.open(&site.url("/public"));
    let (login, change) = (holds.of("login"), holds.of("change"));
    // Any form of the page serves.
    let submit = "document.forms.logout.action = '/set?key=theme&value=dark&hold=change', \
                  document.forms.logout.requestSubmit()";
    other.follow_through(submit, || {
        change.take(Step::Look);
        tab.follow_through(&log_in("login"), || {
            for step in [Step::Look, Step::Commit, Step::Answer] {
                login.take(step);
            }
        });
        change.take(Step::Commit);
        change.take(Step::Answer);
    });
    assert_eq!(tab.reload(), "signed in as ada");
    (site, chromium, other)
}

#[test]
fn form_overtaken_by_login_gets_409_and_works_again() {
    let (site, _chromium, other) = submits_too_late(&layer().lost_change(LostChange::Refuse));
    assert_eq!((other.text().as_str(), other.status().as_str()), (LOST, "409"));
    assert_eq!(other.fetch("/data"), "cart=tea user=ada");
    assert_eq!(other.open(&site.url("/set?key=theme&value=dark")), "set");
    assert_eq!(other.status(), "200");
    assert_eq!(other.fetch("/data"), "cart=tea theme=dark user=ada");
}

#[test]
fn form_overtaken_by_login_is_reported_if_served() {
    let layer = layer();
    let events = layer.events();
    let (_site, _chromium, other) = submits_too_late(&layer);
    assert_eq!((other.text().as_str(), other.status().as_str()), ("set", "200"));
    assert_eq!(lost_changes(&events), 1);
    assert_eq!(other.fetch("/data"), "cart=tea user=ada");
}
