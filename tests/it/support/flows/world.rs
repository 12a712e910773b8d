//! A site, its browsers and their requests, with checks of the promises at every step.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::error::Error as _;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crossbeam_channel::Receiver;
use lembro::testing::Jar;
use lembro::web::{LostChange, RequestHead, SessionLayer};
use lembro::{Error, Handle, ManualClock, Owner, Policy, Record, Result, Saved, Session, SessionId};
use rouille::{Request, Response as Page};

use super::ledger::Ledger;
use super::store::{FaultKind, FaultyStore};

/// How a server calls the layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CallStyle {
    /// `load`, the handler, `finish`, and `fail` on an error.
    ByHand,
    /// `layer.rouille`.
    Adapter,
}

pub(crate) struct World {
    pub(crate) layer: SessionLayer,
    /// The layer over the store below, which never fails.
    probe: SessionLayer,
    pub(crate) time: ManualClock,
    store: Arc<FaultyStore>,
    errors: Receiver<Error>,
    way: CallStyle,
    faults: Vec<(usize, FaultKind)>,
    armed_at: Cell<Option<usize>>,
    met: Cell<usize>,
    requests: Cell<usize>,
    ledger: RefCell<Ledger>,
    complaints: RefCell<Vec<String>>,
    trace: RefCell<Vec<String>>,
}

const URL: &str = "https://example.com/";

/// A browser and every cookie that it ever had.
#[derive(Clone, Default)]
pub(crate) struct Browser {
    jar: Jar,
    held: BTreeSet<String>,
    /// A cookie of another path, which the browser sends too.
    pub(crate) other: Option<String>,
}

/// A response on its way to the browser.
#[must_use = "it is delivered or lost"]
pub(crate) struct Response {
    cookie: Option<String>,
    /// The session that a login or a first save is about.
    handle: Option<Handle>,
    logged_in: bool,
    pub(crate) is_ok: bool,
}

/// A request, as its handler sees it.
pub(crate) struct Visit<'w> {
    world: &'w World,
    pub(crate) session: &'w mut Session,
    log: &'w mut Log,
    cookie: String,
}

/// The changes of a request so far, and the outcomes that it was told.
#[derive(Default)]
struct Log {
    /// Keys that were inserted and not acknowledged yet.
    pending: Vec<String>,
    login: Option<String>,
    has_login: bool,
    /// A commit's outcome was unknown, and no later one was acknowledged.
    in_doubt: bool,
    handle: Option<Handle>,
}

enum End {
    Saved(Saved),
    Failed(Error),
    /// The status page of an adapter.
    Status(u16, Option<Error>),
    Panicked,
}

/// The payload of a handler's intended panic.
struct Thrown;

impl World {
    pub(crate) fn new(
        (store, time): (Arc<dyn lembro::Store>, ManualClock),
        policy: Policy,
        way: CallStyle,
        faults: &[(usize, FaultKind)],
    ) -> Self {
        let probe = SessionLayer::new(Arc::clone(&store)).policy(policy.clone()).unwrap();
        let store = Arc::new(FaultyStore::new(store));
        let layer = SessionLayer::new(Arc::clone(&store)).policy(policy).unwrap();
        let layer = layer.lost_change(if way == CallStyle::Adapter { LostChange::Refuse } else { LostChange::Serve });
        Self {
            errors: layer.errors(),
            layer,
            probe,
            time,
            store,
            way,
            faults: faults.to_vec(),
            armed_at: Cell::new(None),
            met: Cell::new(0),
            requests: Cell::new(0),
            ledger: RefCell::default(),
            complaints: RefCell::default(),
            trace: RefCell::default(),
        }
    }

    /// From here on the calls to the store are counted, and the chosen ones fail.
    pub(crate) fn arm(&self) {
        assert!(self.complaints.borrow().is_empty(), "before any fault: {:?}", self.complaints.borrow());
        for (nth, kind) in &self.faults {
            self.store.fail(*nth, *kind);
        }
        self.armed_at.set(Some(self.store.calls()));
    }

    /// From here on no call fails. Counts the faults that were met.
    pub(crate) fn disarm(&self) {
        let Some(armed_at) = self.armed_at.take() else { return };
        let calls = self.store.calls() - armed_at;
        self.met.set(self.faults.iter().filter(|(nth, _)| *nth <= calls).count());
        self.store.heal();
    }

    pub(crate) fn met(&self) -> usize {
        self.met.get()
    }

    pub(crate) fn requests(&self) -> usize {
        self.requests.get()
    }

    pub(crate) fn complaints(&self) -> Vec<String> {
        self.complaints.take()
    }

    /// The requests of the run, each in a line.
    pub(crate) fn trace(&self) -> String {
        self.trace.borrow().iter().map(|request| format!("\n        {request}")).collect()
    }

    pub(crate) fn complain(&self, problem: impl Into<String>) {
        self.complaints.borrow_mut().push(problem.into());
    }

    fn is_armed(&self) -> bool {
        self.armed_at.get().is_some()
    }

    pub(crate) fn advance(&self, time: Duration) {
        self.time.advance(time);
    }

    /// The number of a user's sessions, counted past all faults.
    pub(crate) fn count(&self, owner: &str) -> usize {
        self.store.below().owners().unwrap().count(&Owner::new(owner).unwrap()).unwrap()
    }

    pub(crate) fn now(&self) -> SystemTime {
        lembro::Clock::from(&self.time).wall()
    }

    /// One request with these cookies. The response is on its way.
    pub(crate) fn request(&self, cookie: &str, handler: impl FnOnce(&mut Visit<'_>) -> Result<()>) -> Response {
        self.requests.set(self.requests.get() + 1);
        let mut log = Log::default();
        let (set_cookie, end) = match self.way {
            CallStyle::ByHand => self.by_hand(cookie, &mut log, handler),
            CallStyle::Adapter => self.by_adapter(cookie, &mut log, handler),
        };
        let ended = match &end {
            End::Saved(saved) => format!("{saved:?}"),
            End::Failed(error) => format!("{error:?}"),
            End::Status(status, error) => format!("{status} {error:?}"),
            End::Panicked => "panicked".to_owned(),
        };
        self.trace.borrow_mut().push(format!(
            "{:?} {cookie:?}, put in {:?}: {ended}, {set_cookie:?}, calls {:?}",
            self.now(),
            log.pending,
            self.armed_at.get().map(|armed_at| self.store.calls() - armed_at)
        ));
        // It may arrive after the response to another request that brought a new id.
        let told = set_cookie.as_deref().and_then(id_of);
        if told.is_some() && told == id_of(cookie) && matches!(end, End::Failed(_) | End::Panicked) {
            self.complain("the page for an error brings the id that the client has");
        }
        let mut handle = log.handle;
        if let Some(set) = set_cookie.as_deref().and_then(handle_of) {
            handle = Some(set);
        }
        let is_ok = self.note(handle, &mut log, &end);
        Response { cookie: set_cookie, handle, logged_in: log.has_login, is_ok }
    }

    fn by_hand(
        &self,
        cookie: &str,
        log: &mut Log,
        handler: impl FnOnce(&mut Visit<'_>) -> Result<()>,
    ) -> (Option<String>, End) {
        let mut session = self.layer.load(RequestHead::new((!cookie.is_empty()).then_some(cookie)).secure(true));
        let visit = &mut Visit { world: self, session: &mut session, log, cookie: cookie.to_owned() };
        let answered = catch_unwind(AssertUnwindSafe(|| handler(visit)));
        let (end, finished) = match answered {
            Ok(Ok(())) => match self.layer.finish(&mut session) {
                Ok(finished) => (End::Saved(finished.saved()), finished),
                Err(error) => (End::Failed(error), self.layer.fail(&mut session)),
            },
            Ok(Err(error)) => (End::Failed(error), self.layer.fail(&mut session)),
            Err(payload) if payload.is::<Thrown>() => (End::Panicked, self.layer.fail(&mut session)),
            Err(payload) => resume_unwind(payload),
        };
        if log.handle.is_some() {
            log.handle = session.handle().ok();
            self.check_shown(&session);
        }
        (finished.cookie().map(str::to_owned), end)
    }

    fn by_adapter(
        &self,
        cookie: &str,
        log: &mut Log,
        handler: impl FnOnce(&mut Visit<'_>) -> Result<()>,
    ) -> (Option<String>, End) {
        let headers = if cookie.is_empty() { vec![] } else { vec![("Cookie".to_owned(), cookie.to_owned())] };
        let request = Request::fake_https("GET", "/", headers, Vec::new());
        let mut failed = None;
        let page = self.layer.rouille(&request, |session| {
            let answered = handler(&mut Visit { world: self, session, log, cookie: cookie.to_owned() });
            if log.handle.is_some() {
                log.handle = session.handle().ok();
                self.check_shown(session);
            }
            failed = answered.as_ref().err().cloned();
            answered.map(|()| Page::text("a page"))
        });
        let set = page.headers.iter().find(|(name, _)| name == "Set-Cookie").map(|(_, value)| value.to_string());
        (set, End::Status(page.status_code, failed))
    }

    /// Enters the outcome of a request into the ledger. Returns true for a success.
    fn note(&self, handle: Option<Handle>, log: &mut Log, end: &End) -> bool {
        let (is_done, is_unknown, is_ok) = match end {
            End::Saved(Saved::Written) | End::Status(200, _) => (true, false, true),
            // A new session that could not be stored may exist, and no client has its id.
            End::Saved(Saved::Skipped) => (false, true, true),
            End::Saved(_) => (false, false, true),
            End::Failed(error) | End::Status(_, Some(error)) => (false, error.is_unknown(), false),
            // The page does not name the error.
            End::Status(503, None) => (false, true, false),
            End::Status(..) | End::Panicked => (false, false, false),
        };
        let error = match end {
            End::Failed(error) | End::Status(_, Some(error)) => Some(error),
            _ => None,
        };
        let is_plain = error.is_some_and(|error| error.is_size() || error.is_too_many_logins());
        let fails = matches!(end, End::Failed(_) | End::Status(400.., _));
        if fails && !self.is_armed() && !is_plain && !matches!(end, End::Status(500 | 409, None)) {
            self.complain(format!("without a fault a request failed: {error:?}"));
        }
        let keys = std::mem::take(&mut log.pending);
        if is_done && let Some(handle) = handle {
            self.ledger.borrow_mut().acknowledge(handle, log.login.take(), &keys);
        } else if is_unknown || log.in_doubt {
            if let (Some(owner), Some(handle)) = (&log.login, handle) {
                self.ledger.borrow_mut().doubt_login(handle, owner);
            }
        } else {
            self.ledger.borrow_mut().refuse(&keys);
        }
        is_ok
    }

    /// Notes that the session of a browser ended, by time or by another browser's login.
    pub(crate) fn ended(&self, browser: &Browser) {
        handle_of(&browser.header(self.now())).into_iter().for_each(|handle| self.ledger.borrow_mut().end(handle));
    }

    /// Notes that the session of a browser may have ended.
    pub(crate) fn may_have_ended(&self, browser: &Browser) {
        handle_of(&browser.header(self.now())).into_iter().for_each(|handle| self.ledger.borrow_mut().doubt(handle));
    }

    /// Hands a response to its browser.
    pub(crate) fn deliver(&self, browser: &mut Browser, response: &Response) {
        if let Some(cookie) = &response.cookie {
            assert!(browser.jar.receive(cookie, URL, self.now()), "{cookie}");
            let pair = cookie.split(';').next().unwrap();
            if !pair.ends_with('=') {
                browser.held.insert(pair.to_owned());
            }
        }
    }

    /// Loses a response. The client of a login does not learn its id.
    pub(crate) fn lose(&self, response: &Response) {
        if let Some(handle) = response.handle.filter(|_| response.logged_in) {
            self.ledger.borrow_mut().doubt(handle);
        }
    }

    /// A request whose response arrives. Its handler looks first.
    pub(crate) fn visit(&self, browser: &mut Browser, handler: impl FnOnce(&mut Visit<'_>) -> Result<()>) -> bool {
        let response = self.request(&browser.header(self.now()), |visit| {
            visit.look()?;
            handler(visit)
        });
        let is_ok = response.is_ok;
        self.deliver(browser, &response);
        is_ok
    }

    pub(crate) fn log_out(&self, browser: &mut Browser) -> bool {
        self.visit(browser, |visit| {
            visit.log_out()?;
            Ok(())
        })
    }

    /// Checks that a session shows only its owner's keys.
    fn check_shown(&self, session: &Session) {
        let (Ok(owner), Ok(keys)) = (session.owner(), session.keys()) else { return };
        let ledger = self.ledger.borrow();
        for problem in keys.filter_map(|key| ledger.forbids(owner, key)) {
            self.complain(format!("(b) a request is shown {problem}"));
        }
    }

    /// Checks that stored keys are their owner's, and that no refused key is stored.
    pub(crate) fn check_stored(&self) {
        let ledger = self.ledger.borrow();
        let all = match self.store.below().all() {
            // A store that cannot list is checked by the browsers that come back.
            Err(error) if error.is_unsupported() => return,
            all => all.unwrap(),
        };
        for listed in all {
            let record = listed.unwrap_or_else(|error| panic!("{error}: {:?}", error.source())).stored.record;
            for (_, key, _) in record.entries() {
                if let Some(problem) = ledger.forbids(record.owner(), key) {
                    self.complain(format!("(b) stored: {problem}"));
                }
                if ledger.is_refused(key) {
                    self.complain(format!("(d) {key} is stored, and the request was told that it is not"));
                }
            }
        }
    }

    /// The owner and the keys of the session that this cookie opens.
    fn opened_by(&self, cookie: &str) -> Option<(Option<String>, Vec<String>)> {
        let head = RequestHead::new([cookie]).secure(true);
        let mut session = self.probe.load(head);
        session.peek();
        if session.is_new().unwrap() || session.is_gone().unwrap() {
            return None;
        }
        self.check_shown(&session);
        let keys = session.keys().unwrap().map(str::to_owned).collect();
        Some((session.owner().unwrap().map(str::to_owned), keys))
    }

    pub(crate) fn check_held(&self, browser: &Browser) {
        browser.held.iter().for_each(|cookie| drop(self.opened_by(cookie)));
    }

    /// Checks that no cookie opens a session after a logout.
    pub(crate) fn check_closed(&self, browser: &Browser) {
        for cookie in browser.held.iter().chain(&browser.other) {
            if let Some((owner, keys)) = self.opened_by(cookie) {
                self.complain(format!("(f) after a logout a cookie opens a session of {owner:?} with {keys:?}"));
            }
        }
    }

    /// The browser goes on without faults.
    pub(crate) fn go_on(&self, browser: &mut Browser, owner: &str, is_strict: bool) {
        self.disarm();
        self.check_stored();
        self.check_held(browser);
        self.visit(browser, |visit| visit.put("anon.going-on"));
        self.visit(browser, |_| Ok(()));
        let is_ok = self.visit(browser, |visit| {
            visit.log_in(owner)?;
            visit.put(&format!("{owner}.again"))
        });
        if !is_ok {
            self.complain("(a) the browser may not log in again");
        }
        let found = self.opened_by(&browser.header(self.now()));
        if !found
            .is_some_and(|(found, keys)| found.as_deref() == Some(owner) && keys.contains(&format!("{owner}.again")))
        {
            self.complain("(a) the browser logged in again, and the next request does not find it");
        }
        self.check_stored();
        self.check_held(browser);
        self.log_out(browser);
        if is_strict {
            self.check_closed(browser);
        }
        self.check_stored();
    }

    /// Checks that each fault is reported once.
    pub(crate) fn check_reports(&self) {
        let reported: Vec<_> = self.errors.try_iter().filter(Error::is_store).collect();
        let (met, failures) = (self.met(), self.met() + self.store.own_errors());
        // A visit that fails is tried as a peek, and if that fails too, the request fails once.
        let at_least = if met < 2 { failures } else { failures - 1 };
        if !(at_least..=failures).contains(&reported.len()) {
            self.complain(format!("(e) {failures} failures, {} reported", reported.len()));
        }
    }
}

impl Browser {
    /// The `Cookie` header of its next request.
    pub(crate) fn header(&self, now: SystemTime) -> String {
        let own = Some(self.jar.header(URL, now)).filter(|own| !own.is_empty());
        own.into_iter().chain(self.other.clone()).collect::<Vec<_>>().join("; ")
    }

    /// Closes and opens the browser. Only persistent cookies stay.
    pub(crate) fn restart(&mut self) {
        self.jar.close();
    }
}

impl Visit<'_> {
    /// Looks at the session, and checks that every expected key is there.
    pub(crate) fn look(&mut self) -> Result<()> {
        let is_gone = self.session.is_gone()?;
        self.log.handle = Some(self.session.handle()?);
        self.world.check_shown(self.session);
        let found: BTreeSet<_> = self.session.keys()?.map(str::to_owned).collect();
        let Some(presented) = handle_of(&self.cookie) else { return Ok(()) };
        let ledger = self.world.ledger.borrow();
        let missing: Vec<_> = ledger.expected(presented).difference(&found).cloned().collect();
        // A store that is down may leave a request without a session.
        let is_without = self.world.is_armed() && self.is_without();
        if !missing.is_empty() && !is_without {
            self.world.complain(format!("(c) {missing:?} were acknowledged and are lost (gone: {is_gone})"));
        }
        if let Some(owner) = ledger.expected_owner(presented).filter(|_| !is_without)
            && self.session.owner()? != Some(owner)
        {
            self.world.complain(format!("(a) the cookie of {owner}'s session leads nowhere (gone: {is_gone})"));
        }
        Ok(())
    }

    pub(crate) fn put(&mut self, key: &str) -> Result<()> {
        self.session.insert(key, &true)?;
        self.log.handle = Some(self.session.handle()?);
        self.log.pending.push(key.to_owned());
        Ok(())
    }

    pub(crate) fn log_in(&mut self, owner: &str) -> Result<()> {
        self.session.log_in(owner)?;
        self.log.handle = Some(self.session.handle()?);
        (self.log.login, self.log.has_login) = (Some(owner.to_owned()), true);
        self.world.check_shown(self.session);
        Ok(())
    }

    /// An early `save`.
    pub(crate) fn save(&mut self) -> Result<Saved> {
        let saved = self.session.save();
        if matches!(saved, Ok(Saved::Gone)) {
            self.discarded();
        }
        self.told(saved, |saved| *saved == Saved::Written)
    }

    pub(crate) fn count(&mut self) -> Result<()> {
        let counted = self.session.modify("anon.count", |count: &mut Option<u64>| *count.get_or_insert(0) += 1);
        if matches!(counted, Ok(None)) {
            self.discarded();
        }
        self.told(counted, Option::is_some).map(drop)
    }

    /// Returns true if the request goes on without a session, because the store is down.
    pub(crate) fn is_without(&self) -> bool {
        format!("{:?}", self.session).contains("store unavailable")
    }

    pub(crate) fn counted(&self) -> Result<u64> {
        Ok(self.session.get("anon.count")?.unwrap_or(0))
    }

    /// Takes a value that works once. Returns true if this request got it.
    pub(crate) fn consume(&mut self, key: &str) -> Result<bool> {
        let presented = self.session.handle()?;
        let consumed = self.session.consume::<bool>(key);
        match &consumed {
            Ok(Some(_)) => self.world.ledger.borrow_mut().consume(presented, key),
            Err(error) if error.is_unknown() => self.world.ledger.borrow_mut().doubt_key(presented, key),
            _ => {}
        }
        self.told(consumed, Option::is_some).map(|got| got.is_some())
    }

    pub(crate) fn log_out(&mut self) -> Result<()> {
        let presented: Vec<_> = self.cookie.split("; ").filter_map(handle_of).chain(self.log.handle).collect();
        let ended = self.session.log_out();
        for handle in presented {
            match &ended {
                Ok(()) => self.world.ledger.borrow_mut().end(handle),
                Err(_) => self.world.ledger.borrow_mut().doubt(handle),
            }
        }
        if ended.is_ok() {
            self.discarded();
        }
        ended
    }

    pub(crate) fn destroy_others(&mut self) -> Result<usize> {
        let ended = self.session.destroy_others();
        if ended.is_err() {
            // Unsaved changes were saved first.
            self.log.in_doubt = true;
        }
        self.told(ended, |_| true)
    }

    /// Logs a user out everywhere.
    pub(crate) fn destroy_all(&mut self, owner: &str, handles: &[Handle]) -> Result<usize> {
        let ended = self.world.layer.sessions().owner(owner)?.destroy_all();
        for handle in handles {
            match &ended {
                Ok(_) => self.world.ledger.borrow_mut().end(*handle),
                Err(_) => self.world.ledger.borrow_mut().doubt(*handle),
            }
        }
        ended
    }

    /// Goes on with a session that this request creates.
    pub(crate) fn attach(&mut self, key: &str) -> Result<()> {
        let record: Record = [(key, true)].into_iter().collect();
        let other = self.world.layer.sessions().create_session(&SessionId::random()?, record)?;
        self.log.handle = Some(other.handle()?);
        self.world.ledger.borrow_mut().acknowledge(other.handle()?, None, &[key.to_owned()]);
        self.session.attach(other)
    }

    /// The error of an application.
    #[expect(clippy::unused_self, reason = "a flow calls it on its request, as all the others")]
    pub(crate) fn break_off(&self) -> Result<()> {
        Err(Error::size("the page cannot be made"))
    }

    #[expect(clippy::unused_self, reason = "as above")]
    pub(crate) fn panic(&self) -> Result<()> {
        resume_unwind(Box::new(Thrown))
    }

    /// The session ended under the request, which was told that nothing was written.
    fn discarded(&mut self) {
        self.log.login = None;
        self.log.in_doubt = false;
        self.world.ledger.borrow_mut().refuse(&std::mem::take(&mut self.log.pending));
    }

    /// Notes the outcome of a commit within the handler.
    fn told<T>(&mut self, result: Result<T>, is_done: impl FnOnce(&T) -> bool) -> Result<T> {
        let log = &mut *self.log;
        match &result {
            Ok(value) if is_done(value) => {
                log.handle = Some(self.session.handle()?);
                let (login, keys) = (log.login.take(), std::mem::take(&mut log.pending));
                if let Some(handle) = log.handle {
                    self.world.ledger.borrow_mut().acknowledge(handle, login, &keys);
                }
                log.in_doubt = false;
            }
            Err(error) if error.is_unknown() => log.in_doubt = true,
            _ => {}
        }
        self.world.check_shown(self.session);
        result
    }
}

/// The handle in the first cookie of a header.
pub(crate) fn handle_of(cookie: &str) -> Option<Handle> {
    id_of(cookie).map(|id| id.handle())
}

fn id_of(cookie: &str) -> Option<SessionId> {
    let value = cookie.split(';').next()?.trim().strip_prefix("id=")?;
    value.split('.').next()?.parse().ok()
}
