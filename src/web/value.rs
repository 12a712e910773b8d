//! The text of an id in a cookie or in a header.
//!
//! ```text
//! value  = id [ "." written ] [ "." signature ]
//! ```
//!
//! Values of persistent cookies have `written`, the time at which the cookie was written, in
//! seconds since 1970. The session cannot tell the cookie's age, because a WebSocket or a job may
//! have prolonged the session since. A client that forges the time only changes when its own cookie
//! is written again. The signature covers the text before it, and the name of the cookie or the
//! header.

use std::time::{Duration, UNIX_EPOCH};

use super::keys::Signer;
use crate::id::SessionId;
use crate::session::{Candidate, Carrier};

/// The longest value that lembro writes: an id, 20 digits, a signature of 43 characters.
pub(super) const MAX_VALUE: usize = SessionId::TEXT_LEN + 1 + 20 + 1 + 43;

/// The most signatures that are verified for one request. Each costs a hash for every key, and a
/// header has room for hundreds.
const MAX_SIGNATURES: usize = 16;

/// Returns true if lembro can have written a value, judged by its length and first characters.
pub(super) fn may_be_value(value: &[u8]) -> bool {
    let is_of_id = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_".contains(byte);
    value.len() <= MAX_VALUE
        && value
            .split_at_checked(SessionId::TEXT_LEN)
            .is_some_and(|(id, rest)| matches!(rest, [] | [b'.', ..]) && id.iter().all(is_of_id))
}

/// Writes a value for this cookie or header.
pub(super) fn write(signer: Option<&Signer>, name: &str, id: &SessionId, written: Option<u64>) -> String {
    let mut value = id.expose();
    if let Some(seconds) = written {
        value += &format!(".{seconds}");
    }
    if let Some(signer) = signer {
        let signature = signer.sign(name, &value);
        value += &format!(".{signature}");
    }
    value
}

/// Reads the values of one request, and counts their signatures.
pub(super) struct ValueReader<'s> {
    signer: Option<&'s Signer>,
    signatures: usize,
}

impl<'s> ValueReader<'s> {
    pub(super) fn new(signer: Option<&'s Signer>) -> Self {
        Self { signer, signatures: 0 }
    }

    /// The id in the value of the cookie or the header of this name. `None` if the value is
    /// malformed, or if the layer signs and the signature is not valid.
    pub(super) fn read(&mut self, carrier: Carrier, name: &str, value: &[u8]) -> Option<Candidate> {
        // The length is checked first, because parsing would allocate an error for each foreign
        // cookie.
        if !(SessionId::TEXT_LEN..=MAX_VALUE).contains(&value.len()) {
            return None;
        }
        let value = str::from_utf8(value).ok()?;
        let (content, key) = match self.signer {
            None => (value, 0),
            Some(signer) => {
                let (content, signature) = value.rsplit_once('.')?;
                self.signatures += 1;
                if self.signatures > MAX_SIGNATURES {
                    return None;
                }
                (content, signer.verify(name, content, signature)?)
            }
        };
        let (id, written) = match content.split_once('.') {
            None => (content, None),
            Some((id, seconds)) => (id, Some(read_seconds(seconds)?)),
        };
        if id.len() != SessionId::TEXT_LEN || carrier == Carrier::Token && written.is_some() {
            return None;
        }
        Some(Candidate { id: id.parse().ok()?, carrier, written, well_signed: key == 0 })
    }
}

/// Reads digits without a leading zero, so that one time has one text.
fn read_seconds(text: &str) -> Option<u64> {
    let canonical = text.bytes().all(|byte| byte.is_ascii_digit()) && (text.len() == 1 || !text.starts_with('0'));
    let seconds = canonical.then(|| text.parse().ok())??;
    UNIX_EPOCH.checked_add(Duration::from_secs(seconds)).map(|_| seconds)
}
