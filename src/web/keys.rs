//! Signatures of cookies and tokens: HMAC-SHA256 under a list of keys, of which the first signs and
//! all verify.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::{Deserialize as _, Deserializer};
use sha2::Sha256;

use crate::error::{Error, Result};
use crate::units::tree::Tree;

/// The fewest bytes of a key. A shorter key would be weaker than the hash (RFC 2104, 3).
const MIN_KEY: usize = 32;

/// A secret key, which `Debug` hides. `==` need not take constant time, because only comparisons of
/// options use it.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Key(Box<[u8]>);

impl Key {
    pub(super) fn new(bytes: &[u8]) -> Self {
        Self(bytes.into())
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(..)")
    }
}

/// Reads a list of keys, or a single key. The errors do not repeat the value, as serde's would.
pub(super) fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<Key>>, D::Error> {
    let given = match Tree::deserialize(deserializer)? {
        Tree::Text(key) => Tree::List(vec![Tree::Text(key)]),
        given => given,
    };
    let refused = |_| serde::de::Error::custom(Error::option("keys", "neither a text nor a list of texts"));
    let keys = given.texts("keys").map_err(refused)?;
    Ok(keys.map(|keys| keys.iter().map(|key| Key::new(key.as_bytes())).collect()))
}

/// Refuses an empty list, and keys that are too short.
pub(super) fn check(keys: &[Key]) -> Result<()> {
    if keys.is_empty() {
        return Err(Error::option("keys", "the list is empty; leave the option out for cookies without a signature"));
    }
    let short = keys.iter().enumerate().find(|(_, key)| key.0.len() < MIN_KEY);
    short.map_or(Ok(()), |(place, Key(key))| {
        let problem = format!("number {} has {} bytes; a key is at least {MIN_KEY} random ones", place + 1, key.len());
        Err(Error::option("keys", problem))
    })
}

/// Signs and verifies values. Each signature covers the name of the cookie, so that a value signed
/// by one layer is invalid in another layer with the same keys.
pub(super) struct Signer {
    /// HMAC states that have absorbed their key.
    keys: Vec<Hmac<Sha256>>,
}

impl Signer {
    /// From keys that were checked.
    pub(super) fn new(keys: &[Key]) -> Self {
        // HMAC takes keys of any length, so no key is left out.
        Self { keys: keys.iter().filter_map(|key| Hmac::new_from_slice(&key.0).ok()).collect() }
    }

    /// The signature's text: 43 characters.
    pub(super) fn sign(&self, name: &str, value: &str) -> String {
        let Some(key) = self.keys.first() else { return String::new() };
        URL_SAFE_NO_PAD.encode(mac(key, name, value).finalize().into_bytes())
    }

    /// The index of the key that made this signature. Takes constant time for each key.
    pub(super) fn verify(&self, name: &str, value: &str, signature: &str) -> Option<usize> {
        let mut bytes = [0; 32];
        let length = URL_SAFE_NO_PAD.decode_slice(signature, &mut bytes).ok()?;
        self.keys.iter().position(|key| mac(key, name, value).verify_slice(&bytes[..length]).is_ok())
    }
}

fn mac(key: &Hmac<Sha256>, name: &str, value: &str) -> Hmac<Sha256> {
    // A name is a token and has no "=", so no two pairs of name and value give the same text.
    [name, "=", value].iter().fold(key.clone(), Hmac::chain_update)
}
