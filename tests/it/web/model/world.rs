//! The world: browsers, requests, responses and sockets on a real layer, beside the model.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime};

use lembro::testing::Jar;
use lembro::web::{CookieLifetime, CookieOptions, Finished, RequestHead, SessionLayer};
use lembro::{
    Clock, Epoch, Handle, LembroOptions, LembroStore, ManualClock, Policy, Result, Saved, Session, SessionId, Sessions,
    Store,
};

use super::history::{Act, BROWSERS, COUNTER, History, OWN, OWNERS, Setting, SocketAct, Step, TOKEN};
use super::sessions::{
    CommitOutcome, GRACE, Holder, IDLE, Incarnation, LIFETIME, Model, REMEMBERED, RENEW_AFTER, Seen,
};

const URL: &str = "https://example.com/app/";

struct World {
    layer: SessionLayer,
    store: LembroStore,
    time: ManualClock,
    model: Model,
    renews: bool,
    browsers: Vec<Browser>,
    under_way: Vec<Request>,
    responses: Vec<Response>,
    sockets: Vec<Socket>,
    /// The number of the last message or value.
    count: u32,
    /// The browser and the owner that inserted each value.
    origins: BTreeMap<u32, (usize, Option<usize>)>,
    consumed: BTreeSet<(Handle, u32)>,
}

#[derive(Default)]
struct Browser {
    jar: Jar,
    /// The values of all cookies that it had.
    had: Vec<String>,
    /// The login whose response arrived last, and the time of its arrival.
    login: Option<Incarnation>,
    login_at: u32,
    /// The time at which a response last brought another id.
    id_at: u32,
}

struct Request {
    session: Session,
    holder: Holder,
    presented: Vec<SessionId>,
    is_poll: bool,
    sent_at: u32,
    /// The epoch in which each owner's login would have begun.
    epochs: Vec<(Epoch, u32)>,
}

struct Response {
    browser: usize,
    set_cookie: Option<String>,
    is_login: bool,
    /// The request came without a cookie that opened a session, or its response has another id than
    /// it presented.
    is_other_id: bool,
    sent_at: u32,
}

struct Socket {
    session: Session,
    holder: Holder,
}

/// Runs a history. Returns the cases that it met.
pub(crate) fn run(history: &History) -> BTreeSet<&'static str> {
    let mut world = World::new(history.setting);
    for step in &history.steps {
        // Time passes, so that no two logins are at the same instant.
        world.pass(Duration::from_millis(1));
        world.take(step);
        world.check();
    }
    #[cfg(feature = "testing")]
    world.store.validate().unwrap();
    world.model.met
}

impl World {
    fn new(setting: Setting) -> Self {
        let time = Clock::manual();
        let store = LembroStore::with_options(LembroOptions::new().clock(&time).interval(0)).unwrap();
        let mut policy = Policy::new().timeout(IDLE).lifetime(LIFETIME).remember(REMEMBERED.0, REMEMBERED.1);
        policy = policy.touch_after(setting.touch_after).grace(GRACE);
        policy = policy.renew_after(setting.renews.then_some(RENEW_AFTER));
        if let Some((max, at_limit)) = setting.limit {
            policy = policy.max_per_owner(max).at_limit(at_limit);
        }
        // Each run draws the same ids, so that a history can be repeated.
        let drawn = AtomicU32::new(0);
        let ids = move || Ok(SessionId::derive(&drawn.fetch_add(1, Ordering::Relaxed).to_string()));
        let sessions = Sessions::with_policy(store.clone(), policy).unwrap().id_source(ids);
        let options = CookieOptions::new().lifetime(CookieLifetime::Remembered);
        let layer = SessionLayer::with_sessions(sessions).cookie(options).unwrap();
        let browsers = (0..BROWSERS).map(|_| Browser::default()).collect();
        Self {
            layer,
            store,
            time,
            model: Model::new(setting),
            renews: setting.renews,
            browsers,
            under_way: Vec::new(),
            responses: Vec::new(),
            sockets: Vec::new(),
            count: 0,
            origins: BTreeMap::new(),
            consumed: BTreeSet::new(),
        }
    }

    fn next(&mut self) -> u32 {
        self.count += 1;
        self.count
    }

    fn take(&mut self, step: &Step) {
        let pick = |which: usize, of: usize| (of > 0).then(|| which % of.max(1));
        let (requests, responses, sockets) = (self.under_way.len(), self.responses.len(), self.sockets.len());
        match step {
            Step::Send(browser) => self.send(*browser, false),
            Step::Poll(browser) => self.send(*browser, true),
            Step::Twice(browser, act) => {
                self.send(*browser, false);
                self.send(*browser, false);
                let is_first_there = self.handle(requests, act);
                self.handle(requests + usize::from(is_first_there), act);
            }
            Step::Handle(which, act) => {
                let Some(place) = pick(*which, requests) else { return };
                self.handle(place, act);
            }
            Step::Finish(which) => pick(*which, requests).map_or((), |place| self.finish(place)),
            Step::Fail(which) => pick(*which, requests).map_or((), |place| self.fail(place)),
            Step::Deliver(which) => pick(*which, responses).map_or((), |place| self.deliver(place)),
            Step::Lose(which) => {
                let Some(place) = pick(*which, responses) else { return };
                let response = self.responses.remove(place);
                self.meet_if(response.set_cookie.is_some(), "a lost cookie");
            }
            Step::Visit(browser, act) => self.whole_visit(*browser, act),
            Step::Return(browser) => {
                self.pass(RENEW_AFTER);
                self.whole_visit(*browser, &Act::Look);
            }
            Step::Fork(which) => pick(*which, requests).map_or((), |place| self.fork(place)),
            Step::Socket(which, act) => pick(*which, sockets).map_or((), |place| self.socket(place, act)),
            Step::Close(which) => pick(*which, sockets).map_or((), |place| drop(self.sockets.remove(place))),
            Step::LogOutEverywhere(owner) => {
                let ended = self.layer.sessions().owner(OWNERS[*owner]).unwrap().destroy_all().unwrap();
                assert_eq!(ended, self.model.end_all(*owner, None), "all sessions of the owner end");
                self.meet_if(ended > 0, "logged out everywhere");
            }
            Step::Stray(browser, which) => self.stray(*browser, *which),
            Step::Pass(time) => {
                self.pass(*time);
                self.meet_if(!self.under_way.is_empty() && *time >= IDLE, "a request longer than the idle timeout");
            }
        }
    }

    /// A request, and its response at once.
    fn whole_visit(&mut self, browser: usize, act: &Act) {
        let (request, response) = (self.under_way.len(), self.responses.len());
        self.send(browser, false);
        if self.handle(request, act) {
            self.finish(request);
        }
        self.deliver(response);
    }

    fn pass(&mut self, time: Duration) {
        self.time.advance(time);
        self.model.now += time;
    }

    fn meet_if(&mut self, is_met: bool, case: &'static str) {
        if is_met {
            self.model.meet(case);
        }
    }

    fn now(&self) -> SystemTime {
        self.layer.sessions().clock().wall()
    }

    /// The browser's cookies of our name, the one of the longest path first.
    fn cookies(&self, browser: usize) -> Vec<(String, SessionId)> {
        let now = self.now();
        let cookies = self.browsers[browser].jar.cookies();
        let mut cookies: Vec<_> = cookies.filter(|cookie| cookie.ends.is_none_or(|ends| ends > now)).collect();
        cookies.sort_by_key(|cookie| std::cmp::Reverse(cookie.path.as_ref().map(String::len)));
        cookies.into_iter().map(|cookie| (cookie.value.clone(), id_of(&cookie.value))).collect()
    }

    fn send(&mut self, browser: usize, is_poll: bool) {
        let cookies = self.cookies(browser);
        self.meet_if(cookies.len() > 1, "two cookies");
        let header: Vec<_> = cookies.iter().map(|(value, _)| format!("id={value}")).collect();
        let header = header.join("; ");
        let mut session = self.layer.load(RequestHead::new([header.as_str()]));
        if is_poll {
            session.peek();
        }
        let mut presented: Vec<_> = cookies.into_iter().map(|(_, id)| id).collect();
        presented.dedup();
        let epoch = |owner: &str| self.layer.sessions().owner(owner).unwrap().epoch().unwrap();
        let epochs = OWNERS.iter().zip(self.model.epochs).map(|(owner, count)| (epoch(owner), count)).collect();
        let holder = Holder { browser, ..Holder::default() };
        let sent_at = self.next();
        self.under_way.push(Request { session, holder, presented, is_poll, sent_at, epochs });
    }

    /// The browser gets a cookie that it had for a longer path too.
    fn stray(&mut self, browser: usize, which: usize) {
        let (now, it) = (self.now(), &mut self.browsers[browser]);
        let Some(place) = which.checked_rem(it.had.len()) else { return };
        let text = format!("id={}; Path=/app; HttpOnly; Secure", it.had[place]);
        assert!(it.jar.receive(&text, URL, now));
    }

    /// Makes one call in the handler of a request. Returns false if the request failed.
    fn handle(&mut self, place: usize, act: &Act) -> bool {
        let mut request = self.under_way.remove(place);
        let is_first = request.holder.seen == Seen::Nothing;
        if is_first && *act != Act::Save {
            self.model.look(&mut request.holder, &request.presented, !request.is_poll);
            let is_alive = matches!(request.holder.seen, Seen::Incarnation(_));
            self.meet_if(is_alive && request.is_poll, "a poll");
            let is_over = request.is_poll && request.holder.seen == Seen::New && !request.presented.is_empty();
            self.meet_if(is_over, "a poll that finds no session any more");
        }
        let done = self.act(&mut request, act);
        if request.holder.seen != Seen::Nothing {
            self.assert_reads(&request.session, &request.holder);
        }
        self.under_way.insert(place, request);
        if let Err(error) = done {
            assert!(error.is_too_many_logins(), "{error}");
            self.fail(place);
            return false;
        }
        true
    }

    fn act(&mut self, request: &mut Request, act: &Act) -> Result<()> {
        let Request { session, holder, presented, epochs, .. } = request;
        match *act {
            Act::Look => drop(session.contains_key(COUNTER)?),
            Act::Insert(key) => self.insert(session, holder, OWN[key])?,
            Act::Issue => self.insert(session, holder, TOKEN)?,
            Act::Count => self.count_up(session, holder)?,
            Act::Consume => self.consume(session, holder)?,
            Act::LogIn { owner, since, remember } => {
                let (epoch, count) = epochs[owner];
                if since {
                    session.log_in_since(OWNERS[owner], epoch)?;
                } else {
                    session.log_in(OWNERS[owner])?;
                }
                if matches!(holder.seen, Seen::LoggedOut | Seen::Ended { .. }) {
                    holder.begin();
                }
                holder.is_regenerated = matches!(holder.seen, Seen::Incarnation(_));
                holder.login = Some((owner, since.then_some(count)));
                // From here on, the values of this request are this owner's.
                for value in holder.puts.values().flatten() {
                    self.origins.insert(*value, (holder.browser, Some(owner)));
                }
                if let Some(remember) = remember {
                    session.remember(remember)?;
                    holder.remember = Some(remember);
                }
            }
            Act::Regenerate => {
                session.regenerate()?;
                match holder.seen {
                    Seen::Incarnation(_) => holder.is_regenerated = true,
                    Seen::LoggedOut | Seen::Ended { superseded: false } => holder.begin(),
                    _ => {}
                }
            }
            Act::LogOut => {
                session.log_out()?;
                let is_beside = matches!(holder.seen, Seen::Incarnation(held) if self.model.is_live(held.0) && !self.model.holds(held));
                self.meet_if(is_beside, "not promised: a logout beside a login");
                let ended = self.model.log_out(holder, presented);
                self.meet_if(ended == 1, "a logout");
                self.meet_if(ended > 1, "a logout of two sessions");
            }
            Act::LogOutOthers => self.log_out_others(session, holder)?,
            Act::Save => {
                let said = session.save();
                self.committed(session, holder, said)?;
            }
            Act::Touch => self.touch(session, holder)?,
        }
        Ok(())
    }

    fn insert(&mut self, session: &mut Session, holder: &mut Holder, key: &'static str) -> Result<()> {
        let value = self.next();
        session.insert(key, &value)?;
        holder.puts.insert(key, Some(value));
        self.origins.insert(value, (holder.browser, holder.owner()));
        Ok(())
    }

    /// Compares the outcome of a commit.
    fn committed(&mut self, session: &Session, holder: &mut Holder, said: Result<Saved>) -> Result<Saved> {
        if holder.seen == Seen::Nothing {
            assert_eq!(said?, Saved::Unchanged);
            return Ok(Saved::Unchanged);
        }
        let fate = self.model.commit(holder, session.id()?);
        match (fate, said) {
            (CommitOutcome::Unchanged, Ok(Saved::Unchanged)) => Ok(Saved::Unchanged),
            (CommitOutcome::Written, Ok(Saved::Written)) => Ok(Saved::Written),
            (CommitOutcome::Gone, Ok(Saved::Gone)) => Ok(Saved::Gone),
            (CommitOutcome::Refused, Err(error)) if error.is_too_many_logins() => Err(error),
            (fate, said) => panic!("expected {fate:?}, and the session said {said:?}"),
        }
    }

    fn count_up(&mut self, session: &mut Session, holder: &mut Holder) -> Result<()> {
        let said = session.modify(COUNTER, |count: &mut Option<u32>| {
            *count = Some(count.unwrap_or(0) + 1);
            *count
        });
        self.model.read_again(holder);
        if matches!(holder.seen, Seen::Ended { .. } | Seen::LoggedOut) {
            assert_eq!(said?, None, "nothing to count in");
            return Ok(());
        }
        let count = holder.reads().get(COUNTER).copied().unwrap_or(0) + 1;
        let fate = self.change(holder, session.id()?, COUNTER, Some(count));
        let count = (fate == CommitOutcome::Written).then_some(Some(count));
        assert_eq!(said?, count, "a counter is exact");
        self.meet_if(fate == CommitOutcome::Written, "counted");
        Ok(())
    }

    /// Commits an atomic change of one key with the draft. If the limit refuses it, the draft
    /// stays.
    fn change(&mut self, holder: &mut Holder, id: SessionId, key: &'static str, value: Option<u32>) -> CommitOutcome {
        let draft = holder.puts.clone();
        holder.puts.insert(key, value);
        let fate = self.model.commit(holder, id);
        if fate == CommitOutcome::Refused {
            holder.puts = draft;
        }
        fate
    }

    fn consume(&mut self, session: &mut Session, holder: &mut Holder) -> Result<()> {
        let said = session.consume::<u32>(TOKEN);
        if !holder.reads().contains_key(TOKEN) {
            assert_eq!(said?, None);
            return Ok(());
        }
        self.model.read_again(holder);
        if matches!(holder.seen, Seen::Ended { .. } | Seen::LoggedOut) {
            assert_eq!(said?, None, "nothing to consume");
            return Ok(());
        }
        let token = holder.reads().get(TOKEN).copied();
        let fate = self.change(holder, session.id()?, TOKEN, None);
        let token = token.filter(|_| fate != CommitOutcome::Gone);
        let said = said?;
        assert_eq!(said, token, "a token");
        if let Some(token) = said
            && fate == CommitOutcome::Written
        {
            // Of two logins at once, each session has a copy of the anonymous session's data.
            assert!(self.consumed.insert((session.handle()?, token)), "a token is consumed once");
            self.model.meet("a token consumed");
        }
        self.meet_if(said.is_none(), "a token that another request has consumed");
        Ok(())
    }

    fn touch(&mut self, session: &mut Session, holder: &mut Holder) -> Result<()> {
        let said = session.touch()?;
        let expected = match holder.seen {
            Seen::Incarnation(held) if self.model.holds(held) => {
                self.model.prolong(held.0);
                Saved::Written
            }
            Seen::Incarnation(_) => {
                self.model.end_holder(holder);
                Saved::Gone
            }
            Seen::Ended { .. } | Seen::LoggedOut => Saved::Gone,
            Seen::Nothing | Seen::New => Saved::Unchanged,
        };
        assert_eq!(said, expected, "a touch");
        Ok(())
    }

    fn log_out_others(&mut self, session: &mut Session, holder: &mut Holder) -> Result<()> {
        let said = session.destroy_others();
        let Some(owner) = holder.owner() else {
            assert_eq!(said?, 0);
            return Ok(());
        };
        let fate = self.model.commit(holder, session.id()?);
        if fate == CommitOutcome::Refused {
            return said.map(|_| panic!("beyond the limit"));
        }
        let Seen::Incarnation(held) = holder.seen else {
            assert_eq!(said?, 0);
            return Ok(());
        };
        if fate == CommitOutcome::Unchanged && !self.model.holds(held) {
            self.model.end_holder(holder);
            assert_eq!(said?, 0, "a session that ended ends no others");
            return Ok(());
        }
        self.model.prolong(held.0);
        let ended = self.model.end_all(owner, Some(held.0));
        assert_eq!(said?, ended, "the others");
        self.meet_if(ended > 0, "logged out elsewhere");
        Ok(())
    }

    fn fork(&mut self, place: usize) {
        if self.under_way[place].holder.seen == Seen::Nothing && !self.handle(place, &Act::Look) {
            return;
        }
        let mut request = self.under_way.remove(place);
        let forked = request.session.fork();
        let saved = match forked {
            Err(error) if error.is_too_many_logins() => {
                assert_eq!(
                    self.model.commit(&mut request.holder, request.session.id().unwrap()),
                    CommitOutcome::Refused
                );
                self.under_way.insert(place, request);
                return self.fail(place);
            }
            forked => forked.unwrap(),
        };
        self.model.commit(&mut request.holder, request.session.id().unwrap());
        assert_eq!(
            saved.is_some(),
            matches!(request.holder.seen, Seen::Incarnation(_)),
            "a socket for a stored session"
        );
        if let Some(session) = saved {
            self.model.meet("a socket");
            self.sockets.push(Socket { session, holder: request.holder.clone() });
        }
        self.under_way.insert(place, request);
    }

    fn socket(&mut self, place: usize, act: &SocketAct) {
        let Socket { mut session, mut holder } = self.sockets.remove(place);
        if let Seen::Incarnation(held) = holder.seen {
            let is_opened = holder.view.id.is_some_and(|id| self.model.opened_by(&id).is_some());
            self.meet_if(self.model.holds(held) && !is_opened, "a socket that outlives the renewal of its id");
            self.meet_if(!self.model.holds(held), "a socket whose session ended");
        }
        match *act {
            SocketAct::Reload => {
                let said = session.reload().unwrap();
                holder.discard();
                match holder.seen {
                    Seen::Incarnation(held) if self.model.holds(held) => self.model.read(&mut holder, held.0),
                    Seen::Incarnation(_) => self.model.end_holder(&mut holder),
                    _ => {}
                }
                assert_eq!(
                    said,
                    matches!(holder.seen, Seen::Incarnation(_)),
                    "a socket reads its session until it ends"
                );
            }
            SocketAct::Insert(key) => self.insert(&mut session, &mut holder, OWN[key]).unwrap(),
            SocketAct::Count => self.count_up(&mut session, &mut holder).unwrap(),
            SocketAct::Consume => self.consume(&mut session, &mut holder).unwrap(),
            SocketAct::Save => {
                let said = session.save();
                self.committed(&session, &mut holder, said).unwrap();
            }
            SocketAct::Touch => self.touch(&mut session, &mut holder).unwrap(),
            SocketAct::LogIn => {
                assert!(session.log_in(OWNERS[0]).unwrap_err().is_late());
                assert!(session.regenerate().unwrap_err().is_late());
            }
        }
        self.assert_reads(&session, &holder);
        self.sockets.insert(place, Socket { session, holder });
    }

    fn finish(&mut self, place: usize) {
        let mut request = self.under_way.remove(place);
        let before = request.holder.clone();
        let holder = &mut request.holder;
        let is_due =
            matches!(before.seen, Seen::Incarnation(held) if self.is_renewal_due(&before, held, request.is_poll));
        let finished = match self.layer.finish(&mut request.session) {
            Err(error) if error.is_too_many_logins() => {
                assert_eq!(self.model.commit(holder, request.session.id().unwrap()), CommitOutcome::Refused);
                self.under_way.insert(place, request);
                return self.fail(place);
            }
            finished => finished.unwrap(),
        };
        if holder.seen != Seen::Nothing {
            let id = request.session.id().unwrap();
            let expected = match self.model.commit(holder, id) {
                CommitOutcome::Written => Saved::Written,
                CommitOutcome::Unchanged => Saved::Unchanged,
                CommitOutcome::Gone => Saved::Gone,
                CommitOutcome::Refused => panic!("the login is beyond the limit"),
            };
            match (holder.seen, finished.saved()) {
                // A renewal of the id is a commit.
                (Seen::Incarnation(held), Saved::Written) if expected == Saved::Unchanged => {
                    assert!(self.renews && !request.is_poll && self.model.holds(held), "written: nothing changed");
                    self.model.prolong(held.0);
                }
                (Seen::Incarnation(held), Saved::Gone) if expected == Saved::Unchanged => {
                    assert!(self.renews && !request.is_poll && !self.model.holds(held), "gone: nothing changed");
                }
                (_, saved) => assert_eq!(saved, expected, "what the response says"),
            }
            let is_lost = expected == Saved::Gone && before.is_changed() && before.seen != Seen::LoggedOut;
            assert_eq!(finished.is_lost(), is_lost, "a lost change is told");
        }
        let is_logout = request.holder.seen == Seen::LoggedOut;
        let is_removed = finished.cookie().is_some_and(|text| text.contains("Max-Age=0"));
        assert_eq!(is_removed, is_logout && !request.presented.is_empty(), "a logout removes the cookie");
        self.respond(&request, &finished, is_removed, is_due);
    }

    fn fail(&mut self, place: usize) {
        let mut request = self.under_way.remove(place);
        let finished = self.layer.fail(&mut request.session);
        request.holder.discard();
        self.respond(&request, &finished, false, false);
    }

    /// Returns true if this request must renew the id.
    fn is_renewal_due(&self, holder: &Holder, held: Incarnation, is_poll: bool) -> bool {
        !is_poll
            && !holder.is_regenerated
            && self.model.holds(held)
            && self.model.is_renewal_due(held.0)
            && self.model.kept[&held.0].pending.is_none()
            && holder.view.id == Some(self.model.kept[&held.0].current)
    }

    /// Checks the cookie of a response, and sends it.
    fn respond(&mut self, request: &Request, finished: &Finished, is_removed: bool, is_due: bool) {
        let Request { holder, presented, .. } = request;
        let set = finished.cookie().filter(|_| !is_removed).map(|text| id_of(value_of(text)));
        let held = if let Seen::Incarnation(held) = holder.seen { Some(held) } else { None };
        let held = held.filter(|held| self.model.holds(*held));
        assert!(set.is_none() || held.is_some(), "a cookie of a session that is not there");
        self.meet_if(
            matches!(holder.seen, Seen::Incarnation(_)) && held.is_none(),
            "the session ended before the response",
        );
        assert!(set.is_some() || !is_due, "an id that is due is renewed");
        if let Some(held) = held {
            let is_owed = holder.owes && !presented.contains(&self.model.kept[&held.0].current);
            assert!(set.is_some() || !is_owed, "a new id reaches the client");
        }
        if let (Some(id), Some(held)) = (set, held) {
            self.check_announced(request, id, held);
        }
        self.responses.push(Response {
            browser: holder.browser,
            set_cookie: finished.cookie().map(str::to_owned),
            is_login: holder.has_logged_in,
            is_other_id: set.is_some_and(|id| !presented.contains(&id)),
            sent_at: request.sent_at,
        });
    }

    fn check_announced(&mut self, request: &Request, id: SessionId, held: Incarnation) {
        let kept = &self.model.kept[&held.0];
        let newest = kept.pending.as_ref().map_or(kept.current, |pending| pending.new);
        if self.model.leads_to(&id).is_some() {
            assert!(id == newest, "the newest id is announced, no other");
            self.meet_if(request.presented.contains(&id), "a cookie written again");
            return;
        }
        assert!(kept.pending.is_none(), "all responses announce the same new id");
        assert!(request.holder.view.id == Some(kept.current), "a renewal by the current id");
        assert!(self.model.is_renewal_due(held.0) && !request.is_poll, "a renewal that is not due");
        self.model.renew(held.0, id);
        self.model.meet("a renewal");
    }

    fn deliver(&mut self, place: usize) {
        let Response { browser, set_cookie, is_login, is_other_id, sent_at } = self.responses.remove(place);
        let (Some(text), now, at) = (set_cookie, self.now(), self.next()) else { return };
        let has_two = self.cookies(browser).len() > 1;
        let is_login_there = self.browsers[browser].login.is_some_and(|login| self.model.holds(login));
        let sent_before = is_login_there && sent_at < self.browsers[browser].login_at;
        let is_removal = text.contains("Max-Age=0");
        let is_new_id =
            is_removal || !self.browsers[browser].had.last().is_some_and(|had| id_of(had) == id_of_text(&text));
        let sent_before_renewal = sent_at < self.browsers[browser].id_at;
        let it = &mut self.browsers[browser];
        it.id_at = if is_new_id { at } else { it.id_at };
        assert!(it.jar.receive(&text, URL, now), "the browser takes {text}");
        if is_removal {
            it.login = None;
            self.meet_if(sent_before, "a logout sent before a login's response");
            return;
        }
        it.had.push(value_of(&text).to_owned());
        let leads_to = self.model.leads_to(&id_of_text(&text)).unwrap();
        if is_login {
            (it.login, it.login_at) = (Some(leads_to), at);
            self.meet_if(sent_before, "a login sent before another login's response");
            self.model.meet("a login's response");
        } else if it.login.is_some_and(|login| login.0 == leads_to.0) && !is_login_there {
            // The user is still logged in, under the new id of `regenerate`.
            (it.login, it.login_at) = (Some(leads_to), at);
        } else if is_login_there && it.login != Some(leads_to) {
            let is_late = sent_before_renewal && is_other_id;
            assert!(sent_before || has_two || is_late, "a cookie takes the user's session away");
            it.login = None;
            self.model.meet(match (sent_before, is_other_id) {
                (false, _) if has_two => "not promised: a second cookie's session",
                (false, _) => "not promised: under way beyond the grace of its id",
                (true, true) => "not promised: before a login",
                (true, false) => "not promised: written again",
            });
        } else if is_login_there {
            self.meet_if(sent_before, "an old response that brings the login's session");
        }
    }

    /// Asserts that the handler reads the data of its session, and that no other browser or owner
    /// inserted it.
    fn assert_reads(&self, session: &Session, holder: &Holder) {
        let reads = holder.reads();
        for key in OWN.into_iter().chain([COUNTER, TOKEN]) {
            let value = session.get::<u32>(key).unwrap();
            assert_eq!(value, reads.get(key).copied(), "{key}");
            let Some((browser, owner)) = value.filter(|_| key != COUNTER).map(|value| self.origins[&value]) else {
                continue;
            };
            assert_eq!(browser, holder.browser, "another browser put {key} in");
            assert!(owner.is_none() || owner == holder.owner(), "another owner put {key} in");
        }
        let owner = session.owner().unwrap();
        assert_eq!(owner, holder.owner().map(|owner| OWNERS[owner]), "the owner");
    }

    /// Asserts that every id that was ever announced finds the same in the store and in the model,
    /// and that the user of each browser is logged in.
    fn check(&mut self) {
        for (id, kept) in self.model.ids() {
            let stored = self.store.get(&id).unwrap();
            let (Some(stored), Some(kept)) = (&stored, kept) else {
                assert!(stored.is_none(), "an id that opens nothing opened {:?}", id.handle());
                assert!(kept.is_none(), "{:?} is there, and its id does not open it", id.handle());
                continue;
            };
            assert_eq!(stored.record.owner(), kept.owner.map(|owner| OWNERS[owner]));
            assert_eq!(stored.record.len(), kept.data.len());
            for (key, value) in &kept.data {
                assert_eq!(stored.record.get(key).unwrap(), Some(*value), "{key} was saved");
            }
        }
        for browser in 0..BROWSERS {
            let Some(login) = self.browsers[browser].login.filter(|login| self.model.holds(*login)) else { continue };
            let cookies = self.cookies(browser);
            let Some((_, id)) = cookies.last() else {
                // A persistent cookie ends before its session if a socket has prolonged that, or a
                // request whose response has not arrived.
                self.browsers[browser].login = None;
                self.model.meet("not promised: a persistent cookie ended");
                continue;
            };
            if self.model.opened_by(id).is_none() {
                // Its renewal was announced twice, and no response has arrived since.
                self.browsers[browser].login = None;
                self.model.meet("not promised: a renewed id that did not arrive");
                continue;
            }
            let is_there = self.model.leads_to(id) == Some(login) || cookies.len() > 1;
            assert!(is_there, "the user stays logged in");
        }
    }
}

/// The value in a `Set-Cookie` text.
fn value_of(text: &str) -> &str {
    text.split(';').next().and_then(|pair| pair.split_once('=')).unwrap().1
}

/// The id in a `Set-Cookie` text that is no removal.
fn id_of_text(text: &str) -> SessionId {
    id_of(value_of(text))
}

fn id_of(value: &str) -> SessionId {
    value.split('.').next().unwrap().parse().unwrap()
}
