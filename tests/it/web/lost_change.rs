//! Promise: a change that is lost, because the session ended or was superseded under the request,
//! is told: by an event, by what `finish` says, and, if the application wants it, by the answer.
#![cfg(feature = "rouille")]

use crate::support::host::{Host, id_of, look};
use lembro::web::{CookieOptions, LostChange, RequestHead};
use lembro::{Error, Event, Saved, Session};
use rouille::{Request, Response};

fn lost(cookie: &str) -> Event {
    Event::LostChange { handle: id_of(cookie).handle() }
}

#[test]
fn a_change_under_which_the_session_ended_or_was_superseded_is_lost_and_an_event() {
    let ends: [fn(&mut Session); 3] = [
        |session| session.log_out().unwrap(),
        |session| session.log_in("ada").unwrap(),
        |session| session.regenerate().unwrap(),
    ];
    // The slow request looks before the other one, after it, or saves by itself.
    for end in ends {
        for how in 0..3 {
            let host = Host::new(CookieOptions::new());
            let cookie = host.visitor();
            let events = host.layer.events();
            let mut slow = host.layer.load(RequestHead::new([cookie.as_str()]));
            if how != 1 {
                look(&mut slow);
            }
            let _ = host.visit(&cookie, end);
            let is_new = how == 1 && slow.is_new().unwrap();
            slow.insert("text", "a long letter").unwrap();
            if how == 2 {
                assert_eq!(slow.save().unwrap(), Saved::Gone);
            }
            let finished = host.layer.finish(&mut slow).unwrap();
            let heard = events.try_iter().filter(|event| *event == lost(&cookie)).count();
            if is_new {
                // After a logout the cookie leads nowhere, so the letter begins a new session.
                assert_eq!((finished.saved(), finished.is_lost(), heard), (Saved::Written, false, 0));
            } else {
                assert_eq!((finished.saved(), finished.is_lost(), heard), (Saved::Gone, how != 2, 1), "{how}");
                assert_eq!(finished.cookie(), None);
            }
        }
    }
}

#[test]
fn what_only_reads_logs_out_itself_or_discards_its_changes_loses_nothing() {
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
        let host = Host::new(CookieOptions::new());
        let cookie = host.visitor();
        let events = host.layer.events();
        let mut slow = host.layer.load(RequestHead::new([cookie.as_str()]));
        look(&mut slow);
        let _ = host.visit(&cookie, |session| session.log_out().unwrap());
        act(&mut slow);
        let finished = host.layer.finish(&mut slow).unwrap();
        assert!(!finished.is_lost());
        assert!(!events.try_iter().any(|event| event == lost(&cookie)));
    }
}

fn answer(lost_change: LostChange, own_page: bool) -> (Response, Vec<Error>) {
    let host = Host::new(CookieOptions::new());
    let cookie = host.visitor();
    let layer = host.layer.clone().lost_change(lost_change);
    let errors = layer.errors();
    let request = Request::fake_http("POST", "/letter", vec![("Cookie".to_owned(), cookie.clone())], Vec::new());
    let write = |session: &mut Session| -> lembro::Result<Response> {
        session.insert("text", "a long letter")?;
        let _ = host.visit(&cookie, |session| session.log_out().unwrap());
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
fn the_application_chooses_what_is_answered_when_a_change_is_lost() {
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
