//! A request's headers: no session and no harm, or the session that was there, found among whatever
//! else is sent.

use lembro::web::{CookieLifetime, CookieOptions, RequestHead, Secure, SessionLayer};
use lembro::{LembroOptions, LembroStore, Session, SessionId};

const SIGNED: u8 = 1;
const PERSISTENT: u8 = 2;
/// Our own cookie is among what is sent.
const PLANTED: u8 = 4;

/// Cuts the bytes into the values of headers.
const CUT: u8 = b'\n';

/// The first byte says which kind of cookie it is, the next two where ours is put in, the rest is
/// sent with it.
pub fn check(bytes: &[u8]) {
    let [kind, high, low, junk @ ..] = bytes else { return };
    let (kind, place) = (*kind, u16::from_be_bytes([*high, *low]));
    let layer = layer(kind);
    let ours = visitor(&layer);
    let (before, after) = junk.split_at(usize::from(place) % (junk.len() + 1));
    let all = if kind & PLANTED == 0 { junk.to_vec() } else { [before, b"; ", ours.as_bytes(), b"; ", after].concat() };
    let lines: Vec<&[u8]> = all.split(|byte| *byte == CUT).collect();

    // Every line as each of the headers that are looked at.
    let headers = lines.iter().flat_map(|line| ["Cookie", "X-Forwarded-Proto", "Forwarded"].map(|name| (name, *line)));
    let mut session = layer.load(RequestHead::from_headers(headers));
    let found = session.get::<String>("user").unwrap();
    assert!(found.as_deref().is_none_or(|user| user == "ada"));
    if kind & PLANTED != 0 && found.is_none() {
        // Others of our name may have been asked for before it: only so many ids and signatures
        // are.
        let names = before.windows(2).filter(|name| name == b"id").count();
        assert!(names >= if kind & SIGNED == 0 { 4 } else { 16 }, "ours was not found among {names} others");
    }
    if kind & SIGNED == 0 {
        assert_eq!(found.is_some(), leads_to_ada(&lines), "a slow reader differs");
    }
    assert_eq!(session.is_new().unwrap(), found.is_none());
    answer(&layer, &mut session, &lines);
}

/// Whether one of the first four ids in these headers is Ada's, as a slow reader has it that goes
/// from character to character: semicolons separate, blanks around a name and a value do not count,
/// nor does one pair of quotes.
fn leads_to_ada(lines: &[&[u8]]) -> bool {
    let (ada, mut ids) = (SessionId::derive("ada").expose(), Vec::new());
    for line in lines {
        let mut pairs = vec![Vec::new()];
        for byte in *line {
            if *byte == b';' {
                pairs.push(Vec::new());
            } else {
                pairs.last_mut().unwrap().push(*byte);
            }
        }
        // Latin-1: each byte a character.
        let texts = pairs.iter().map(|pair| pair.iter().map(|byte| char::from(*byte)).collect::<String>());
        ids.extend(texts.filter_map(|text| id_in(&text)));
    }
    let mut different: Vec<String> = Vec::new();
    for id in ids {
        if !different.contains(&id) {
            different.push(id);
        }
    }
    different.iter().take(4).any(|id| *id == ada)
}

fn id_in(pair: &str) -> Option<String> {
    let blanks = [' ', '\t'];
    let equals = pair.find('=')?;
    let (name, value) = (pair[..equals].trim_matches(blanks), pair[equals + 1..].trim_matches(blanks));
    let is_quoted = value.len() > 1 && value.starts_with('"') && value.ends_with('"');
    let value = if is_quoted { &value[1..value.len() - 1] } else { value };
    let (id, written) = value.split_at_checked(32)?;
    let is_id = id.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_');
    let is_date = match written.strip_prefix('.') {
        None => written.is_empty(),
        Some(seconds) => {
            seconds.parse::<u64>().is_ok_and(|number| number.to_string() == seconds && i64::try_from(number).is_ok())
        }
    };
    (name == "id" && is_id && is_date).then(|| id.to_owned())
}

/// The rest of the request, with the same lines as every header that is looked at, and as the
/// response's own headers.
fn answer(layer: &SessionLayer, session: &mut Session, lines: &[&[u8]]) {
    session.insert("seen", &true).unwrap();
    let finished = layer.finish(session).unwrap();
    for (name, value) in finished.headers() {
        assert!(value.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{name}: {value}");
    }
    let names = ["Vary", "Cache-Control", "Set-Cookie", "Clear-Site-Data", "CDN-Cache-Control", "Surrogate-Control"];
    let texts = lines.iter().map(|line| String::from_utf8_lossy(line).into_owned());
    let mut response: Vec<_> = names.iter().cycle().map(|name| (*name).to_owned()).zip(texts).collect();
    finished.write_to(&mut response);
    if finished.cookie().is_some() {
        let mut values = response.iter().filter(|(name, _)| name == "Cache-Control");
        assert!(values.next().unwrap().1.ends_with("no-store"));
        assert_eq!(values.next(), None);
        for (name, value) in
            response.iter().filter(|(name, _)| ["CDN-Cache-Control", "Surrogate-Control"].contains(&&**name))
        {
            assert!(value.ends_with("no-store"), "{name}: {value}");
        }
    }
}

fn layer(kind: u8) -> SessionLayer {
    let has = |flag: u8| kind & flag != 0;
    let store = LembroStore::with_options(LembroOptions::new().interval(0).shards(1)).unwrap();
    let lifetime = if has(PERSISTENT) { CookieLifetime::Persistent } else { CookieLifetime::BrowserSession };
    let options = CookieOptions::new().lifetime(lifetime).secure(Secure::Auto).trust_proxy(true);
    let options = if has(SIGNED) { options.keys([[7; 32], [8; 32]]) } else { options };
    SessionLayer::new(store).cookie(options).unwrap()
}

/// A user whose session is in the store, and the cookie of their browser. Always the same id, so
/// that a finding can be repeated.
fn visitor(layer: &SessionLayer) -> String {
    let created = layer.sessions().create_session(&SessionId::derive("ada"), [("user", "ada")].into_iter().collect());
    let mut session = layer.load(RequestHead::default());
    session.attach(created.unwrap()).unwrap();
    let finished = layer.finish(&mut session).unwrap();
    finished.cookie().unwrap().split(';').next().unwrap().to_owned()
}

pub fn seeds() -> Vec<Vec<u8>> {
    let other = SessionId::derive("other").expose();
    let signature = "A".repeat(43);
    let junk = [
        String::new(),
        "theme=dark; lang=pt".to_owned(),
        format!("id={other}; id={other}.1000000000; id={other}.{signature}; id={other}.1000000000.{signature}"),
        format!(" id = {other} ;;\n; id=\"{other}\"; ID={other}; idx=1; id; id=%20{other}"),
        "tracker=%E0%A4%A; =; =x; a=\"unclosed; \u{e9}=1\nhttps, http\nfor=192.0.2.60;proto=https, for=x\n*".to_owned(),
        format!(
            "$Version=\"1\"; id=\"{other}\";$Path=\"/\"\ntheme=\"a;b\"; id\t=\t{other}\t;id={other}.01;id={other}."
        ),
        "Accept-Language\npublic, max-age=600, no-transform\na=b; Path=/\n\"cache\", \"x\\\",y\"\nmax-age=1".to_owned(),
    ];
    let kinds = (0..8_u8).cycle();
    junk.iter()
        .flat_map(|junk| kinds.clone().take(8).map(move |kind| [&[kind, 0, 9], junk.as_bytes()].concat()))
        .collect()
}
