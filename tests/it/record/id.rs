//! Ids: each has one text, strictly read; each changed bit gives another id; random ids do not
//! repeat.

use std::collections::HashSet;

use lembro::{Handle, SessionId};
use proptest::prelude::*;

proptest! {
    #[test]
    fn id_has_exactly_one_text(text in "[A-Za-z0-9_-]{32}") {
        let id: SessionId = text.parse().unwrap();
        prop_assert_eq!(id.expose(), text);
    }

    #[test]
    fn handle_has_exactly_one_text(number in any::<u64>(), last in any::<char>()) {
        let handle = Handle::from_u64(number);
        let text = handle.to_string();
        prop_assert_eq!(text.parse::<Handle>().unwrap(), handle);
        prop_assert_eq!(handle.to_u64(), number);
        let mut other: String = text[..10].to_owned();
        other.push(last);
        // Another last character gives another handle or none. Its two spare bits give no second
        // text.
        if other != text && let Ok(read) = other.parse::<Handle>() {
            prop_assert_ne!(read, handle);
        }
    }

    #[test]
    fn no_text_makes_parsing_panic(text in any::<String>()) {
        if let Ok(id) = text.parse::<SessionId>() {
            prop_assert_eq!(id.expose(), text.clone());
        }
        if let Ok(handle) = text.parse::<Handle>() {
            prop_assert_eq!(handle.to_string(), text);
        }
    }

    #[test]
    fn each_changed_bit_is_another_id(seed in any::<String>(), position in 0..32_usize, bit in 0..6_u8) {
        const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        let id = SessionId::derive(&seed);
        let mut text = id.expose().into_bytes();
        let digit = ALPHABET.iter().position(|digit| *digit == text[position]).unwrap();
        text[position] = ALPHABET[digit ^ (1 << bit)];
        let other: SessionId = String::from_utf8(text).unwrap().parse().unwrap();
        prop_assert_ne!(other, id);
    }
}

#[test]
fn wrong_ids_are_refused_and_not_repeated() {
    let message = |text: &str| {
        let error = text.parse::<SessionId>().unwrap_err();
        assert!(error.is_id());
        error.to_string()
    };
    assert_eq!(message(""), "session id: id has 0 bytes, expected 32");
    assert_eq!(message(&"a".repeat(31)), "session id: id has 31 bytes, expected 32");
    assert_eq!(message(&"a".repeat(1_000_000)), "session id: id has 1000000 bytes, expected 32");
    for character in ["=", "+", "/", " ", "\0", "%", "\"", "'"] {
        assert_eq!(message(&(character.to_owned() + &"a".repeat(31))), "session id: id is not base64url text");
    }
    assert_eq!(message(&"ü".repeat(16)), "session id: id is not base64url text");
    assert_eq!("a".parse::<Handle>().unwrap_err().to_string(), "session id: handle has 1 bytes, expected 11");
}

#[test]
fn million_ids_differ_in_both_halves() {
    let ids: Vec<_> = (0..1_000_000).map(|_| SessionId::random().unwrap()).collect();
    let handles: HashSet<_> = ids.iter().map(SessionId::handle).collect();
    let texts: HashSet<_> = ids.iter().map(SessionId::expose).collect();
    assert_eq!((handles.len(), texts.len()), (1_000_000, 1_000_000));
}

#[test]
fn threads_draw_different_ids() {
    let draw = || std::thread::spawn(|| (0..5_000).map(|_| SessionId::random().unwrap().expose()).collect::<Vec<_>>());
    let (one, two) = (draw(), draw());
    let all: HashSet<_> = one.join().unwrap().into_iter().chain(two.join().unwrap()).collect();
    assert_eq!(all.len(), 10_000);
}

#[test]
fn every_bit_of_an_id_is_random() {
    let mut ones = [0_u32; 192];
    for _ in 0..4_000 {
        for (index, byte) in SessionId::random().unwrap().expose().bytes().enumerate() {
            const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
            let digit = ALPHABET.iter().position(|digit| *digit == byte).unwrap();
            (0..6).for_each(|bit| ones[index * 6 + bit] += u32::from(digit >> bit & 1 == 1));
        }
    }
    // 2,000 expected, standard deviation 32: a fair bit leaves this range once in 10^14.
    assert!(ones.iter().all(|ones| (1_750..2_250).contains(ones)), "{ones:?}");
}

#[test]
fn derived_id_is_sha_256_of_its_text() {
    // NIST's example for "abc": ba7816bf 8f01cfea 414140de 5dae2223 b00361a3 96177a9c b410ff61
    // f20015ad.
    assert_eq!(SessionId::derive("abc").expose(), "ungWv48Bz-pBQUDeXa4iI7ADYaOWF3qc");
    assert_ne!(SessionId::derive("abc"), SessionId::derive("abd"));
}

#[test]
fn renewed_id_keeps_its_handle() {
    let (id, fresh) = (SessionId::random().unwrap(), SessionId::random().unwrap());
    let renewed = id.renewed(&fresh);
    assert_eq!(renewed.handle(), id.handle());
    assert_ne!(renewed, id);
    // The first eight bytes are the handle, all others the secret.
    assert_eq!(renewed.expose()[12..], fresh.expose()[12..]);
    assert_eq!(renewed.renewed(&id), id);
}
