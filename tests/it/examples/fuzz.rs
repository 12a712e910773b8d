//! A fuzzing client: it ends no server example, damages none for the next client, and gets no 5xx
//! for a request that is well formed.
//!
//! What the client sends, to every example and with a session of its own most of the time: paths to
//! 100 KB; names with every ASCII character; empty and huge forms; broken percent and multipart
//! encodings; forms that break off, before and after their end was announced; heads that break off;
//! chunked bodies, whole and broken; cookies of every kind; many headers; requests in one packet; a
//! WebSocket with frames of random bytes; random bytes and nothing.
//!
//! Not sent is a `Content-Length` beyond some megabytes: `tiny_http` allocates as much, and the
//! process is aborted (`web::in_front`).
//!
//! Ignored, because it takes minutes. `LEMBRO_SEED` and `LEMBRO_REQUESTS` (for each example) choose
//! what is sent; a failure tells both.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rand::SeedableRng as _;
use rand::rngs::StdRng;

use super::attacks::{Page, attack};
use super::server::{End, Example, Status};

/// Each example ends after this time, however many requests are left.
const LIMIT: Duration = Duration::from_secs(120);

/// A number from the environment.
fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

/// `path` and `form`: what begins a session, or looks at it.
fn fuzz(mut example: Example, forms: &'static [&'static str], (path, form): (&str, &str)) {
    let (seed, requests, began) = (setting("LEMBRO_SEED", 1), setting("LEMBRO_REQUESTS", 5000), Instant::now());
    let (mut random, mut page) = (StdRng::seed_from_u64(seed), Page::new(forms));
    let name = example.name;
    let mut counts = BTreeMap::new();
    for number in 0..requests {
        let attack = attack(&mut random, &page, &example.host());
        let (status, answer) = example.send(&attack.bytes, attack.end);
        let told = || format!("{name}, request {number} of seed {seed}, {}: {status:?}", attack.name);
        if let Status::Code(code) = status {
            assert!(code < 500 || !attack.is_well_formed, "{}", told());
        } else {
            assert!(!attack.is_answered, "{}", told());
        }
        *counts.entry(format!("{} {status:?}", attack.name)).or_insert(0_u64) += 1;
        // The client goes on with what it is given: a cookie, and the token in a page.
        page.renew(&answer);
        if number % 10 == 0 || attack.name == "path" {
            // Now and then it is a new one.
            if number % 70 == 0 {
                page.cookie.clear();
            }
            page.renew(&example.get("/", &page.cookie));
        }
        if let Some(said) = example.damage() {
            panic!("{}\n{said}", told());
        }
        if began.elapsed() > LIMIT {
            println!("{name}: {number} requests in {LIMIT:?}");
            break;
        }
    }
    // It serves a new client, and gives it a session.
    let host = example.host();
    let fresh = example.get("/", "");
    let head = format!("POST {path} HTTP/1.1\r\nHost: {host}\r\nOrigin: http://{host}\r\nConnection: close\r\n");
    let kind = "Content-Type: application/x-www-form-urlencoded";
    let form = format!("{head}{kind}\r\nContent-Length: {}\r\n\r\n{form}", form.len());
    let (status, answer) = example.send(form.as_bytes(), End::Waits);
    assert!(matches!(status, Status::Code(200..=403)), "{name}: {status:?}");
    let begins = |text: &str| text.to_ascii_lowercase().contains("set-cookie:");
    assert!(begins(&fresh) || begins(&answer), "{name}: no session any more");
    println!("{name}: {counts:#?}");
}

#[test]
#[ignore = "takes a minute"]
fn counter() {
    fuzz(Example::start("counter", &[]), &["/theme", "/logout"], ("/theme", "theme=night"));
}

#[test]
#[ignore = "takes a minute"]
fn restart() {
    let file = std::env::temp_dir().join(format!("lembro-fuzz-{}", std::process::id()));
    fuzz(Example::start("restart", &[file.to_str().unwrap()]), &["/"], ("/", ""));
}

#[test]
#[ignore = "takes a minute"]
fn login() {
    fuzz(Example::start("login", &[]), &["/login", "/logout"], ("/login", "csrf=x"));
}

#[test]
#[ignore = "takes a minute"]
fn chat() {
    fuzz(Example::start("chat", &[]), &["/name", "/name", "/leave", "/socket", "/socket"], ("/name", "name=Ada"));
}

#[test]
#[ignore = "takes a minute"]
fn two_layers() {
    let forms = &["/add/tea", "/empty", "/office", "/office/enter", "/office/leave", "/office/close", "/add/"];
    fuzz(Example::start("two_layers", &[]), forms, ("/add/tea", ""));
}

#[test]
#[ignore = "takes a minute"]
fn devices() {
    fuzz(
        Example::start("devices", &[]),
        &["/login", "/end", "/others", "/everywhere", "/logout"],
        ("/login", "csrf=x"),
    );
}

#[test]
#[ignore = "takes a minute"]
fn dashboard() {
    fuzz(
        Example::start("dashboard", &[]),
        &["/flood", "/news", "/news?after=x", "/news?after=%ff"],
        ("/flood", "bots=out"),
    );
}

#[cfg(feature = "redis")]
#[test]
#[ignore = "takes a minute"]
fn redis() {
    let server = crate::redis::server::Server::start();
    fuzz(Example::start("redis", &[&server.url()]), &["/login", "/logout"], ("/login", "csrf=x"));
}
