//! CSRF tokens of sessions on Redis: the key is stored beside the application's keys, and pages
//! made side by side agree on it.

use std::sync::Barrier;
use std::thread;

use lembro::{Session, Sessions};

use crate::redis::behind::store;
use crate::redis::server::Server;

fn stored(sessions: &Sessions) -> Session {
    let mut session = sessions.generate().unwrap();
    session.insert("user", "ada").unwrap();
    session.save().unwrap();
    session
}

fn again(sessions: &Sessions, session: &Session) -> Session {
    sessions.load(&session.id().unwrap()).unwrap().expect("it is stored")
}

#[test]
fn a_token_is_good_in_every_process_until_a_login_and_out_of_the_applications_reach() {
    let server = Server::start();
    let (sessions, other) = (Sessions::new(store(&server)), Sessions::new(store(&server)));
    let mut visitor = sessions.generate().unwrap();
    let first = visitor.csrf_token().unwrap();
    visitor.save().unwrap();
    assert!(again(&other, &visitor).check_csrf(&first).unwrap());

    let mut session = stored(&sessions);
    let token = session.csrf_token().unwrap();
    assert!(!session.check_csrf(&first).unwrap());
    session.clear().unwrap();
    session.save().unwrap();
    session.regenerate().unwrap();
    session.save().unwrap();
    let mut elsewhere = again(&other, &session);
    assert!(elsewhere.check_csrf(&token).unwrap() && elsewhere.is_empty().unwrap());

    elsewhere.log_in("ada").unwrap();
    elsewhere.save().unwrap();
    assert!(!again(&sessions, &elsewhere).check_csrf(&token).unwrap());
    // A login that answers with a form, over another owner's session.
    elsewhere.log_in("grace").unwrap();
    let form = elsewhere.csrf_token().unwrap();
    elsewhere.save().unwrap();
    let found = again(&sessions, &elsewhere);
    assert!(found.check_csrf(&form).unwrap() && found.owner().unwrap() == Some("grace"));

    // A record that is put keeps its key.
    let record = sessions.store().get(&elsewhere.id().unwrap()).unwrap().unwrap().record;
    let copy = lembro::SessionId::random().unwrap();
    sessions.store().set(&copy, record, std::time::Duration::from_secs(60)).unwrap();
    assert!(other.load(&copy).unwrap().unwrap().check_csrf(&form).unwrap());
}

#[test]
fn pages_that_are_made_side_by_side_have_tokens_that_agree() {
    let server = Server::start();
    let sessions = Sessions::new(store(&server));
    for _ in 0..50 {
        let session = stored(&sessions);
        let (id, start) = (session.id().unwrap(), Barrier::new(4));
        let page = || {
            let mut page = sessions.load(&id).unwrap().unwrap();
            start.wait();
            page.csrf_token().unwrap()
        };
        let tokens: Vec<String> = thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(page)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let found = again(&sessions, &session);
        assert!(tokens.iter().all(|token| found.check_csrf(token).unwrap()));
    }
}
