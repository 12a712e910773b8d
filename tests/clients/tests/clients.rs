//! Common HTTP clients: visits, logins and logouts with a cookie jar, and with tokens.

use lembro_client_tests::{Examples, run};
use ureq::http::Response;
use ureq::{Agent, Body};

#[test]
fn curl() {
    run("curl", &["curl", "--version"], &["bash", "client.sh"]);
}

/// Tries Debian's own Python too: it has Debian's packages even if another one is first in `PATH`.
fn python(library: &str) {
    let import = format!("import {library}");
    let found = ["python3", "/usr/bin/python3"].map(|python| [python, "-c", &import]);
    let installed = found.iter().find(|probe| {
        let output = std::process::Command::new(probe[0]).args(&probe[1..]).output();
        output.is_ok_and(|output| output.status.success())
    });
    let probe = installed.unwrap_or(&found[0]);
    run(library, probe, &[probe[0], "client.py", library]);
}

#[test]
fn requests() {
    python("requests");
}

#[test]
fn httpx() {
    python("httpx");
}

#[test]
fn fetch_of_node_with_a_jar() {
    let probe = ["node", "--input-type=module", "-e", "import 'tough-cookie'"];
    run("node with tough-cookie", &probe, &["node", "client.mjs"]);
}

#[test]
fn both_clients_of_the_jdk() {
    run("the JDK", &["javac", "-version"], &["java", "Client.java"]);
}

/// A client that returns error statuses as answers, and follows redirects.
fn agent() -> Agent {
    Agent::config_builder().http_status_as_error(false).proxy(None).build().new_agent()
}

#[track_caller]
fn holds(answer: Result<Response<Body>, ureq::Error>, text: &str, status: u16) -> String {
    let mut answer = answer.unwrap();
    let page = answer.body_mut().read_to_string().unwrap();
    assert!(answer.status() == status && page.contains(text), "{}, and no {text:?} in\n{page}", answer.status());
    page
}

fn between(page: &str, start: &str) -> String {
    page.split_once(start).unwrap().1.split('"').next().unwrap().to_owned()
}

fn id(agent: &Agent) -> Option<String> {
    let jar = agent.cookie_jar_lock();
    jar.iter().find(|cookie| cookie.name() == "id").map(|cookie| cookie.value().to_owned())
}

#[test]
fn ureq() {
    let examples = Examples::start();
    let [counter, login, api, touche] = &examples.addresses;

    let client = agent();
    holds(client.get(format!("{counter}/")).call(), "<output>1</output>", 200);
    holds(client.get(format!("{counter}/")).call(), "<output>2</output>", 200);
    holds(client.post(format!("{counter}/theme")).send_form([("theme", "night")]), "class=\"night\"", 200);
    holds(agent().get(format!("{counter}/")).call(), "<output>1</output>", 200);

    let client = agent();
    for remember in [false, true] {
        let token = between(&holds(client.get(format!("{login}/")).call(), "csrf", 200), "name=\"csrf\" value=\"");
        let before = id(&client).unwrap();
        let send = |csrf: &str, password: &str| {
            let fields = [("csrf", csrf), ("user", "ada"), ("password", password), ("remember", "on")];
            client.post(format!("{login}/login")).send_form(fields[..3 + usize::from(remember)].iter().copied())
        };
        holds(send("x", "difference-engine"), "too old", 403);
        holds(send(&token, "x"), "No user of that name", 200);
        holds(send(&token, "difference-engine"), "Hello, ada", 200);
        let member = holds(client.get(format!("{login}/")).call(), "Hello, ada", 200);
        assert!(member.contains(if remember { "14 days" } else { "15 minutes" }), "{member}");
        let inside = id(&client).unwrap();
        assert_ne!(inside, before, "the login left the id as it was");
        let csrf = between(&member, "name=\"csrf\" value=\"");
        let left = holds(client.post(format!("{login}/logout")).send_form([("csrf", &csrf)]), "", 200);
        assert!(!left.contains("Hello, ada"), "{left}");
        assert_ne!(id(&client).as_ref(), Some(&inside), "the jar keeps the cookie of a session that ended");
        for old in [before, inside] {
            let page = holds(agent().get(format!("{login}/")).header("Cookie", format!("id={old}")).call(), "", 200);
            assert!(!page.contains("Hello, ada"), "{page}");
        }
    }

    let client = agent();
    let [laptop, phone] = ["laptop", "phone"].map(|device| {
        let account = format!(r#"{{"user": "ada", "password": "difference-engine", "device": "{device}"}}"#);
        let answer = client.post(format!("{api}/login")).content_type("application/json").send(account).unwrap();
        format!("Bearer {}", answer.headers()["X-Session-Token"].to_str().unwrap())
    });
    let get = |token: &str, path: &str| client.get(format!("{api}{path}")).header("Authorization", token).call();
    assert_eq!(id(&client), None, "a cookie, where there are tokens");
    holds(get(&phone, "/me"), "\"calls\":1", 200);
    holds(get(&phone, "/me"), "\"calls\":2", 200);
    let lost = between(&holds(get(&laptop, "/me"), "device", 200), "\"device\":\"");
    holds(get(&phone, "/devices"), "\"name\":\"laptop\"", 200);
    holds(client.delete(format!("{api}/devices/{lost}")).header("Authorization", &phone).call(), "\"ended\"", 200);
    holds(get(&laptop, "/me"), "log in first", 401);
    holds(client.post(format!("{api}/logout")).header("Authorization", &phone).send_empty(), "\"bye\":\"ada\"", 200);
    holds(get(&phone, "/me"), "log in first", 401);
    holds(client.get(format!("{api}/me")).call(), "log in first", 401);

    let client = agent();
    holds(client.get(format!("{touche}/")).call(), "Visit number 1.", 200);
    holds(client.post(format!("{touche}/note")).send("buy tea"), "Noted.", 200);
    holds(client.get(format!("{touche}/")).call(), "Visit number 2. buy tea", 200);
    holds(client.get(format!("{touche}/stream")).call(), "3. buy tea", 200);
}
