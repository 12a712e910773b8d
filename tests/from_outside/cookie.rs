//! A request's headers: no session and no harm, or the session that was there, found among whatever else is sent.

use lembro::web::{CookieLifetime, CookieOptions, RequestHead, Secure, SessionLayer};
use lembro::{LembroOptions, LembroStore, Session, SessionId};

const SIGNED: u8 = 1;
const PERSISTENT: u8 = 2;
/// Our own cookie is among what is sent.
const PLANTED: u8 = 4;

/// Cuts the bytes into the values of headers.
const CUT: u8 = b'\n';

/// The first byte says which kind of cookie it is, the next two where ours is put in, the rest is sent with it.
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
        // Others of our name may have been asked for before it: only so many ids and signatures are.
        let names = before.windows(2).filter(|name| name == b"id").count();
        assert!(names >= if kind & SIGNED == 0 { 4 } else { 16 }, "ours was not found among {names} others");
    }
    assert_eq!(session.is_new().unwrap(), found.is_none());
    answer(&layer, &mut session, &lines);
}

/// The rest of the request, with the same lines as every header that is looked at, and as the response's own headers.
fn answer(layer: &SessionLayer, session: &mut Session, lines: &[&[u8]]) {
    session.insert("seen", &true).unwrap();
    let finished = layer.finish(session).unwrap();
    for (name, value) in finished.headers() {
        assert!(value.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{name}: {value}");
    }
    let names = ["Vary", "Cache-Control", "Set-Cookie", "Clear-Site-Data", "CDN-Cache-Control"];
    let texts = lines.iter().map(|line| String::from_utf8_lossy(line).into_owned());
    let mut response: Vec<_> = names.iter().cycle().map(|name| (*name).to_owned()).zip(texts).collect();
    finished.write_to(&mut response);
    if finished.cookie().is_some() {
        let mut values = response.iter().filter(|(name, _)| name == "Cache-Control");
        assert!(values.next().unwrap().1.ends_with("no-store"));
        assert_eq!(values.next(), None);
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

/// Somebody whose session is in the store; what their browser sends. Always the same id, so that a finding can be repeated.
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
        "Accept-Language\npublic, max-age=600, no-transform\na=b; Path=/\n\"cache\", \"x\\\",y\"\nmax-age=1".to_owned(),
    ];
    let kinds = (0..8_u8).cycle();
    junk.iter()
        .flat_map(|junk| kinds.clone().take(8).map(move |kind| [&[kind, 0, 9], junk.as_bytes()].concat()))
        .collect()
}
