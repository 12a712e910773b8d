//! Two tabs of one browser whose requests overlap.

use std::time::Duration;

use lembro::web::CookieOptions;
use lembro::{Clock, Policy};
use lembro_browser_tests::{Chromium, id_in, layer, layer_by, serve};

#[test]
fn overlapping_changes_of_two_tabs_both_survive() {
    let (site, gate) = serve(&layer());
    let chromium = Chromium::start();
    let (one, other) = (chromium.tab_at(&site.url("/login")), chromium.tab_at(&site.url("/")));
    let cookie = chromium.cookie();

    one.begin_fetch("/slow?key=cart&value=tea");
    gate.wait_for(1);
    other.begin_fetch("/slow?key=theme&value=dark");
    // Both requests have looked at the session, and neither has saved it.
    gate.wait_for(2);
    gate.open();
    assert_eq!((one.finish(), other.finish()), ("ada".to_owned(), "ada".to_owned()));

    assert_eq!(one.fetch("/data"), "cart=tea theme=dark user=ada");
    assert_eq!(chromium.cookie(), cookie);
}

#[test]
fn overlapping_renewals_keep_both_tabs_signed_in() {
    let time = Clock::manual();
    let policy = Policy::new().renew_after(Duration::from_secs(15 * 60)).grace(Duration::from_secs(60));
    let layer = layer_by(&time, CookieOptions::new()).policy(policy).unwrap();
    let (site, gate) = serve(&layer);
    let chromium = Chromium::start();
    let (one, other) = (chromium.tab_at(&site.url("/login")), chromium.tab_at(&site.url("/")));
    let old = id_in(&chromium.cookie().value);

    time.advance(Duration::from_secs(16 * 60));
    one.begin_fetch("/slow?key=cart&value=tea");
    gate.wait_for(1);
    other.begin_fetch("/slow?key=theme&value=dark");
    gate.wait_for(2);
    gate.open();
    one.finish();
    other.finish();

    let new = id_in(&chromium.cookie().value);
    assert_ne!(old, new);
    // This presents the new id, so the old one ends a grace later.
    assert_eq!(one.fetch("/data"), "cart=tea theme=dark user=ada");
    time.advance(Duration::from_secs(61));
    assert!(layer.sessions().load(&old).unwrap().is_none(), "its grace is over");
    assert_eq!(other.reload(), "signed in as ada");
    assert_eq!(id_in(&chromium.cookie().value), new);
}
