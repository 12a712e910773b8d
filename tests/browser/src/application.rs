//! The application under test: a sign-in, a private page, pages that change the session, a log-out.

use std::sync::Arc;

use lembro::web::{CookieOptions, SessionLayer};
use lembro::{Clock, LembroOptions, LembroStore, Result, Saved, Session, SessionId};
use rouille::{Request, Response};

use super::{Gate, Holds, Site, Step};

/// A layer with its own store and the default cookie, which is `Secure`: browsers accept that from
/// the loopback over plain http.
pub fn layer() -> SessionLayer {
    layer_with(CookieOptions::new())
}

/// A layer with its own store and this cookie.
pub fn layer_with(cookie: CookieOptions) -> SessionLayer {
    layer_by(Clock::system(), cookie)
}

/// The same with another clock.
pub fn layer_by(clock: impl Into<Clock>, cookie: CookieOptions) -> SessionLayer {
    let store = LembroStore::with_options(LembroOptions::new().interval(0).clock(clock)).expect("a store");
    SessionLayer::new(store).cookie(cookie).expect("a cookie that can work")
}

/// Serves [`application`] with this layer; slow requests wait at the gate.
pub fn serve(layer: &SessionLayer) -> (Site, Arc<Gate>) {
    let (layer, gate) = (layer.clone(), Arc::new(Gate::default()));
    let held_up = Arc::clone(&gate);
    (Site::start(move |request| layer.rouille(request, |session| application(request, session, &held_up))), gate)
}

/// Serves [`application`] with this layer. A request with a parameter `hold` is stepped by the
/// test: see [`Hold`](super::Hold). Its handler looks at its session first. `/arrived?name` is
/// answered when the request of that name has arrived.
pub fn serve_held(layer: &SessionLayer) -> (Site, Arc<Holds>) {
    let (layer, holds) = (layer.clone(), Arc::new(Holds::default()));
    let held_up = Arc::clone(&holds);
    let site = Site::start(move |request| {
        if request.url() == "/arrived" {
            held_up.of(&request.get_param("name").unwrap_or_default()).wait();
            return Response::text("it is here");
        }
        let hold = request.get_param("hold").map(|name| held_up.of(&name));
        let pass = |step| hold.iter().for_each(|hold| hold.pass(step));
        pass(Step::Look);
        let response = layer.rouille(request, |session| {
            if hold.is_some() {
                session.owner()?;
                pass(Step::Commit);
            }
            application(request, session, &Gate::default())
        });
        pass(Step::Answer);
        response
    });
    (site, holds)
}

/// Answers a request:
///
/// | path | answer |
/// |---|---|
/// | `/` | the user's name |
/// | `/login` | signs ada in and redirects to `/` |
/// | `/logout` | signs out and redirects to `/` |
/// | `/private` | a page for the signed-in user |
/// | `/public` | a page that does not look at the session |
/// | `/set?key&value` | sets a value in the session |
/// | `/slow?key&value` | the same, waiting at the gate before its end; without a key it only looks |
/// | `/slow?key&value&save` | the same, and saves in the handler |
/// | `/data` | the session's `key=value` pairs, in the order of the keys |
///
/// # Errors
///
/// When the store failed.
pub fn application(request: &Request, session: &mut Session, gate: &Gate) -> Result<Response> {
    let param = |name| request.get_param(name).unwrap_or_default();
    match request.url().as_str() {
        "/" => Ok(page(
            session.get::<String>("user")?.map_or("not signed in".to_owned(), |user| format!("signed in as {user}")),
        )),
        "/login" => {
            session.log_in("ada")?;
            session.insert("user", "ada")?;
            Ok(redirect("/"))
        }
        "/logout" => {
            session.log_out()?;
            Ok(redirect("/"))
        }
        "/private" => Ok(page(match session.get_str("user")? {
            Some(user) => format!("the diary of {user}"),
            None => "not signed in".to_owned(),
        })),
        "/public" => Ok(page("a public page")),
        "/set" => {
            session.insert(&param("key"), &param("value"))?;
            Ok(Response::text("set"))
        }
        "/slow" => {
            // The first look is before the wait, as in a handler that asks for the user first.
            let user = session.get::<String>("user")?;
            if request.get_param("key").is_some() {
                session.insert(&param("key"), &param("value"))?;
            }
            gate.pass();
            if request.get_param("save").is_some() {
                let (Saved::Written | Saved::Unchanged | Saved::Gone | Saved::Skipped) = session.save()?;
            }
            Ok(Response::text(user.unwrap_or_default()))
        }
        "/data" => {
            let mut data = Vec::new();
            for key in session.keys()? {
                data.push(format!("{key}={}", session.get::<String>(key)?.unwrap_or_default()));
            }
            data.sort();
            Ok(Response::text(data.join(" ")))
        }
        _ => Ok(Response::text("no such page").with_status_code(404)),
    }
}

/// A page with this text and both forms. Its `persisted` tells whether the browser restored it from
/// memory.
pub fn page(text: impl AsRef<str>) -> Response {
    let text = text.as_ref();
    // The empty icon keeps the browser from asking for one.
    Response::html(format!(
        "<!doctype html><link rel=icon href='data:,'><title>{text}</title><p>{text}</p>
        <form method=post action=/logout id=logout></form><form method=post action=/login id=login></form>
        <script>addEventListener('pageshow', event => window.persisted = event.persisted)</script>"
    ))
}

/// The id in a cookie's value, which may have a date and a signature after it.
pub fn id_in(value: &str) -> SessionId {
    value.split('.').next().unwrap_or_default().parse().expect("an id")
}

/// A redirect with 303 See Other.
pub fn redirect(path: &'static str) -> Response {
    Response::redirect_303(path)
}
