//! A corpus of header lines of clients, proxies and frameworks, each with the expected reading:
//! `tests/it/web/wire_corpus`.

use std::fs;
use std::path::Path;

use crate::support::site::{Site, attributes, id_of};
use lembro::web::{CookieOptions, RequestHead, Secure};
use lembro::{Session, SessionId};

/// One block of a file: the sender, its headers, and the lines after "=> ".
struct Block {
    who: String,
    headers: Vec<(String, Vec<u8>)>,
    expected: Vec<String>,
}

fn blocks(file: &str, replaced: &[(&str, &[u8])]) -> Vec<Block> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/web/wire_corpus").join(file);
    let text = fs::read_to_string(path).unwrap();
    let blocks: Vec<_> = text.split("\n## ").skip(1).map(|block| read(block, replaced)).collect();
    assert!(blocks.len() >= 8 && blocks.iter().all(|block| !block.expected.is_empty()), "{file}");
    blocks
}

fn read(text: &str, replaced: &[(&str, &[u8])]) -> Block {
    let (who, lines) = text.split_once('\n').unwrap();
    let mut block = Block { who: who.to_owned(), headers: Vec::new(), expected: Vec::new() };
    for line in lines.lines().filter(|line| !line.is_empty()) {
        if let Some(expected) = line.strip_prefix("=> ") {
            block.expected.push(expected.to_owned());
        } else {
            let (name, value) = line.split_once(": ").unwrap();
            block.headers.push((name.to_owned(), filled(value, replaced)));
        }
    }
    block
}

/// The value, with its marks replaced by bytes.
fn filled(value: &str, replaced: &[(&str, &[u8])]) -> Vec<u8> {
    let (mut bytes, mut rest) = (Vec::new(), value);
    while let Some(next) = rest.chars().next() {
        if let Some((mark, with)) = replaced.iter().find(|(mark, _)| rest.starts_with(mark)) {
            bytes.extend_from_slice(with);
            rest = &rest[mark.len()..];
        } else {
            bytes.extend_from_slice(next.encode_utf8(&mut [0; 4]).as_bytes());
            rest = &rest[next.len_utf8()..];
        }
    }
    bytes
}

fn head(block: &Block) -> RequestHead<'_> {
    RequestHead::from_headers(block.headers.iter().map(|(name, value)| (name.as_str(), value.as_slice())))
}

fn insert(session: &mut Session) {
    session.insert("user", "ada").unwrap();
}

#[test]
fn wire_corpus_is_read_as_meant() {
    let site = Site::new(CookieOptions::new());
    let (id, old) = (id_of(&site.visitor()).expose(), SessionId::random().unwrap().expose());
    let replaced: &[(&str, &[u8])] = &[
        ("{id}", id.as_bytes()),
        ("{old}", old.as_bytes()),
        ("{tab}", b"\t"),
        ("{ff}", b"\xff"),
        ("{nbsp}", b"\xc2\xa0"),
    ];
    for block in blocks("cookie.txt", replaced) {
        let user: Option<String> = site.layer.load(head(&block)).get("user").unwrap();
        assert_eq!([user.as_deref().unwrap_or("nobody")], *block.expected, "{}", block.who);
    }

    let proxied = Site::new(CookieOptions::new().secure(Secure::Auto).trust_proxy(true));
    for block in blocks("forwarded.txt", &[]) {
        let set = proxied.request(&head(&block), insert);
        let read = if attributes(&set).contains(&"Secure") { "https" } else { "http" };
        assert_eq!([read], *block.expected, "{}", block.who);
    }

    for block in blocks("response.txt", &[]) {
        let text = |value: &[u8]| String::from_utf8(value.to_vec()).unwrap();
        let mut headers: Vec<_> = block.headers.iter().map(|(name, value)| (name.clone(), text(value))).collect();
        site.visit("", insert).write_to(&mut headers);
        let lines =
            headers.iter().filter(|(name, _)| name != "Set-Cookie").map(|(name, value)| format!("{name}: {value}"));
        let (mut lines, mut expected) = (lines.collect::<Vec<_>>(), block.expected);
        lines.sort();
        expected.sort();
        assert_eq!(lines, expected, "{}", block.who);
    }
}
