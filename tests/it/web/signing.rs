//! Signed cookies: a value without our signature never reaches the store, and a change of keys logs
//! no user out.

use std::fmt::Write as _;
use std::time::Duration;

use crate::support::site::{Site, id_of, look, sent_back};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE, URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use lembro::web::{CookieLifetime, CookieOptions};
use lembro::{Event, SessionId};
use proptest::prelude::*;
use sha2::{Digest as _, Sha256};

const OLD: [u8; 32] = *b"the old key, of thirty-two bytes";
const NEW: [u8; 40] = *b"the new key, of a few more bytes: forty!";

fn signed(keys: &[&[u8]]) -> CookieOptions {
    CookieOptions::new().keys(keys)
}

/// HMAC by RFC 2104, of the whole `name=value` up to the signature's dot.
fn signature(key: &[u8], signed: &str) -> String {
    let mut block = [0; 64];
    if key.len() > block.len() {
        block[..32].copy_from_slice(&Sha256::digest(key));
    } else {
        block[..key.len()].copy_from_slice(key);
    }
    let inner = Sha256::digest([&block.map(|byte| byte ^ 0x36)[..], signed.as_bytes()].concat());
    let outer = Sha256::digest([&block.map(|byte| byte ^ 0x5c)[..], &inner].concat());
    URL_SAFE_NO_PAD.encode(outer)
}

fn split(cookie: &str) -> (&str, &str) {
    cookie.rsplit_once('.').unwrap()
}

/// Asserts that the layer refuses a cookie without a call to the store.
#[track_caller]
fn assert_refused_unasked(site: &Site, cookie: &str) {
    let events = [site.layer.events(), site.store.events()];
    let reads = site.reads();
    assert_eq!(site.user(cookie), None, "{cookie:.200}");
    let finished = site.visit(cookie, look);
    assert_eq!(finished.cookie(), None);
    assert_eq!(site.reads(), reads, "asked for {cookie:.200}");
    assert!(events.iter().all(crossbeam_channel::Receiver::is_empty), "{cookie:.200}");
}

#[test]
fn signed_cookie_opens_its_session() {
    let site = Site::new(signed(&[&NEW]));
    let cookie = site.visitor();
    let (content, made) = split(&cookie);
    assert_eq!((content.len(), made.len()), ("id=".len() + SessionId::TEXT_LEN, 43));
    assert_eq!(site.user(&cookie).as_deref(), Some("ada"));
    assert_eq!(site.visit(&cookie, look).cookie(), None, "it is what we would write now");
    assert_eq!(site.user(&format!("theme=dark; {cookie}; lang=pt")).as_deref(), Some("ada"));
}

#[test]
fn signature_is_hmac_sha256() {
    for key in [&OLD[..], &NEW, &[7; 64], &[8; 65], &[9; 200]] {
        for lifetime in [CookieLifetime::BrowserSession, CookieLifetime::Persistent] {
            let site = Site::new(signed(&[key, &OLD]).name("shop").lifetime(lifetime));
            let cookie = site.visitor();
            let (content, made) = split(&cookie);
            assert_eq!(made, signature(key, content));
            // The `hmac` crate confirms the computation above.
            let mac = Hmac::<Sha256>::new_from_slice(key).unwrap().chain_update(content);
            assert_eq!(made, URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()));
        }
    }
}

#[test]
fn bad_signature_never_reaches_the_store() {
    let site = Site::new(signed(&[&NEW]));
    let (cookie, other) = (site.visitor(), site.visitor());
    let ((content, made), (other_content, other_made)) = (split(&cookie), split(&other));
    let bytes = URL_SAFE_NO_PAD.decode(made).unwrap();
    let hex: String = bytes.iter().fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02x}").unwrap();
        hex
    });
    // The last of 43 characters encodes four bits. Its other two must be zero.
    let last = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_".find(&made[42..]).unwrap();
    let twins =
        (1..4).map(|bits| char::from(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"[last + bits]));
    let mut forged: Vec<String> = twins.map(|twin| format!("{content}.{}{twin}", &made[..42])).collect();
    forged.extend([
        content.to_owned(),
        format!("{content}."),
        format!("{content}{made}"),
        format!("{content}.{}", "A".repeat(43)),
        format!("{content}.{other_made}"),
        format!("{other_content}.{made}"),
        format!("{content}.{made}="),
        format!("{content}.{made}A"),
        format!("{content}.{made}.{made}"),
        format!("{content}.{}", made.to_ascii_lowercase()),
        format!("{content}.{hex}"),
        format!("{content}.{}", URL_SAFE.encode(&bytes)),
        format!("{content}.{}", STANDARD.encode(&bytes)),
        format!("{content}.{}", URL_SAFE_NO_PAD.encode(&bytes[..31])),
        format!("{content}.{}", signature(&OLD, content)),
        format!("{content}.{}", signature(&NEW, &content["id=".len()..])),
        format!("{content}.1000000000.{made}"),
        format!("id={made}.{}", &content["id=".len()..]),
        format!("id=s:{}.{made}", &content["id=".len()..]),
    ]);
    forged.extend((0..43).map(|length| format!("{content}.{}", &made[..length])));
    for cookie in &forged {
        assert_refused_unasked(&site, cookie);
    }
    assert_eq!(site.user(&cookie).as_deref(), Some("ada"), "the right one still works");
}

#[test]
fn signature_covers_the_name() {
    let shop = Site::new(signed(&[&NEW]).name("shop"));
    let admin = shop.cookie(signed(&[&NEW]).name("admin"));
    let cookie = shop.visitor();
    let renamed = cookie.replacen("shop=", "admin=", 1);
    assert_refused_unasked(&admin, &renamed);
    assert_refused_unasked(&admin, &cookie);
    assert_eq!(shop.user(&cookie).as_deref(), Some("ada"));
    // The signature separates the name from the value.
    let id = cookie["shop=".len()..].to_owned();
    assert_refused_unasked(&shop.cookie(signed(&[&NEW]).name("shop-")), &format!("shop-={id}"));
}

#[test]
fn unsigned_ids_are_refused_with_keys() {
    let plain = Site::new(CookieOptions::new());
    let site = plain.cookie(signed(&[&NEW]));
    for lifetime in [CookieLifetime::BrowserSession, CookieLifetime::Persistent] {
        let (plain, site) =
            (plain.cookie(CookieOptions::new().lifetime(lifetime)), site.cookie(signed(&[&NEW]).lifetime(lifetime)));
        assert_refused_unasked(&site, &plain.visitor());
        assert_refused_unasked(&plain, &site.visitor());
    }
}

#[test]
fn new_keys_log_no_user_out() {
    let before = Site::new(signed(&[&OLD]));
    let during = before.cookie(signed(&[&NEW, &OLD]));
    let after = before.cookie(signed(&[&NEW]));
    let old_cookie = before.visitor();

    assert_eq!(during.user(&old_cookie).as_deref(), Some("ada"));
    let new_cookie = sent_back(&during.visit(&old_cookie, look));
    assert_eq!(id_of(&new_cookie), id_of(&old_cookie), "the same session");
    assert_eq!(split(&new_cookie).1, signature(&NEW, split(&new_cookie).0));
    assert_eq!(during.visit(&new_cookie, look).cookie(), None, "once");
    // A request without a look rewrites no cookie.
    assert_eq!(during.visit(&old_cookie, |_| {}).cookie(), None);

    assert_eq!(after.user(&new_cookie).as_deref(), Some("ada"));
    assert_refused_unasked(&after, &old_cookie);
    assert_eq!(split(&during.visitor()).1.len(), 43);
    assert_eq!(after.user(&during.visitor()).as_deref(), Some("ada"), "new ones are signed by the new key");
}

#[test]
fn first_key_signs_and_all_verify() {
    let keys: Vec<[u8; 32]> = (0..10).map(|number| [number; 32]).collect();
    let all: Vec<&[u8]> = keys.iter().map(<[u8; 32]>::as_slice).collect();
    let site = Site::new(signed(&all));
    for key in &all {
        let cookie = site.cookie(signed(&[key])).visitor();
        assert_eq!(site.user(&cookie).as_deref(), Some("ada"));
        let rewritten = site.visit(&cookie, look).cookie().is_some();
        assert_eq!(rewritten, *key != all[0]);
    }
    let cookie = site.visitor();
    assert_eq!(split(&cookie).1, signature(all[0], split(&cookie).0));
}

#[test]
fn only_sixteen_signatures_are_tried() {
    let site = Site::new(signed(&[&NEW]));
    let cookie = site.visitor();
    let forged = format!("id={}.{}", SessionId::random().unwrap().expose(), "A".repeat(43));
    let behind = |count: usize| format!("{}{cookie}", format!("{forged}; ").repeat(count));
    assert_eq!(site.user(&behind(15)).as_deref(), Some("ada"));
    assert_refused_unasked(&site, &behind(16));
    assert_refused_unasked(&site, &behind(1000));
    // A value that cannot be ours does not count.
    let junk = "id=short; id=; ID=x; theme=dark; ".repeat(100);
    assert_eq!(site.user(&format!("{junk}{cookie}")).as_deref(), Some("ada"));
    // The limit holds for all headers of a request together.
    let (first, second) = (forged.clone(), behind(15));
    let head = lembro::web::RequestHead::new([first.as_str(), second.as_str()]);
    assert_eq!(site.layer.load(head).get::<String>("user").unwrap(), None);
}

#[test]
fn signature_covers_the_time() {
    let site = Site::new(signed(&[&NEW]).lifetime(CookieLifetime::Persistent));
    let cookie = site.visitor();
    let (content, made) = split(&cookie);
    let (id, stamp) = split(content);
    assert_eq!(stamp, "1000000000");
    for stamp in ["1000000001", "999999999", "0", "", "01000000000"] {
        assert_refused_unasked(&site, &format!("{id}.{stamp}.{made}"));
    }
    assert_refused_unasked(&site, &format!("{id}.{made}"));
    assert_refused_unasked(&site, &format!("{content}.1.{made}"));
    // The signature of a browser-session cookie does not cover a time.
    let plain = site.cookie(signed(&[&NEW])).visitor();
    let (id, made) = split(&plain);
    assert_refused_unasked(&site, &format!("{id}.1000000000.{made}"));

    site.time.advance(Duration::from_secs(61));
    let renewed = sent_back(&site.visit(&cookie, look));
    assert_eq!(split(&renewed).1, signature(&NEW, split(&renewed).0));
    assert_ne!(renewed, cookie);
    assert_eq!(site.user(&renewed).as_deref(), Some("ada"));
}

#[test]
fn signed_but_ended_id_is_reported() {
    let site = Site::new(signed(&[&NEW]));
    let cookie = site.visitor();
    assert!(site.visit(&cookie, |session| session.log_out().unwrap()).cookie().is_some());
    let (events, reads) = (site.layer.events(), site.reads());
    assert_eq!(site.user(&cookie), None);
    assert_eq!(site.reads(), reads + 1);
    assert!(matches!(events.try_recv(), Ok(Event::UnknownId { handle }) if handle == id_of(&cookie).handle()));
}

proptest! {
    #[test]
    fn model_changed_character_is_refused(
        place in any::<prop::sample::Index>(),
        instead in "[A-Za-z0-9_.=-]",
        persistent in any::<bool>(),
    ) {
        let lifetime = if persistent { CookieLifetime::Persistent } else { CookieLifetime::BrowserSession };
        let site = Site::new(signed(&[&NEW, &OLD]).lifetime(lifetime));
        let cookie = site.visitor();
        let place = "id=".len() + place.index(cookie.len() - "id=".len());
        let mut changed = cookie.clone();
        changed.replace_range(place..=place, &instead);
        prop_assume!(changed != cookie);
        assert_refused_unasked(&site, &changed);
    }
}
