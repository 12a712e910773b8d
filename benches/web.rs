//! The cost of the cookie layer: `load` and `finish` of a request, and the throughput of servers.
//!
//! `cargo bench --bench web --features rouille,tiny_http` prints the time of `load` and `finish`.
//! If `wrk` is installed, it then prints for each server the requests per second with the layer
//! divided by those without, as the median of alternating rounds. On a shared machine only this
//! ratio is meaningful.

use std::io::Cursor;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use divan::{Bencher, black_box};
use lembro::web::{CookieLifetime, CookieOptions, RequestHead, SessionLayer};
use lembro::{LembroOptions, LembroStore, Policy};

const ROUNDS: usize = 15;
const CONNECTIONS: usize = 4;
const SECONDS: u32 = 1;

fn main() {
    divan::main();
    throughput();
}

/// A layer, and the `Cookie` header of a visitor with a session.
fn visited(cookie: CookieOptions) -> (SessionLayer, String) {
    let store = LembroStore::with_options(LembroOptions::new().max_size("64M").interval(0)).unwrap();
    // Long, so that no touch falls into the measurement.
    let policy = Policy::new().touch_after(Duration::from_secs(1_000));
    let layer = SessionLayer::new(store).policy(policy).unwrap().cookie(cookie).unwrap();
    let mut session = layer.load(RequestHead::default());
    session.insert("user", "ada").unwrap();
    session.insert("cart", &["tea", "cups"]).unwrap();
    let finished = layer.finish(&mut session).unwrap();
    let set = finished.cookie().unwrap();
    let header = format!("theme=dark; {}; lang=pt", &set[..set.find(';').unwrap()]);
    (layer, header)
}

fn cookies() -> CookieOptions {
    CookieOptions::new()
}

mod request {
    use super::{Bencher, CookieLifetime, CookieOptions, RequestHead, black_box, cookies, visited};

    #[divan::bench]
    fn session_unused(bencher: Bencher<'_, '_>) {
        let (layer, header) = visited(cookies());
        bencher.bench(|| {
            let head = RequestHead::new([black_box(header.as_str())]);
            let mut session = layer.load(head.clone());
            layer.finish(&mut session).unwrap()
        });
    }

    #[divan::bench]
    fn read_one_key(bencher: Bencher<'_, '_>) {
        reads(bencher, cookies());
    }

    #[divan::bench]
    fn read_one_key_signed(bencher: Bencher<'_, '_>) {
        reads(bencher, cookies().keys([[7; 32]]));
    }

    #[divan::bench]
    fn read_one_key_persistent(bencher: Bencher<'_, '_>) {
        reads(bencher, cookies().lifetime(CookieLifetime::Persistent));
    }

    #[divan::bench]
    fn change_one_key(bencher: Bencher<'_, '_>) {
        let (layer, header) = visited(cookies());
        let mut visits = 0_u64;
        bencher.bench_local(|| {
            let head = RequestHead::new([black_box(header.as_str())]);
            let mut session = layer.load(head.clone());
            visits += 1;
            session.insert("visits", &visits).unwrap();
            layer.finish(&mut session).unwrap()
        });
    }

    #[divan::bench]
    fn new_visitor(bencher: Bencher<'_, '_>) {
        let (layer, _) = visited(cookies());
        bencher.bench(|| {
            let head = RequestHead::default();
            let mut session = layer.load(head.clone());
            session.insert("user", "ada").unwrap();
            layer.finish(&mut session).unwrap()
        });
    }

    fn reads(bencher: Bencher<'_, '_>, options: CookieOptions) {
        let (layer, header) = visited(options);
        bencher.bench(|| {
            let head = RequestHead::new([black_box(header.as_str())]);
            let mut session = layer.load(head.clone());
            black_box(session.get_str("user").unwrap());
            layer.finish(&mut session).unwrap()
        });
    }
}

fn throughput() {
    if Command::new("wrk").arg("-v").output().is_err() {
        println!("\nwrk is not installed: no throughput");
        return;
    }
    println!("\nrequests per second, {CONNECTIONS} connections, {ROUNDS} interleaved rounds of {SECONDS} s");
    compare("rouille", rouille_site);
    compare("tiny_http", tiny_http_site);
}

/// A running server, and the `Cookie` header for it.
struct Running {
    address: String,
    cookie: String,
    stop: Box<dyn FnOnce()>,
}

fn compare(server: &str, start: fn(bool) -> Running) {
    let (without, with) = (start(false), start(true));
    let (mut layered_rates, mut ratios, mut plain_rates) = (Vec::new(), Vec::new(), Vec::new());
    measure(&without);
    measure(&with);
    for round in 0..ROUNDS {
        // The order alternates, so that neither side always has the warmer caches.
        let (alone, layered) = if round % 2 == 0 {
            (measure(&without), measure(&with))
        } else {
            let layered = measure(&with);
            (measure(&without), layered)
        };
        ratios.push(layered / alone);
        plain_rates.push(alone);
        layered_rates.push(layered);
    }
    println!(
        "{server:>10}: {:.0} without the layer, {:.0} with it; ratio {:.3} (from {:.3} to {:.3})",
        median(&mut plain_rates),
        median(&mut layered_rates),
        median(&mut ratios),
        ratios[0],
        ratios[ROUNDS - 1],
    );
    (without.stop)();
    (with.stop)();
}

fn measure(site: &Running) -> f64 {
    let output = Command::new("wrk")
        .args(["-t1", &format!("-c{CONNECTIONS}"), &format!("-d{SECONDS}s"), "-H", &site.cookie, &site.address])
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let figure = text.lines().find_map(|line| line.strip_prefix("Requests/sec:")).unwrap_or_else(|| panic!("{text}"));
    assert!(!text.contains("Non-2xx"), "{text}");
    figure.trim().parse().unwrap()
}

fn median(figures: &mut [f64]) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

fn rouille_site(layered: bool) -> Running {
    let (layer, header) = visited(cookies());
    let handler = move |request: &rouille::Request| {
        if !layered {
            return rouille::Response::text("Hello, ada");
        }
        layer.rouille(request, |session| {
            Ok(rouille::Response::text(format!("Hello, {}", session.get_str("user")?.as_deref().unwrap_or("stranger"))))
        })
    };
    let server = rouille::Server::new("127.0.0.1:0", handler).unwrap().pool_size(2 * CONNECTIONS);
    let address = format!("http://{}/", server.server_addr());
    let (thread, sender) = server.stoppable();
    let stop = Box::new(move || {
        sender.send(()).unwrap();
        thread.join().unwrap();
    });
    Running { address, cookie: format!("Cookie: {header}"), stop }
}

fn tiny_http_site(layered: bool) -> Running {
    let (layer, header) = visited(cookies());
    let server = Arc::new(tiny_http::Server::http("127.0.0.1:0").unwrap());
    let address = format!("http://{}/", server.server_addr());
    let over = Arc::new(AtomicBool::new(false));
    let workers: Vec<JoinHandle<()>> = (0..2 * CONNECTIONS)
        .map(|_| {
            let (server, over, layer) = (Arc::clone(&server), Arc::clone(&over), layer.clone());
            thread::spawn(move || {
                while !over.load(Ordering::Relaxed) {
                    let Ok(Some(request)) = server.recv_timeout(Duration::from_millis(50)) else { continue };
                    let response = if layered { greet(&layer, &request) } else { hello("ada") };
                    // wrk closes the connections at the end of a round.
                    let _ = request.respond(response);
                }
            })
        })
        .collect();
    let stop = Box::new(move || {
        over.store(true, Ordering::Relaxed);
        workers.into_iter().for_each(|worker| worker.join().unwrap());
    });
    Running { address, cookie: format!("Cookie: {header}"), stop }
}

fn greet(layer: &SessionLayer, request: &tiny_http::Request) -> tiny_http::Response<Cursor<Vec<u8>>> {
    let mut session = layer.load(request);
    let response = hello(session.get_str("user").unwrap().as_deref().unwrap_or("stranger"));
    layer.finish(&mut session).unwrap().add_to(response)
}

fn hello(name: &str) -> tiny_http::Response<Cursor<Vec<u8>>> {
    tiny_http::Response::from_string(format!("Hello, {name}"))
}
