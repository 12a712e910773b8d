//! The ledger: the outcomes that the application was told, and what must hold because of them.

use std::collections::{BTreeMap, BTreeSet};

use lembro::Handle;

/// The fate of every key that a request inserted. A run inserts each key once. Its name begins with
/// its user: `ada.cart`. `anon.` belongs to an anonymous session until a user logs in over it.
#[derive(Default)]
pub(crate) struct Ledger {
    /// Keys that were acknowledged and have not ended since. They must be stored.
    acked: BTreeMap<Handle, BTreeSet<String>>,
    /// Keys that were reported as not written. They must be stored nowhere.
    refused: BTreeSet<String>,
    /// Keys of an anonymous session that became a user's.
    private: BTreeMap<String, String>,
    owners: BTreeMap<Handle, String>,
    /// Sessions that may have another id by now than their client knows, or may have ended.
    unsure: BTreeSet<Handle>,
    /// Sessions whose owner is in doubt.
    disputed: BTreeSet<Handle>,
}

impl Ledger {
    /// A commit was acknowledged: a login, if there was one, and these keys.
    pub(crate) fn acknowledge(&mut self, handle: Handle, login: Option<String>, keys: &[String]) {
        if let Some(owner) = login {
            self.unsure.remove(&handle);
            let held = self.acked.entry(handle).or_default();
            match self.owners.get(&handle) {
                Some(before) if *before != owner => held.clear(),
                None if self.disputed.remove(&handle) => held.clear(),
                _ => {
                    for key in held.iter() {
                        self.private.insert(key.clone(), owner.clone());
                    }
                }
            }
            self.owners.insert(handle, owner);
        }
        let owner = self.owners.get(&handle);
        for key in keys {
            if let Some(owner) = owner {
                self.private.insert(key.clone(), owner.clone());
            }
            self.acked.entry(handle).or_default().insert(key.clone());
        }
    }

    /// The application was told that none of these keys was written.
    pub(crate) fn refuse(&mut self, keys: &[String]) {
        self.refused.extend(keys.iter().cloned());
    }

    /// The key was consumed.
    pub(crate) fn consume(&mut self, handle: Handle, key: &str) {
        self.acked.entry(handle).or_default().remove(key);
        self.refused.insert(key.to_owned());
    }

    /// The key may be there or not.
    pub(crate) fn doubt_key(&mut self, handle: Handle, key: &str) {
        self.acked.entry(handle).or_default().remove(key);
    }

    /// The session may have ended, or be out of reach of its client.
    pub(crate) fn doubt(&mut self, handle: Handle) {
        self.unsure.insert(handle);
    }

    /// It is not known whether the login was carried out. If it replaced another user, that user's
    /// data may be gone.
    pub(crate) fn doubt_login(&mut self, handle: Handle, owner: &str) {
        self.doubt(handle);
        if self.owners.get(&handle).is_some_and(|before| before != owner) {
            self.acked.remove(&handle);
            self.owners.remove(&handle);
            self.disputed.insert(handle);
        }
    }

    /// The session was ended on request.
    pub(crate) fn end(&mut self, handle: Handle) {
        self.acked.remove(&handle);
        self.owners.remove(&handle);
        self.unsure.remove(&handle);
    }

    /// The keys that a client of this session must find.
    pub(crate) fn expected(&self, handle: Handle) -> BTreeSet<String> {
        if self.unsure.contains(&handle) {
            return BTreeSet::new();
        }
        self.acked.get(&handle).cloned().unwrap_or_default()
    }

    pub(crate) fn expected_owner(&self, handle: Handle) -> Option<&str> {
        self.owners.get(&handle).filter(|_| !self.unsure.contains(&handle)).map(String::as_str)
    }

    /// The reason why this owner must not see this key.
    pub(crate) fn forbids(&self, owner: Option<&str>, key: &str) -> Option<String> {
        let named = key.split('.').next().filter(|user| *user != "anon");
        let whose = named.or_else(|| self.private.get(key).map(String::as_str))?;
        (owner != Some(whose)).then(|| format!("{key} of {whose} in a session of {owner:?}"))
    }

    pub(crate) fn is_refused(&self, key: &str) -> bool {
        self.refused.contains(key)
    }
}
