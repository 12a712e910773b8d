//! CSRF tokens: what a form of this session carries, and no other site can know.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::{Session, Stage};
use crate::error::Result;
use crate::id::{is_same, random_bytes};
use crate::record::{Changes, CsrfKey};
use crate::store::{Commit, Outcome, Store};

const KEY: usize = size_of::<CsrfKey>();

impl Session {
    /// A token for the forms of this session, to be put into a hidden field, and to be checked by
    /// [`check_csrf`](Self::check_csrf) when the form arrives (OWASP CSRF Prevention Cheat Sheet,
    /// "synchronizer token").
    ///
    /// The text is another one at each call, because it is masked, so a compressed page does not
    /// give it away (the BREACH attack). All of them are good until the session ends or a user
    /// [logs in](Self::log_in): what they are made from is new after that.
    ///
    /// The first token of a session is a change: a new session is stored by it, and announced to
    /// the client. On a stored session it is committed at once, by itself, so that pages that are
    /// made side by side have tokens that agree.
    ///
    /// The session's cookie is `SameSite=Lax` unless you say otherwise, which keeps most foreign
    /// forms out. The token is for the others: old browsers, sibling domains, `SameSite::None`.
    ///
    /// # Errors
    ///
    /// When the store or the random source failed.
    ///
    /// # Examples
    ///
    /// ```
    /// # use lembro::{LembroStore, Sessions};
    /// # let sessions = Sessions::new(LembroStore::new()?);
    /// # let mut session = sessions.generate()?;
    /// let field = format!(r#"<input type="hidden" name="csrf" value="{}">"#, session.csrf_token()?);
    /// # let from_form = session.csrf_token()?;
    /// assert!(session.check_csrf(&from_form)?);
    /// assert!(!session.check_csrf("made up")?);
    /// # Ok::<(), lembro::Error>(())
    /// ```
    pub fn csrf_token(&mut self) -> Result<String> {
        // A commit whose outcome is unknown may have logged in, and decides which tokens are good.
        if let Some(outcome) = self.settle()? {
            self.conclude(outcome)?;
        }
        let key = match self.csrf_key()? {
            Some(key) => key,
            None => self.draw_csrf()?,
        };
        let mask: CsrfKey = random_bytes()?;
        let mut masked = [0; 2 * KEY];
        masked[..KEY].copy_from_slice(&mask);
        masked[KEY..].copy_from_slice(&xor(mask, key));
        Ok(URL_SAFE_NO_PAD.encode(masked))
    }

    /// Returns true if a form brought a token of this session. Compares in constant time.
    ///
    /// A request without a session, or whose session began after the page was made, has no such
    /// token: answer it with 403 and a fresh form.
    ///
    /// If a token in a header opened the session, and not a cookie, the answer is true whatever the
    /// text is: a browser sends cookies by itself, also with another site's form, but such a header
    /// is put there by code that has the token. So a handler may serve both kinds of clients.
    ///
    /// # Errors
    ///
    /// When the store failed.
    #[must_use = "a form without the token may be another site's"]
    pub fn check_csrf(&self, token: &str) -> Result<bool> {
        if self.is_opened_by_token()? {
            return Ok(true);
        }
        let stored = self.stored_csrf()?;
        let mut masked = [0; 2 * KEY];
        if URL_SAFE_NO_PAD.decode_slice(token, &mut masked) != Ok(2 * KEY) {
            return Ok(false);
        }
        let [mask, key] = [&masked[..KEY], &masked[KEY..]].map(|half| half.try_into().unwrap_or_default());
        let key = xor(mask, key);
        Ok([stored, self.draft.changes.csrf()].iter().flatten().any(|expected| is_same(expected, &key)))
    }

    /// What the tokens are made from that are good after the next commit.
    fn csrf_key(&self) -> Result<Option<CsrfKey>> {
        let stored = if self.draft.login.is_some() { None } else { self.stored_csrf()? };
        Ok(stored.or(self.draft.changes.csrf()))
    }

    fn stored_csrf(&self) -> Result<Option<CsrfKey>> {
        Ok(match &self.state()?.stage {
            Stage::Live(live) => live.record(&self.context.lease).head().csrf,
            Stage::New | Stage::Ended(_) | Stage::Without(_) => None,
        })
    }

    fn draw_csrf(&mut self) -> Result<CsrfKey> {
        let key = random_bytes()?;
        let is_login = self.draft.login.is_some();
        let (id, stage) = (self.id()?, &self.state()?.stage);
        match stage {
            Stage::Live(live) if !is_login => {
                let mut changes = Changes::new();
                changes.set_csrf(key);
                let commit = Commit::merge(live.version)?.with(changes);
                if let Outcome::Done(_) = self.context.store.commit(&id, &commit, &self.context.lease)?
                    && self.look_again()?.is_none()
                {
                    return Ok(self.stored_csrf()?.unwrap_or(key));
                }
            }
            Stage::Live(_) | Stage::New => self.draft.changes.set_csrf(key),
            // No form of this page will find a session.
            Stage::Ended(_) | Stage::Without(_) => {}
        }
        Ok(key)
    }
}

fn xor(mask: CsrfKey, key: CsrfKey) -> CsrfKey {
    (u128::from_ne_bytes(mask) ^ u128::from_ne_bytes(key)).to_ne_bytes()
}
