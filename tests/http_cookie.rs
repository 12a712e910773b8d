//! The cookie, read and written: our id is found in any header, nothing a client sends does harm, and options that
//! browsers would not honour are refused.
#![cfg(feature = "http")]
#![expect(clippy::unwrap_used, reason = "a test fails loudly")]

use allocation_counter::measure;
use cookie::time::Duration as Span;
use cookie::{Cookie, SameSite as Written};
use lembro::http::{CookieLifetime, CookieOptions, RequestHead, SameSite, SessionLayer};
use lembro::{Event, LembroOptions, LembroStore, Record, SessionId};
use proptest::prelude::*;

fn store() -> LembroStore {
    LembroStore::with_options(LembroOptions::new().interval(0)).unwrap()
}

/// A layer, and the text of an id that is stored in it.
fn layer() -> (SessionLayer, String) {
    let layer = SessionLayer::new(store());
    let id = SessionId::random().unwrap();
    let data: Record = [("user", "ada")].into_iter().collect();
    layer.sessions().create_session(&id, data).unwrap();
    (layer, id.expose())
}

/// Whose session these `Cookie` headers lead to, if they lead to one.
fn user<T: AsRef<[u8]> + ?Sized>(layer: &SessionLayer, headers: &[&T]) -> Option<String> {
    layer.load(RequestHead::new(headers.iter().copied())).get("user").unwrap()
}

/// An id that leads nowhere, as a cookie.
fn stranger() -> String {
    format!("id={}", SessionId::random().unwrap().expose())
}

#[track_caller]
fn assert_found<T: AsRef<[u8]> + ?Sized>(layer: &SessionLayer, headers: &[&T]) {
    assert_eq!(user(layer, headers).as_deref(), Some("ada"));
}

#[test]
fn our_cookie_is_found_alone_and_among_others() {
    let (layer, id) = layer();
    for header in [
        format!("id={id}"),
        format!("theme=dark; id={id}; lang=pt"),
        format!("theme=dark;id={id};lang=pt"),
        format!("  id = {id}  "),
        format!(";;; ; id={id};"),
        format!("ID=x; Id=x; idx=1; xid=2; id={id}"),
    ] {
        assert_found(&layer, &[header.as_str()]);
    }
}

#[test]
fn a_cookie_of_another_name_is_not_ours() {
    let (layer, id) = layer();
    for name in ["ID", "Id", "i", "idx", "xid", "\"id\"", "%69d", "__Host-id", ""] {
        assert_eq!(user(&layer, &[format!("{name}={id}").as_str()]), None, "{name}");
    }
}

#[test]
fn our_cookie_is_found_in_any_of_several_headers() {
    let (layer, id) = layer();
    let ours = format!("id={id}");
    assert_found(&layer, &["theme=dark", "lang=pt", &ours]);
    assert_found(&layer, &[ours.as_str(), "theme=dark"]);
}

#[test]
fn a_foreign_cookie_that_is_malformed_does_not_hide_ours() {
    let (layer, id) = layer();
    for junk in [
        &b"tracker=%"[..],
        b"tracker=%E0%A4%A",
        b"=",
        b"=x",
        b"novalue",
        b"a=\"unclosed",
        b"\xff\xfe=1",
        b"t=\xc3",
        b"\0",
    ] {
        assert_found(&layer, &[&[junk, b"; id=", id.as_bytes()].concat()]);
        assert_found(&layer, &[&[b"id=", id.as_bytes(), b"; ", junk].concat()]);
        assert_found(&layer, &[junk, format!("id={id}").as_bytes()]);
    }
}

#[test]
fn our_cookie_is_found_behind_one_of_our_name_that_is_malformed() {
    let (layer, id) = layer();
    for junk in ["id=", "id", "id=null", "id=undefined", "id=constructor", "id=__proto__", "id=%", "id=\"\""] {
        let junk = format!("{junk}; ").repeat(50);
        assert_found(&layer, &[format!("{junk}id={id}").as_str()]);
    }
}

// Invariant 2.
#[test]
fn malformed_oversized_and_repeated_cookies_mean_no_session() {
    let (layer, id) = layer();
    let events = layer.events();
    for value in [
        String::new(),
        "%".to_owned(),
        "x".repeat(1 << 20),
        format!("\"{id}\""),
        format!("{id}="),
        format!("{id}A"),
        format!("s:{id}.signature"),
        id[1..].to_owned(),
        id[..31].to_owned() + "+",
        id[..31].to_owned() + " ",
        "é".repeat(16),
    ] {
        assert_eq!(user(&layer, &[format!("id={value}").as_str()]), None, "{value:.40}");
    }
    // Not even an event: who sends nonsense cannot make noise with it.
    assert!(events.try_recv().is_err());
}

#[test]
fn a_repeated_id_is_asked_for_once() {
    let (layer, id) = layer();
    let events = layer.events();
    let stranger = stranger();
    let header = format!("{stranger}; {stranger}; {stranger}; {stranger}; {stranger}; id={id}");
    assert_found(&layer, &[header.as_str()]);
    assert!(matches!(events.try_recv(), Ok(Event::UnknownId { .. })));
    assert!(events.try_recv().is_err());
}

#[test]
fn four_different_ids_are_tried_and_no_more() {
    let (layer, id) = layer();
    let strangers: Vec<_> = (0..100).map(|_| stranger()).collect();
    let with = |before: usize| format!("{}; id={id}", strangers[..before].join("; "));
    assert_found(&layer, &[with(3).as_str()]);
    let events = layer.events();
    assert_eq!(user(&layer, &[with(4).as_str()]), None);
    assert_eq!(user(&layer, &[with(100).as_str()]), None);
    assert_eq!(events.try_iter().count(), 8);
}

#[test]
fn reading_the_cookies_of_a_request_allocates_nothing() {
    let (layer, id) = layer();
    let header = format!("theme=dark; tracker=%; id=short; lang=pt; id={id}; {}=x", "n".repeat(1 << 16));
    let mut session = None;
    let cost = measure(|| session = Some(layer.load(RequestHead::new([header.as_str()]))));
    assert_eq!(cost.count_total, 0);
    assert_eq!(session.unwrap().get::<&str>("user").unwrap(), Some("ada"));
}

proptest! {
    #[test]
    fn any_bytes_at_all_are_no_session_and_no_harm(headers in prop::collection::vec(any::<Vec<u8>>(), 0..8)) {
        let (layer, _) = layer();
        let headers: Vec<&[u8]> = headers.iter().map(Vec::as_slice).collect();
        prop_assert_eq!(user(&layer, &headers), None);
    }

    #[test]
    fn text_that_looks_like_cookies_is_no_session_and_no_harm(header in "([ \"%=;,a-z]|id=|\u{e9}|[A-Za-z0-9_-]{32}){0,40}") {
        let (layer, _) = layer();
        prop_assert_eq!(user(&layer, &[header.as_str()]), None);
    }

    #[test]
    fn our_cookie_is_found_among_any_junk(
        junk in prop::collection::vec(prop::collection::vec(any::<u8>().prop_filter("a separator", |byte| *byte != b';'), 0..40), 0..100),
        place in any::<prop::sample::Index>(),
        headers in 1_usize..5,
    ) {
        let (layer, id) = layer();
        let mut cookies = junk;
        cookies.insert(place.index(cookies.len() + 1), format!("id={id}").into_bytes());
        let size = cookies.len().div_ceil(headers);
        let headers: Vec<Vec<u8>> = cookies.chunks(size).map(|cookies| cookies.join(&b"; "[..])).collect();
        let headers: Vec<&[u8]> = headers.iter().map(Vec::as_slice).collect();
        prop_assert_eq!(user(&layer, &headers), Some("ada".to_owned()));
    }

    #[test]
    fn what_is_written_reads_back_as_what_was_asked_for(options in any_options()) {
        let secret_host = options.name.to_ascii_lowercase().starts_with("__");
        prop_assume!(!secret_host);
        let layer = SessionLayer::new(store()).cookie(options.given()).unwrap();
        let set = written(&layer, |session| session.insert("user", "ada").unwrap(), None);
        let cookie = Cookie::parse(set.as_str()).unwrap();
        prop_assert_eq!(cookie.name(), options.name.as_str());
        let (id, stamp) = cookie.value().split_once('.').map_or((cookie.value(), None), |(id, at)| (id, Some(at)));
        prop_assert_eq!(stamp.is_some_and(|at| at.parse::<u64>().is_ok()), options.persistent);
        let id: SessionId = id.parse().unwrap();
        prop_assert!(layer.sessions().load(&id).unwrap().is_some());
        prop_assert_eq!(cookie.max_age(), options.persistent.then(|| Span::seconds(3600)));
        prop_assert_eq!(cookie.expires(), None);
        options.check(&cookie);

        // The browser's answer leads back to the session, and its end removes the very same cookie.
        let answer = format!("{}={}", cookie.name(), cookie.value());
        prop_assert_eq!(user(&layer, &[answer.as_str()]), Some("ada".to_owned()));
        let removal = written(&layer, |session| session.destroy().unwrap(), Some(&answer));
        let removal = Cookie::parse(removal.as_str()).unwrap();
        prop_assert_eq!(removal.name_value(), (options.name.as_str(), ""));
        prop_assert_eq!(removal.max_age(), Some(Span::ZERO));
        prop_assert!(removal.expires_datetime().unwrap() < cookie::time::OffsetDateTime::UNIX_EPOCH + Span::seconds(1));
        options.check(&removal);
    }
}

#[derive(Clone, Debug)]
struct Options {
    name: String,
    path: String,
    domain: Option<String>,
    secure: bool,
    http_only: bool,
    same_site: SameSite,
    persistent: bool,
}

impl Options {
    fn given(&self) -> CookieOptions {
        let lifetime = if self.persistent { CookieLifetime::Persistent } else { CookieLifetime::BrowserSession };
        let options = CookieOptions::new()
            .name(self.name.as_str())
            .path(self.path.as_str())
            .secure(self.secure)
            .http_only(self.http_only)
            .same_site(self.same_site)
            .lifetime(lifetime);
        match &self.domain {
            Some(domain) => options.domain(domain.as_str()),
            None => options,
        }
    }

    fn check(&self, cookie: &Cookie<'_>) {
        assert_eq!(cookie.path(), Some(self.path.as_str()));
        assert_eq!(cookie.domain(), self.domain.as_deref());
        assert_eq!(cookie.secure().unwrap_or(false), self.secure);
        assert_eq!(cookie.http_only().unwrap_or(false), self.http_only);
        let same_site = match self.same_site {
            SameSite::Strict => Written::Strict,
            SameSite::Lax => Written::Lax,
            SameSite::None => Written::None,
        };
        assert_eq!(cookie.same_site(), Some(same_site));
    }
}

fn any_options() -> impl Strategy<Value = Options> {
    let name = "[!#$%&'*+.^_`|~0-9A-Za-z-]{1,40}";
    let path = "/([!-:<-~]{0,30}[!-:<-~])?";
    let domain = prop::option::of("[a-z0-9]{1,20}(\\.[a-z0-9]{1,20}){0,3}");
    let same_site = prop::sample::select(vec![SameSite::Strict, SameSite::Lax, SameSite::None]);
    (name, path, domain, any::<(bool, bool, bool)>(), same_site).prop_map(|(name, path, domain, flags, same_site)| {
        let (secure, http_only, persistent) = flags;
        Options { name, path, domain, secure: secure || same_site == SameSite::None, http_only, same_site, persistent }
    })
}

/// The `Set-Cookie` text of one request.
fn written(layer: &SessionLayer, handler: impl FnOnce(&mut lembro::Session), cookie: Option<&str>) -> String {
    let head = RequestHead::new(cookie);
    let mut session = layer.load(head.clone());
    handler(&mut session);
    let finished = layer.finish(session, head).unwrap();
    let mut headers = finished.headers().map(|(_, value)| value.to_owned());
    headers.next().unwrap()
}
