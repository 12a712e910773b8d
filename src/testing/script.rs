//! A script is a rule written as steps. Each step is carried out on the store under test and on the
//! plain store, and the answers are compared.
//!
//! ```text
//! create a +key        creates session `a`, under its id if it has one; for the parts see below
//! commit a +key        commits for the version that `a` saw; for the parts see below
//! again 1 [a]          sends the first commit again, as a repeat
//! get, peek, visit, touch, destroy, everything a
//! hold, held-touch, held-destroy a     the same by the version that `a` saw
//! set a [b]            puts an empty record, or the record of `b`
//! forge b a [c]        makes `b`: another secret of the handle of `a`, the version that `c` saw
//! stale b a c          makes `b`: the id of `a`, the version that `c` saw
//! unknown b a          makes `b`: an id that no session has, the version that `a` saw
//! see a                `a` sees its session again
//! many 60 [ada]        creates 60 sessions [of this owner]
//! wait 1               lets a unit of time pass
//! over                 waits until a time of two units has ended
//! almost 1, tick       lets one unit minus one millisecond pass; lets one millisecond pass
//! list ada, all, clear, why a, end a [ada], epoch ada, destroy-all ada [a]
//! ```
//!
//! A commit has the parts `+key`, `+component.key`, `-key`, `clear`, `clear:component`, `fill:0-9`,
//! `timeout:9`, `timeout:`, `label:text`, `label:`, `remember`, `forget`, `exactly`, `repeated`,
//! `as:b` (a new id, `b`), `elsewhere:b` (with another handle), `renew:1` (a seed), `login:ada`,
//! `begun` (in the epoch last read), `limit:2`, `refuse:2`, `>b` (the announced id).
//!
//! The lease is given in units: `idle=2`, `idle=max`, `lifetime=`, `touch=`, `renew=`, `grace=`,
//! `remembered=9/9`. `Fixture::lease` has the other times.

use std::collections::BTreeMap;
use std::time::Duration;

use super::fixture::{Fixture, SeenSession, other_secret};
use super::verdict::{Checked, Verdict, broken, optional};
use crate::id::SessionId;
use crate::record::{Changes, Record};
use crate::store::{Action, AtLimit, Commit, Epoch, Identity, Lease, Limit, Login, Look, Owner, Store};

/// The names and steps of the rules in a text. Each name is a line, with its steps indented below
/// it.
pub(super) fn rules(text: &'static str) -> impl Iterator<Item = (&'static str, &'static str)> {
    text.split("\n\n").filter(|block| !block.starts_with('#')).filter_map(|rule| rule.trim().split_once('\n'))
}

/// Carries out the steps of a rule.
pub(super) fn run(fixture: &Fixture<'_>, steps: &str) -> Checked {
    let mut script = Script { fixture, sessions: BTreeMap::new(), epoch: Epoch::default(), sent: Vec::new() };
    let lines = steps.lines().filter(|line| !line.trim_start().starts_with('#'));
    let steps = lines.flat_map(|line| line.split(';')).map(str::trim);
    for (number, step) in steps.enumerate() {
        let words: Vec<&str> = step.split_whitespace().collect();
        script.step(&words).map_err(|verdict| verdict.at(format_args!("step {}, `{step}`", number + 1)))?;
    }
    Ok(())
}

struct Script<'a> {
    fixture: &'a Fixture<'a>,
    sessions: BTreeMap<String, SeenSession>,
    epoch: Epoch,
    sent: Vec<(SessionId, Commit)>,
}

impl Script<'_> {
    fn step(&mut self, words: &[&str]) -> Checked {
        let fixture = self.fixture;
        match *words {
            ["wait", units] => fixture.pass(number(units)?),
            ["over"] => fixture.over(),
            ["almost", units] => {
                fixture.clock()?.advance(fixture.units(number(units)?).saturating_sub(Duration::from_millis(1)));
            }
            ["tick"] => fixture.clock()?.advance(Duration::from_millis(1)),
            ["many", count, ref whose @ ..] => self.many(number(count)?, whose.first().copied())?,
            ["forge", name, of] => self.hold(name, other_secret(&self.session(of)?.id)?, of)?,
            ["forge", name, of, seen] => self.hold(name, other_secret(&self.session(of)?.id)?, seen)?,
            ["stale", name, of, seen] => self.hold(name, self.session(of)?.id, seen)?,
            ["unknown", name, seen] => self.hold(name, SessionId::random()?, seen)?,
            ["see", name] => self.see(name)?,
            ["list", name] => fixture.list(name)?,
            ["epoch", name] => self.epoch = fixture.epoch(name)?,
            ["destroy-all", name] => fixture.destroy_all(name, None)?,
            ["destroy-all", name, except] => fixture.destroy_all(name, Some(self.session(except)?.id.handle()))?,
            ["all"] => fixture.all()?,
            ["clear"] => optional(fixture.store.clear()).and(Ok(fixture.plain.clear()?))?,
            ["create", name, ref parts @ ..] => self.create(name, parts)?,
            ["commit", name, ref parts @ ..] => {
                let session = self.session(name)?;
                self.commit(&session, Commit::merge(session.version)?, parts)?;
            }
            ["again", which, ref name @ ..] => self.again(number(which)?, name.first().copied())?,
            [verb, name, ref rest @ ..] => self.with(verb, &self.session(name)?, rest)?,
            _ => return broken("no such step"),
        }
        Ok(())
    }

    /// Carries out a step with one session.
    fn with(&self, verb: &str, session: &SeenSession, rest: &[&str]) -> Checked {
        let (fixture, id) = (self.fixture, &session.id);
        let name = rest.first().copied().filter(|word| !word.contains('='));
        match verb {
            "get" => drop(fixture.get(id)?),
            "peek" => drop(fixture.look(id, Look::Peek, &self.lease(rest)?)?),
            "visit" => drop(fixture.look(id, Look::Visit, &self.lease(rest)?)?),
            "touch" => drop(fixture.apply(id, &Action::Touch(None), &self.lease(rest)?)?),
            "destroy" => drop(fixture.apply(id, &Action::End(None), &Lease::UNLIMITED)?),
            "hold" => drop(fixture.look(id, Look::Held(session.version), &self.lease(rest)?)?),
            "held-touch" => drop(fixture.apply(id, &Action::Touch(Some(session.version)), &self.lease(rest)?)?),
            "held-destroy" => drop(fixture.apply(id, &Action::End(Some(session.version)), &Lease::UNLIMITED)?),
            "everything" => fixture.everything(session)?,
            "end" => fixture.end(id, name)?,
            "why" => fixture.end_reason(id)?,
            "set" => {
                let record =
                    name.map(|of| fixture.found(&self.session(of)?.id)).transpose()?.unwrap_or_else(Record::new);
                fixture.set(id, &record, self.lease(rest)?.idle)?;
            }
            _ => return broken("no such step"),
        }
        Ok(())
    }

    fn session(&self, name: &str) -> Checked<SeenSession> {
        self.sessions.get(name).copied().ok_or_else(|| Verdict::Broken(format!("no session is called {name}")))
    }

    fn hold(&mut self, name: &str, id: SessionId, seen: &str) -> Checked {
        let held = SeenSession { id, ..self.session(seen)? };
        self.sessions.insert(name.to_owned(), held);
        Ok(())
    }

    fn see(&mut self, name: &str) -> Checked {
        let id = self.session(name)?.id;
        self.sessions.insert(name.to_owned(), SeenSession { id, version: self.fixture.found(&id)?.version() });
        Ok(())
    }

    fn many(&mut self, count: u32, whose: Option<&str>) -> Checked {
        for n in 0..count {
            let name = format!("{}{n}", whose.unwrap_or_default());
            self.create(&name, &["+n"])?;
            if let Some(whose) = whose {
                self.step(&["commit", &name, &format!("login:{whose}"), &format!("as:{name}")])?;
            }
        }
        Ok(())
    }

    fn create(&mut self, name: &str, parts: &[&str]) -> Checked {
        let create = Commit::create()?;
        let id = self.sessions.get(name).map_or_else(SessionId::random, |session| Ok(session.id))?;
        let session = SeenSession { id, version: crate::Version::default() };
        if let Some(created) = self.commit(&session, create, parts)? {
            self.sessions.insert(name.to_owned(), created);
        }
        Ok(())
    }

    fn again(&mut self, which: usize, name: Option<&str>) -> Checked {
        let sent = self.sent.get(which.wrapping_sub(1)).cloned();
        let Some((id, commit)) = sent else { return broken("no such commit") };
        let id = name.map_or(Ok(id), |name| self.session(name).map(|session| session.id))?;
        self.fixture.commit(&id, &commit.repeated()).map(drop)
    }

    /// Commits. If the commit is done, returns the session's id and version after it.
    fn commit(&mut self, session: &SeenSession, mut commit: Commit, parts: &[&str]) -> Checked<Option<SeenSession>> {
        let (mut new, mut announced) = (None, None);
        for part in parts.iter().filter(|part| !part.contains('=')) {
            let (word, rest) = part.split_once(':').unwrap_or((part, ""));
            commit = match word {
                "exactly" => Commit::exactly(session.version)?.with(commit.changes),
                "repeated" => commit.repeated(),
                "renew" => commit.with_identity(Identity::Renew(number(rest)?)),
                "as" | "elsewhere" => {
                    let id = if word == "as" { other_secret(&session.id)? } else { SessionId::random()? };
                    new = Some((rest, id));
                    commit.with_identity(Identity::Replace(id))
                }
                "login" => commit.log_in(Login::new(Owner::new(rest)?)),
                "begun" | "limit" | "refuse" => {
                    let Some(login) = &mut commit.login else { return broken("no login") };
                    match word {
                        "begun" => login.begun = Some(self.epoch),
                        "limit" => login.limit = Some(Limit { max: number(rest)?, at_limit: AtLimit::EndOldest }),
                        _ => login.limit = Some(Limit { max: number(rest)?, at_limit: AtLimit::RefuseNewest }),
                    }
                    commit
                }
                _ => {
                    announced = announced.or(word.strip_prefix('>'));
                    change(&mut commit.changes, word, rest, self.sent.len(), self.fixture)?;
                    commit
                }
            };
        }
        let receipt = self.fixture.apply(&session.id, &Action::Commit(&commit), &self.lease(parts)?)?;
        self.sent.push((session.id, commit));
        let done =
            receipt.map(|receipt| SeenSession { id: receipt.announce.unwrap_or(session.id), version: receipt.version });
        if let Some((name, id)) = new {
            let version = done.map_or(session.version, |done| done.version);
            self.sessions.insert(name.to_owned(), SeenSession { id, version });
        }
        if let Some(name) = announced {
            let Some(id) = receipt.and_then(|receipt| receipt.announce) else { return broken("no id is announced") };
            self.sessions.insert(name.to_owned(), SeenSession { id, ..*session });
        }
        Ok(done)
    }

    fn lease(&self, words: &[&str]) -> Checked<Lease> {
        let fixture = self.fixture;
        let units = |text: &str| if text == "max" { Ok(Duration::MAX) } else { number(text).map(|n| fixture.units(n)) };
        let mut lease = fixture.lease();
        for (name, value) in words.iter().filter_map(|word| word.split_once('=')) {
            match name {
                "idle" => lease.idle = units(value)?,
                "lifetime" => lease.lifetime = Some(units(value)?),
                "touch" => lease.touch_after = units(value)?,
                "renew" => lease.renew_after = Some(units(value)?),
                "grace" => lease.grace = units(value)?,
                _ => {
                    let (idle, lifetime) = value.split_once('/').unwrap_or((value, "max"));
                    lease.remembered = Some((units(idle)?, Some(units(lifetime)?)));
                }
            }
        }
        Ok(lease)
    }
}

/// Adds one part of a commit to its changes. `value` is set for all of its keys.
fn change(changes: &mut Changes, word: &str, rest: &str, value: usize, fixture: &Fixture<'_>) -> Checked {
    let key = word.get(1..).unwrap_or_default();
    let (component, key) = key.split_once('.').unwrap_or(("", key));
    match (word, word.get(..1)) {
        (_, Some("+")) => changes.insert(component, key, &value)?,
        (_, Some("-")) => changes.remove(component, key)?,
        ("clear", ..) if rest.is_empty() => changes.clear(),
        ("clear", ..) => changes.clear_component(rest.trim_matches('"')),
        ("timeout", ..) if rest.is_empty() => changes.set_timeout(None),
        ("timeout", ..) => changes.set_timeout(Some(fixture.units(number(rest)?))),
        ("label", ..) => changes.set_label(Some(rest).filter(|label| !label.is_empty()))?,
        ("remember" | "forget", ..) => changes.remember(word == "remember"),
        ("fill", ..) => {
            let (from, to) = rest.split_once('-').unwrap_or(("0", rest));
            let mut keys = number::<usize>(from)?..=number(to)?;
            keys.try_for_each(|key| changes.insert("", &key.to_string(), &value))?;
        }
        (_, Some(">")) => {}
        _ => return broken(format!("no such part of a commit: {word}")),
    }
    Ok(())
}

fn number<T: std::str::FromStr>(text: &str) -> Checked<T> {
    text.parse().map_err(|_| Verdict::Broken(format!("not a number: {text}")))
}
