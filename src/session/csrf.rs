//! CSRF tokens: secrets in the forms of a session, which other sites cannot know.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::Session;
use super::state::Stage;
use crate::error::Result;
use crate::id::{is_same, random_bytes};
use crate::record::{Changes, CsrfKey};
use crate::store::{Commit, Outcome, Store};

const KEY: usize = size_of::<CsrfKey>();

impl Session {
    /// A token for a hidden field in the forms of this session. [`check_csrf`](Self::check_csrf)
    /// checks it when the form arrives (OWASP CSRF Prevention Cheat Sheet, "synchronizer token").
    ///
    /// Each call returns another text, because the token is masked, so that a compressed page does
    /// not give it away (the BREACH attack). All of these texts are valid until the session ends or
    /// a user [logs in](Self::log_in).
    ///
    /// The first token of a session is a change: a new session is stored because of it, and the
    /// response announces it. On a stored session the token's key is committed at once and alone,
    /// so that pages that are made in parallel have tokens that agree.
    ///
    /// The session's cookie is `SameSite=Lax` by default, which stops most forms of other sites.
    /// The token stops the rest: old browsers, sibling domains, `SameSite::None`.
    ///
    /// # Errors
    ///
    /// If the store or the random source fails.
    ///
    /// # Examples
    ///
    /// ```
    /// # use lembro::{LembroStore, Sessions};
    /// # let sessions = Sessions::new(LembroStore::new()?);
    /// # let mut session = sessions.generate()?;
    /// let token = session.csrf_token()?;
    /// let field = format!(r#"<input type="hidden" name="csrf" value="{token}">"#);
    /// assert!(session.check_csrf(&token)?);
    /// assert!(!session.check_csrf("made up")?);
    /// # Ok::<(), lembro::Error>(())
    /// ```
    pub fn csrf_token(&mut self) -> Result<String> {
        // A commit whose outcome is unknown may be a login, which replaces the key.
        self.settle()?;
        let key = match self.csrf_key()? {
            Some(key) => key,
            None => self.draw_csrf_key()?,
        };
        let mask: CsrfKey = random_bytes()?;
        let mut masked = [0; 2 * KEY];
        masked[..KEY].copy_from_slice(&mask);
        masked[KEY..].copy_from_slice(&xor(mask, key));
        Ok(URL_SAFE_NO_PAD.encode(masked))
    }

    /// Returns true if `token` is one of this session's tokens. Compares in constant time.
    ///
    /// If it returns false, answer with status 403 and a new form. This happens to honest clients,
    /// too, if the session of the page has ended.
    ///
    /// If a token in a header opened the session instead of a cookie, the result is always true, so
    /// one handler can serve both kinds of clients. A browser sends cookies with another site's
    /// form, too, but only the client's own code can send such a header.
    ///
    /// # Errors
    ///
    /// If the first look fails.
    #[must_use = "a form without the token may be another site's"]
    pub fn check_csrf(&self, token: &str) -> Result<bool> {
        if self.is_opened_by_token()? {
            return Ok(true);
        }
        let stored = self.stored_csrf_key()?;
        let mut masked = [0; 2 * KEY];
        if URL_SAFE_NO_PAD.decode_slice(token, &mut masked) != Ok(2 * KEY) {
            return Ok(false);
        }
        let [mask, key] = [&masked[..KEY], &masked[KEY..]].map(|half| half.try_into().unwrap_or_default());
        let key = xor(mask, key);
        Ok([stored, self.draft.changes.csrf()].iter().flatten().any(|expected| is_same(expected, &key)))
    }

    /// The key of the tokens that are valid after the next commit.
    fn csrf_key(&self) -> Result<Option<CsrfKey>> {
        let stored = if self.draft.login.is_some() { None } else { self.stored_csrf_key()? };
        Ok(stored.or(self.draft.changes.csrf()))
    }

    fn stored_csrf_key(&self) -> Result<Option<CsrfKey>> {
        Ok(match &self.state()?.stage {
            Stage::Live(live) => live.record(&self.context.lease).head().csrf,
            Stage::New | Stage::Ended(_) | Stage::StoreUnavailable(_) => None,
        })
    }

    fn draw_csrf_key(&mut self) -> Result<CsrfKey> {
        let key = random_bytes()?;
        let is_login = self.draft.login.is_some();
        let (id, stage) = (self.id()?, &self.state()?.stage);
        match stage {
            Stage::Live(live) if !is_login => {
                let mut changes = Changes::new();
                changes.set_csrf(key);
                let commit = Commit::merge(live.version)?.with(changes);
                if let Outcome::Done(_) = self.context.store.commit(&id, &commit, &self.context.lease)?
                    && self.refresh()?.is_none()
                {
                    return Ok(self.stored_csrf_key()?.unwrap_or(key));
                }
            }
            Stage::Live(_) | Stage::New => self.draft.changes.set_csrf(key),
            // No session will be stored, so no token of this page can be valid.
            Stage::Ended(_) | Stage::StoreUnavailable(_) => {}
        }
        Ok(key)
    }
}

fn xor(mask: CsrfKey, key: CsrfKey) -> CsrfKey {
    (u128::from_ne_bytes(mask) ^ u128::from_ne_bytes(key)).to_ne_bytes()
}
