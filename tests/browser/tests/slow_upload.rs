//! Uploads that take longer than the idle timeout, with a handler that touches the session or not.

use std::io::Read as _;
use std::time::{Duration, Instant};

use lembro::web::{LostChange, SessionLayer};
use lembro::{Policy, Result, Session};
use lembro_browser_tests::{Chromium, Gate, Site, application, layer};
use rouille::{Request, Response};

const TIMEOUT: Duration = Duration::from_secs(2);
/// An upload of `BYTES` takes four seconds.
const BYTES_PER_SECOND: u32 = 64 * 1024;
const BYTES: u32 = 4 * BYTES_PER_SECOND;

/// Reads a body in pieces, and touches the session after each of them if the query says so.
fn upload(request: &Request, session: &mut Session) -> Result<Response> {
    let Some(user) = session.get::<String>("user")? else { return Ok(Response::text("not signed in")) };
    let mut body = request.data().expect("nothing has read it");
    let (begun, mut piece, mut bytes) = (Instant::now(), [0; 16 * 1024], 0);
    while let Ok(read @ 1..) = body.read(&mut piece) {
        bytes += read;
        if request.get_param("touch").is_some() {
            let _saved = session.touch()?;
        }
    }
    assert!(begun.elapsed() > TIMEOUT, "it was not slow");
    session.insert("upload", &bytes.to_string())?;
    Ok(Response::text(format!("{bytes} bytes from {user}")))
}

fn serve(layer: &SessionLayer) -> Site {
    let layer = layer.clone();
    Site::start(move |request| {
        layer.rouille(request, |session| match request.url().as_str() {
            "/upload" => upload(request, session),
            _ => application(request, session, &Gate::default()),
        })
    })
}

fn short_lived() -> SessionLayer {
    let layer = layer().policy(Policy::new().timeout(TIMEOUT)).expect("a policy that can work");
    layer.lost_change(LostChange::Refuse)
}

fn post(path: &str) -> String {
    format!("fetch('{path}', {{method: 'POST', body: 'x'.repeat({BYTES})}}).then(answer => answer.text())")
}

#[test]
fn upload_that_touches_outlasts_the_idle_timeout() {
    let site = serve(&short_lived());
    let chromium = Chromium::start();
    let tab = chromium.tab();
    assert_eq!(tab.open(&site.url("/login")), "signed in as ada");
    let cookie = chromium.cookie();
    tab.upload_at(BYTES_PER_SECOND);
    assert_eq!(tab.run(&post("/upload?touch")), format!("{BYTES} bytes from ada"));
    assert_eq!(tab.fetch("/data"), format!("upload={BYTES} user=ada"));
    assert_eq!(tab.reload(), "signed in as ada");
    assert_eq!(chromium.cookie(), cookie);
}

#[test]
fn upload_of_expired_session_is_refused() {
    let layer = short_lived();
    let site = serve(&layer);
    let (_, tab) = Chromium::start_at(&site.url("/login"));
    tab.upload_at(BYTES_PER_SECOND);
    assert_eq!(tab.run(&post("/upload")), "Your session has ended, so nothing was saved");
    assert_eq!(tab.reload(), "not signed in");
    assert_eq!(tab.fetch("/data"), "");
    assert_eq!(layer.sessions().store().len().unwrap(), 0);
    assert_eq!(tab.follow("document.forms.login.submit()"), "signed in as ada");
}
