//! The cookie: our id is found in any header, no input does harm, and browsers read our
//! `Set-Cookie` as it was meant.
#![cfg(feature = "testing")]

use std::time::{Duration, UNIX_EPOCH};

use crate::support::site::{Site, look};
use allocation_counter::measure;
use lembro::testing::{Cookie, Jar};
use lembro::web::{CookieLifetime, CookieOptions, Priority, RequestHead, SameSite, SessionLayer};
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

/// The user in the session that these `Cookie` headers open.
fn user<T: AsRef<[u8]> + ?Sized>(layer: &SessionLayer, headers: &[&T]) -> Option<String> {
    layer.load(RequestHead::new(headers.iter().copied())).get("user").unwrap()
}

/// A cookie with an unknown id.
fn stranger() -> String {
    format!("id={}", SessionId::random().unwrap().expose())
}

#[track_caller]
fn assert_found<T: AsRef<[u8]> + ?Sized>(layer: &SessionLayer, headers: &[&T]) {
    assert_eq!(user(layer, headers).as_deref(), Some("ada"));
}

#[test]
fn our_cookie_is_found_among_others() {
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
fn other_names_are_not_ours() {
    let (layer, id) = layer();
    for name in ["ID", "Id", "i", "idx", "xid", "\"id\"", "%69d", "__Host-id", ""] {
        assert_eq!(user(&layer, &[format!("{name}={id}").as_str()]), None, "{name}");
    }
}

#[test]
fn our_cookie_is_found_in_any_header() {
    let (layer, id) = layer();
    let ours = format!("id={id}");
    assert_found(&layer, &["theme=dark", "lang=pt", &ours]);
    assert_found(&layer, &[ours.as_str(), "theme=dark"]);
}

#[test]
fn malformed_foreign_cookies_hide_nothing() {
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
fn malformed_cookies_of_our_name_hide_nothing() {
    let (layer, id) = layer();
    for junk in ["id=", "id", "id=null", "id=undefined", "id=constructor", "id=__proto__", "id=%", "id=\"\""] {
        let junk = format!("{junk}; ").repeat(50);
        assert_found(&layer, &[format!("{junk}id={id}").as_str()]);
    }
}

#[test]
fn quotes_around_a_value_are_removed() {
    let (layer, id) = layer();
    for header in [format!("id=\"{id}\""), format!("$Version=\"1\"; id=\"{id}\";$Path=\"/\"")] {
        assert_found(&layer, &[header.as_str()]);
    }
    for broken in [format!("id=\"{id}"), format!("id={id}\""), format!("id=\"\"{id}\"\"")] {
        assert_eq!(user(&layer, &[broken.as_str()]), None, "{broken}");
    }
}

// Invariant 2.
#[test]
fn malformed_cookies_are_no_session() {
    let (layer, id) = layer();
    let events = layer.events();
    for value in [
        String::new(),
        "%".to_owned(),
        "x".repeat(1 << 20),
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
    // Malformed cookies raise no event either.
    assert!(events.try_recv().is_err());
}

#[test]
fn repeated_id_is_looked_up_once() {
    let (layer, id) = layer();
    let events = layer.events();
    let stranger = stranger();
    let header = format!("{stranger}; {stranger}; {stranger}; {stranger}; {stranger}; id={id}");
    assert_found(&layer, &[header.as_str()]);
    assert!(matches!(events.try_recv(), Ok(Event::UnknownId { .. })));
    assert!(events.try_recv().is_err());
}

#[test]
fn only_four_ids_are_tried() {
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
fn reading_cookies_allocates_nothing() {
    let (layer, id) = layer();
    let junk = format!("tracker=%; id=short; id={}.1000000000; idx={id}", &id[1..]);
    let header = format!("theme=dark; {junk}; id={id}; {}=x", "n".repeat(1 << 16));
    let mut session = None;
    let cost = measure(|| session = Some(layer.load(RequestHead::new([header.as_str()]))));
    assert_eq!(cost.count_total, 0);
    assert_eq!(session.unwrap().get_str("user").unwrap().as_deref(), Some("ada"));
}

proptest! {
    #[test]
    fn model_any_bytes_are_no_session(headers in prop::collection::vec(any::<Vec<u8>>(), 0..8)) {
        let (layer, _) = layer();
        let headers: Vec<&[u8]> = headers.iter().map(Vec::as_slice).collect();
        prop_assert_eq!(user(&layer, &headers), None);
    }

    #[test]
    fn model_cookie_like_text_is_no_session(header in "([ \"%=;,a-z]|id=|\u{e9}|[A-Za-z0-9_-]{32}){0,40}") {
        let (layer, _) = layer();
        prop_assert_eq!(user(&layer, &[header.as_str()]), None);
    }

    #[test]
    fn model_our_cookie_is_found_among_junk(
        kind in any_kind(),
        junk in prop::collection::vec(prop::collection::vec(any::<u8>().prop_filter("a separator", |byte| *byte != b';'), 0..40), 0..100),
        place in any::<prop::sample::Index>(),
        headers in 1_usize..5,
    ) {
        let site = Site::new(kind);
        let mut cookies = junk;
        cookies.insert(place.index(cookies.len() + 1), site.visitor().into_bytes());
        let size = cookies.len().div_ceil(headers);
        let headers: Vec<Vec<u8>> = cookies.chunks(size).map(|cookies| cookies.join(&b"; "[..])).collect();
        let headers: Vec<&[u8]> = headers.iter().map(Vec::as_slice).collect();
        prop_assert_eq!(user(&site.layer, &headers), Some("ada".to_owned()));
    }

    #[test]
    fn model_first_live_cookie_counts(
        kind in any_kind(),
        pieces in prop::collection::vec(any_cookie(), 0..16),
    ) {
        let site = Site::new(kind);
        let live = [site.visitor(), site.visitor()];
        let dead: Vec<_> = (0..6).map(|_| {
            let cookie = site.visitor();
            assert!(site.visit(&cookie, |session| session.log_out().unwrap()).cookie().is_some());
            cookie
        }).collect();
        let text = |piece: &CookiePiece| match piece {
            CookiePiece::Live(which) => live[*which].clone(),
            CookiePiece::Dead(which) => dead[*which].clone(),
            CookiePiece::Quoted => live[0].replacen('=', "=\"", 1) + "\"",
            CookiePiece::Encoded => live[0].replacen("id=", "id=%20", 1),
            CookiePiece::Cut => format!("id={}", &live[0]["id=".len() + 1..]),
            CookiePiece::Other(text) => text.clone(),
        };
        let header = pieces.iter().map(text).collect::<Vec<_>>().join("; ");

        // Four different ids are tried, in their order.
        let mut ids: Vec<CookiePiece> = Vec::new();
        for piece in &pieces {
            let piece = if matches!(piece, CookiePiece::Quoted) { CookiePiece::Live(0) } else { piece.clone() };
            if matches!(piece, CookiePiece::Live(_) | CookiePiece::Dead(_)) && !ids.contains(&piece) {
                ids.push(piece);
            }
        }
        let expected = ids.into_iter().take(4).find_map(|piece| match piece {
            CookiePiece::Live(which) => Some(crate::support::site::id_of(&live[which])),
            _ => None,
        });
        let session = site.layer.load(RequestHead::new([header.as_str()]));
        let found = (!session.is_new().unwrap()).then(|| session.id().unwrap());
        prop_assert_eq!(found, expected, "{}", header);
    }

    #[test]
    fn model_browsers_read_what_was_written(options in any_options()) {
        let site = Site::new(options.given());
        let finished = site.visit("", |session| session.insert("user", "ada").unwrap());
        let (mut jar, now) = (Jar::default(), UNIX_EPOCH + Duration::from_secs(NOW));
        let url = format!("https://{}{}", options.domain.as_deref().unwrap_or("example.com"), options.path);
        prop_assert!(jar.receive(finished.cookie().unwrap(), &url, now));
        let Some(cookie) = jar.cookies().next() else { panic!("{jar:?}") };
        let expected = options.expected(&cookie.value);
        prop_assert_eq!(cookie, &expected);
        let parts: Vec<_> = cookie.value.split('.').collect();
        prop_assert_eq!(parts.len(), 1 + usize::from(options.persistent) + usize::from(options.signed));
        let id: SessionId = parts[0].parse().unwrap();
        prop_assert!(site.layer.sessions().load(&id).unwrap().is_some());

        // The cookie that the browser sends back opens the session.
        prop_assert_eq!(site.user(&jar.header(&url, now)), Some("ada".to_owned()));
        let again = site.visit(&jar.header(&url, now), look);
        prop_assert_eq!(again.cookie(), None);
    }
}

/// One of the four forms that the cookie's value can have.
fn any_kind() -> impl Strategy<Value = CookieOptions> {
    any::<(bool, bool)>().prop_map(|(persistent, signed)| {
        let lifetime = if persistent { CookieLifetime::Persistent } else { CookieLifetime::BrowserSession };
        let options = CookieOptions::new().lifetime(lifetime);
        if signed { options.keys([[7; 32], [8; 32]]) } else { options }
    })
}

/// One cookie of a request.
#[derive(Clone, Debug, PartialEq)]
enum CookiePiece {
    Live(usize),
    Dead(usize),
    Quoted,
    Encoded,
    Cut,
    Other(String),
}

fn any_cookie() -> impl Strategy<Value = CookiePiece> {
    prop_oneof![
        1 => (0_usize..2).prop_map(CookiePiece::Live),
        3 => (0_usize..6).prop_map(CookiePiece::Dead),
        1 => prop::sample::select(vec![CookiePiece::Quoted, CookiePiece::Encoded, CookiePiece::Cut]),
        1 => "(id|ID|i|theme)?(=[A-Za-z0-9%\".=_-]{0,31})?".prop_map(CookiePiece::Other),
        1 => "id=[A-Za-z0-9_-]{31}[+/ ]".prop_map(CookiePiece::Other),
    ]
}

#[test]
fn our_cookie_is_found_in_a_megabyte() {
    let padding = [
        format!("n={}; ", "x".repeat(1 << 20)),
        "a=b; ".repeat((1 << 20) / 5),
        ";".repeat(1 << 20),
        "id=short; ".repeat((1 << 20) / 10),
        format!("id={}; ", "x".repeat(1 << 20)),
        format!("{}=x; ", "id".repeat(1 << 19)),
        format!("t=\"{}\"; ", "%\\\"=".repeat(1 << 18)),
    ];
    for keys in [None, Some([[7; 32]])] {
        for lifetime in [CookieLifetime::BrowserSession, CookieLifetime::Persistent] {
            let options = CookieOptions::new().lifetime(lifetime);
            let site = Site::new(keys.into_iter().fold(options, CookieOptions::keys));
            let cookie = site.visitor();
            for padding in &padding {
                let what = padding.get(..20);
                assert_eq!(site.user(&format!("{padding}{cookie}")).as_deref(), Some("ada"), "{what:?}");
                assert_eq!(site.user(&format!("{cookie}; {padding}")).as_deref(), Some("ada"), "{what:?}");
                assert_eq!(site.user(padding), None, "{what:?}");
            }
        }
    }
}

/// The manual clock's first calendar time.
const NOW: u64 = 1_000_000_000;

#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "one for each option that is a switch")]
struct Options {
    name: String,
    path: String,
    domain: Option<String>,
    secure: bool,
    http_only: bool,
    same_site: SameSite,
    persistent: bool,
    partitioned: bool,
    priority: Option<Priority>,
    signed: bool,
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
            .partitioned(self.partitioned)
            .priority(self.priority)
            .lifetime(lifetime);
        let options = self.domain.iter().fold(options, CookieOptions::domain);
        if self.signed { options.keys([[7; 32]]) } else { options }
    }

    /// The cookie that these options describe, field by field.
    fn expected(&self, value: &str) -> Cookie {
        Cookie {
            name: self.name.clone(),
            value: value.to_owned(),
            ends: self.persistent.then_some(UNIX_EPOCH + Duration::from_secs(NOW + 3600)),
            domain: self.domain.clone(),
            path: Some(self.path.clone()),
            secure: self.secure,
            http_only: self.http_only,
            same_site: Some(self.same_site),
            partitioned: self.partitioned,
            priority: self.priority,
        }
    }
}

fn any_options() -> impl Strategy<Value = Options> {
    let name = "[!#%&'*+.^`|~0-9A-Za-z-][!#$%&'*+.^_`|~0-9A-Za-z-]{0,40}";
    let path = "(/[a-z0-9_~!$&'()*+,=:@-]{1,8}){0,4}/?".prop_filter("a path", |path| path.starts_with('/'));
    let domain = prop::option::of("[a-z0-9]{1,20}(\\.[a-z0-9]{1,20}){0,2}\\.[a-z]{1,20}");
    let same_site = prop::sample::select(vec![SameSite::Strict, SameSite::Lax, SameSite::None]);
    let priority = prop::option::of(prop::sample::select(vec![Priority::Low, Priority::Medium, Priority::High]));
    let flags = any::<(bool, bool, bool, bool, bool)>();
    (name, path, domain, flags, same_site, priority).prop_map(|(name, path, domain, flags, same_site, priority)| {
        let (secure, http_only, persistent, partitioned, signed) = flags;
        let secure = secure || partitioned || same_site == SameSite::None;
        Options { name, path, domain, secure, http_only, same_site, persistent, partitioned, priority, signed }
    })
}
