//! Headers for caches: a response with a cookie is never stored, a page that depends on a session
//! says so, and the handler's own headers stay.

use std::time::Duration;

use crate::support::site::{Site, look};
use lembro::web::{CookieLifetime, CookieOptions, Finished, ResponseHeaders, SiteData};
use lembro::{Record, Saved};
use proptest::prelude::*;

type Headers = Vec<(String, String)>;
type Handler = fn(&mut lembro::Session);

fn headers(of: &[(&str, &str)]) -> Headers {
    of.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// The values of this name, in their order.
fn all<'h>(headers: &'h Headers, name: &str) -> Vec<&'h str> {
    headers.iter().filter(|(one, _)| one.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str()).collect()
}

fn merged(finished: &Finished, own: &[(&str, &str)]) -> Headers {
    let mut response = headers(own);
    finished.write_to(&mut response);
    response
}

/// Every end of a request that sets a cookie.
fn with_a_cookie(site: &Site) -> Vec<(&'static str, Finished)> {
    let [cookie, other, third] = [site.visitor(), site.visitor(), site.visitor()];
    let mut created =
        site.layer.sessions().create_session(&lembro::SessionId::random().unwrap(), Record::new()).unwrap();
    let (undated, _) = other.rsplit_once('.').expect("of a host with persistent cookies");
    let ends = vec![
        ("new", site.visit("", |session| session.insert("user", "ada").unwrap())),
        ("a new id", site.visit(&cookie, |session| session.regenerate().unwrap())),
        ("another session", site.layer.finish(&mut created).unwrap()),
        ("rewritten", site.visit(undated, look)),
        ("a logout", site.visit(&third, |session| session.log_out().unwrap())),
    ];
    assert!(ends.iter().all(|(_, finished)| finished.cookie().is_some()));
    ends
}

#[test]
fn response_with_cookie_is_never_stored() {
    for (what, finished) in with_a_cookie(&Site::persistent()) {
        let plain: Vec<_> = finished.headers().map(|(name, _)| name).collect();
        assert_eq!(plain, ["Set-Cookie", "Cache-Control", "Vary"], "{what}");
        for own in ["", "public", "max-age=600", "Public, S-MaxAge=600, immutable", "must-understand, no-store"] {
            let response = merged(&finished, &[("cache-control", own)]);
            assert_eq!(all(&response, "Cache-Control"), ["no-store"], "{what}, {own}");
            assert_eq!(all(&response, "Vary"), ["Cookie"], "{what}, {own}");
        }
        let as_they_are: Headers = headers(&finished.headers().collect::<Vec<_>>());
        assert_eq!(merged(&finished, &[]), as_they_are, "{what}");
    }
}

#[test]
fn cdn_stores_no_response_with_cookie() {
    let own =
        [("cdn-cache-control", "max-age=600"), ("CDN-Cache-Control", "public"), ("Surrogate-Control", "max-age=9")];
    for (what, finished) in with_a_cookie(&Site::persistent()) {
        let response = merged(&finished, &own);
        assert_eq!(all(&response, "CDN-Cache-Control"), ["no-store"], "{what}");
        assert_eq!(all(&response, "Surrogate-Control"), ["no-store"], "{what}");
        assert_eq!(all(&merged(&finished, &[]), "CDN-Cache-Control"), [""; 0], "{what}: the handler did not set it");
    }
    // Without a cookie the handler decides.
    let site = Site::persistent();
    let cookie = site.visitor();
    let response = merged(&site.visit(&cookie, look), &own);
    assert_eq!(all(&response, "CDN-Cache-Control"), ["max-age=600", "public"]);
}

// Each header that a cache obeys before `Cache-Control` or without it: the targeted headers (RFC
// 9213), the headers of surrogates, Akamai, LiteSpeed and nginx, and the header of HTTP/1.0.
// Directives about the processing of a response stay.
#[test]
fn no_cache_header_lets_a_cookie_be_stored() {
    let table: &[(&str, &[&str], &str)] = &[
        ("CDN-Cache-Control", &["max-age=600, stale-while-revalidate=60"], "no-store"),
        ("Cloudflare-CDN-Cache-Control", &["max-age=600"], "no-store"),
        ("Vercel-CDN-Cache-Control", &["public, s-maxage=600"], "no-store"),
        ("Netlify-CDN-Cache-Control", &["public, durable, max-age=600"], "no-store"),
        ("Akamai-Cache-Control", &["max-age=600"], "no-store"),
        ("X-LiteSpeed-Cache-Control", &["public,max-age=600"], "no-store"),
        ("Surrogate-Control", &["max-age=600+60", "no-store-remote"], "no-store"),
        ("Surrogate-Control", &["max-age=600, content=\"ESI/1.0, x\""], "content=\"ESI/1.0, x\", no-store"),
        ("Surrogate-Control", &["x=\"a, content=b\", max-age=9"], "no-store"),
        ("Edge-Control", &["!no-store, cache-maxage=60m, DCA=esi"], "DCA=esi, no-store"),
        ("X-Accel-Expires", &["600"], "0"),
        ("X-Accel-Expires", &["@1893456000"], "0"),
        ("Expires", &["Tue, 01 Jan 2030 00:00:00 GMT"], "0"),
        ("CDN-Cache-Control", &[""], "no-store"),
    ];
    let site = Site::persistent();
    let cookie = site.visitor();
    let without = site.visit(&cookie, look);
    for (what, finished) in with_a_cookie(&site) {
        for (name, own, expected) in table {
            for name in [(*name).to_owned(), name.to_lowercase(), name.to_uppercase()] {
                let own: Vec<_> = own.iter().map(|value| (&*name, *value)).collect();
                assert_eq!(all(&merged(&finished, &own), &name), [*expected], "{what}, {own:?}");
                let kept: Vec<_> = own.iter().map(|(_, value)| *value).collect();
                assert_eq!(all(&merged(&without, &own), &name), kept, "the handler decides: {own:?}");
            }
        }
        assert_eq!(
            merged(&finished, &[]).len(),
            3,
            "{what}: no header is added for a cache that the handler did not name"
        );
    }
}

#[test]
fn session_pages_say_vary() {
    let site = Site::new(CookieOptions::new());
    let (cookie, told) = (site.visitor(), |finished: &Finished| -> Headers {
        assert_eq!(finished.cookie(), None);
        merged(finished, &[])
    });
    let private = headers(&[("Cache-Control", "no-store"), ("Vary", "Cookie")]);
    let looks: [(&str, Handler); 9] = [
        ("contains_key", look),
        ("get", |session| assert!(session.get_str("user").unwrap().is_some())),
        ("len", |session| assert_ne!(session.len().unwrap(), 0)),
        ("id", |session| assert!(session.id().is_ok())),
        ("is_new", |session| assert!(!session.is_new().unwrap())),
        ("timeout", |session| assert!(session.timeout().is_ok())),
        ("insert", |session| session.insert("theme", "dark").unwrap()),
        ("touch", |session| assert_eq!(session.touch().unwrap(), Saved::Written)),
        ("save", |session| {
            session.insert("theme", "light").unwrap();
            assert_eq!(session.save().unwrap(), Saved::Written);
        }),
    ];
    for (what, look) in looks {
        assert_eq!(told(&site.visit(&cookie, look)), private, "{what}");
    }
    // A session that ended elsewhere while the handler ran: the page was still made from it.
    let ended = site.visit(&cookie, |session| {
        look(session);
        let mut elsewhere = site.layer.sessions().load(&crate::support::site::id_of(&cookie)).unwrap().unwrap();
        elsewhere.log_out().unwrap();
        session.insert("user", "grace").unwrap();
    });
    assert_eq!(told(&ended), private);

    // The page of a client without a session may be kept, but not for a client with one.
    for stranger in ["", "theme=dark", &cookie] {
        assert_eq!(told(&site.visit(stranger, look)), headers(&[("Vary", "Cookie")]), "{stranger}");
    }
    // Without a look, the page is the same for every client.
    assert_eq!(told(&site.visit(&site.visitor(), |session| assert!(!session.is_changed()))), headers(&[]));
}

#[test]
fn page_of_a_new_session_may_be_kept() {
    let site = Site::new(CookieOptions::new());
    let own = [("Vary", "Accept"), ("Cache-Control", "public, max-age=600"), ("Vary", "Origin")];
    let new = merged(&site.visit("", look), &own);
    assert_eq!(new, headers(&[("Cache-Control", "public, max-age=600"), ("Vary", "Accept, Origin, Cookie")]));
    assert_eq!(merged(&site.visit(&site.visitor(), |_| {}), &own), headers(&own));
}

#[test]
fn cache_control_keeps_only_restrictions() {
    let site = Site::new(CookieOptions::new());
    let cookie = site.visitor();
    let with = site.visit(&cookie, |session| session.regenerate().unwrap());
    let cookie = crate::support::site::sent_back(&with);
    let without = site.visit(&cookie, look);
    assert_eq!(without.cookie(), None);
    // The handler's lines, the result beside a cookie, and the result for a live session without
    // one.
    let table: &[(&[&str], &str, &str)] = &[
        (&[], "no-store", "no-store"),
        (&[""], "no-store", "no-store"),
        (&[" ", ",, ,"], "no-store", "no-store"),
        (&["no-store"], "no-store", "no-store"),
        (&["NO-STORE"], "no-store", "NO-STORE"),
        (&["public"], "no-store", "public"),
        (&["max-age=0"], "no-store", "max-age=0"),
        (&["max-age=600, s-maxage=60"], "no-store", "max-age=600, s-maxage=60"),
        (&["must-understand, no-store"], "no-store", "must-understand, no-store"),
        (&["stale-while-revalidate=60,stale-if-error=9"], "no-store", "stale-while-revalidate=60, stale-if-error=9"),
        (&["immutable", "max-age=600"], "no-store", "immutable, max-age=600"),
        (&["private"], "private, no-store", "private"),
        (&["Private ,  max-age=60"], "Private, no-store", "Private, max-age=60"),
        (&["no-cache, must-revalidate"], "no-cache, must-revalidate, no-store", "no-cache, must-revalidate"),
        (
            &["proxy-revalidate", "public", "no-transform"],
            "proxy-revalidate, no-transform, no-store",
            "proxy-revalidate, public, no-transform",
        ),
        (&["privateer, no-cached, xno-transform"], "no-store", "privateer, no-cached, xno-transform"),
        // With names, the directive covers those headers alone; `no-store` covers all.
        (&["no-cache=\"a, b\""], "no-store", "no-cache=\"a, b\""),
        (&["no-cache=Set-Cookie, no-transform"], "no-transform, no-store", "no-cache=Set-Cookie, no-transform"),
        (
            &["private=\"a, no-cache, b\", no-transform"],
            "no-transform, no-store",
            "private=\"a, no-cache, b\", no-transform",
        ),
        (&["x=\"a\\\", private, \\\"b\", no-cache"], "no-cache, no-store", "x=\"a\\\", private, \\\"b\", no-cache"),
        (&["x=\"a\\\\\", private"], "private, no-store", "x=\"a\\\\\", private"),
        (&["x=a\\\", private\", no-cache"], "no-cache, no-store", "x=a\\\", private\", no-cache"),
        // A quote that is never closed hides the rest, for a cache too.
        (&["x=\"a, public", "private"], "no-store", "x=\"a, public, private"),
    ];
    for (own, beside_a_cookie, beside_none) in table {
        let own: Vec<_> = own.iter().map(|value| ("Cache-Control", *value)).collect();
        assert_eq!(all(&merged(&with, &own), "Cache-Control"), [*beside_a_cookie], "{own:?}, a cookie");
        assert_eq!(all(&merged(&without, &own), "Cache-Control"), [*beside_none], "{own:?}, none");
    }
}

#[test]
fn vary_gets_one_more_name() {
    let finished = Site::new(CookieOptions::new()).visit("", look);
    let table: &[(&[&str], &str)] = &[
        (&[], "Cookie"),
        (&["", " , "], "Cookie"),
        (&["Accept-Encoding"], "Accept-Encoding, Cookie"),
        (&["Accept,Origin", "Accept-Language"], "Accept, Origin, Accept-Language, Cookie"),
        (&["cookie"], "cookie"),
        (&["Accept, COOKIE, Origin"], "Accept, COOKIE, Origin"),
        (&["Cookies"], "Cookies, Cookie"),
        (&["*"], "*"),
        (&["Accept", "Origin , *"], "*"),
    ];
    for (own, expected) in table {
        let own: Vec<_> = own.iter().map(|value| ("vary", *value)).collect();
        assert_eq!(all(&merged(&finished, &own), "Vary"), [*expected], "{own:?}");
    }
}

#[test]
fn only_a_logout_clears_site_data() {
    let clearing = |data: &[SiteData]| {
        let options = CookieOptions::new().lifetime(CookieLifetime::Persistent);
        Site::new(options.clear_site_data(data.iter().copied()))
    };
    for (data, expected) in [
        (&[][..], None),
        (&[SiteData::Cache], Some("\"cache\"")),
        (&[SiteData::Cookies], Some("\"cookies\"")),
        (&[SiteData::Storage, SiteData::Cache], Some("\"storage\", \"cache\"")),
    ] {
        let site = clearing(data);
        let logout = site.visit(&site.visitor(), |session| session.log_out().unwrap());
        assert_eq!(all(&merged(&logout, &[]), "Clear-Site-Data"), expected.into_iter().collect::<Vec<_>>());
    }

    let site = clearing(&[SiteData::Storage, SiteData::Cache]);
    let logout = |cookie: &str| site.visit(cookie, |session| session.log_out().unwrap());
    for (own, expected) in [
        ("", "\"storage\", \"cache\""),
        ("\"cookies\"", "\"cookies\", \"storage\", \"cache\""),
        ("\"cache\"", "\"cache\", \"storage\""),
        // A quoted string is compared byte for byte and may hold a comma. Other elements are
        // dropped.
        ("\"CACHE\"", "\"CACHE\", \"storage\", \"cache\""),
        ("\"a,b\" ,, \"x\\\", y\"", "\"a,b\", \"x\\\", y\", \"storage\", \"cache\""),
        ("cache", "\"storage\", \"cache\""),
        ("\"cookies\", \"open, ", "\"cookies\", \"storage\", \"cache\""),
        ("\"open", "\"storage\", \"cache\""),
    ] {
        let response = merged(&logout(&site.visitor()), &[("clear-site-data", own)]);
        assert_eq!(all(&response, "Clear-Site-Data"), [expected]);
    }

    let mut others = with_a_cookie(&site);
    others.retain(|(what, _)| *what != "a logout");
    let cookie = site.visitor();
    others.extend([
        ("a look", site.visit(&cookie, look)),
        ("no look", site.visit(&cookie, |_| {})),
        ("a logout without a session", logout("")),
        (
            "out and in",
            site.visit(&site.visitor(), |session| {
                session.log_out().unwrap();
                session.regenerate().unwrap();
                session.insert("user", "grace").unwrap();
            }),
        ),
        (
            "ended elsewhere",
            site.visit(&cookie, |session| {
                look(session);
                let _ = logout(&cookie);
                session.insert("user", "grace").unwrap();
            }),
        ),
    ]);
    let idle = site.visitor();
    site.time.advance(Duration::from_secs(60 * 60));
    others.push(("expired", site.visit(&idle, |session| assert!(session.is_new().unwrap()))));
    for (what, finished) in others {
        assert_eq!(all(&merged(&finished, &[]), "Clear-Site-Data"), [""; 0], "{what}");
        let own = "\"cookies\" , \"future\"";
        assert_eq!(all(&merged(&finished, &[("Clear-Site-Data", own)]), "Clear-Site-Data"), [own], "{what}");
    }
}

#[test]
fn two_methods_merge_any_response() {
    /// Headers as lines of text, as a server may keep them.
    struct Lines(Vec<String>);
    impl ResponseHeaders for Lines {
        fn take(&mut self, name: &str) -> Vec<String> {
            let start = format!("{}: ", name.to_ascii_lowercase());
            let taken = self.0.extract_if(.., |line| line.to_ascii_lowercase().starts_with(&start));
            taken.map(|line| line[start.len()..].to_owned()).collect()
        }
        fn add(&mut self, name: &str, value: String) {
            self.0.push(format!("{name}: {value}"));
        }
    }
    let mut lines = Lines(vec!["Server: none".to_owned(), "VARY: Accept".to_owned(), "Content-Length: 0".to_owned()]);
    Site::new(CookieOptions::new()).visit("", look).write_to(&mut lines);
    assert_eq!(lines.0, ["Server: none", "Content-Length: 0", "Vary: Accept, Cookie"]);
}

fn any_headers() -> impl Strategy<Value = Headers> {
    let names = ["Cache-Control", "cache-control", "Vary", "VARY", "Clear-Site-Data", "Set-Cookie", "ETag", "X-Vary"];
    let name = prop::sample::select(names.to_vec()).prop_map(ToOwned::to_owned);
    let word = "public|private|Private|no-cache|max-age=[0-9]{1,4}|must-understand|no-store|no-transform|immutable|\
                no-cache=\"[a-z]{1,3}(, [a-z]{1,3})?\"|x=\"[^\"\r\n]{0,4}|\\*|Cookie|Accept|\"cache\"|";
    let listed = prop::collection::vec(word, 0..5).prop_map(|words| words.join(","));
    prop::collection::vec((name, prop_oneof![listed, "[ -~]{0,20}"]), 0..8)
}

proptest! {
    #[test]
    fn model_merge_is_safe_and_idempotent(own in any_headers()) {
        let site = Site::persistent();
        let cookie = site.visitor();
        let mut ends = with_a_cookie(&site);
        ends.extend([
            ("a look", site.visit(&cookie, look)),
            ("a new session", site.visit("", look)),
            ("no look", site.visit(&cookie, |_| {})),
        ]);
        for (what, finished) in ends {
            let mut once = own.clone();
            finished.write_to(&mut once);

            let ours = |name: &str| finished.headers().any(|(one, _)| one.eq_ignore_ascii_case(name));
            let rest = |headers: &Headers| -> Headers {
                headers.iter().filter(|(name, _)| !ours(name)).cloned().collect()
            };
            prop_assert_eq!(rest(&once), rest(&own), "{}", what);
            let mut cookies = all(&own, "Set-Cookie");
            cookies.extend(finished.cookie());
            prop_assert_eq!(all(&once, "Set-Cookie"), cookies, "{}", what);

            if finished.cookie().is_some() {
                let [caching] = all(&once, "Cache-Control")[..] else { panic!("{what}: one Cache-Control") };
                let (last, others) = caching.rsplit_once(", ").map_or((caching, ""), |(others, last)| (last, others));
                prop_assert_eq!(last, "no-store", "{}", what);
                for one in others.split_terminator(", ") {
                    prop_assert!(["private", "no-cache", "no-transform"].contains(&&*one.to_lowercase()), "{what}: {one}");
                }
            }
            if what != "no look" {
                let [vary] = all(&once, "Vary")[..] else { panic!("{what}: one Vary") };
                prop_assert!(vary == "*" || vary.split(", ").any(|name| name.eq_ignore_ascii_case("cookie")));
                for name in all(&own, "Vary").into_iter().flat_map(|names| names.split(',')).map(str::trim) {
                    prop_assert!(vary == "*" || vary.split(", ").any(|one| one == name) || name.is_empty());
                }
            }

            let mut twice = once.clone();
            finished.write_to(&mut twice);
            let but_cookies = |headers: Headers| -> Headers {
                headers.into_iter().filter(|(name, _)| name != "Set-Cookie").collect()
            };
            prop_assert_eq!(but_cookies(twice), but_cookies(once), "{}", what);
        }
    }
}
