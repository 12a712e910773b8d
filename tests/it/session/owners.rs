//! The sessions of one owner: lists, logout everywhere, logins and their limit.

use crate::support::session::{
    HOUR, MINUTE, RowStore, SECOND, load_again, manual_session, manual_sessions, manual_store, save_login, save_value,
    stored_session, validate,
};
use lembro::{
    AtLimit, Clock, Commit, EndReason, Epoch, Identity, Lease, LembroOptions, LembroStore, Login, ManualClock, Outcome,
    OwnedSession, Owner, Owners, Policy, Saved, Session, SessionId, Sessions, Store,
};

/// A session of an owner.
fn sign_in(sessions: &Sessions, owner: &str) -> Session {
    let mut session = sessions.generate().unwrap();
    save_login(&mut session, owner);
    session
}

fn list(sessions: &Sessions, owner: &str) -> Vec<OwnedSession> {
    sessions.owner(owner).unwrap().list().unwrap()
}

fn count(sessions: &Sessions, owner: &str) -> usize {
    sessions.owner(owner).unwrap().count().unwrap()
}

fn destroy_all(sessions: &Sessions, owner: &str) -> usize {
    sessions.owner(owner).unwrap().destroy_all().unwrap()
}

fn is_there(sessions: &Sessions, session: &Session) -> bool {
    sessions.load(&session.id().unwrap()).unwrap().is_some()
}

fn labels(devices: &[OwnedSession]) -> Vec<&str> {
    devices.iter().map(|device| device.label.as_deref().unwrap_or("")).collect()
}

/// An operation of a request on a session that it has loaded. It returns true if it learns that the
/// session is gone.
type Act = fn(&mut Session) -> bool;

/// Three devices a minute apart, each with a name.
fn three_devices(sessions: &Sessions, time: &ManualClock) -> [Session; 3] {
    ["laptop", "phone", "tablet"].map(|label| {
        time.advance(MINUTE);
        let mut session = sessions.generate().unwrap();
        session.log_in("ada").unwrap();
        session.set_label(label).unwrap();
        assert_eq!(session.save().unwrap(), Saved::Written);
        session
    })
}

fn limited(max: usize, at_limit: AtLimit) -> (Sessions, LembroStore, ManualClock) {
    let (store, time) = manual_store();
    let policy = Policy::new().max_per_owner(max).at_limit(at_limit);
    (Sessions::with_policy(store.clone(), policy).unwrap(), store, time)
}

#[test]
fn devices_are_listed_latest_login_first() {
    let (sessions, mut visitor, store, time) = manual_session();
    let began = sessions.clock().wall();
    let [mut laptop, ..] = three_devices(&sessions, &time);
    time.advance(10 * MINUTE);
    assert_eq!(laptop.touch().unwrap(), Saved::Written);
    save_login(&mut visitor, "ada");
    sign_in(&sessions, "bob");

    let devices = list(&sessions, "ada");
    assert_eq!(labels(&devices), ["", "tablet", "phone", "laptop"]);
    assert_eq!((count(&sessions, "ada"), count(&sessions, "bob")), (4, 1));
    let minutes = |at: std::time::SystemTime| at.duration_since(began).unwrap().as_secs() / 60;
    let since: Vec<_> = devices.iter().map(|device| minutes(device.since.unwrap())).collect();
    let created: Vec<_> = devices.iter().map(|device| minutes(device.created_at.unwrap())).collect();
    let seen: Vec<_> = devices.iter().map(|device| minutes(device.last_seen)).collect();
    // The session is older than its login, and the laptop was used again.
    assert_eq!((since, created, seen), (vec![13, 3, 2, 1], vec![0, 3, 2, 1], vec![13, 3, 2, 13]));
    assert_eq!(devices[0].handle, visitor.handle().unwrap());
    validate(&store);
}

#[test]
fn last_seen_is_at_most_the_last_visit() {
    let (store, time) = manual_store();
    // After the first hour the lifetime ends before the idle timeout, so visits no longer change
    // the time that is left.
    let policy = Policy::new().timeout(24 * HOUR).lifetime(24 * HOUR);
    let sessions = Sessions::with_policy(store, policy).unwrap();
    let mut session = sign_in(&sessions, "ada");
    let login = sessions.clock().wall();
    time.advance(HOUR);
    session.touch().unwrap();
    time.advance(5 * HOUR);
    assert_eq!(list(&sessions, "ada")[0].last_seen, login);
}

#[test]
fn one_device_is_ended_by_its_handle() {
    let (sessions, store, time) = manual_sessions();
    let [laptop, mut phone, tablet] = three_devices(&sessions, &time);
    let lost = list(&sessions, "ada")[1].handle;
    assert!(sessions.destroy(lost).unwrap().is_done());
    assert_eq!(sessions.destroy(lost).unwrap(), Outcome::Gone);
    assert_eq!(labels(&list(&sessions, "ada")), ["tablet", "laptop"]);
    assert!(is_there(&sessions, &laptop) && is_there(&sessions, &tablet) && !is_there(&sessions, &phone));
    phone.insert("late", &1).unwrap();
    assert_eq!(phone.save().unwrap(), Saved::Gone);
    assert_eq!(phone.end_reason().unwrap(), Some(EndReason::Revoked));
    validate(&store);
}

#[test]
fn handles_of_other_owners_end_nothing() {
    let (sessions, store, time) = manual_sessions();
    let [laptop, phone, _] = three_devices(&sessions, &time);
    let mut visitor = sessions.generate().unwrap();
    save_value(&mut visitor, "theme", "dark");
    for (owner, session) in [("bob", &laptop), ("ada", &visitor), ("bob", &visitor)] {
        assert_eq!(sessions.owner(owner).unwrap().destroy(session.handle().unwrap()).unwrap(), Outcome::Gone);
        assert!(is_there(&sessions, session));
    }
    assert!(sessions.owner("").unwrap_err().is_size());
    assert!(is_there(&sessions, &laptop));
    assert!(sessions.owner("ada").unwrap().destroy(phone.handle().unwrap()).unwrap().is_done());
    assert!(!is_there(&sessions, &phone) && is_there(&sessions, &laptop));
    validate(&store);
}

#[test]
fn unsaved_login_survives_its_own_log_out_others() {
    let (sessions, store, time) = manual_sessions();
    let [mut laptop, ..] = three_devices(&sessions, &time);
    let mut new = sessions.generate().unwrap();
    new.log_in("ada").unwrap();
    new.insert("theme", "dark").unwrap();
    assert_eq!(new.destroy_others().unwrap(), 3);
    assert!(is_there(&sessions, &new) && !new.is_changed());
    assert_eq!((new.get_str("theme").unwrap().as_deref(), count(&sessions, "ada")), (Some("dark"), 1));
    // A logout everywhere by a logged out or an anonymous session ends no session.
    assert_eq!(laptop.destroy_others().unwrap(), 0);
    assert_eq!(sessions.generate().unwrap().destroy_others().unwrap(), 0);
    assert_eq!(count(&sessions, "ada"), 1);
    validate(&store);
}

#[test]
fn owner_may_have_very_many_sessions() {
    let store = LembroStore::with_options(LembroOptions::new().interval(0).shards(1).max_size("64M")).unwrap();
    let (lease, bot, ada) = (Lease::new(HOUR), Owner::new("bot").unwrap(), Owner::new("ada").unwrap());
    let log_in = |owner: &Owner| {
        let commit = Commit::create().unwrap().log_in(Login::new(owner.clone()));
        assert!(store.commit(&SessionId::random().unwrap(), &commit, &lease).unwrap().is_done());
    };
    for number in 0..50_000 {
        log_in(&bot);
        if number % 1_000 == 0 {
            log_in(&ada);
        }
    }
    assert_eq!((store.count(&bot).unwrap(), store.count(&ada).unwrap()), (50_000, 50));
    assert_eq!(store.destroy_all(&bot, None).unwrap(), 50_000);
    assert_eq!((store.count(&bot).unwrap(), store.count(&ada).unwrap()), (0, 50));
    validate(&store);
}

#[test]
fn all_other_devices_are_ended() {
    let (sessions, store, time) = manual_sessions();
    let [mut laptop, phone, tablet] = three_devices(&sessions, &time);
    assert_eq!(laptop.destroy_others().unwrap(), 2);
    assert!(!is_there(&sessions, &phone) && !is_there(&sessions, &tablet));
    save_value(&mut laptop, "password_changed", &true);
    assert_eq!((laptop.end_reason().unwrap(), count(&sessions, "ada")), (None, 1));
    validate(&store);
}

#[test]
fn log_out_everywhere_is_final() {
    let under_way: [(&str, Act); 6] = [
        ("save", |session| {
            session.insert("late", &1).unwrap();
            session.save().unwrap() == Saved::Gone
        }),
        ("touch", |session| session.touch().unwrap() == Saved::Gone),
        ("modify", |session| {
            session.modify("visits", |visits: &mut Option<u32>| *visits.get_or_insert(0) += 1).unwrap().is_none()
        }),
        ("regenerate", |session| {
            session.regenerate().unwrap();
            session.save().unwrap() == Saved::Gone
        }),
        ("reload", |session| !session.reload().unwrap()),
        ("label", |session| {
            session.set_label("late").unwrap();
            session.save().unwrap() == Saved::Gone
        }),
    ];
    for (what, act) in under_way {
        let (sessions, store, _) = manual_sessions();
        let session = sign_in(&sessions, "ada");
        let mut slow = load_again(&sessions, &session);
        assert_eq!(slow.owner().unwrap(), Some("ada"));
        assert_eq!(destroy_all(&sessions, "ada"), 1);
        assert!(act(&mut slow), "{what}");
        assert!(slow.is_gone().unwrap(), "{what}");
        assert_eq!(slow.owner().unwrap(), None, "{what}");
        assert_eq!(slow.end_reason().unwrap(), Some(EndReason::LoggedOutEverywhere), "{what}");
        assert_eq!((store.len().unwrap(), store.bytes()), (0, 0), "{what}");
        validate(&store);
    }
}

#[test]
fn regenerate_after_log_out_everywhere_keeps_no_rights() {
    let (sessions, store, _) = manual_sessions();
    let session = sign_in(&sessions, "ada");
    let mut slow = load_again(&sessions, &session);
    destroy_all(&sessions, "ada");
    slow.regenerate().unwrap();
    slow.insert("role", "admin").unwrap();
    assert_eq!(slow.save().unwrap(), Saved::Gone);
    // The next session is empty.
    slow.regenerate().unwrap();
    save_value(&mut slow, "theme", "dark");
    assert_ne!(slow.handle().unwrap(), session.handle().unwrap());
    assert_eq!((slow.owner().unwrap(), store.stats().owned_sessions), (None, 0));
    assert_eq!(slow.keys().unwrap().collect::<Vec<_>>(), ["theme"]);
}

#[test]
fn login_and_new_id_are_one_commit() {
    let (sessions, mut session, store, ..) = manual_session();
    let planted = session.id().unwrap();
    session.log_in("ada").unwrap();
    assert_eq!((session.owner().unwrap(), session.id().unwrap()), (Some("ada"), planted));
    assert_eq!(load_again(&sessions, &session).owner().unwrap(), None, "nothing has changed yet");
    assert_eq!(session.save().unwrap(), Saved::Written);
    assert_eq!(session.handle().unwrap(), planted.handle());
    assert!(sessions.load(&planted).unwrap().is_none(), "a planted id is worth nothing");
    assert_eq!(
        load_again(&sessions, &session).get_str("user").unwrap().as_deref(),
        Some("ada"),
        "the visitor's data stays"
    );
    assert_eq!(store.stats().owned_sessions, 1);

    let mut dropped = sign_in(&sessions, "bob");
    dropped.log_in("eve").unwrap();
    assert!(dropped.reload().unwrap());
    assert_eq!((dropped.owner().unwrap(), dropped.is_changed()), (Some("bob"), false));
    validate(&store);
}

#[test]
fn new_owner_gets_no_data_of_the_old_one() {
    type Commit = fn(&mut Session);
    let commits: [(&str, Commit); 2] = [
        ("save", |session| assert_eq!(session.save().unwrap(), Saved::Written)),
        ("modify", |session| {
            let before = session.modify("role", |role: &mut Option<String>| role.replace("guest".to_owned()));
            assert_eq!(before.unwrap(), Some(None), "nothing of the other's role is seen");
        }),
    ];
    for (what, commit) in commits {
        let (sessions, store, time) = manual_sessions();
        let mut ada = sign_in(&sessions, "ada");
        ada.insert("role", "admin").unwrap();
        ada.component("shop").insert("card", "4111").unwrap();
        ada.set_timeout(8 * HOUR).unwrap();
        ada.set_label("laptop").unwrap();
        ada.save().unwrap();
        time.advance(MINUTE);

        let mut grace = load_again(&sessions, &ada);
        grace.insert("theme", "dark").unwrap();
        grace.log_in("grace").unwrap();
        let view = |session: &mut Session| {
            assert_eq!(session.owner().unwrap(), Some("grace"), "{what}");
            assert_eq!(session.get::<String>("theme").unwrap().as_deref(), Some("dark"), "{what}");
            assert!(session.component("shop").is_empty().unwrap(), "{what}");
            assert_eq!(session.timeout().unwrap(), HOUR, "{what}");
        };
        view(&mut grace);
        assert_eq!(grace.keys().unwrap().collect::<Vec<_>>(), ["theme"], "{what}");
        commit(&mut grace);
        view(&mut grace);
        let mut again = load_again(&sessions, &grace);
        view(&mut again);
        assert_eq!(again.get::<String>("role").unwrap().as_deref(), (what == "modify").then_some("guest"), "{what}");
        let device = &list(&sessions, "grace")[0];
        assert_eq!((device.label.as_deref(), device.created_at), (None, Some(sessions.clock().wall())), "{what}");
        assert_eq!((count(&sessions, "ada"), store.len().unwrap()), (0, 1), "{what}");
        // A second login of the same user keeps everything.
        save_login(&mut again, "grace");
        view(&mut again);
        validate(&store);
    }
}

#[test]
fn two_logins_at_once_are_two_sessions() {
    let (sessions, visitor, store, ..) = manual_session();
    let (mut one, mut two) = (load_again(&sessions, &visitor), load_again(&sessions, &visitor));
    for (session, owner, key) in [(&mut one, "ada", "first"), (&mut two, "ada", "second")] {
        session.log_in(owner).unwrap();
        save_value(session, key, &true);
    }
    assert_ne!(one.handle().unwrap(), two.handle().unwrap());
    assert_eq!(load_again(&sessions, &one).keys().unwrap().collect::<Vec<_>>(), ["first", "user"]);
    assert_eq!(load_again(&sessions, &two).keys().unwrap().collect::<Vec<_>>(), ["second", "user"]);
    assert_eq!(count(&sessions, "ada"), 2);

    // A new session of another login has none of the owner's data.
    let owned = one;
    let (mut one, mut two) = (load_again(&sessions, &owned), load_again(&sessions, &owned));
    assert_eq!(two.get_str("user").unwrap().as_deref(), Some("ada"), "it has read it");
    save_login(&mut one, "ada");
    two.log_in("bob").unwrap();
    two.insert("second", &true).unwrap();
    assert_eq!(two.modify("n", |n: &mut Option<u32>| *n = Some(1)).unwrap(), Some(()));
    assert_eq!(load_again(&sessions, &two).keys().unwrap().collect::<Vec<_>>(), ["n", "second"]);
    let owned = one;
    let (mut one, mut two) = (load_again(&sessions, &owned), load_again(&sessions, &owned));
    for (session, key) in [(&mut one, "third"), (&mut two, "fourth")] {
        session.log_in("ada").unwrap();
        save_value(session, key, &true);
    }
    assert_eq!(load_again(&sessions, &one).keys().unwrap().collect::<Vec<_>>(), ["first", "third", "user"]);
    assert_eq!(load_again(&sessions, &two).keys().unwrap().collect::<Vec<_>>(), ["fourth"]);
    validate(&store);
}

#[test]
fn log_out_everywhere_revokes_logins_under_way() {
    let (sessions, store, _) = manual_sessions();
    let begun = sessions.owner("ada").unwrap().epoch().unwrap();
    destroy_all(&sessions, "ada");

    // A session that begins with this login is not stored ...
    let mut fresh = sessions.generate().unwrap();
    fresh.insert("cart", &1).unwrap();
    fresh.log_in_since("ada", begun).unwrap();
    assert_eq!(fresh.save().unwrap(), Saved::Gone);
    assert!(fresh.is_gone().unwrap());
    assert_eq!((store.len().unwrap(), store.bytes()), (0, 0));

    // ... a stored session stays as it was ...
    let mut visitor = stored_session(&sessions);
    visitor.log_in_since("ada", begun).unwrap();
    assert_eq!(visitor.save().unwrap(), Saved::Gone);
    assert_eq!(load_again(&sessions, &visitor).owner().unwrap(), None);

    // ... and the same holds for `modify`, which saves the login first.
    let mut visitor = stored_session(&sessions);
    visitor.log_in_since("ada", begun).unwrap();
    assert_eq!(visitor.modify("visits", |visits: &mut Option<u32>| *visits = Some(1)).unwrap(), None);
    assert!(load_again(&sessions, &visitor).get::<u32>("visits").unwrap().is_none());
    assert_eq!(count(&sessions, "ada"), 0);

    // A login that begins now succeeds.
    sign_in(&sessions, "ada");
    assert_eq!(count(&sessions, "ada"), 1);
    validate(&store);
}

#[test]
fn login_begins_in_its_epoch() {
    let (sessions, mut login, store, ..) = manual_session();
    login.log_in("ada").unwrap();
    destroy_all(&sessions, "ada");
    assert_eq!(login.save().unwrap(), Saved::Written);
    // Another owner's logout everywhere has no effect.
    let begun = sessions.owner("ada").unwrap().epoch().unwrap();
    let mut login = stored_session(&sessions);
    login.log_in_since("ada", begun).unwrap();
    destroy_all(&sessions, "bob");
    assert_eq!(login.save().unwrap(), Saved::Written);
    let mut login = stored_session(&sessions);
    login.log_in_since("ada", begun).unwrap();
    destroy_all(&sessions, "ada");
    assert_eq!(login.save().unwrap(), Saved::Gone);
    assert_eq!(count(&sessions, "ada"), 0);
    validate(&store);
}

#[test]
fn modify_saves_the_login_too() {
    let (sessions, _, _) = manual_sessions();
    let mut session = sessions.generate().unwrap();
    session.log_in("ada").unwrap();
    assert_eq!(session.modify("visits", |visits: &mut Option<u32>| *visits.get_or_insert(0) += 1).unwrap(), Some(()));
    let again = load_again(&sessions, &session);
    assert_eq!((again.owner().unwrap(), again.get::<u32>("visits").unwrap()), (Some("ada"), Some(1)));
}

#[test]
fn owner_survives_new_ids() {
    let (sessions, store, _) = manual_sessions();
    let mut session = sign_in(&sessions, "ada");
    session.regenerate().unwrap();
    assert_eq!(session.save().unwrap(), Saved::Written);
    assert_eq!(load_again(&sessions, &session).owner().unwrap(), Some("ada"));
    assert_eq!(list(&sessions, "ada")[0].handle, session.handle().unwrap());
    session.clear().unwrap();
    session.save().unwrap();
    assert_eq!(count(&sessions, "ada"), 1, "clearing the data is no logout");
    session.log_out().unwrap();
    assert_eq!(count(&sessions, "ada"), 0);
    validate(&store);
}

#[test]
fn limit_ends_the_oldest_login() {
    let (sessions, store, time) = limited(2, AtLimit::EndOldest);
    let [mut laptop, phone, tablet] = three_devices(&sessions, &time);
    assert_eq!(labels(&list(&sessions, "ada")), ["tablet", "phone"]);
    assert!(is_there(&sessions, &phone) && is_there(&sessions, &tablet));
    laptop.insert("late", &1).unwrap();
    assert_eq!(laptop.save().unwrap(), Saved::Gone);
    assert_eq!(laptop.end_reason().unwrap(), Some(EndReason::Limit));
    // Other owners have a limit of their own, and anonymous sessions have none.
    (0..2).for_each(|_| drop(sign_in(&sessions, "bob")));
    (0..5).for_each(|_| drop(stored_session(&sessions)));
    assert_eq!((count(&sessions, "ada"), count(&sessions, "bob")), (2, 2));
    validate(&store);
}

#[test]
fn limit_never_ends_the_new_login() {
    // At one instant, at which handles are in random order.
    let (sessions, store, _) = limited(2, AtLimit::EndOldest);
    for _ in 0..50 {
        let session = sign_in(&sessions, "ada");
        assert!(is_there(&sessions, &session));
        assert!(count(&sessions, "ada") <= 2);
    }
    assert_eq!(store.len().unwrap(), 2);
}

#[test]
fn limit_can_refuse_the_newest_login() {
    let (sessions, store, time) = limited(2, AtLimit::RefuseNewest);
    let (first, second) = (sign_in(&sessions, "ada"), sign_in(&sessions, "ada"));
    let mut third = sessions.generate().unwrap();
    third.insert("cart", &1).unwrap();
    third.log_in("ada").unwrap();
    let error = third.save().unwrap_err();
    assert!(error.is_too_many_logins());
    assert_eq!(error.to_string(), "the owner is logged in 2 times already, which is as often as the policy allows");
    assert_eq!(store.len().unwrap(), 2);
    let mut visitor = stored_session(&sessions);
    visitor.log_in("ada").unwrap();
    let before = visitor.id().unwrap();
    assert!(visitor.save().unwrap_err().is_too_many_logins());
    assert!(visitor.modify("n", |n: &mut Option<u32>| *n = Some(1)).unwrap_err().is_too_many_logins());
    assert_eq!(visitor.id().unwrap(), before);
    assert_eq!(load_again(&sessions, &visitor).owner().unwrap(), None);
    assert!(is_there(&sessions, &first) && is_there(&sessions, &second));
    // A second login of the same session is not refused.
    let mut again = load_again(&sessions, &first);
    save_login(&mut again, "ada");
    // A logout and an expired session both allow another login.
    load_again(&sessions, &second).log_out().unwrap();
    assert_eq!(visitor.save().unwrap(), Saved::Written, "it can be tried again");
    assert!(third.save().unwrap_err().is_too_many_logins());
    time.advance(2 * HOUR);
    assert_eq!(third.save().unwrap(), Saved::Written);
    assert_eq!(count(&sessions, "ada"), 1);
    validate(&store);
}

#[test]
fn limit_counts_parallel_logins_of_a_session() {
    for (at_limit, lives) in [(AtLimit::RefuseNewest, true), (AtLimit::EndOldest, false)] {
        let (sessions, _, _) = limited(1, at_limit);
        let visitor = stored_session(&sessions);
        let (mut one, mut two) = (load_again(&sessions, &visitor), load_again(&sessions, &visitor));
        one.log_in("ada").unwrap();
        two.log_in("ada").unwrap();
        assert_eq!(one.save().unwrap(), Saved::Written);
        match two.save() {
            Ok(saved) => assert_eq!((saved, at_limit), (Saved::Written, AtLimit::EndOldest)),
            Err(error) => assert!(error.is_too_many_logins() && at_limit == AtLimit::RefuseNewest),
        }
        assert_eq!((is_there(&sessions, &one), count(&sessions, "ada")), (lives, 1));
    }
}

#[test]
fn expired_sessions_do_not_count() {
    let (sessions, store, time) = limited(2, AtLimit::EndOldest);
    let mut short = sessions.generate().unwrap();
    short.set_timeout(SECOND).unwrap();
    save_login(&mut short, "ada");
    let kept = sign_in(&sessions, "ada");
    time.advance(SECOND);
    sign_in(&sessions, "ada");
    assert!(is_there(&sessions, &kept));
    assert_eq!(short.end_reason().unwrap(), None, "its time was over");
    assert_eq!((count(&sessions, "ada"), store.stats().sessions), (2, 3), "not purged yet");
    validate(&store);
}

#[test]
fn only_its_user_learns_why_a_session_ended() {
    let (sessions, store, _) = manual_sessions();
    let (session, visitor) = (sign_in(&sessions, "ada"), stored_session(&sessions));
    let why = |id: &SessionId| store.end_reason(id).unwrap();
    let id = session.id().unwrap();
    assert_eq!((why(&id), session.end_reason().unwrap()), (None, None), "it is live");
    destroy_all(&sessions, "ada");
    assert_eq!(why(&id), Some(EndReason::LoggedOutEverywhere));
    assert_eq!(why(&id.renewed(&SessionId::random().unwrap())), None, "a stranger who knows the handle");
    assert_eq!(why(&visitor.id().unwrap()), None);
    // A plain logout has no end reason.
    let mut mine = sign_in(&sessions, "ada");
    let id = mine.id().unwrap();
    mine.log_out().unwrap();
    assert_eq!((why(&id), mine.end_reason().unwrap()), (None, None));
}

#[test]
fn old_epochs_stay_refused() {
    let (sessions, store, _) = manual_sessions();
    let begun = sessions.owner("ada").unwrap().epoch().unwrap();
    destroy_all(&sessions, "ada");
    for n in 0..2_000 {
        sessions.owner(&format!("user-{n}")).unwrap().destroy_all().unwrap();
        if n % 100 == 0 {
            let mut late = sessions.generate().unwrap();
            late.log_in_since("ada", begun).unwrap();
            assert_eq!(late.save().unwrap(), Saved::Gone, "after {n}");
            drop(sign_in(&sessions, "ada"));
        }
    }
    assert_eq!((count(&sessions, "ada"), count(&sessions, "user-0")), (20, 0));
    validate(&store);
}

#[test]
fn last_thousand_end_reasons_are_kept() {
    let (sessions, store, _) = manual_sessions();
    let ids: Vec<_> = (0..1_500)
        .map(|_| {
            let session = sign_in(&sessions, "ada");
            assert!(sessions.destroy(session.handle().unwrap()).unwrap().is_done());
            session.id().unwrap()
        })
        .collect();
    let remembered = ids.iter().filter(|id| store.end_reason(id).unwrap() == Some(EndReason::Revoked)).count();
    assert_eq!(remembered, 1_024);
    assert!(store.end_reason(&ids[1_499]).unwrap().is_some() && store.end_reason(&ids[0]).unwrap().is_none());
}

#[test]
fn stores_without_owners_still_note_the_owner() {
    let (sessions, _) = RowStore::probed_sessions();
    let mut session = sign_in(&sessions, "ada");
    assert_eq!(load_again(&sessions, &session).owner().unwrap(), Some("ada"));
    let sentence = "this store does not support the sessions of one owner";
    let handle = session.handle().unwrap();
    for error in [sessions.owner("ada").unwrap_err(), sessions.destroy(handle).unwrap_err()] {
        assert!(error.is_unsupported());
        assert_eq!(error.to_string(), sentence);
    }
    session.log_out().unwrap();
    assert_eq!(session.end_reason().unwrap(), None);

    for at_limit in [AtLimit::EndOldest, AtLimit::RefuseNewest] {
        let policy = Policy::new().max_per_owner(2).at_limit(at_limit);
        let sessions = Sessions::with_policy(RowStore::new(&Clock::manual()), policy).unwrap();
        let mut session = sessions.generate().unwrap();
        let error = session.log_in("ada").unwrap_err();
        assert_eq!(error.to_string(), "this store does not support limiting the sessions of one owner");
        assert_eq!((session.owner().unwrap(), session.is_changed()), (None, false), "nothing is logged in");
    }
}

#[test]
fn owners_keep_their_sessions_in_a_mass_purge() {
    let time = Clock::manual();
    let options = LembroOptions::new().interval(0).shards(1).max_size("4M").clock(&time);
    let store = LembroStore::with_options(options).unwrap();
    let sessions = Sessions::new(store.clone());
    let mut owned = Vec::new();
    for n in 0..2_000 {
        let mut session = sessions.generate().unwrap();
        session.insert("n", &n).unwrap();
        if n % 100 == 0 {
            session.log_in("ada").unwrap();
            session.set_timeout(3 * HOUR).unwrap();
        }
        session.save().unwrap();
        if n % 100 == 0 {
            owned.push(session.handle().unwrap());
        }
    }
    time.advance(2 * HOUR);
    assert_eq!(store.purge(), 1_980);
    validate(&store);
    let mut listed: Vec<_> = list(&sessions, "ada").iter().map(|device| device.handle).collect();
    listed.sort();
    owned.sort();
    assert_eq!(listed, owned);
    // Their former slots lead to no other session.
    (0..100).for_each(|_| drop(sign_in(&sessions, "bob")));
    assert_eq!((count(&sessions, "ada"), count(&sessions, "bob")), (20, 100));
    assert_eq!(destroy_all(&sessions, "ada"), 20);
    assert_eq!(store.len().unwrap(), 100);
    validate(&store);
}

#[test]
fn owner_names_have_1_to_255_bytes() {
    let (sessions, _, _) = manual_sessions();
    let mut session = sessions.generate().unwrap();
    for name in ["", &"o".repeat(256)] {
        assert!(session.log_in(name).unwrap_err().is_size());
    }
    let longest = "\u{1F375}".repeat(63);
    save_login(&mut session, &longest);
    assert_eq!(count(&sessions, &longest), 1);
}

#[test]
fn limit_of_zero_is_refused() {
    let error = Sessions::with_policy(manual_store().0, Policy::new().max_per_owner(0)).unwrap_err();
    assert_eq!(error.to_string(), "max_per_owner: 0 would let nobody log in; None means any number");
    let policy: Policy = serde_json::from_str(r#"{"max_per_owner": 3, "at_limit": "refuse_newest"}"#).unwrap();
    assert_eq!(policy, Policy::new().max_per_owner(3).at_limit(AtLimit::RefuseNewest));
    assert!(serde_json::from_str::<Policy>(r#"{"max_per_owner": 0}"#).is_err());
    assert!(serde_json::from_str::<Policy>(r#"{"at_limit": "both"}"#).is_err());
}

#[test]
fn epochs_are_numbers() {
    let (sessions, visitor, store, ..) = manual_session();
    let (id, ada) = (visitor.id().unwrap(), Owner::new("ada").unwrap());
    let begun = store.epoch(&ada).unwrap();
    assert_eq!(Epoch::from_u64(begun.to_u64()), begun);
    destroy_all(&sessions, "ada");
    assert!(store.epoch(&ada).unwrap() > begun);
    let version = store.get(&id).unwrap().unwrap().record.version();
    let new = Identity::Replace(id.renewed(&SessionId::random().unwrap()));
    let log_in = |begun: Option<Epoch>| {
        let login = Login { begun, ..Login::new(ada.clone()) };
        let commit = Commit::merge(version).unwrap().with_identity(new).log_in(login);
        store.commit(&id, &commit, &Lease::new(HOUR)).unwrap()
    };
    assert_eq!(log_in(Some(begun)), Outcome::LoginRevoked);
    assert!(log_in(None).is_done());
}
