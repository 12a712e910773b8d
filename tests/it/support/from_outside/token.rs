//! A token in a header: no session and no harm, or the session whose id it is.

use lembro::web::{RequestHead, SessionLayer, TokenOptions};
use lembro::{LembroOptions, LembroStore, Session, SessionId};

/// The bytes, in lines, are the values of a header: bearer credentials if the first byte is even,
/// else a header of its own.
pub fn check(bytes: &[u8]) {
    let [kind, values @ ..] = bytes else { return };
    let is_bearer = kind % 2 == 0;
    let (name, options) = if is_bearer {
        ("authorization", TokenOptions::new())
    } else {
        ("X-TOKEN", TokenOptions::new().header("X-Token"))
    };
    let store = LembroStore::with_options(LembroOptions::new().interval(0).shards(1)).unwrap();
    let layer = SessionLayer::new(store).token(options.response_header("X-New")).unwrap();
    let ada = SessionId::derive("ada");
    layer.sessions().create_session(&ada, [("user", "ada")].into_iter().collect()).unwrap();

    let lines: Vec<&[u8]> = values.split(|byte| *byte == b'\n').collect();
    // As every other header that is looked at, too.
    let headers = lines.iter().flat_map(|line| [name, "Cookie", "Forwarded"].map(|name| (name, *line)));
    let mut session = layer.load(RequestHead::from_headers(headers));
    let first = lines.iter().find_map(|line| token_in(line, is_bearer));
    let is_ada = first == Some(ada.expose());
    assert_eq!(session.get::<String>("user").unwrap().is_some(), is_ada, "a slow reader differs");
    answer(&layer, &mut session, is_ada);
}

/// The id in a value, as a slow reader has it.
fn token_in(value: &[u8], is_bearer: bool) -> Option<String> {
    // Latin-1: each byte a character.
    let text: String = value.iter().copied().map(char::from).collect();
    let blanks = [' ', '\t'];
    let text = text.trim_matches(blanks);
    let token = if is_bearer {
        let scheme = text.chars().take(6).collect::<String>();
        let rest = text.chars().skip(6).collect::<String>();
        (scheme.eq_ignore_ascii_case("bearer") && rest.starts_with(' '))
            .then(|| rest.trim_matches(blanks).to_owned())?
    } else {
        text.to_owned()
    };
    let is_id = token.len() == 32 && token.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_');
    is_id.then_some(token)
}

/// The rest of the request: only a client without a token is told one.
fn answer(layer: &SessionLayer, session: &mut Session, is_known: bool) {
    session.insert("seen", &true).unwrap();
    let finished = layer.finish(session).unwrap();
    assert!(finished.cookie().is_none());
    assert_eq!(finished.token().is_none(), is_known);
    let told = finished.headers().any(|(name, value)| name == "X-New" && value.len() == 32);
    assert_eq!(told, !is_known);
}

pub fn seeds() -> Vec<Vec<u8>> {
    let (ada, other) = (SessionId::derive("ada").expose(), SessionId::derive("other").expose());
    let texts = [
        format!("0Bearer {ada}"),
        format!("0bEARER  {ada}\t\nBearer {other}"),
        format!("0Bearer{ada}\n{ada}\nBearer"),
        format!("0Basic {ada}\nBearer {other}.1\nBearer {other}\nBearer {ada}"),
        format!("1{ada}"),
        format!("1 \"{other}\"\n{other}.AAAA\n{ada} "),
        format!("1\n{other}\n{ada}; \u{e9}"),
    ];
    texts.map(String::into_bytes).into()
}
