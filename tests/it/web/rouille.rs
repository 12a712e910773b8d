//! The adapter for `rouille`, beyond the suite of `web/servers` for every adapter.
#![cfg(feature = "rouille")]

use std::sync::Arc;

use crossbeam_channel::Receiver;
use lembro::web::{CookieOptions, SessionLayer};
use lembro::{Error, Result, Saved, Session, Sessions, Store};
use rouille::{Request, Response};

use crate::support::wire::{
    self, Browser, Page, ServedSite, Target, UnreliableStore, layer, named_layer, store, visit,
};

fn application(request: &Request, session: &mut Session) -> Result<Response> {
    wire::application(&Target::new(request.method(), &request.url()), session).map(Page::into_rouille)
}

fn site(layer: &SessionLayer) -> ServedSite {
    let layer = layer.clone();
    ServedSite::rouille(move |request| layer.rouille(request, |session| application(request, session)))
}

fn reported(errors: &Receiver<Error>) -> Vec<String> {
    errors.try_iter().map(|error| error.to_string()).collect()
}

#[test]
fn socket_handler_may_return_a_response() {
    let layer = layer(store());
    let site = ServedSite::rouille(move |request| {
        layer.rouille(request, |session| match visit(session) {
            Ok(visits) => Response::text(visits).with_status_code(201),
            Err(error) => Response::text(error.to_string()).with_status_code(500),
        })
    });
    let browser = Browser::new();
    for visits in 1..4 {
        let answer = browser.get(&site, "/");
        assert_eq!((answer.status, answer.body), (201, visits.to_string()));
    }
}

#[test]
fn socket_error_is_a_500_and_reported_once() {
    let store = store();
    let layer = layer(store.clone());
    let errors = layer.errors();
    let site = site(&layer);
    let browser = Browser::new();
    let stranger = Browser::new();
    assert_eq!(browser.get(&site, "/").body, "1");
    for (path, problem) in [("/wrong-type", "not of the type asked for"), ("/too-large", "max_session_size is")] {
        for client in [&browser, &stranger] {
            let answer = client.get(&site, path);
            assert_eq!((answer.status, answer.body.as_str()), (500, "Internal server error"), "{path}");
            answer.assert_silent();
            assert!(answer.all("Cache-Control").concat().contains("no-store"), "{answer:?}");
            let reported = reported(&errors);
            assert!(reported.len() == 1 && reported[0].contains(problem), "{path}: {reported:?}");
        }
        assert_eq!(browser.get(&site, "/look").body, "1", "{path}");
    }
    assert_eq!(store.len().unwrap(), 1);
}

#[test]
fn socket_failing_id_source_is_a_503() {
    let sessions = Sessions::new(store()).id_source(|| Err(Error::store("no randomness")));
    let layer = SessionLayer::with_sessions(sessions);
    let errors = layer.errors();
    let site = site(&layer);
    let answer = Browser::new().get(&site, "/");
    assert_eq!(answer.status, 503);
    answer.assert_silent();
    assert_eq!(reported(&errors), ["the store failed"]);
}

/// An application's own error type.
#[derive(Debug)]
enum Failure {
    Teapot,
    Session(Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Session(error)
    }
}

impl Failure {
    fn into_response(self) -> Response {
        match self {
            Self::Teapot => Response::text("short and stout").with_status_code(418),
            Self::Session(error) => Response::text(format!("later, please: {error}"))
                .with_status_code(502)
                .with_unique_header("X-App", "mine"),
        }
    }
}

#[test]
fn socket_application_makes_its_error_pages() {
    let store = Arc::new(UnreliableStore::new(store()));
    let layer = layer(Arc::clone(&store));
    let site = ServedSite::rouille(move |request| {
        let page = |session: &mut Session| {
            let visits = visit(session)?;
            if request.url() == "/teapot" { Err(Failure::Teapot) } else { Ok(Response::text(visits)) }
        };
        layer.try_around(request, page, Failure::into_response)
    });
    let browser = Browser::new();
    assert_eq!(browser.get(&site, "/").body, "1");
    let teapot = browser.get(&site, "/teapot");
    assert_eq!((teapot.status, teapot.body.as_str()), (418, "short and stout"));
    teapot.assert_silent();

    // The store fails in the handler, and then while the session is saved.
    for (reads, writes) in [(true, false), (false, true)] {
        store.fail(reads, writes);
        let answer = browser.get(&site, "/");
        assert_eq!((answer.status, answer.body.as_str()), (502, "later, please: the store failed"));
        assert_eq!(answer.all("X-App"), ["mine"]);
        answer.assert_silent();
    }
    store.fail(false, false);
    assert_eq!(browser.get(&site, "/").body, "2", "none of them counted");
}

#[test]
fn socket_early_commits_survive_a_failure() {
    let store = store();
    let layer = layer(store.clone());
    let site = ServedSite::rouille(move |request| {
        layer.rouille(request, |session| {
            let step = request.url();
            match step.as_str() {
                "/" | "/look" => return application(request, session),
                "/saves" => {
                    session.insert("visits", &10)?;
                    assert_eq!(session.save()?, Saved::Written);
                }
                "/ends" => session.log_out()?,
                other => panic!("{other} is no path of this site"),
            }
            session.insert("visits", &1_000)?;
            Err(Error::store("the application's own database"))
        })
    });
    let browser = Browser::new();
    browser.get(&site, "/");
    for (path, visits) in [("/saves", "10"), ("/ends", "0")] {
        let answer = browser.get(&site, path);
        assert_eq!(answer.status, 503, "{path}");
        answer.assert_silent();
        assert_eq!(browser.get(&site, "/look").body, visits, "{path}");
    }
    assert_eq!(store.len().unwrap(), 0);
}

#[test]
fn socket_failed_request_tells_a_committed_id() {
    let store = Arc::new(UnreliableStore::new(store()));
    let layer = layer(Arc::clone(&store));
    let unplugged = Arc::clone(&store);
    let site = ServedSite::rouille(move |request| {
        layer.rouille(request, |session| {
            let url = request.url();
            let Some(what) = url.strip_prefix("/fails-") else { return application(request, session) };
            session.log_in("user-42")?;
            if what.starts_with("after-a-save") {
                assert_eq!(session.save()?, Saved::Written);
            }
            session.insert("visits", &1_000)?;
            if what.ends_with("in-the-handler") {
                return Err(Error::store("the application's own database"));
            }
            unplugged.fail(false, true);
            Ok(Response::text("welcome"))
        })
    });
    let browser = Browser::new();
    assert_eq!(browser.get(&site, "/").body, "1");
    for (committed, path) in [
        (false, "/fails-in-the-handler"),
        (false, "/fails-at-the-end"),
        (true, "/fails-after-a-save-in-the-handler"),
        (true, "/fails-after-a-save-at-the-end"),
    ] {
        let old = browser.cookie_header();
        let answer = browser.get(&site, path);
        store.fail(false, false);
        assert_eq!(answer.status, 503, "{path}");
        assert_eq!(answer.all("Cache-Control"), ["no-store"], "{path}");
        assert_eq!(browser.cookie_header() != old, committed, "{path}");
        assert_eq!(browser.get(&site, "/look").body, "1", "{path}: the session is there, and what failed is not");
    }
}

/// A shop and its admin page, each with its own cookie, store and session.
fn nested(shop: SessionLayer, admin: SessionLayer, all_or_nothing: bool) -> ServedSite {
    ServedSite::rouille(move |request| {
        let both = |bought: &mut Session, worked: &mut Session| -> Result<Response> {
            let mut text = String::new();
            if request.url() != "/admin" {
                text += &visit(bought)?;
            }
            if request.url() != "/shop" {
                text += &visit(worked)?;
            }
            Ok(Response::text(text))
        };
        if all_or_nothing {
            shop.rouille(request, |bought| {
                let mut failed = None;
                let failure = |error| {
                    failed = Some(error);
                    Response::empty_204()
                };
                let response = admin.try_around(request, |worked| both(bought, worked), failure);
                failed.map_or(Ok(response), Err)
            })
        } else {
            shop.rouille(request, |bought| admin.rouille(request, |worked| both(bought, worked)))
        }
    })
}

#[test]
fn socket_nested_layers_are_separate() {
    for all_or_nothing in [false, true] {
        let (shop, admin) = (store(), store());
        let site = nested(named_layer("shop", shop.clone()), named_layer("admin", admin.clone()), all_or_nothing);
        let browser = Browser::new();
        assert!(browser.get(&site, "/shop").cookie().starts_with("shop="));
        assert_eq!(browser.get(&site, "/shop").body, "2");
        assert_eq!((shop.len().unwrap(), admin.len().unwrap()), (1, 0));
        assert!(browser.get(&site, "/admin").cookie().starts_with("admin="));
        let both = browser.get(&site, "/both");
        assert_eq!(both.body, "32");
        assert_eq!(both.all("Vary"), ["Cookie"], "once, whichever layer says it");
        assert_eq!(both.all("Cache-Control"), ["no-store"]);
        let anew = Browser::new().get(&site, "/both");
        let names: Vec<_> = anew.all("Set-Cookie").iter().map(|cookie| cookie.split('=').next().unwrap()).collect();
        assert_eq!(names, ["admin", "shop"], "the inner one is finished first");
        assert_eq!(anew.all("Cache-Control"), ["no-store"]);
    }
}

#[test]
fn socket_inner_failure_reaches_the_outer_layer() {
    for all_or_nothing in [false, true] {
        let (shop, admin) = (store(), Arc::new(UnreliableStore::new(store())));
        let (outer, inner) = (named_layer("shop", shop.clone()), named_layer("admin", Arc::clone(&admin)));
        let (outer_errors, inner_errors) = (outer.errors(), inner.errors());
        let site = nested(outer, inner, all_or_nothing);
        let browser = Browser::new();
        assert_eq!(browser.get(&site, "/both").body, "11");

        admin.fail(false, true);
        let answer = browser.get(&site, "/both");
        assert_eq!((answer.status, answer.body.as_str()), (503, "Service unavailable"));
        answer.assert_silent();
        assert_eq!(reported(&inner_errors), ["the store failed"]);
        assert_eq!(reported(&outer_errors), [""; 0], "it was not the outer one's store");
        admin.fail(false, false);
        // `rouille` gives the outer layer a response of any status; `try_around` gives it the
        // error.
        assert_eq!(browser.get(&site, "/both").body, if all_or_nothing { "22" } else { "32" });
    }
}

// rouille drops a header that is not ASCII, and would drop ours if it were merged into it.
#[test]
fn socket_unsendable_header_loses_none_of_ours() {
    let layer = layer(store());
    let site = ServedSite::rouille(move |request| {
        layer.rouille(request, |session| {
            let visits = visit(session)?;
            Ok(Response::text(visits)
                .with_additional_header("Cache-Control", "private, für=dich")
                .with_additional_header("Vary", "Accept-Language, Größe")
                .with_additional_header("Vary", "Accept"))
        })
    });
    let browser = Browser::new();
    for visits in 1..3 {
        let answer = browser.get(&site, "/");
        assert_eq!(answer.body, visits.to_string());
        assert_eq!(answer.all("Cache-Control"), ["no-store"]);
        assert_eq!(answer.all("Vary"), ["Accept, Cookie"]);
    }
}

#[test]
fn socket_store_may_be_chosen_at_run_time() {
    let stores: [Arc<dyn Store>; 3] =
        [Arc::new(store()), Arc::new(UnreliableStore::new(store())), Arc::new(Box::new(store()))];
    for store in stores {
        let site = site(&layer(Arc::clone(&store)));
        let browser = Browser::new();
        assert_eq!(browser.get(&site, "/").body, "1");
        assert_eq!(browser.get(&site, "/").body, "2");
        assert_eq!(browser.get(&site, "/login").id(), {
            let header = browser.cookie_header().unwrap();
            header.split_once('=').unwrap().1.parse().unwrap()
        });
        assert!(browser.get(&site, "/logout").cookie().starts_with("id=; "));
    }
}

#[test]
fn socket_request_without_prefix_keeps_session() {
    let layer = layer(store());
    let site = ServedSite::rouille(move |request| {
        let inner = request.remove_prefix("/shop");
        let request = inner.as_ref().unwrap_or(request);
        layer.rouille(request, |session| application(request, session))
    });
    let browser = Browser::new();
    assert_eq!(browser.get(&site, "/shop/").body, "1");
    assert_eq!(browser.get(&site, "/").body, "2");
}

#[test]
fn cookie_is_secure_where_the_request_was() {
    let secure = |trust: bool, request: &Request| {
        let options = CookieOptions::new().secure(lembro::web::Secure::Auto).trust_proxy(trust);
        let layer = SessionLayer::new(store()).cookie(options).unwrap();
        let response = layer.rouille(request, |session| session.insert("a", "b").map(|()| Response::empty_204()));
        let cookie = response.headers.iter().find(|(name, _)| name == "Set-Cookie").unwrap();
        cookie.1.contains("; Secure")
    };
    let forwarded = || vec![("x-forwarded-PROTO".to_owned(), "https".to_owned())];
    let direct = Request::fake_http("GET", "/", vec![], vec![]);
    let encrypted = Request::fake_https("GET", "/", vec![], vec![]);
    let behind = Request::fake_http("GET", "/", forwarded(), vec![]);
    let answers = [false, true].map(|trust| [&direct, &encrypted, &behind].map(|request| secure(trust, request)));
    assert_eq!(answers, [[false, true, false], [false, true, true]]);
}
