//! The adapter for the types of the `http` crate: requests are read as bytes, and responses keep
//! theirs.
#![cfg(feature = "http")]

use crate::support::site::{Site, look};
use http::header::{CACHE_CONTROL, COOKIE, HeaderMap, HeaderValue, SET_COOKIE, VARY};
use http::{Request, Response, StatusCode};
use lembro::web::{CookieOptions, LostChange, RequestHead, ResponseHeaders as _, Secure};
use lembro::{Error, Session};

type Handler<'h> = &'h dyn Fn(&mut Session) -> Answer;
type Answer = lembro::Result<Response<&'static str>>;

fn insert(session: &mut Session) -> Answer {
    session.insert("user", "ada")?;
    Ok(Response::new("page"))
}

/// A request with these headers, the values byte for byte.
fn request(headers: &[(&'static str, &[u8])]) -> Request<()> {
    let mut request = Request::new(());
    for (name, value) in headers {
        request.headers_mut().append(*name, HeaderValue::from_bytes(value).unwrap());
    }
    request
}

#[test]
fn request_parts_and_headers_agree() {
    let site = Site::new(CookieOptions::new());
    let cookie = site.visitor();
    let request = request(&[("accept", b"*/*"), ("cookie", cookie.as_bytes())]);
    let user = |head: RequestHead<'_>| site.layer.load(head).handle().unwrap();
    let known = user((&request).into());
    assert_eq!(user(request.headers().into()), known);
    let (parts, ()) = request.into_parts();
    assert_eq!(user((&parts).into()), known);
}

// RFC 9113, 8.2.3: HTTP/2 may split the header. A value that is not text must not hide the others.
#[test]
fn cookie_headers_are_read_as_bytes() {
    let site = Site::new(CookieOptions::new());
    let cookie = site.visitor();
    let request = request(&[("cookie", b"a=1"), ("cookie", b"b=\xff\xfe"), ("cookie", cookie.as_bytes())]);
    assert!(!site.layer.load(&request).is_new().unwrap());
}

#[test]
fn caller_says_whether_it_is_encrypted() {
    let site = Site::new(CookieOptions::new().secure(Secure::Auto));
    let mut plain = Request::new(());
    *plain.uri_mut() = "https://example.com/".parse().unwrap();
    let cookie = |head: RequestHead<'_>| {
        let response = site.layer.http(head, insert);
        response.headers()[SET_COOKIE].to_str().unwrap().to_owned()
    };
    assert!(!cookie((&plain).into()).contains("Secure"), "the target of a request is the client's word");
    assert!(cookie(RequestHead::from(&plain).secure(true)).contains("; Secure"));
}

#[test]
fn take_and_add_keep_every_line() {
    let mut headers = HeaderMap::new();
    let values: [&[u8]; 3] = [b"private", b"f\xfcr=dich", b"f\xc3\xbcr=alle"];
    for value in values {
        headers.append(CACHE_CONTROL, HeaderValue::from_bytes(value).unwrap());
    }
    headers.append(VARY, HeaderValue::from_static("Accept"));
    let taken = headers.take("cache-CONTROL");
    assert_eq!((taken.len(), headers.len()), (3, 1));
    assert_eq!(headers.take("Cache-Control"), [""; 0]);
    assert_eq!(headers.take("no such: name"), [""; 0]);
    for value in taken {
        headers.add("Cache-Control", value);
    }
    let kept: Vec<_> = headers.get_all(CACHE_CONTROL).iter().map(HeaderValue::as_bytes).collect();
    assert_eq!(kept, values);
}

#[test]
fn only_secret_headers_are_sensitive() {
    let site = Site::new(CookieOptions::new());
    let response = site.layer.http(&request(&[]), |session| {
        let mut page = insert(session)?;
        page.headers_mut().insert("cdn-cache-control", HeaderValue::from_static("max-age=60"));
        page.headers_mut().append(SET_COOKIE, HeaderValue::from_static("theme=dark"));
        Ok(page)
    });
    let cookies: Vec<_> = response.headers().get_all(SET_COOKIE).iter().collect();
    assert_eq!((cookies.len(), cookies[0].is_sensitive()), (2, false), "the handler's own is as it was");
    assert!(cookies[1].is_sensitive() && !format!("{:?}", response.headers()).contains("id="));
    for name in ["Cache-Control", "Vary", "CDN-Cache-Control"] {
        assert!(!response.headers()[name].is_sensitive(), "{name}");
    }
    assert_eq!(response.headers()["CDN-Cache-Control"], "no-store");
}

#[test]
fn each_failure_has_its_plain_page() {
    let mut site = Site::new(CookieOptions::new());
    site.layer = site.layer.lost_change(LostChange::Refuse);
    let errors = site.layer.errors();
    let cookie = site.visitor();
    let request = request(&[("cookie", cookie.as_bytes())]);
    let lost = |session: &mut Session| {
        let page = insert(session);
        let _ = site.visit(&cookie, |session| session.log_out().unwrap());
        page
    };
    let failing: [(_, Handler<'_>); 4] = [
        (StatusCode::SERVICE_UNAVAILABLE, &|_| Err(Error::store("unplugged"))),
        (StatusCode::INTERNAL_SERVER_ERROR, &|_| Err(Error::size("too large"))),
        (StatusCode::INTERNAL_SERVER_ERROR, &|session| {
            look(session);
            std::panic::resume_unwind(Box::new("quietly"))
        }),
        (StatusCode::CONFLICT, &lost),
    ];
    for (status, handler) in failing {
        let response = site.layer.http(&request, handler);
        assert_eq!(response.status(), status);
        assert_eq!(response.headers()["content-type"], "text/plain; charset=utf-8");
        assert!(!response.body().is_empty() && !response.headers().contains_key(SET_COOKIE));
    }
    // The warning that browsers drop a `Secure` cookie over plain http does not count.
    let failures = errors.try_iter().filter(|error| !error.is_option());
    let kinds: Vec<_> =
        failures.map(|error| (error.is_store(), error.is_size(), error.is_panic(), error.is_lost())).collect();
    let only = |place: usize| (place == 0, place == 1, place == 2, place == 3);
    assert_eq!(kinds, [only(0), only(1), only(2), only(3)]);
}

#[test]
fn try_around_announces_the_committed_id() {
    let site = Site::new(CookieOptions::new());
    let cookie = site.visitor();
    let request = request(&[(COOKIE.as_str(), cookie.as_bytes())]);
    let fails = |session: &mut Session| -> lembro::Result<HeaderMap> {
        session.log_in("user-42")?;
        session.save()?;
        Err(Error::size("the template"))
    };
    let page = site.layer.try_around(&request, fails, |_| HeaderMap::new());
    assert!(page[SET_COOKIE].to_str().unwrap().starts_with("id="));
    assert!(site.layer.around(&Request::new(()), fails).unwrap_err().is_size());
}
