//! The token in a header: which token counts, which clients get one, and that it means the same as
//! a cookie. `PROPTEST_CASES` sets the number of random histories.

use std::time::Duration;

use lembro::web::{CookieOptions, Finished, RequestHead, SessionLayer, TokenOptions};
use lembro::{Event, LembroOptions, LembroStore, Policy, Saved, Session, SessionId};
use proptest::prelude::*;

use crate::support::site::{Site, look};

const KEYS: [[u8; 32]; 2] = [[7; 32], [8; 32]];
const MINUTE: Duration = Duration::from_secs(60);

fn api(options: TokenOptions) -> Site {
    with_tokens(Site::new(CookieOptions::new()), options)
}

fn with_tokens(site: Site, options: TokenOptions) -> Site {
    Site { layer: site.layer.token(options).unwrap(), ..site }
}

fn log_in(session: &mut Session) {
    session.log_in("ada").unwrap();
}

fn bearer(finished: &Finished) -> String {
    format!("Bearer {}", finished.token().expect("a token"))
}

fn cookie(finished: &Finished) -> String {
    finished.cookie().expect("a cookie").split(';').next().unwrap().to_owned()
}

#[test]
fn login_gives_a_token_and_logout_ends_it() {
    let api = api(TokenOptions::new());
    let login = api.ask(&[], log_in);
    assert_eq!(login.cookie(), None);
    let token = bearer(&login);
    let headers = [("Authorization", token.as_str())];
    assert_eq!(api.owner(&headers).as_deref(), Some("ada"));
    let visit = api.ask(&headers, look);
    assert_eq!(visit.token(), None, "the client has it already");
    let logout = api.ask(&headers, |session| session.log_out().unwrap());
    assert_eq!((logout.token(), logout.cookie()), (Some(""), None), "nothing to go on with");
    assert_eq!(api.owner(&headers), None);
    assert_eq!(api.ask(&headers, look).token(), None, "an unknown token is no reason for a new one");
}

// The scheme may be in either case (RFC 9110, 11.1; RFC 6750, 2.1).
#[test]
fn token_counts_in_its_header_only() {
    let (bearer, own) = (api(TokenOptions::new()), api(TokenOptions::new().header("X-Session-Token")));
    for (api, counts, others) in [
        (
            &bearer,
            &["Authorization: Bearer ID", "authorization: bearer  ID ", "AUTHORIZATION: BEARER ID"][..],
            &["Authorization: ID", "Authorization: Bearer: ID", "Authorization: BearerID", "X-Session-Token: ID"][..],
        ),
        (
            &own,
            &["X-Session-Token: ID", "x-session-token:  ID "],
            &["X-Session-Token: Bearer ID", "X-Session-Token: \"ID\"", "Authorization: Bearer ID"],
        ),
    ] {
        let token = api.ask(&[], log_in).token().unwrap().to_owned();
        let user = |line: &str| {
            let line = line.replace("ID", &token);
            api.owner(&[line.split_once(':').unwrap()])
        };
        for line in counts {
            assert_eq!(user(line).as_deref(), Some("ada"), "{line}");
        }
        let nowhere = [
            "Authorization: Basic ID",
            "Authorization: Bearer id=ID",
            "Authorization: Bearer ID ID",
            "Authorization: Bearer IDx",
            "Authorization: Bearer ID.1700000000",
            "Authorization: ",
            "Cookie: id=ID",
            "Proxy-Authorization: Bearer ID",
            ":path: /?id=ID",
        ];
        for line in others.iter().chain(&nowhere) {
            assert_eq!(user(line), None, "{line}");
        }
    }
}

#[test]
fn layer_reads_only_its_carriers() {
    let cookies = Site::new(CookieOptions::new());
    let tokens = with_tokens(cookies.cookie(CookieOptions::new()), TokenOptions::new());
    let (by_cookie, by_token) = (cookies.ask(&[], log_in), tokens.ask(&[], log_in));
    assert_eq!(by_cookie.token(), None);
    let (cookie, token) = (cookie(&by_cookie), bearer(&by_token));
    for (api, is_cookie) in [(&cookies, true), (&tokens, false)] {
        assert_eq!(api.owner(&[("Cookie", &cookie)]).is_some(), is_cookie);
        assert_eq!(api.owner(&[("Authorization", &token)]).is_some(), !is_cookie);
    }
}

#[test]
fn malformed_tokens_are_no_session() {
    let api = api(TokenOptions::new());
    let token = bearer(&api.ask(&[], log_in));
    let huge = format!("Bearer {}", "x".repeat(1 << 20));
    for bad in ["", "Bearer", "Bearer ", "Bearer %", "Bearer .", huge.as_str(), &token[..token.len() - 1]] {
        assert_eq!(api.owner(&[("Authorization", bad)]), None, "{bad:.20}");
        let both = [("Authorization", bad), ("Authorization", &*token)];
        assert_eq!(api.owner(&both).as_deref(), Some("ada"), "{bad:.20}");
    }
    let bytes = [("Authorization", b"Bearer \xff\xfe".as_slice()), ("Authorization", token.as_bytes())];
    assert_eq!(api.layer.load(RequestHead::from_headers(bytes)).owner().unwrap(), Some("ada"));
}

// Invariant 1.
#[test]
fn token_id_is_never_adopted() {
    let api = api(TokenOptions::new());
    let events = api.layer.events();
    let made_up = SessionId::random().unwrap();
    let answer = api.ask(&[("Authorization", &format!("Bearer {}", made_up.expose()))], |session| {
        session.insert("user", "ada").unwrap();
    });
    let given: SessionId = answer.token().unwrap().parse().unwrap();
    assert_ne!(given.handle(), made_up.handle());
    assert!(events.try_iter().any(|event| event == Event::UnknownId { handle: made_up.handle() }));
}

#[test]
fn superseded_token_is_dead_and_reported() {
    let api = api(TokenOptions::new());
    let before = bearer(&api.ask(&[], |session| session.insert("cart", "tea").unwrap()));
    let events = api.layer.events();
    let after = bearer(&api.ask(&[("Authorization", &before)], log_in));
    assert_ne!(after, before);
    let in_flight = api.ask(&[("Authorization", &before)], |session| session.insert("cart", "coffee").unwrap());
    assert_eq!((in_flight.saved(), in_flight.is_lost(), in_flight.token()), (Saved::Gone, true, None));
    api.time.advance(5 * MINUTE);
    assert_eq!(api.owner(&[("Authorization", &before)]), None);
    assert!(events.try_iter().any(|event| matches!(event, Event::SupersededId { .. })));
    assert_eq!(api.owner(&[("Authorization", &after)]).as_deref(), Some("ada"));
}

#[test]
fn timed_renewal_gives_a_new_token() {
    let policy = Policy::new().renew_after(5 * MINUTE);
    let api = api(TokenOptions::new());
    let api = api.policy(policy);
    let old = bearer(&api.ask(&[], log_in));
    api.time.advance(6 * MINUTE);
    let new = bearer(&api.ask(&[("Authorization", &old)], look));
    assert_ne!(new, old);
    assert_eq!(bearer(&api.ask(&[("Authorization", &old)], look)), new, "a lost response is repeated");
    assert_eq!(api.owner(&[("Authorization", &new)]).as_deref(), Some("ada"));
    assert_eq!(api.ask(&[("Authorization", &old)], look).token(), None, "the client has the new one by now");
}

#[test]
fn token_is_signed_for_its_own_header() {
    let signed = |api: &Site, keys: &[[u8; 32]], options: TokenOptions| {
        with_tokens(api.cookie(CookieOptions::new().keys(keys)), options)
    };
    let api = api(TokenOptions::new());
    let unsigned = bearer(&api.ask(&[], log_in));
    let old = signed(&api, &KEYS[1..], TokenOptions::new());
    assert_eq!(old.owner(&[("Authorization", &unsigned)]), None);
    let token = bearer(&old.ask(&[], log_in));
    let other_end = if token.ends_with('A') { 'E' } else { 'A' };
    let forged = format!("{}{other_end}", &token[..token.len() - 1]);
    assert_eq!(old.owner(&[("Authorization", &forged)]), None);

    let both = signed(&api, &KEYS, TokenOptions::new());
    let rewritten = both.ask(&[("Authorization", &token)], look);
    assert_ne!(bearer(&rewritten), token);
    assert_eq!(bearer(&rewritten)[..40], token[..39].to_owned() + ".", "the same id");
    let new = signed(&api, &KEYS[..1], TokenOptions::new());
    assert_eq!(new.owner(&[("Authorization", &token)]), None);
    assert_eq!(new.owner(&[("Authorization", &bearer(&rewritten))]).as_deref(), Some("ada"));

    // A signature for a cookie or for one header is invalid in another.
    let elsewhere = signed(&api, &KEYS[..1], TokenOptions::new().header("X-Token").beside_cookie(true));
    let value = bearer(&rewritten)["Bearer ".len()..].to_owned();
    assert_eq!(elsewhere.owner(&[("X-Token", &value)]), None);
    assert_eq!(elsewhere.owner(&[("Cookie", &format!("id={value}"))]), None);
}

#[test]
fn client_with_a_cookie_gets_no_token() {
    let api = api(TokenOptions::new().beside_cookie(true).response_header("X-Token"));
    let stranger = api.ask(&[], |session| session.log_in("grace").unwrap());
    assert!(stranger.cookie().is_some() && stranger.token().is_some(), "a request with neither gets both");
    let (cookie, token) = (cookie(&stranger), bearer(&api.ask(&[], log_in)));

    let both = [("Authorization", token.as_str()), ("Cookie", cookie.as_str())];
    assert_eq!(api.owner(&both).as_deref(), Some("grace"));
    let unknown = format!("id={}", SessionId::random().unwrap().expose());
    let made_up = format!("Bearer {}", SessionId::random().unwrap().expose());
    let handlers: [fn(&mut Session); 3] =
        [|session| session.insert("a", &1).unwrap(), log_in, |session| session.regenerate().unwrap()];
    for handler in handlers {
        // An injected script can add any token to the request.
        for (is_known, added) in [(false, Some(&made_up)), (false, None), (true, Some(&made_up)), (true, Some(&token))]
        {
            // A new cookie each time, because some handlers change the id.
            let known = self::cookie(&api.ask(&[], log_in));
            let cookie = [("Cookie", if is_known { known.as_str() } else { unknown.as_str() })];
            let headers: Vec<_> =
                cookie.into_iter().chain(added.map(|token| ("Authorization", token.as_str()))).collect();
            let fresh = |finished: &Finished| finished.headers().any(|(name, _)| name == "X-Token");
            let mut session = api.layer.load(RequestHead::from_headers(headers.iter().copied()));
            handler(&mut session);
            session.save().unwrap();
            let failed = api.layer.fail(&mut session);
            assert!(failed.token().is_none() && !fresh(&failed), "{headers:?}");
            // `finish` too announces an id that was committed before.
            let finished = api.layer.finish(&mut session).unwrap();
            assert!(finished.token().is_none() && !fresh(&finished), "{headers:?}");
        }
    }
    // If the cookie opens no session, the token counts.
    let token = bearer(&api.ask(&[], log_in));
    let mixed = [("Cookie", unknown.as_str()), ("Authorization", token.as_str())];
    assert_eq!(api.owner(&mixed).as_deref(), Some("ada"));
    let renewed = api.ask(&mixed, |session| session.regenerate().unwrap());
    assert!(renewed.cookie().is_none() && renewed.token().is_some());
}

#[test]
fn logout_ends_both_presented_sessions() {
    let api = api(TokenOptions::new().beside_cookie(true));
    let (cookie, token) = (cookie(&api.ask(&[], log_in)), bearer(&api.ask(&[], log_in)));
    let both = [("Cookie", cookie.as_str()), ("Authorization", token.as_str())];
    let logout = api.ask(&both, |session| session.log_out().unwrap());
    assert!(logout.cookie().unwrap().contains("Max-Age=0"));
    for header in both {
        assert_eq!(api.owner(&[header]), None, "{header:?}");
    }
}

#[test]
fn failed_request_tells_a_committed_token() {
    let api = api(TokenOptions::new());
    let before = bearer(&api.ask(&[], |session| session.insert("cart", "tea").unwrap()));
    let mut session = api.layer.load(RequestHead::from_headers([("Authorization", &before)]));
    log_in(&mut session);
    session.save().unwrap();
    let token = bearer(&api.layer.fail(&mut session));
    assert_eq!(api.owner(&[("Authorization", &token)]).as_deref(), Some("ada"));
}

#[test]
fn caches_keep_no_token() {
    let plain = TokenOptions::new;
    for (options, vary) in [
        (plain(), "Authorization"),
        (plain().header("X-Token"), "X-Token"),
        (plain().beside_cookie(true), "Cookie, Authorization"),
        (plain().header("X-Token").beside_cookie(true), "Cookie, X-Token"),
    ] {
        let api = api(options);
        let login = api.ask(&[], log_in);
        // The handler's `public` does not count beside a token, whether it is in a header or in the
        // body.
        let mut headers = vec![
            ("Cache-Control".to_owned(), "public, max-age=60".to_owned()),
            ("Vary".to_owned(), "Accept, authorization".to_owned()),
            ("CDN-Cache-Control".to_owned(), "max-age=60".to_owned()),
        ];
        login.write_to(&mut headers);
        let value = |name: &str| headers.iter().find(|(one, _)| one == name).map(|(_, value)| value.as_str()).unwrap();
        assert_eq!((value("Cache-Control"), value("CDN-Cache-Control")), ("no-store", "no-store"));
        let expected = vary.split(", ").filter(|name| *name != "Authorization");
        let expected = ["Accept", "authorization"].into_iter().chain(expected).collect::<Vec<_>>().join(", ");
        assert_eq!(value("Vary"), expected);

        let stranger = api.ask(&[], look);
        assert_eq!(stranger.headers().collect::<Vec<_>>(), [("Vary", vary)]);
        assert_eq!(api.ask(&[], |_| {}).headers().count(), 0, "a response without a look is the same for every client");
    }
}

#[test]
fn response_header_has_the_new_token() {
    let api = api(TokenOptions::new().response_header("X-Session-Token"));
    let answer = |headers: &[(&str, &str)], handler: fn(&mut Session)| {
        let mut response = vec![("x-session-token".to_owned(), "the handler's own".to_owned())];
        api.ask(headers, handler).write_to(&mut response);
        let named = response.into_iter().filter(|(name, _)| name.eq_ignore_ascii_case("X-Session-Token"));
        named.map(|(_, value)| value).collect::<Vec<_>>()
    };
    let token = answer(&[], log_in);
    assert_eq!(token.len(), 1, "{token:?}");
    let header = format!("Bearer {}", token[0]);
    assert_eq!(answer(&[("Authorization", &header)], look), ["the handler's own"]);
    assert_eq!(answer(&[("Authorization", &header)], |session| session.log_out().unwrap()), [""]);
}

// A browser sends a cookie with another site's form, but no header with a token.
#[test]
fn token_sessions_need_no_csrf_token() {
    let api = api(TokenOptions::new().beside_cookie(true));
    let both = api.ask(&[], log_in);
    let (cookie, token) = (cookie(&both), bearer(&both));
    let unknown = format!("Bearer {}", SessionId::random().unwrap().expose());
    for (headers, passes) in [
        (&[("Authorization", token.as_str())][..], true),
        (&[("Cookie", "id=unknown"), ("Authorization", token.as_str())], true),
        (&[], false),
        (&[("Cookie", cookie.as_str())], false),
        (&[("Authorization", unknown.as_str())], false),
        (&[("Cookie", cookie.as_str()), ("Authorization", unknown.as_str())], false),
        (&[("Cookie", cookie.as_str()), ("Authorization", token.as_str())], false),
    ] {
        let session = api.layer.load(RequestHead::from_headers(headers.iter().copied()));
        assert_eq!(session.check_csrf("").unwrap(), passes, "{headers:?}");
        assert_eq!(session.check_csrf("made up").unwrap(), passes, "{headers:?}");
    }
    let mut session = api.layer.load(RequestHead::new([cookie.as_str()]));
    let form = session.csrf_token().unwrap();
    assert!(session.check_csrf(&form).unwrap());
}

#[test]
fn reserved_headers_are_refused() {
    let refused = |options: TokenOptions| {
        let layer = SessionLayer::new(LembroStore::with_options(LembroOptions::new().interval(0)).unwrap());
        let error = layer.token(options).unwrap_err();
        assert!(error.is_option());
        error.to_string()
    };
    for name in ["", " ", "X Token", "X-Token:", "X-Tökén", "X-Token\r\nSet-Cookie", "X\0"] {
        for (option, options) in [
            ("header", TokenOptions::new().header(name)),
            ("response_header", TokenOptions::new().response_header(name)),
        ] {
            let error = refused(options);
            assert!(error.starts_with(&format!("{option}: {name:?} is not a header's name")), "{error}");
        }
    }
    for name in [
        "Cookie",
        "SET-COOKIE",
        "accept",
        "Content-Type",
        "Range",
        "If-None-Match",
        "Sec-Fetch-Site",
        "Origin",
        "Proxy-Authorization",
        "X-Forwarded-For",
        "Via",
        "Vary",
        "Cache-Control",
        "Access-Control-Expose-Headers",
    ] {
        assert!(refused(TokenOptions::new().header(name)).contains("means something"), "{name}");
        assert!(refused(TokenOptions::new().response_header(name)).contains("means something"), "{name}");
    }
    assert!(refused(TokenOptions::new().header("Authorization")).contains("bearer"));
    for name in ["X-Session-Token", "x-api-key", "Session", "Viaduct", "X-If-Token"] {
        let options = TokenOptions::new().header(name).response_header(name);
        drop(api(options));
    }
}

#[test]
fn options_are_read_from_json() {
    let read = |text: &str| serde_json::from_str::<TokenOptions>(text);
    assert_eq!(read("{}").unwrap(), TokenOptions::new());
    let all = TokenOptions::new().header("X-In").response_header("X-Out").beside_cookie(true);
    for text in [
        r#"{"header": "X-In", "response_header": "X-Out", "beside_cookie": true}"#,
        r#"{"header": "X-In", "responseHeader": "X-Out", "besideCookie": true}"#,
    ] {
        assert_eq!(read(text).unwrap(), all);
    }
    for text in [r#"{"url": true}"#, r#""bearer""#, "7", r#"{"header": 7}"#] {
        assert!(read(text).is_err(), "{text}");
    }
}

// Invariant 10.
#[test]
fn no_debug_text_shows_a_token() {
    let api = api(TokenOptions::new().response_header("X-Token"));
    let finished = api.ask(&[], log_in);
    let token = finished.token().unwrap();
    let header = format!("Bearer {token}");
    let head = RequestHead::from_headers([("Authorization", &header)]);
    let session = api.layer.load(head.clone());
    session.owner().unwrap();
    let texts = format!("{finished:?} {head:?} {session:?} {:?}", api.layer);
    assert!(!texts.contains(&token[11..]), "{texts}");
}

/// A step of a client.
#[derive(Clone, Debug)]
enum Step {
    Look,
    Insert(u8),
    LogIn(u8),
    LogOut,
    Regenerate,
    Save,
    Fail,
    Wait(u64),
    /// Look, with the second last credentials.
    Old,
    Forget,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => Just(Step::Look),
        3 => any::<u8>().prop_map(Step::Insert),
        3 => (0..3_u8).prop_map(Step::LogIn),
        1 => Just(Step::LogOut),
        2 => Just(Step::Regenerate),
        1 => Just(Step::Save),
        1 => Just(Step::Fail),
        3 => (1..2_000_u64).prop_map(Step::Wait),
        2 => Just(Step::Old),
        1 => Just(Step::Forget),
    ]
}

/// A client of one layer that keeps a cookie or a token.
struct Client {
    api: Site,
    has_tokens: bool,
    credentials: Vec<String>,
}

impl Client {
    fn new(has_tokens: bool, signed: bool) -> Self {
        let policy = Policy::new().renew_after(10 * MINUTE);
        let api = Site::new(if signed { CookieOptions::new().keys(&KEYS[..1]) } else { CookieOptions::new() });
        let api = api.policy(policy);
        let api = if has_tokens { with_tokens(api, TokenOptions::new()) } else { api };
        Self { api, has_tokens, credentials: Vec::new() }
    }

    /// Everything that the client and its user see of one step.
    fn take(&mut self, step: &Step) -> String {
        let back = if matches!(step, Step::Old) { 2 } else { 1 };
        let sent = self.credentials.len().checked_sub(back).map(|place| self.credentials[place].clone());
        let sent = sent.filter(|text| !text.is_empty());
        let name = if self.has_tokens { "Authorization" } else { "Cookie" };
        let headers: Vec<_> = sent.iter().map(|value| (name, value.as_str())).collect();
        let mut session = self.api.layer.load(RequestHead::from_headers(headers));
        let mut fails = false;
        let did = match step {
            Step::Look | Step::Old => session.get::<u8>("n").map(|n| format!("{n:?}")),
            Step::Insert(n) => session.insert("n", n).map(|()| String::new()),
            Step::LogIn(user) => session.log_in(&format!("user-{user}")).map(|()| String::new()),
            Step::LogOut => session.log_out().map(|()| String::new()),
            Step::Regenerate => session.regenerate().map(|()| String::new()),
            Step::Save | Step::Fail => {
                fails = matches!(step, Step::Fail);
                session.log_in("user-1").and_then(|()| session.save()).map(|saved| format!("{saved:?}"))
            }
            Step::Wait(seconds) => {
                self.api.time.advance(Duration::from_secs(*seconds));
                Ok(String::new())
            }
            Step::Forget => {
                self.credentials.clear();
                Ok(String::new())
            }
        };
        let seen = format!("{did:?} {:?} {:?} {:?}", session.owner(), session.is_new(), session.is_gone());
        let finished =
            if fails { self.api.layer.fail(&mut session) } else { self.api.layer.finish(&mut session).unwrap() };
        let told = if self.has_tokens {
            finished.token().map(|_| bearer(&finished))
        } else {
            finished.cookie().map(|_| cookie(&finished))
        };
        let told = told.map(|text| if text.len() < 20 { String::new() } else { text });
        let what = told.as_deref().map(|text| match text {
            "" => "forgets",
            text if self.credentials.last().is_some_and(|last| last == text) => "the same again",
            _ => "a new one",
        });
        self.credentials.extend(told.clone());
        format!("{seen} {:?} {} {what:?}", finished.saved(), finished.is_lost())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn model_token_means_what_a_cookie_means(
        steps in prop::collection::vec(step(), 1..30),
        signed in any::<bool>(),
    ) {
        let (mut by_cookie, mut by_token) = (Client::new(false, signed), Client::new(true, signed));
        for step in &steps {
            prop_assert_eq!(by_cookie.take(step), by_token.take(step), "{:?}", step);
        }
    }
}
