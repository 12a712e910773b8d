//! The options of the cookie: their safe defaults, their spellings in a configuration file, and the
//! refusal of everything that browsers would drop or misread.
#![cfg(feature = "testing")]

use std::time::{Duration, UNIX_EPOCH};

use crate::support::site::Site;
use lembro::testing::{Cookie, Jar};
use lembro::web::{CookieLifetime, CookieOptions, Priority, SameSite, Secure, SessionLayer, SiteData};
use lembro::{Error, LembroOptions, LembroStore, Policy, SessionId};
use proptest::prelude::*;

fn layer() -> SessionLayer {
    SessionLayer::new(LembroStore::with_options(LembroOptions::new().interval(0)).unwrap())
}

fn options() -> CookieOptions {
    CookieOptions::new()
}

fn written(options: CookieOptions) -> String {
    let finished = Site::new(options).visit("", |session| session.insert("user", "ada").unwrap());
    finished.cookie().unwrap().to_owned()
}

#[track_caller]
fn assert_refused(options: CookieOptions, message: &str) {
    let error = layer().cookie(options).unwrap_err();
    assert!(error.is_option());
    assert_eq!(error.to_string(), message);
}

#[test]
fn defaults_are_safe() {
    let site = Site::new(options());
    let set = site.visit("", |session| session.insert("user", "ada").unwrap());
    let (pair, attributes) = set.cookie().unwrap().split_once("; ").unwrap();
    assert_eq!(pair.len(), "id=".len() + SessionId::TEXT_LEN);
    assert_eq!(attributes, "HttpOnly; SameSite=Lax; Secure; Path=/");

    let removal = site.visit(pair, |session| session.log_out().unwrap());
    let expected = "id=; HttpOnly; SameSite=Lax; Secure; Path=/; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT";
    assert_eq!(removal.cookie(), Some(expected));
    assert_eq!(CookieOptions::default(), options());
}

#[test]
fn each_option_shows_in_the_cookie() {
    let plain = "HttpOnly; SameSite=Lax; Secure; Path=/";
    for (options, expected) in [
        (options().name("sid"), plain.to_owned()),
        (options().path("/app"), plain.to_owned() + "app"),
        (options().domain("example.com"), plain.to_owned() + "; Domain=example.com"),
        (options().domain(".example.com"), plain.to_owned() + "; Domain=example.com"),
        (options().secure(false), plain.replace("Secure; ", "")),
        (options().http_only(false), plain.replace("HttpOnly; ", "")),
        (options().same_site(SameSite::Strict), plain.replace("Lax", "Strict")),
        (options().same_site(SameSite::None), plain.replace("Lax", "None")),
        (
            options().lifetime(CookieLifetime::Persistent),
            plain.to_owned() + "; Max-Age=3600; Expires=Sun, 09 Sep 2001 02:46:40 GMT",
        ),
        (options().lifetime(CookieLifetime::Remembered), plain.to_owned()),
        (options().partitioned(true), plain.replace("Lax; ", "Lax; Partitioned; ")),
        (options().priority(Priority::Low), plain.to_owned() + "; Priority=Low"),
        (options().priority(Priority::Medium), plain.to_owned() + "; Priority=Medium"),
        (options().priority(Priority::High), plain.to_owned() + "; Priority=High"),
        (options().priority(None), plain.to_owned()),
        (options().keys([[7; 32]]), plain.to_owned()),
        (options().trust_proxy(true), plain.to_owned()),
        (options().clear_site_data([SiteData::Cache]), plain.to_owned()),
    ] {
        let cookie = written(options.clone());
        let (_, attributes) = cookie.split_once("; ").unwrap();
        assert_eq!(attributes, expected, "{options:?}");
    }
    assert!(written(options().name("sid")).starts_with("sid="));
}

#[test]
fn names_must_be_tokens() {
    let problem = "is not a cookie name: letters, digits and !#$%&'*+-.^_`|~, at least one";
    for name in [
        "",
        " ",
        "a b",
        " a",
        "a=b",
        "=",
        "a;b",
        "a,b",
        "\"a\"",
        "a\r\nSet-Cookie: b",
        "é",
        "a/b",
        "(a)",
        "a\0",
        "a\x7f",
    ] {
        assert_refused(options().name(name), &format!("name: {name:?} {problem}"));
    }
}

#[test]
fn attributes_that_need_secure_are_refused() {
    for secure in [Secure::Never, Secure::Auto] {
        let options = || options().secure(secure);
        layer().cookie(options()).unwrap();
        layer().cookie(options().trust_proxy(true)).unwrap();
        let message = "same_site: None needs secure, always, or browsers drop the cookie";
        assert_refused(options().same_site(SameSite::None), message);
        assert_refused(options().same_site(SameSite::None).trust_proxy(true), message);
        let message = "partitioned: needs secure, always, or browsers drop the cookie";
        assert_refused(options().partitioned(true), message);
        for name in ["__Host-id", "__host-id", "__Secure-id", "__SECURE-id", "__Http-id", "__Host-Http-id", "__Host-"] {
            let message = format!("name: a cookie named {name:?} needs secure, always, or browsers drop it");
            assert_refused(options().name(name), &message);
        }
    }
}

#[test]
fn prefix_rules_are_enforced() {
    for name in ["__Host-id", "__HOST-id", "__Host-Http-id"] {
        let host = || options().name(name);
        let message = format!("name: a cookie named {name:?} must not have a domain, or browsers drop it");
        assert_refused(host().domain("example.com"), &message);
        assert_refused(host().domain("example.com").path("/app"), &message);
        let message = format!("name: a cookie named {name:?} must have the path \"/\", or browsers drop it");
        assert_refused(host().path("/app"), &message);
        assert_refused(host().path("/app/"), &message);
        layer().cookie(host()).unwrap();
    }
    for name in ["__Http-id", "__http-id", "__Host-Http-id"] {
        let message = format!("name: a cookie named {name:?} needs http_only, or browsers drop it");
        assert_refused(options().name(name).http_only(false), &message);
    }
    // Names without a prefix, and options that a prefix allows.
    for name in ["__Host", "__Hostess", "__Host_id", "__Http", "_Host-id", "Host-id", "__Secure"] {
        layer().cookie(options().name(name).secure(false).domain("a.b").path("/x").http_only(false)).unwrap();
    }
    layer().cookie(options().name("__Host-id").http_only(false)).unwrap();
    layer().cookie(options().name("__Secure-id").http_only(false).domain("example.com").path("/app")).unwrap();
    layer().cookie(options().name("__Http-id").domain("example.com").path("/app")).unwrap();
}

#[test]
fn more_than_400_days_are_refused() {
    let days = |days: u64| Duration::from_secs(days * 24 * 60 * 60);
    let idle = |timeout: Duration| Policy::new().lifetime(None).timeout(timeout);
    let persistent = || options().lifetime(CookieLifetime::Persistent);
    let message = |days: &str| {
        format!("lifetime: Persistent cookies of sessions that last {days} days, and browsers keep none beyond 400")
    };
    for (policy, told) in [
        (idle(days(401)), Some("401")),
        (idle(days(400) + Duration::from_millis(1)), Some("401")),
        (idle(days(450)).lifetime(days(450)), Some("450")),
        (idle(Duration::MAX), Some("213503982334602")),
        (idle(days(400)), None),
        (idle(days(400)).lifetime(days(400)), None),
        (idle(days(30)).lifetime(days(5000)), None),
    ] {
        let policy_first = layer().policy(policy.clone()).unwrap().cookie(persistent());
        let cookie_first = layer().cookie(persistent()).unwrap().policy(policy.clone());
        for result in [policy_first, cookie_first] {
            let error = result.err().inspect(|error| assert!(error.is_option()));
            assert_eq!(error.map(|error| error.to_string()), told.map(message));
        }
        // The other lifetimes do not depend on the policy, because a session's own timeout is cut
        // when its cookie is written.
        for lifetime in [CookieLifetime::BrowserSession, CookieLifetime::Remembered] {
            layer().policy(policy.clone()).unwrap().cookie(options().lifetime(lifetime)).unwrap();
        }
    }
}

#[test]
fn oversized_cookies_are_refused() {
    let sized = |length: usize| options().name("n".repeat(length));
    let fits = (1..4096).rev().find(|length| layer().cookie(sized(*length)).is_ok()).unwrap();
    assert_refused(sized(fits + 1), "cookie: it would take 4097 bytes, and browsers keep 4096");
    assert_refused(sized(fits).priority(Priority::Low), "cookie: it would take 4110 bytes, and browsers keep 4096");
    assert_refused(sized(fits).path("/x"), "cookie: it would take 4097 bytes, and browsers keep 4096");
    let largest = sized(fits).lifetime(CookieLifetime::Persistent).keys([[7; 32]]);
    let set = written(largest);
    assert!(set.len() <= 4096);
    assert!(Cookie::parse(&set, UNIX_EPOCH).is_some());
}

#[test]
fn weak_keys_are_refused() {
    let empty = "keys: the list is empty; leave the option out for cookies without a signature";
    assert_refused(options().keys::<&str>([]), empty);
    let short =
        |place: u32, bytes: u32| format!("keys: number {place} has {bytes} bytes; a key is at least 32 random ones");
    let (long, thirty_one) = ("x".repeat(32), "x".repeat(31));
    assert_refused(options().keys([&thirty_one]), &short(1, 31));
    assert_refused(options().keys([&long, &thirty_one]), &short(2, 31));
    assert_refused(options().keys([&long, &long, &String::new()]), &short(3, 0));
    layer().cookie(options().keys([long])).unwrap();
}

/// The options of a configuration file, or the error about it.
fn read(text: &str) -> Result<CookieOptions, String> {
    // serde_json may add the position.
    serde_json::from_str(text)
        .map_err(|error| error.to_string().split(" at line ").next().unwrap_or_default().to_owned())
}

#[test]
fn options_are_read_from_json() {
    let key = "k".repeat(32);
    for (text, expected) in [
        ("{}", options()),
        (r#"{"name": "sid", "path": "/app", "domain": "a.b"}"#, options().name("sid").path("/app").domain("a.b")),
        (r#"{"domain": null, "priority": null, "keys": null}"#, options()),
        (r#"{"secure": true}"#, options()),
        (r#"{"secure": "always"}"#, options()),
        (r#"{"secure": false}"#, options().secure(false)),
        (r#"{"secure": "never"}"#, options().secure(Secure::Never)),
        (r#"{"secure": "auto"}"#, options().secure(Secure::Auto)),
        (r#"{"secure": "Auto"}"#, options().secure(Secure::Auto)),
        (r#"{"trust_proxy": true}"#, options().trust_proxy(true)),
        (r#"{"trustProxy": true}"#, options().trust_proxy(true)),
        (r#"{"proxy": true}"#, options().trust_proxy(true)),
        (r#"{"http_only": false}"#, options().http_only(false)),
        (r#"{"httpOnly": false}"#, options().http_only(false)),
        (r#"{"same_site": "strict"}"#, options().same_site(SameSite::Strict)),
        (r#"{"sameSite": "Strict"}"#, options().same_site(SameSite::Strict)),
        (r#"{"sameSite": "lax"}"#, options()),
        (r#"{"sameSite": "Lax"}"#, options()),
        (r#"{"sameSite": "none"}"#, options().same_site(SameSite::None)),
        (r#"{"sameSite": "None"}"#, options().same_site(SameSite::None)),
        (r#"{"lifetime": "browser_session"}"#, options().lifetime(CookieLifetime::BrowserSession)),
        (r#"{"lifetime": "browser-session"}"#, options().lifetime(CookieLifetime::BrowserSession)),
        (r#"{"lifetime": "browserSession"}"#, options().lifetime(CookieLifetime::BrowserSession)),
        (r#"{"lifetime": "persistent"}"#, options().lifetime(CookieLifetime::Persistent)),
        (r#"{"lifetime": "remembered"}"#, options()),
        (r#"{"partitioned": true}"#, options().partitioned(true)),
        (r#"{"priority": "low"}"#, options().priority(Priority::Low)),
        (r#"{"priority": "medium"}"#, options().priority(Priority::Medium)),
        (r#"{"priority": "High"}"#, options().priority(Priority::High)),
        (&format!(r#"{{"keys": ["{key}", "two"]}}"#), options().keys([&*key, "two"])),
        (&format!(r#"{{"secret": ["{key}"]}}"#), options().keys([&key])),
        (&format!(r#"{{"secret": "{key}"}}"#), options().keys([&key])),
        (r#"{"keys": []}"#, options().keys::<&str>([])),
        (
            r#"{"clear_site_data": ["cache", "storage"]}"#,
            options().clear_site_data([SiteData::Cache, SiteData::Storage]),
        ),
        (r#"{"clearSiteData": ["cookies"]}"#, options().clear_site_data([SiteData::Cookies])),
        (r#"{"clearSiteData": []}"#, options()),
    ] {
        assert_eq!(read(text), Ok(expected), "{text}");
    }
}

#[test]
fn wrong_values_in_json_are_named() {
    for (text, message) in [
        (r#"{"secure": "yes"}"#, r#"secure: "yes" is none of true, false, "always", "auto", "never""#),
        (r#"{"secure": 1}"#, r#"secure: neither of true, false, "always", "auto", "never""#),
        (r#"{"secure": null}"#, r#"secure: neither of true, false, "always", "auto", "never""#),
        (r#"{"secure": ["auto"]}"#, r#"secure: neither of true, false, "always", "auto", "never""#),
        (r#"{"same_site": "sometimes"}"#, r#"same_site: "sometimes" is none of "strict", "lax", "none""#),
        (r#"{"same_site": true}"#, r#"same_site: neither of "strict", "lax", "none""#),
        (r#"{"lifetime": 3600}"#, r#"lifetime: neither of "browser_session", "persistent", "remembered""#),
        (r#"{"lifetime": "1h"}"#, r#"lifetime: "1h" is none of "browser_session", "persistent", "remembered""#),
        (r#"{"priority": "urgent"}"#, r#"priority: "urgent" is none of "low", "medium", "high""#),
        (r#"{"priority": 1}"#, r#"priority: neither of "low", "medium", "high""#),
        (r#"{"clear_site_data": ["all"]}"#, r#"clear_site_data: "all" is none of "cache", "cookies", "storage""#),
        (r#"{"clear_site_data": "cache"}"#, "invalid type: string \"cache\", expected a sequence"),
        (r#"{"http_only": "yes"}"#, "invalid type: string \"yes\", expected a boolean"),
        (r#"{"partitioned": 1}"#, "invalid type: integer `1`, expected a boolean"),
        (r#"{"name": 5}"#, "invalid type: integer `5`, expected a string"),
        (r#"{"keys": 5}"#, "keys: neither a text nor a list of texts"),
        (r#"{"samesite": "lax"}"#, "unknown field `samesite`, expected one of "),
        (r#"{"maxAge": 60000}"#, "unknown field `maxAge`, expected one of "),
        (r#"{"httpOnly": true, "http_only": true}"#, "duplicate field `http_only`"),
    ] {
        let told = read(text).unwrap_err();
        assert!(told.starts_with(message), "{text}: {told}");
    }
}

#[test]
fn no_text_shows_a_key() {
    const KEY: &str = "correct horse battery staple, and more";
    let given = options().keys([KEY, KEY]);
    let configured = read(&format!(r#"{{"keys": ["{KEY}"]}}"#)).unwrap();
    let layer = layer().cookie(given.clone()).unwrap();
    let short: Vec<Error> =
        [4, 20].map(|bytes| self::layer().cookie(options().keys([&KEY[..bytes]])).unwrap_err()).into();
    let wrong = [
        format!(r#"{{"keys": {{"first": "{KEY}"}}}}"#),
        format!(r#"{{"keys": ["{KEY}", 5]}}"#),
        format!(r#"{{"keys": [["{KEY}"]]}}"#),
        format!(r#"{{"secret": "{KEY}", "keys": "{KEY}"}}"#),
    ]
    .map(|text| read(&text).unwrap_err());
    let shown = format!("{given:?} {given:#?} {configured:?} {layer:?} {short:?} {wrong:?}");
    for needle in ["corr", "horse", "99, 111, 114", "636f7272"] {
        assert!(!shown.contains(needle), "{shown}");
    }
    assert!(shown.contains("Key(..)"));
}

#[derive(Clone, Debug)]
struct RandomOptions {
    name: String,
    path: String,
    domain: Option<String>,
    secure: Secure,
    http_only: bool,
    same_site: SameSite,
    partitioned: bool,
}

impl RandomOptions {
    fn options(&self) -> CookieOptions {
        let options = options().name(&*self.name).path(&*self.path).secure(self.secure).http_only(self.http_only);
        let options = options.same_site(self.same_site).partitioned(self.partitioned);
        self.domain.iter().fold(options, CookieOptions::domain)
    }

    /// The `Set-Cookie` text of these options.
    fn text(&self, secure: bool) -> String {
        let mut text = format!("{}=value; Path={}; SameSite={:?}", self.name, self.path, self.same_site);
        text.extend(self.domain.iter().map(|domain| format!("; Domain={domain}")));
        for (attribute, set) in [("Secure", secure), ("HttpOnly", self.http_only), ("Partitioned", self.partitioned)] {
            if set {
                text += "; ";
                text += attribute;
            }
        }
        text
    }

    /// Returns true if a browser keeps the cookie as it was meant.
    fn is_kept(&self, secure: bool) -> bool {
        let mut jar = Jar::default();
        let host = self.domain.as_deref().map_or("example.com", |domain| domain.trim_start_matches('.'));
        let is_kept = jar.receive(&self.text(secure), &format!("https://{host}/"), UNIX_EPOCH);
        let is_whole = |cookie: &Cookie| cookie.path.as_deref() == Some(&*self.path);
        is_kept && jar.cookies().any(is_whole) && crate::support::request_target::has_one_spelling(&self.path)
    }
}

fn any_options() -> impl Strategy<Value = RandomOptions> {
    let name = "(__Host-|__host-|__Secure-|__Http-|__Host-Http-|__)?[a-zA-Z]{1,3}";
    let path = prop_oneof!["/", "/[a-z]{1,3}", "[ -~]{0,4}", "/[ -~]{0,4}", "/([a-z/.]|%[0-9A-Fa-f]{2}){0,6}"];
    let domain = prop::option::of("\\.?[a-z]{1,5}\\.[a-z]{1,5}");
    let secure = prop::sample::select(vec![Secure::Always, Secure::Always, Secure::Auto, Secure::Never]);
    let same_site = prop::sample::select(vec![SameSite::Strict, SameSite::Lax, SameSite::None]);
    (name, path, domain, secure, same_site, any::<(bool, bool)>()).prop_map(
        |(name, path, domain, secure, same_site, (http_only, partitioned))| RandomOptions {
            name,
            path,
            domain,
            secure,
            http_only,
            same_site,
            partitioned,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn model_only_what_browsers_drop_is_refused(given in any_options()) {
        let kept = match given.secure {
            Secure::Always => given.is_kept(true),
            Secure::Never => given.is_kept(false),
            Secure::Auto => given.is_kept(true) && given.is_kept(false),
        };
        prop_assert_eq!(layer().cookie(given.options()).is_ok(), kept);
    }
}
