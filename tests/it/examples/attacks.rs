//! The requests of the fuzzing client.

use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{Rng as _, RngExt as _};

use super::server::End;

/// What the client knows of the site: as much as a browser would.
pub(crate) struct Page {
    forms: &'static [&'static str],
    pub(crate) cookie: String,
    token: String,
}

impl Page {
    pub(crate) fn new(forms: &'static [&'static str]) -> Self {
        Self { forms, cookie: String::new(), token: String::new() }
    }

    /// Reads a page as a browser would: its cookies and the token of its forms.
    pub(crate) fn renew(&mut self, page: &str) {
        for line in page.lines().take_while(|line| !line.is_empty()) {
            if line.to_ascii_lowercase().starts_with("set-cookie:") {
                line[11..].split(';').next().unwrap().trim().clone_into(&mut self.cookie);
            }
        }
        if let Some(rest) = page.split("name=\"csrf\" value=\"").nth(1) {
            rest.split('"').next().unwrap().clone_into(&mut self.token);
        }
    }
}

pub(crate) struct Attack {
    pub(crate) name: &'static str,
    pub(crate) bytes: Vec<u8>,
    pub(crate) end: End,
    /// HTTP by its grammar, whatever stands in it: never answered with a 5xx.
    pub(crate) is_well_formed: bool,
    /// Complete, so that silence is a failure.
    pub(crate) is_answered: bool,
}

/// Printable, and no space.
fn visible(random: &mut StdRng, length: usize) -> Vec<u8> {
    (0..length).map(|_| random.random_range(b'!'..=b'~')).collect()
}

fn any_bytes(random: &mut StdRng, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    random.fill_bytes(&mut bytes);
    bytes
}

/// Short mostly, and up to `limit`.
fn length(random: &mut StdRng, limit: usize) -> usize {
    let limit = if random.random_ratio(1, 4) { limit } else { limit.min(100) };
    random.random_range(0..=limit)
}

/// As a form sends it.
fn encoded(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("%{byte:02X}")).collect()
}

/// A form with the fields that the examples know, and what does not belong there.
fn form(random: &mut StdRng, page: &Page) -> Vec<u8> {
    let every_ascii: Vec<u8> = (0..128).collect();
    let value = |random: &mut StdRng| match random.random_range(0..8_u8) {
        0 => encoded(&every_ascii),
        1 => "ada".to_owned(),
        2 => "difference-engine".to_owned(),
        3 => ["in", "out", "night", "%", "%z", "%ff", "%00", "+", "&=&=", "%F0%9F"].choose(random).unwrap().to_string(),
        4 => {
            let length = length(random, 9000);
            String::from_utf8(visible(random, length)).unwrap()
        }
        5 => encoded(&{
            let length = length(random, 3000);
            any_bytes(random, length)
        }),
        6 => encoded("<b>\"{csrf}'&\u{1f9c1}".as_bytes()),
        _ => String::new(),
    };
    let mut fields = Vec::new();
    let known = [
        ("csrf", page.token.as_str()),
        ("user", "ada"),
        ("password", "difference-engine"),
        ("remember", "on"),
        ("name", "Ada"),
        ("theme", "night"),
        ("device", ""),
        ("bots", ["in", "out"].choose(random).unwrap()),
    ];
    for (name, right) in known {
        match random.random_range(0..10_u8) {
            0 => {}
            1 => fields.extend([name, name].map(|name| format!("{name}={}", value(random)))),
            2 => fields.push(name.to_owned()),
            3..7 => fields.push(format!("{name}={right}")),
            _ if name == "csrf" => fields.push(format!("{name}={right}")),
            _ => fields.push(format!("{name}={}", value(random))),
        }
    }
    match random.random_range(0..12_u8) {
        0 => Vec::new(),
        1 => vec![b'x'; random.random_range(10_001..3_000_000)],
        2 => {
            let length = length(random, 10_000);
            any_bytes(random, length)
        }
        3 => vec![b'&'; 9000],
        4 => vec![b'='; 9000],
        _ => fields.join("&").into_bytes(),
    }
}

fn head(random: &mut StdRng, page: &Page, host: &str, method: &str, path: &str, more: &[String]) -> Vec<u8> {
    let mut lines = vec![format!("{method} {path} HTTP/1.1"), format!("Host: {host}")];
    if random.random_ratio(7, 8) {
        lines.push(format!("Origin: http://{host}"));
    }
    match random.random_range(0..12_u8) {
        0 => {}
        1 => {
            let length = length(random, 20_000);
            lines.push(format!("Cookie: {}", String::from_utf8(visible(random, length)).unwrap()));
        }
        2 => lines.push(format!("Cookie: {}", "id=x; ".repeat(random.random_range(0..3000)))),
        3 => lines.push(format!("Cookie: $Version=\"1\"; {}; $Path=\"/\"", page.cookie)),
        _ if page.cookie.is_empty() => {}
        _ => lines.push(format!("Cookie: {}", page.cookie)),
    }
    lines.extend_from_slice(more);
    [lines.join("\r\n"), "\r\n\r\n".to_owned()].concat().into_bytes()
}

const FORM: &str = "Content-Type: application/x-www-form-urlencoded";

fn types(random: &mut StdRng) -> String {
    let others =
        ["text/plain", "multipart/form-data; boundary=x", "multipart/form-data", "application/json", ";", "\""];
    if random.random_ratio(4, 5) {
        FORM.to_owned()
    } else {
        format!("Content-Type: {}", others.choose(random).unwrap())
    }
}

fn whole(name: &'static str, bytes: Vec<u8>) -> Attack {
    Attack { name, bytes, end: End::Waits, is_well_formed: true, is_answered: true }
}

fn broken(name: &'static str, bytes: Vec<u8>, end: End) -> Attack {
    Attack { name, bytes, end, is_well_formed: false, is_answered: false }
}

pub(crate) fn attack(random: &mut StdRng, page: &Page, host: &str) -> Attack {
    let path = *page.forms.choose(random).unwrap();
    if random.random_ratio(2, 5) { by_head(random, page, host, path) } else { by_body(random, page, host, path) }
}

/// What is wrong, or odd, is in the head. `known`: a path of the site.
fn by_head(random: &mut StdRng, page: &Page, host: &str, known: &str) -> Attack {
    let close = "Connection: close".to_owned();
    match random.random_range(0..8_u8) {
        0 => {
            let length = length(random, 100_000);
            let path = format!("/{}", String::from_utf8(visible(random, length)).unwrap());
            let method = *["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "BREW"].choose(random).unwrap();
            whole("path", head(random, page, host, method, &path, &[close]))
        }
        1 => {
            let length = length(random, 100_000);
            let mut bytes = b"GET /".to_vec();
            bytes.extend(any_bytes(random, length));
            bytes.extend(head(random, page, host, " HTTP/1.1\r\nX:", "x", &[close])[..].iter());
            broken("path of any bytes", bytes, End::Finishes)
        }
        2 => {
            let method = *["GET", "HEAD", "PUT", "OPTIONS"].choose(random).unwrap();
            whole("known path", head(random, page, host, method, known, &[close]))
        }
        3 => {
            let agent = String::from_utf8((b' '..=b'~').collect()).unwrap();
            let mut more = vec![format!("User-Agent: {agent}"), close];
            more.extend((0..random.random_range(0..2000)).map(|number| format!("X-{number}: {agent}")));
            whole("many headers", head(random, page, host, "GET", "/", &more))
        }
        4 => {
            let bytes = head(random, page, host, "GET", "/", &[close]);
            let cut = random.random_range(0..bytes.len());
            let end = *[End::Leaves, End::Finishes].choose(random).unwrap();
            broken("head that breaks off", bytes[..cut].to_vec(), end)
        }
        5 => {
            let length = length(random, 50_000);
            broken("random bytes", any_bytes(random, length), End::Finishes)
        }
        6 => {
            let one = head(random, page, host, "GET", "/", &[]);
            let mut bytes = one.repeat(random.random_range(1..20));
            bytes.extend(head(random, page, host, "GET", "/", &[close]));
            let end = *[End::Leaves, End::Waits].choose(random).unwrap();
            Attack { end, is_answered: matches!(end, End::Waits), ..whole("many in one packet", bytes) }
        }
        _ => {
            let more = ["Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13"].map(str::to_owned);
            let key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==".to_owned();
            let mut bytes = head(random, page, host, "GET", known, &[&more[..], &[key]].concat());
            let length = length(random, 2000);
            bytes.extend([0x81, 0x85, 1, 2, 3, 4, b'i', b'g', b'o', b'h', b'n'].repeat(random.random_range(0..3)));
            bytes.extend(any_bytes(random, length));
            let end = *[End::Leaves, End::Finishes].choose(random).unwrap();
            broken("socket", bytes, end)
        }
    }
}

/// What is wrong, or odd, is in the body.
fn by_body(random: &mut StdRng, page: &Page, host: &str, known: &str) -> Attack {
    let close = "Connection: close".to_owned();
    let post = |random: &mut StdRng, body: &[u8], announced: usize| {
        let kind = types(random);
        let more = [kind, format!("Content-Length: {announced}"), "Connection: close".to_owned()];
        [head(random, page, host, "POST", known, &more), body.to_vec()].concat()
    };
    match random.random_range(0..12_u8) {
        0 => {
            let body = form(random, page);
            let announced = body.len() + random.random_range(1..1_000_000);
            let end = *[End::Leaves, End::Finishes].choose(random).unwrap();
            broken("form that breaks off", post(random, &body, announced), end)
        }
        1 => {
            let body = form(random, page);
            let announced = random.random_range(0..=body.len());
            broken("form longer than announced", post(random, &body, announced), End::Finishes)
        }
        2 => {
            let body = form(random, page);
            let more = [types(random), "Transfer-Encoding: chunked".to_owned(), close];
            let mut bytes = head(random, page, host, "POST", known, &more);
            for chunk in body.chunks(random.random_range(1..5000)) {
                bytes.extend(format!("{:x}\r\n", chunk.len()).bytes());
                bytes.extend(chunk);
                bytes.extend(b"\r\n");
            }
            bytes.extend(b"0\r\n\r\n");
            whole("chunked form", bytes)
        }
        3 => {
            let more = [types(random), "Transfer-Encoding: chunked".to_owned(), close];
            let mut bytes = head(random, page, host, "POST", known, &more);
            let sizes = ["zz", "", "ffffffffffffffff", "-1", "10000000000000000", "5;x=", "0"];
            bytes.extend(format!("{}\r\nabc\r\n", sizes.choose(random).unwrap()).bytes());
            broken("broken chunks", bytes, End::Finishes)
        }
        4 => {
            let body = b"--x\r\nContent-Disposition: form-data; name=\"csrf\"\r\n\r\nx\r\n--x--\r\n";
            let cut = random.random_range(0..=body.len());
            let kind = "Content-Type: multipart/form-data; boundary=x".to_owned();
            let more = [kind, format!("Content-Length: {cut}"), close];
            whole("multipart", [&head(random, page, host, "POST", known, &more), &body[..cut]].concat())
        }
        5 => {
            let lengths = ["-1", "+5", "5, 5", "x", "", " ", "0x10", "99999999999999999999"];
            let more = [FORM.to_owned(), format!("Content-Length: {}", lengths.choose(random).unwrap()), close];
            broken("length that is none", head(random, page, host, "POST", known, &more), End::Finishes)
        }
        6 => {
            let body = form(random, page);
            let kind = types(random);
            let more = [kind, format!("Content-Length: {}", body.len()), "Expect: 100-continue".to_owned(), close];
            let bytes = [head(random, page, host, "POST", known, &more), body].concat();
            whole("form that waits to be asked for", bytes)
        }
        _ => {
            let body = form(random, page);
            whole("form", post(random, &body, body.len()))
        }
    }
}
