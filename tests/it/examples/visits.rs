//! Visits to each example: what its page offers, what it must refuse, and requests that it must
//! endure.

use std::time::{Duration, Instant};

use tungstenite::client::IntoClientRequest as _;
use tungstenite::{Message, client};

use super::server::{End, Example, Status};
use super::visitor::{Page, Visitor};

const ADA: [(&str, &str); 2] = [("user", "ada"), ("password", "difference-engine")];

/// Every ASCII character that a form can hold and a page can show, but line breaks.
fn ascii() -> String {
    (' '..='~').collect()
}

fn form<'a>(csrf: &'a str, fields: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    [&[("csrf", csrf)], fields].concat()
}

/// Requests that no server may end at, answer with a 5xx, or be damaged by for the next one.
fn endure(example: &mut Example, path: &str) {
    let host = example.host();
    let post = |body: &[u8]| {
        let kind = "Content-Type: application/x-www-form-urlencoded";
        let length = body.len();
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: {host}\r\nOrigin: http://{host}\r\n{kind}\r\nContent-Length: {length}\r\n\r\n"
        );
        [head.as_bytes(), body].concat()
    };
    let bytes: Vec<u8> = (0..4000_u32).map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect();
    let long = format!("GET /{} HTTP/1.1\r\nHost: {host}\r\n\r\n", "0".repeat(70_000)).into_bytes();
    for request in [post(&bytes), post(&[]), post(&vec![0; 3_000_000]), long] {
        // A server may cut the connection of a request that it does not want.
        let (status, _) = example.send(&request, End::Waits);
        assert!(matches!(status, Status::Code(..500) | Status::Closed), "{}: {status:?}", example.name);
        example.get("/", "");
    }
    assert_eq!(example.damage(), None);
}

#[test]
fn counter_counts_until_the_logout() {
    let mut example = Example::start("counter", &[]);
    let visitor = Visitor::new(&example);
    let first = visitor.get("/").holds("<output>1</output>").holds("HttpOnly");
    visitor.get("/").holds("<output>2</output>");
    visitor.submit("/theme", &[("theme", "night")]).holds("class=\"night\"");
    assert!(visitor.cookies().starts_with("id=") && first.header("set-cookie").starts_with("id="));
    visitor.submit("/logout", &[("x", "")]).holds("<output>1</output>");
    endure(&mut example, "/theme");
}

#[test]
fn configured_is_as_its_file_says() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/configured.toml");
    let example = Example::start("configured", &[file]);
    let visitor = Visitor::new(&example);
    visitor.get("/").holds("set-cookie: visit=");
    visitor.get("/").holds("Welcome back, for the 2. time.");
    assert!(example.printed().contains("16777216 bytes at most"), "{}", example.printed());

    let right = std::fs::read_to_string(file).unwrap();
    let wrong = std::env::temp_dir().join(format!("lembro-configured-{}.toml", std::process::id()));
    for (text, other, told, untold) in [
        ("15m", "15 parsecs", "policy.timeout: ", "hunter2"),
        ("16M", "16M\"\npassword = \"hunter2\" 5 = \"", "configured", "hunter2"),
    ] {
        std::fs::write(&wrong, right.replace(text, other)).unwrap();
        let output =
            std::process::Command::new(super::server::built().join("configured")).arg("0").arg(&wrong).output();
        let said = String::from_utf8(output.unwrap().stderr).unwrap();
        assert!(said.contains(told) && !said.contains(untold), "{said}");
    }
    std::fs::remove_file(wrong).unwrap();
}

#[test]
fn login_signs_in_and_out() {
    let mut example = Example::start("login", &[]);
    signs_in_and_out(&example);
    endure(&mut example, "/login");
}

fn signs_in_and_out(example: &Example) {
    let visitor = Visitor::new(example);
    let stranger = visitor.get("/").holds("<section hidden>").token();
    let before = visitor.cookies();
    visitor.post("/login", &form("", &ADA)).holds("403 Forbidden");
    let wrong = visitor.submit("/login", &form(&stranger, &[("user", "<b>{csrf}"), ("password", "x")]));
    let wrong = wrong.holds("No user of that name has that password.").holds("value=\"&lt;b&gt;{csrf}\"").token();
    visitor.get("/").misses("No user of that name");

    let login = visitor.post("/login", &form(&wrong, &ADA));
    assert!(!login.header("set-cookie").contains("Max-Age"), "the cookie outlives the browser");
    let member = visitor.get("/").holds("Hello, ada").holds("cache-control: no-store").token();
    Visitor::bearing(example, &before).get("/").misses("Hello, ada");
    visitor.post("/logout", &form(&wrong, &[])).holds("403 Forbidden");
    let inside = visitor.cookies();
    visitor.post("/logout", &form("x", &[])).holds("403 Forbidden");
    visitor.post("/logout", &form(&member, &[])).holds("Max-Age=0");
    Visitor::bearing(example, &inside).get("/").misses("Hello, ada");

    let page = visitor.get("/").token();
    let login = visitor.post("/login", &form(&page, &[ADA[0], ADA[1], ("remember", "on")]));
    assert!(login.header("set-cookie").contains("Max-Age"), "the cookie ends with the browser");
    let member = visitor.get("/").holds("14 days after your last visit").token();
    visitor.post("/logout", &form(&member, &[]));
    let page = visitor.get("/").token();
    let typed = visitor.submit("/login", &form(&page, &[("user", &ascii()[..60]), ("password", "x")]));
    typed.holds("value=\" !&quot;#$%&amp;&#39;()*+,-./0123456789:;&lt;=&gt;?");
}

/// One side of a chat.
struct Socket(tungstenite::WebSocket<std::net::TcpStream>);

impl Socket {
    fn open(example: &Example, visitor: &Visitor) -> Self {
        let mut request = format!("ws://{}/socket", example.host()).into_client_request().unwrap();
        let headers = request.headers_mut();
        headers.insert("Origin", format!("http://{}", example.host()).parse().unwrap());
        headers.insert("Cookie", visitor.cookies().parse().unwrap());
        let stream = std::net::TcpStream::connect(example.host()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        Self(client(request, stream).unwrap().0)
    }

    fn say(&mut self, text: &str) {
        self.0.send(Message::text(text)).unwrap();
    }

    /// The name and the text of the next line; `None` when the socket has ended.
    fn hear(&mut self) -> Option<(String, String)> {
        let line: serde_json::Value = match self.0.read() {
            Ok(Message::Text(text)) => serde_json::from_str(&text).unwrap(),
            _ => return None,
        };
        let part = |name: &str| line[name].as_str().unwrap().to_owned();
        Some((part("name"), part("text")))
    }
}

#[test]
fn chat_is_heard_until_the_logout() {
    let mut example = Example::start("chat", &[]);
    let [ada, bob, eve] = [(); 3].map(|()| Visitor::new(&example));
    ada.submit("/name", &[("name", "<Ada>")]).holds("data-name=\"&lt;Ada");
    bob.post("/name", &[("name", "Bob")]);
    let elsewhere = Visitor::bearing(&example, &ada.cookies()).with("Origin", "http://elsewhere.example");
    elsewhere.post("/name", &[("name", "Eve")]).holds("403 Forbidden");
    elsewhere.get("/socket").holds("403 Forbidden");
    eve.get("/socket").holds("404 Not Found");
    for name in ascii().as_bytes().chunks(30).map(|name| std::str::from_utf8(name).unwrap().trim()) {
        let shown = name.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;");
        eve.submit("/name", &[("name", name)]).holds(&format!("data-name=\"{shown}\""));
    }

    let line = |name: &str, text: &str| Some((name.to_owned(), text.to_owned()));
    let (mut first, mut second) = (Socket::open(&example, &ada), Socket::open(&example, &bob));
    first.say("hello <there>");
    assert_eq!(first.hear(), line("<Ada>", "hello <there>"));
    second.say(" ");
    assert_eq!(second.hear(), line("<Ada>", "hello <there>"));
    ada.post("/name", &[("name", "Countess")]);
    first.say("and now?");
    assert_eq!(first.hear(), line("Countess", "and now?"));
    second.say(" ");
    assert_eq!(second.hear(), line("Countess", "and now?"));
    ada.get("/").holds("was loaded: 2.");
    ada.post("/leave", &[]);
    second.say("alone");
    assert_eq!(second.hear(), line("Bob", "alone"));
    first.say(" ");
    assert_eq!(first.hear(), None, "the socket outlives the logout");
    endure(&mut example, "/name");
}

#[test]
fn two_layers_keep_shop_and_office_apart() {
    let mut example = Example::start("two_layers", &[]);
    let visitor = Visitor::new(&example);
    visitor.get("/").holds("data-place=\"shop\"");
    let basket = visitor.post("/add/tea", &[("x", "")]);
    assert!(basket.header("set-cookie").starts_with("basket=") && !basket.0.contains("Path=/office"), "{}", basket.0);
    visitor.get("/").holds("<dd>1 in all");
    visitor.post("/office/close", &[("x", "")]).holds("404 Not Found");
    let office = visitor.post("/office/enter", &[("x", "")]).header("set-cookie");
    assert!(office.starts_with("office=") && office.ends_with("Path=/office"), "{office}");
    visitor.get("/office").holds("data-place=\"desk\"").holds("<dd>1 in all");
    visitor.get("/").holds("data-place=\"shop\"");
    visitor.submit("/office/close", &[("x", "")]).holds("<dd>0 in all").holds("data-place=\"desk\"");
    visitor.submit("/office/leave", &[("x", "")]).holds("data-place=\"door\"");
    endure(&mut example, "/add/tea");
}

#[test]
fn devices_are_listed_and_ended() {
    let mut example = Example::start("devices", &[]);
    let firefox = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";
    let safari = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) \
                  Version/18.0 Mobile/15E148 Safari/604.1";
    let press = |visitor: &Visitor, button: &str, fields: &[(&str, &str)]| {
        let csrf = visitor.get("/").token();
        visitor.submit(button, &form(&csrf, fields))
    };
    let sign_in = |visitor: &Visitor| press(visitor, "/login", &ADA);
    let [a, b, c, d] = [firefox, safari, "curl", "curl"].map(|agent| Visitor::new(&example).with("User-Agent", agent));
    press(&a, "/login", &[ADA[0], ("password", "x")]).holds("No user of that name has that password.");
    sign_in(&a).holds("Firefox on Linux");
    let both = sign_in(&b).holds("Firefox on Linux").holds("Safari on iPhone");
    b.post("/everywhere", &form("", &[])).holds("403 Forbidden");
    a.get("/").holds("data-place=\"inside\"");

    let handle = Page(both.0.split_once("<b>Firefox").unwrap().1.to_owned()).between("value=", " ");
    press(&b, "/end", &[("device", &handle)]).misses("Firefox on Linux");
    a.get("/").holds("from another of your devices");
    a.get("/").misses("data-place=\"inside\"");
    let a = a.with("User-Agent", "<i>{csrf}</i>");
    sign_in(&a).holds("&lt;i>{csrf}").misses("<i>");
    sign_in(&c);
    b.get("/").holds("data-place=\"inside\"");
    sign_in(&d).holds("data-place=\"inside\"");
    b.get("/").holds("You signed in on a fourth device.");
    assert_eq!(press(&d, "/others", &[]).0.matches("<li ").count(), 1);
    a.get("/").holds("You signed out everywhere.");
    let a = a.with("User-Agent", firefox);
    sign_in(&a);
    press(&a, "/everywhere", &[]).holds("You signed out everywhere.");
    d.get("/").holds("You signed out everywhere.");
    endure(&mut example, "/login");
}

#[test]
fn api_answers_the_lines_in_its_head() {
    let example = Example::start("api", &[]);
    let head = include_str!("../../../examples/api.rs");
    let lines = head.split_once("```sh\n").unwrap().1.split_once("//! ```").unwrap().0.replace("//! ", "");
    let lines = lines.replace("127.0.0.1:8080", &example.host());
    let output = std::process::Command::new("bash").args(["-euo", "pipefail", "-c", &lines]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let said = String::from_utf8(output.stdout).unwrap();
    let expected = [
        r#""user":"ada""#,
        r#""name":"phone""#,
        r#""ended":"/devices/"#,
        r#""error":"log in first""#,
        r#""bye":"ada""#,
        r#""error":"log in first""#,
    ];
    assert_eq!(said.lines().count(), expected.len(), "{said}");
    assert!(said.lines().zip(expected).all(|(line, part)| line.contains(part)), "{said}");
    assert!(said.contains(r#""name":"laptop""#), "{said}");
}

#[test]
fn api_takes_a_token_from_its_header_alone() {
    let example = Example::start("api", &[]);
    let visitor = Visitor::new(&example);
    let json = |text: &'static str| Some(("application/json", text.as_bytes()));
    let login = visitor.send("POST", "/login", json(r#"{"user": "ada", "password": "difference-engine"}"#));
    let token = login.misses("set-cookie").header("x-session-token");
    visitor.get(&format!("/me?token={token}")).holds("401 Unauthorized");
    Visitor::bearing(&example, &format!("id={token}")).get("/me").holds("www-authenticate: Bearer");
    let bearer = Visitor::new(&example).with("Authorization", &format!("Bearer {token}"));
    bearer.get("/me").holds("cache-control: no-store");
    visitor.send("POST", "/login", json(r#"{"user": "ada", "password": "x"}"#)).holds("403 Forbidden");
    visitor.send("POST", "/login", json("user=ada")).holds("400 Bad Request");
}

#[test]
fn touche_keeps_a_note_and_streams_it() {
    let mut example = Example::start("touche", &[]);
    let visitor = Visitor::new(&example);
    visitor.get("/").holds("Visit number 1.");
    visitor.send("POST", "/note", Some(("text/plain", b"buy tea")));
    visitor.get("/").holds("Visit number 2. buy tea");
    visitor.get("/stream").holds("3. buy tea");
    endure(&mut example, "/note");
}

#[cfg(unix)]
#[test]
fn restart_goes_on_where_it_was() {
    use std::os::unix::fs::PermissionsExt as _;

    let folder = std::env::temp_dir().join(format!("lembro-restart-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join("sessions");
    let start = || Example::start("restart", &[file.to_str().unwrap()]);
    let mut example = start();
    let visitor = Visitor::new(&example);
    visitor.get("/").holds("Visit number 1");
    visitor.get("/").holds("Visit number 2");
    let cookies = visitor.cookies();
    let secret = &cookies["id=".len() + 11..];
    for file in std::fs::read_dir(&folder).unwrap().map(|file| file.unwrap().path()) {
        let bytes = std::fs::read(&file).unwrap();
        assert!(!bytes.windows(secret.len()).any(|part| part == secret.as_bytes()), "{file:?} has the id in it");
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{file:?}");
    }

    for (signal, visit) in [("-KILL", 3), ("-INT", 4), ("-INT", 5)] {
        assert_eq!(example.end(signal).success(), signal == "-INT");
        if visit == 5 {
            let mut bytes = std::fs::read(&file).unwrap();
            bytes.push(b'x');
            std::fs::write(&file, bytes).unwrap();
        }
        example = start();
        let told = if visit == 5 { "Starting with what is whole: " } else { "Sessions restored: 1." };
        assert!(example.printed().contains(told), "{}", example.printed());
        Visitor::bearing(&example, &cookies).get("/").holds(&format!("Visit number {visit}"));
    }
    endure(&mut example, "/");
    assert!(example.end("-INT").success());
    std::fs::remove_dir_all(folder).unwrap();
}

#[cfg(unix)]
#[test]
fn dashboard_shows_a_flood_that_logs_no_user_out() {
    let mut example = Example::start("dashboard", &[]);
    let visitor = Visitor::new(&example);
    let page = visitor.get("/").holds("<title>lembro: a store under load</title>");
    assert!(!page.0.replace("http://www.w3.org/2000/svg", "").contains("://"), "it needs something from elsewhere");
    endure(&mut example, "/flood");
    let elsewhere = Visitor::bearing(&example, &visitor.cookies()).with("Origin", "http://elsewhere.example");
    elsewhere.post("/flood", &[("bots", "in")]).holds("403 Forbidden");
    let numbers = |news: &Page, field: &str| {
        let field = format!("\"{field}\":");
        let values = news
            .0
            .split(&field)
            .skip(1)
            .map(|rest| rest.chars().take_while(char::is_ascii_digit).collect::<String>().parse::<u64>().unwrap());
        values.collect::<Vec<_>>()
    };
    // Of the newest second that the page is told about.
    let becomes = |field: &str, is_right: &dyn Fn(u64) -> bool| {
        let until = Instant::now() + Duration::from_secs(60);
        while !numbers(&visitor.get("/news"), field).last().is_some_and(|number| is_right(*number)) {
            assert!(Instant::now() < until, "{field}: {}", visitor.get("/news").0);
            std::thread::sleep(Duration::from_millis(100));
        }
    };
    becomes("sessions", &|sessions| sessions >= 100);
    visitor.get("/news").holds(r#""flood":null,"flood_is_yours":false,"presses":0"#);
    visitor.post("/flood", &[("bots", "in")]).holds(r#""flood_is_yours":true,"presses":1"#);
    Visitor::new(&example).get("/news").holds(r#""flood_is_yours":false,"presses":0"#);
    becomes("evicted", &|evicted| evicted >= 1);
    let full = visitor.get("/news").holds(r#""flood_is_yours":true,"presses":1"#);
    let max = numbers(&full, "max_size")[0];
    assert!(numbers(&full, "bytes").iter().all(|bytes| *bytes <= max), "{}", full.0);
    assert!(numbers(&full, "evicted_owned").iter().all(|evicted| *evicted == 0), "{}", full.0);
    visitor.post("/flood", &[("bots", "out")]).holds(r#""flood":null,"flood_is_yours":false,"presses":2"#);
    becomes("bots", &|bots| bots == 0);
    assert!(example.end("-INT").success());
    assert!(example.printed().contains(r#""evicted_owned":0"#), "{}", example.printed());
}

#[cfg(feature = "redis")]
#[test]
fn redis_keeps_a_login_for_another_process() {
    let server = crate::redis::server::Server::start();
    let example = Example::start("redis", &[&server.url()]);
    signs_in_and_out(&example);
    let visitor = Visitor::new(&example);
    let csrf = visitor.get("/").token();
    visitor.submit("/login", &form(&csrf, &ADA)).holds("Hello, ada");
    drop(example);
    let another = Example::start("redis", &[&server.url()]);
    Visitor::bearing(&another, &visitor.cookies()).get("/").holds("Hello, ada");
}
