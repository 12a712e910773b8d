//! Lost changes: if the session ended or was superseded while the handler ran, an event and
//! `finish` report the loss, and so does the response if the application wants it.
#![cfg(feature = "rouille")]

use crate::support::site::{Site, id_of, look};
use lembro::web::{CookieOptions, LostChange, RequestHead};
use lembro::{Error, Event, Saved, Session};
use rouille::{Request, Response};

fn lost(cookie: &str) -> Event {
    Event::LostChange { handle: id_of(cookie).handle() }
}

#[test]
fn change_of_an_ended_session_is_lost() {
    let ends: [fn(&mut Session); 3] = [
        |session| session.log_out().unwrap(),
        |session| session.log_in("ada").unwrap(),
        |session| session.regenerate().unwrap(),
    ];
    // The slow request looks before the other one, looks after it, or calls `save`.
    for end in ends {
        for how in 0..3 {
            let site = Site::new(CookieOptions::new());
            let cookie = site.visitor();
            let events = site.layer.events();
            let mut slow = site.layer.load(RequestHead::new([cookie.as_str()]));
            if how != 1 {
                look(&mut slow);
            }
            let _ = site.visit(&cookie, end);
            let is_new = how == 1 && slow.is_new().unwrap();
            slow.insert("text", "a long letter").unwrap();
            if how == 2 {
                assert_eq!(slow.save().unwrap(), Saved::Gone);
            }
            let finished = site.layer.finish(&mut slow).unwrap();
            let heard = events.try_iter().filter(|event| *event == lost(&cookie)).count();
            if is_new {
                // After a logout the cookie opens no session, so the letter begins a new one.
                assert_eq!((finished.saved(), finished.is_lost(), heard), (Saved::Written, false, 0));
            } else {
                assert_eq!((finished.saved(), finished.is_lost(), heard), (Saved::Gone, how != 2, 1), "{how}");
                assert_eq!(finished.cookie(), None);
            }
        }
    }
}

#[test]
fn request_without_changes_loses_nothing() {
    let acts: [fn(&mut Session); 4] = [
        look,
        |session| session.log_out().unwrap(),
        |session| {
            session.insert("text", "discarded").unwrap();
            assert!(!session.reload().unwrap());
        },
        |session| {
            session.log_out().unwrap();
            session.insert("flash", "logged out").unwrap();
        },
    ];
    for act in acts {
        let site = Site::new(CookieOptions::new());
        let cookie = site.visitor();
        let events = site.layer.events();
        let mut slow = site.layer.load(RequestHead::new([cookie.as_str()]));
        look(&mut slow);
        let _ = site.visit(&cookie, |session| session.log_out().unwrap());
        act(&mut slow);
        let finished = site.layer.finish(&mut slow).unwrap();
        assert!(!finished.is_lost());
        assert!(!events.try_iter().any(|event| event == lost(&cookie)));
    }
}

fn answer(lost_change: LostChange, own_page: bool) -> (Response, Vec<Error>) {
    let site = Site::new(CookieOptions::new());
    let cookie = site.visitor();
    let layer = site.layer.clone().lost_change(lost_change);
    let errors = layer.errors();
    let request = Request::fake_http("POST", "/letter", vec![("Cookie".to_owned(), cookie.clone())], Vec::new());
    let write = |session: &mut Session| -> lembro::Result<Response> {
        session.insert("text", "a long letter")?;
        let _ = site.visit(&cookie, |session| session.log_out().unwrap());
        Ok(Response::text("Thank you"))
    };
    let page = |error: Error| {
        assert!(error.is_lost());
        Response::text(format!("Sorry: {error}"))
    };
    let response = if own_page { layer.try_around(&request, write, page) } else { layer.rouille(&request, write) };
    (response, errors.try_iter().collect())
}

fn text(response: Response) -> String {
    let (mut reader, _) = response.data.into_reader_and_size();
    let mut text = String::new();
    std::io::Read::read_to_string(&mut reader, &mut text).unwrap();
    text
}

#[test]
fn application_chooses_the_answer_to_a_loss() {
    let (served, errors) = answer(LostChange::default(), false);
    assert_eq!((served.status_code, text(served).as_str(), errors.len()), (200, "Thank you", 0));

    let (refused, errors) = answer(LostChange::Refuse, false);
    assert_eq!(refused.status_code, 409);
    assert!(!refused.headers.iter().any(|(name, _)| name == "Set-Cookie"));
    assert_eq!(text(refused), "Your session has ended, so nothing was saved");
    assert!(errors.len() == 1 && errors[0].is_lost());

    let (own, _) = answer(LostChange::Refuse, true);
    assert!(text(own).starts_with("Sorry: session "));
}
