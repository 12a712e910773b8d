//! Two kinds of session on one server: a shop and its office, each with a store, a cookie,
//! timeouts.
//!
//! Run `cargo run --example two_layers --features rouille`; an argument after `--` is another port.
//! Fill the basket, enter the office, and empty all baskets from there: the clerk stays logged in.
//! `login.rs` shows how to ask for a password.

#![expect(clippy::print_stdout, reason = "an example may")]

use std::collections::BTreeMap;

use lembro::web::{CookieLifetime, CookieOptions, SameSite, Secure, SessionLayer};
use lembro::{LembroOptions, LembroStore, Policy, Result, Session, Store as _};
use rouille::{Request, Response, Server};

const GOODS: [&str; 4] = ["tea", "bread", "plums", "honey"];

fn main() -> std::result::Result<(), Box<dyn std::error::Error + Send + Sync>> {
    // Many small sessions that live for weeks.
    let customers = LembroStore::with_options(LembroOptions::new().max_size("64M"))?;
    let policy = Policy::new().timeout("14d").lifetime("90d");
    let cookie = CookieOptions::new().name("basket").lifetime(CookieLifetime::Persistent).secure(Secure::Auto);
    let shop = SessionLayer::new(customers.clone()).policy(policy)?.cookie(cookie)?;

    // A few powerful sessions that live for minutes. Links on other sites do not send this cookie,
    // and the shop's pages never receive it.
    let clerks = LembroStore::new()?;
    let policy = Policy::new().timeout("5m").lifetime("1h");
    let cookie = CookieOptions::new().name("office").path("/office").same_site(SameSite::Strict).secure(Secure::Auto);
    let office = SessionLayer::new(clerks.clone()).policy(policy)?.cookie(cookie)?;

    // One handler with a session of each layer. Both layers add their headers to its response.
    let serve = move |request: &Request| {
        office.rouille(request, |clerk| {
            shop.rouille(request, |customer| answer(request, customer, clerk, &customers, &clerks))
        })
    };
    let server = match std::env::args().nth(1) {
        Some(port) => Server::new(format!("127.0.0.1:{port}"), serve)?,
        None => Server::new("127.0.0.1:8080", serve.clone()).or_else(|_| Server::new("127.0.0.1:0", serve))?,
    };
    println!("The shop is at http://{}/ and its office behind /office", server.server_addr());
    server.pool_size(16).run();
    Ok(())
}

fn answer(
    request: &Request,
    customer: &mut Session,
    clerk: &mut Session,
    customers: &LembroStore,
    clerks: &LembroStore,
) -> Result<Response> {
    let url = request.url();
    match (request.method(), url.as_str()) {
        ("GET", "/" | "/office") => {
            let page = page(&url, customer, clerk)?;
            let (baskets, desks) = (customers.stats().sessions, clerks.stats().sessions);
            let page = page.replace("{baskets}", &baskets.to_string()).replace("{desks}", &desks.to_string());
            return Ok(Response::html(page));
        }
        ("POST", "/empty") => customer.log_out()?,
        ("POST", "/office/enter") => {
            clerk.log_in("grace")?;
            clerk.insert("name", "Grace")?;
        }
        ("POST", "/office/leave") => clerk.log_out()?,
        // Ends the sessions of all customers and of no clerk.
        ("POST", "/office/close") if clerk.contains_key("name")? => customers.clear()?,
        ("POST", _) => {
            let Some(item) = GOODS.into_iter().find(|item| url.strip_prefix("/add/") == Some(item)) else {
                return Ok(Response::text("Nothing here.").with_status_code(404));
            };
            customer.modify("basket", |basket: &mut Option<BTreeMap<String, u32>>| {
                *basket.get_or_insert_default().entry(item.to_owned()).or_default() += 1;
            })?;
        }
        _ => return Ok(Response::text("Nothing here.").with_status_code(404)),
    }
    Ok(Response::redirect_303(if url.starts_with("/office") { "/office" } else { "/" }))
}

fn page(url: &str, customer: &Session, clerk: &Session) -> Result<String> {
    let basket = customer.get::<BTreeMap<String, u32>>("basket")?.unwrap_or_default();
    let place = match url {
        "/" => "shop",
        _ if clerk.contains_key("name")? => "desk",
        _ => "door",
    };
    let good = |item: &str| {
        let count = basket.get(item).unwrap_or(&0);
        format!(
            "<li><span>{item}</span><output>{count}</output><button formaction=/add/{item}>Add {item}</button></li>"
        )
    };
    let html = include_str!("two_layers.html").replace("{place}", place);
    let html = html.replace("{goods}", &GOODS.map(good).concat());
    Ok(html.replace("{items}", &basket.values().map(|&count| u64::from(count)).sum::<u64>().to_string()))
}
