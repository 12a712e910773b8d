//! The `Forwarded` header of a proxy: it is believed only where RFC 7239's grammar allows, and it is
//! read as a slow reader does that goes from state to state.

use lembro::web::{CookieOptions, RequestHead, Secure, SessionLayer};
use lembro::{LembroOptions, LembroStore};

/// Cuts the bytes into lines.
const CUT: u8 = b'\n';

pub fn check(bytes: &[u8]) {
    let lines: Vec<&[u8]> = bytes.split(|byte| *byte == CUT).collect();
    let read = is_secure(RequestHead::from_headers(lines.iter().map(|line| ("Forwarded", *line))));
    assert_eq!(read, says_https(&lines), "{:?}", String::from_utf8_lossy(bytes));

    // As the other header: the text up to the first comma.
    let first = lines[0].split(|byte| *byte == b',').next().unwrap();
    let text: String = first.iter().map(|byte| char::from(*byte)).collect();
    let is_https = ["https", "wss"].contains(&&*text.trim_matches([' ', '\t']).to_ascii_lowercase());
    assert_eq!(is_secure(RequestHead::from_headers(lines.iter().map(|line| ("X-Forwarded-Proto", *line)))), is_https);
}

fn is_secure(head: RequestHead<'_>) -> bool {
    let store = LembroStore::with_options(LembroOptions::new().interval(0).shards(1)).unwrap();
    let options = CookieOptions::new().secure(Secure::Auto).trust_proxy(true);
    let layer = SessionLayer::new(store).cookie(options).unwrap();
    let mut session = layer.load(head);
    session.insert("user", "ada").unwrap();
    layer.finish(&mut session).unwrap().cookie().unwrap().contains("; Secure")
}

/// What the first element of all lines says.
fn says_https(lines: &[&[u8]]) -> bool {
    let line = lines.iter().find(|line| line.iter().any(|byte| !b" \t,".contains(byte)));
    let Some(element) = line.and_then(|line| first_element(line)) else { return false };
    // The pairs, cut at semicolons outside of quotes.
    let mut seen = Vec::new();
    for pair in cut(&element, b';').into_iter().filter(|pair| !trim(pair).is_empty()) {
        let Some(equals) = pair.iter().position(|byte| *byte == b'=') else { return false };
        let (name, value) = (trim(&pair[..equals]).to_ascii_lowercase(), trim(&pair[equals + 1..]));
        let Some(value) = unquoted(value) else { return false };
        if name.is_empty() || !name.iter().copied().all(is_token) || seen.iter().any(|(one, _)| *one == name) {
            return false;
        }
        seen.push((name, value.to_ascii_lowercase()));
    }
    let proto = seen.iter().find(|(name, _)| name == b"proto");
    seen.len() <= 16 && proto.is_some_and(|(_, scheme)| scheme == b"https" || scheme == b"wss")
}

/// The first element that is not empty, up to the first comma outside of quotes.
fn first_element(line: &[u8]) -> Option<Vec<u8>> {
    cut(line, b',').into_iter().find(|element| !trim(element).is_empty())
}

/// The text in pieces; a quoted string begins behind "=" and blanks, and is no place to cut.
fn cut(text: &[u8], at: u8) -> Vec<Vec<u8>> {
    let (mut pieces, mut quoted, mut escaped) = (vec![Vec::new()], false, false);
    for byte in text {
        let piece = pieces.last_mut().unwrap();
        if quoted {
            quoted = *byte != b'"' || escaped;
            escaped = *byte == b'\\' && !escaped;
        } else if *byte == at {
            pieces.push(Vec::new());
            continue;
        } else {
            quoted = *byte == b'"' && trim(piece).ends_with(b"=");
            escaped = false;
        }
        piece.push(*byte);
    }
    pieces
}

/// The value of a token or of a whole quoted string.
fn unquoted(value: &[u8]) -> Option<Vec<u8>> {
    if !value.starts_with(b"\"") {
        let is_plain = |byte: &u8| is_token(*byte) || b":[]".contains(byte);
        return (!value.is_empty() && value.iter().all(is_plain)).then(|| value.to_vec());
    }
    let (mut text, mut escaped) = (Vec::new(), false);
    for (place, byte) in value.iter().enumerate().skip(1) {
        match byte {
            _ if escaped => {
                text.push(*byte);
                escaped = false;
            }
            b'\\' => escaped = true,
            b'"' => return (place + 1 == value.len()).then_some(text),
            _ => text.push(*byte),
        }
    }
    None
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

fn trim(text: &[u8]) -> &[u8] {
    let is_blank = |byte: &&u8| !b" \t".contains(byte);
    let Some(start) = text.iter().position(|byte| is_blank(&byte)) else { return &[] };
    let end = text.iter().rposition(|byte| is_blank(&byte)).unwrap();
    &text[start..=end]
}

pub fn seeds() -> Vec<Vec<u8>> {
    let texts: [&[u8]; 9] = [
        b"https, http",
        b"for=192.0.2.60;proto=https;by=203.0.113.43",
        b"for=\"[2001:db8::17]:4711\"; proto = https ; host=example.com",
        b"for=192.0.2.60;proto=http, for=198.51.100.1;proto=https",
        b"host=\"a,b;proto=http\\\"\";proto=\"ht\\tps\"",
        b" , ;;proto=WSS;\nproto=https",
        b"\n,\nfor=192.0.2.60:4711;proto=https",
        b"proto=https;proto=http",
        b"for=\"\xff\";proto=https, \"",
    ];
    texts.map(<[u8]>::to_vec).into()
}
