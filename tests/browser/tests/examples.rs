//! The examples `counter` and `login` in a browser; `tests/clients` has the other clients.

use lembro_browser_tests::{Chromium, Cookie, Tab};
use lembro_client_tests::Examples;

#[test]
fn counter_counts_and_keeps_its_theme() {
    let examples = Examples::start();
    let [counter, ..] = &examples.addresses;
    let (chromium, other) = (Chromium::start(), Chromium::start());
    let tab = chromium.tab();
    let visits = |tab: &Tab| tab.run("document.querySelector('output').textContent");
    tab.open(&format!("{counter}/"));
    assert_eq!(visits(&tab), "1");
    tab.reload();
    assert_eq!(visits(&tab), "2");
    tab.follow("document.querySelector('button[value=night]').click()");
    assert_eq!(tab.run("document.documentElement.className"), "night");
    let stranger = other.tab();
    stranger.open(&format!("{counter}/"));
    assert_eq!(visits(&stranger), "1", "another browser");
}

#[test]
fn login_lasts_until_logout_and_old_cookies_open_nothing() {
    let examples = Examples::start();
    let [_, login, ..] = &examples.addresses;
    let chromium = Chromium::start();
    let tab = chromium.tab();
    for remember in [false, true] {
        tab.open(&format!("{login}/"));
        let before = chromium.cookie();
        let submit = |password: &str| {
            tab.follow(&format!(
                "const form = document.forms[0]; form.user.value = 'ada'; form.password.value = '{password}';
                form.remember.checked = {remember}; form.requestSubmit()"
            ))
        };
        assert!(submit("x").contains("No user of that name"));
        assert!(submit("difference-engine").contains("Hello, ada"));
        let page = tab.reload();
        assert!(
            page.contains("Hello, ada") && page.contains(if remember { "14 days" } else { "15 minutes" }),
            "{page}"
        );
        let inside = chromium.cookie();
        assert_ne!(inside.value, before.value, "the login left the id as it was");
        assert_eq!(inside.session, !remember, "how long the browser keeps the cookie");
        assert!(page_with(login, &inside).contains("Hello, ada"), "a copy of the cookie works until the logout");

        let left = tab.follow("document.forms[1].requestSubmit()");
        assert!(left.contains("Sign in") && !left.contains("Hello"), "{left}");
        assert!(chromium.cookies().iter().all(|cookie| cookie.value != inside.value), "it keeps the cookie");
        for old in [before, inside] {
            let page = page_with(login, &old);
            assert!(page.contains("Sign in") && !page.contains("Hello"), "{page}");
        }
    }
}

/// The page in another browser that has only this cookie.
fn page_with(login: &str, cookie: &Cookie) -> String {
    let tab = Chromium::start().tab();
    // A page without a session.
    tab.open(&format!("{login}/none"));
    tab.run(&format!("document.cookie = 'id={}; path=/'", cookie.value));
    tab.open(&format!("{login}/"))
}
