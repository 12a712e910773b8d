//! HTTP/2: split `Cookie` headers, and the example `axum` over it.

use axum::http::{HeaderMap, Request, Response, Version};
use lembro::web::{CookieOptions, SessionLayer};
use tokio::net::TcpStream;
use tokio::runtime::Builder;

use crate::axum_site::AxumSite;
use crate::example;
use crate::wire::{Listener, Page, Target, layer, store};

/// Sends a request over HTTP/2 with exactly these header fields; returns the response with its
/// body.
fn ask(site: &dyn Listener, method: &str, path: &str, fields: &[(&str, &str)], body: &str) -> Response<String> {
    let mut request = Request::builder().method(method).uri(format!("http://{}{path}", site.address()));
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
        let socket = TcpStream::connect(site.address()).await.unwrap();
        let (mut client, connection) = h2::client::handshake(socket).await.unwrap();
        tokio::spawn(connection);
        let (response, mut sending) = client.send_request(request.body(()).unwrap(), false).unwrap();
        sending.send_data(body.to_owned().into(), true).unwrap();
        let (head, mut stream) = response.await.unwrap().into_parts();
        let mut text = Vec::new();
        while let Some(data) = stream.data().await {
            text.extend(data.unwrap());
        }
        Response::from_parts(head, String::from_utf8(text).unwrap())
    })
}

fn sent_back(headers: &HeaderMap) -> String {
    headers["set-cookie"].to_str().unwrap().split(';').next().unwrap().to_owned()
}

// RFC 9113, 8.2.3: clients split the header for better compression.
#[test]
fn split_cookie_header_opens_its_session() {
    let application = |_: &Target, session: &mut lembro::Session| {
        let visits = session.get::<u32>("visits")?.unwrap_or(0) + 1;
        session.insert("visits", &visits)?;
        Ok(Page::text(visits.to_string()))
    };
    for site in [AxumSite::blocking, AxumSite::asynchronous] {
        let site = site(layer(store()), std::sync::Arc::new(application));
        let first = ask(&site, "GET", "/", &[], "");
        assert_eq!((first.version(), first.body().as_str()), (Version::HTTP_2, "1"));
        let ours = sent_back(first.headers());
        for (visits, fields) in [
            ("2", vec![("cookie", "a=1"), ("cookie", &ours), ("cookie", "b=2")]),
            ("3", vec![("cookie", "a=1"), ("accept", "*/*"), ("cookie", &ours)]),
            ("1", vec![("cookie", &ours[..20]), ("cookie", &ours[20..])]),
        ] {
            let answer = ask(&site, "GET", "/", &fields, "");
            assert_eq!(answer.body(), visits, "{fields:?}");
            assert_eq!(answer.headers().contains_key("set-cookie"), visits == "1", "{fields:?}");
        }
    }
}

#[test]
fn example_counts_and_logs_in_and_out() {
    let layer = SessionLayer::new(store()).cookie(CookieOptions::new().secure(false)).unwrap();
    let site = AxumSite::start(example::application(layer));
    let first = ask(&site, "GET", "/", &[], "");
    assert_eq!(first.body(), "Visit number 1, stranger\n");
    let before = sent_back(first.headers());
    let form = |cookie: &str, password: &str| {
        let fields = [("cookie", cookie), ("content-type", "application/x-www-form-urlencoded")];
        ask(&site, "POST", "/login", &fields, &format!("user=ada&password={password}"))
    };
    assert_eq!(form(&before, "x").status(), 403);
    let login = form(&before, "difference-engine");
    let after = sent_back(login.headers());
    assert_ne!(after, before);
    assert_eq!(ask(&site, "GET", "/", &[("cookie", &after)], "").body(), "Visit number 2, ada\n");
    assert_eq!(ask(&site, "POST", "/logout", &[("cookie", &after)], "").body(), "Bye.\n");
    assert_eq!(ask(&site, "GET", "/", &[("cookie", &after)], "").body(), "Visit number 1, stranger\n");
}
