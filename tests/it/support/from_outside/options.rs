//! A configuration: refused in a sentence, or a server that works, whatever its options say.

use std::time::Duration;

use lembro::web::{CookieOptions, Finished, RequestHead, SessionLayer};
use lembro::{Clock, LembroOptions, LembroStore, ManualClock, Policy, Result};
use serde::Deserialize;

/// As an application would have it in one file.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Configuration {
    cookie: CookieOptions,
    policy: Policy,
    store: LembroOptions,
}

pub fn check(bytes: &[u8]) {
    let configuration: Configuration = match serde_json::from_slice(bytes) {
        Ok(configuration) => configuration,
        Err(error) => return assert!(!error.to_string().is_empty()),
    };
    let time = Clock::manual();
    // Checked when it was read.
    let store = LembroStore::with_options(configuration.store.clock(&time)).unwrap();
    let layer = SessionLayer::new(store.clone()).policy(configuration.policy).unwrap();
    match layer.cookie(configuration.cookie) {
        Ok(layer) => serve(&layer, &store, &time),
        // Neither cookies nor policies are wrong alone: some do not fit each other.
        Err(error) => assert!(error.is_option() && error.to_string().contains(": "), "{error}"),
    }
}

/// A visitor comes, comes back, logs in, and stays away for too long.
fn serve(layer: &SessionLayer, store: &LembroStore, time: &ManualClock) {
    let Ok(first) = visit(layer, "", "visits", 1) else {
        // The one thing that a correct configuration may be too small for.
        return;
    };
    let cookie = sent_back(&first);
    let session = layer.load(RequestHead::new([cookie.as_str()]).secure(true));
    assert_eq!(session.get::<u32>("visits").unwrap(), Some(1), "{cookie}");
    drop(session);

    if let Ok(login) = log_in(layer, &cookie) {
        let cookie = sent_back(&login);
        let session = layer.load(RequestHead::new([cookie.as_str()]).secure(true));
        assert_eq!(session.owner().unwrap(), Some("ada"), "{cookie}");
    }
    for span in [1, 60_000, u64::from(u32::MAX), u64::MAX] {
        time.advance(Duration::from_millis(span));
        let _ = visit(layer, &cookie, "late", span);
        store.purge();
        store.validate().unwrap();
    }
}

fn visit(layer: &SessionLayer, cookie: &str, key: &str, value: u64) -> Result<Finished> {
    let request = RequestHead::new([cookie]).secure(true);
    let mut session = layer.load(request.clone());
    session.insert(key, &value)?;
    let finished = layer.finish(&mut session);
    expected(finished)
}

fn log_in(layer: &SessionLayer, cookie: &str) -> Result<Finished> {
    let request = RequestHead::new([cookie]).secure(true);
    let mut session = layer.load(request.clone());
    let logged_in = session.log_in("ada");
    expected(logged_in.and_then(|()| layer.finish(&mut session)))
}

/// A store may be configured too small for this very session, or to be full; everything else is a
/// bug.
fn expected<T>(result: Result<T>) -> Result<T> {
    if let Err(error) = &result {
        assert!(error.is_size() || error.is_full(), "{error}");
    }
    result
}

/// What a browser makes of the response: everything before the first attribute. Nothing may have
/// slipped in between those.
fn sent_back(finished: &Finished) -> String {
    let cookie = finished.cookie().expect("a Set-Cookie");
    assert!(cookie.len() <= 4096 && cookie.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{cookie}");
    let mut parts = cookie.split(';').map(str::trim_start);
    let value = parts.next().unwrap().to_owned();
    let mut known =
        vec!["Path", "Domain", "Secure", "HttpOnly", "SameSite", "Partitioned", "Max-Age", "Expires", "Priority"];
    for attribute in parts {
        let name = attribute.split('=').next();
        let place = known.iter().position(|one| Some(*one) == name);
        known.remove(place.unwrap_or_else(|| panic!("{attribute:?} in {cookie}")));
    }
    value
}

pub fn seeds() -> Vec<Vec<u8>> {
    let key = "correct horse battery staple, 32+";
    let texts = [
        "{}".to_owned(),
        r#"{"store": {"interval": 360000, "maxSize": "4M"}}"#.to_owned(),
        r#"{"store": {"interval": "1h 30m", "max_session_size": "16 KiB", "shards": 1.0, "anonymousShare": 5}}"#.to_owned(),
        r#"{"store": {"interval": null, "maxSize": 1.5e6, "maxSessionSize": 200, "whenFull": "refuse_anonymous"}}"#.to_owned(),
        r#"{"policy": {"timeout": "15m", "lifetime": "12h", "touch_after": 0, "max_per_owner": 1}}"#.to_owned(),
        r#"{"policy": {"timeout": 1, "lifetime": null, "renew_after": "15m", "grace": "60s", "at_limit": "refuse_newest"}}"#.to_owned(),
        r#"{"cookie": {"name": "__Host-id", "sameSite": "strict", "lifetime": "persistent", "httpOnly": true}}"#.to_owned(),
        r#"{"cookie": {"path": "/a%20b", "domain": ".example.com", "secure": "auto", "proxy": true, "priority": "high"}}"#.to_owned(),
        r#"{"cookie": {"same_site": "none", "partitioned": true, "secure": true, "clearSiteData": ["cache", "storage"]}}"#.to_owned(),
        format!(r#"{{"cookie": {{"secret": "{key}", "lifetime": "remembered"}}, "policy": {{}}, "store": {{}}}}"#),
        format!(r#"{{"cookie": {{"keys": ["{key}", "{key}{key}"]}}, "policy": {{"timeout": "3600d"}}}}"#),
    ];
    texts.into_iter().map(String::into_bytes).collect()
}
