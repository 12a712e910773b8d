//! Promise: a server is reached in every usual way, and what keeps it from being reached is told in
//! one sentence without the password.

use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use lembro::redis::{RedisOptions, RedisStore};
use lembro::{Result, SessionId, Store};

use crate::redis::server::proxy::Proxy;
use crate::redis::server::{Server, told};

const TTL: Duration = Duration::from_secs(60);

fn open(options: RedisOptions) -> RedisStore {
    RedisStore::with_options(options).unwrap()
}

/// A session can be stored and is found again.
#[track_caller]
fn works(store: &RedisStore) -> SessionId {
    store.ping().unwrap();
    let id = SessionId::random().unwrap();
    store.set(&id, [("key", "value")].into_iter().collect(), TTL).unwrap();
    assert_eq!(store.get(&id).unwrap().unwrap().record.get_str("key").unwrap().as_deref(), Some("value"));
    id
}

/// What is said about a server that cannot be used. It says so again, and never what must not be
/// seen.
#[track_caller]
fn refused(options: RedisOptions, secret: &str) -> String {
    assert!(!format!("{options:?}").contains(secret), "{options:?}");
    let store = open(options.retry_after("1ms"));
    assert!(!format!("{store:?}").contains(secret), "{store:?}");
    let errors = store.errors();
    let error = store.ping().unwrap_err();
    assert!(error.is_store());
    for text in [told(&error), format!("{error:?}"), format!("{:?}", errors.try_recv().unwrap())] {
        assert!(!text.contains(secret), "{text}");
    }
    told(&error)
}

#[test]
fn by_url_unix_socket_and_the_newer_protocol() {
    let server = Server::start();
    let id = works(&RedisStore::new(&server.url()).unwrap());
    let socket = open(RedisOptions::new().url(format!("redis+unix://{}", server.socket().display())));
    assert!(socket.get(&id).unwrap().is_some(), "the same server");
    works(&socket);
    works(&open(RedisOptions::new().url(format!("valkey://127.0.0.1:{}?protocol=resp3", server.port))));
    works(&open(RedisOptions::new().url(server.url()).connections(1)));
}

#[test]
fn as_a_user_with_a_password_from_the_url_or_from_options() {
    let user = ["--user", "ada", "on", ">p%40ss:word", "~*", "+@all"];
    let server = Server::with(&[&["--requirepass", "s3cret"], &user[..]].concat());
    let by_url = |login: &str| RedisOptions::new().url(format!("redis://{login}@127.0.0.1:{}", server.port));
    works(&open(by_url(":s3cret")));
    works(&open(by_url("ada:p%2540ss:word")));
    works(&open(by_url("ada").password("p%40ss:word")));
    works(&open(RedisOptions::new().url(server.url()).password("s3cret")));
    works(&open(RedisOptions::new().url(server.url()).username("ada").password("p%40ss:word")));

    let name = format!("the store failed: redis at 127.0.0.1:{}: ", server.port);
    let wrong = format!("{name}Password authentication failed - AuthenticationFailed");
    assert_eq!(refused(by_url(":hunter2"), "hunter2"), wrong);
    assert_eq!(refused(by_url("ada:hunter2"), "hunter2"), wrong);
    assert_eq!(refused(by_url("nobody").password("hunter2"), "hunter2"), wrong);
    assert_eq!(refused(by_url("ada:s3cret").password("hunter2"), "s3cret"), wrong);
    let none = refused(RedisOptions::new().url(server.url()), "s3cret");
    assert!(none.starts_with(&format!("{name}\"NOAUTH\": Authentication required")), "{none}");
}

#[test]
fn a_database_of_its_own() {
    let server = Server::start();
    let by_url = |database| RedisOptions::new().url(format!("{}/{database}", server.url()));
    let (second, third) = (open(by_url(2)), open(by_url(3)));
    let id = works(&second);
    works(&third);
    assert!(third.get(&id).unwrap().is_none(), "that one is in another");
    let unix = format!("unix://{}?db=2", server.socket().display());
    assert!(open(RedisOptions::new().url(unix)).get(&id).unwrap().is_some());
    let missing = refused(by_url(99), "@");
    assert!(missing.contains("refused to switch database"), "{missing}");
    assert!(missing.contains("DB index is out of range"), "{missing}");
}

#[test]
fn nobody_there_is_said_with_the_address() {
    let port = crate::redis::server::free_port();
    let text = refused(RedisOptions::new().url(format!("redis://u:hunter2@127.0.0.1:{port}")), "hunter2");
    assert!(text.starts_with(&format!("the store failed: redis at 127.0.0.1:{port}: ")), "{text}");
    assert!(text.contains("Connection refused"), "{text}");
    let text = refused(RedisOptions::new().url("redis+unix:///nowhere/redis.sock?pass=hunter2"), "hunter2");
    assert!(text.starts_with("the store failed: redis at /nowhere/redis.sock: "), "{text}");
}

#[test]
fn a_pool_that_is_used_up_is_an_error_within_the_timeout_and_does_no_harm() {
    let server = Server::start();
    let network = Proxy::to(server.port);
    let timeout = Duration::from_millis(400);
    let store = open(RedisOptions::new().url(network.url()).connections(2).timeout(timeout));
    let id = works(&store);
    // Both connections are there before the network gets slow.
    network.delay(Duration::from_millis(100));
    thread::scope(|scope| drop([(); 2].map(|()| scope.spawn(|| store.ping().unwrap()))));
    assert_eq!(network.accepted(), 2);
    network.delay(Duration::from_millis(300));
    // Two at a time: the first two have their answers after 300 ms, the next two have come too
    // late, the rest finds no place.
    let start = Barrier::new(8);
    let results: Vec<(Result<bool>, Duration)> = thread::scope(|scope| {
        let get = || {
            start.wait();
            let began = Instant::now();
            (store.get(&id).map(|found| found.is_some()), began.elapsed())
        };
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(get)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    network.delay(Duration::ZERO);
    let texts: Vec<String> = results.iter().filter_map(|(result, _)| result.as_ref().err().map(told)).collect();
    let busy = format!("redis at {}: all 2 connections were in use for 400ms", &network.url()["redis://".len()..]);
    assert!(!texts.is_empty() && texts.iter().all(|text| text.ends_with(&busy)), "{texts:?}");
    for (_, took) in &results {
        assert!(*took < timeout + timeout / 10 + Duration::from_millis(100), "{took:?}");
    }
    // Waiting for one's turn is nobody's failure: the server is asked again at once.
    assert!(store.get(&id).unwrap().is_some());
    assert!(texts.iter().all(|text| !text.contains("not tried")), "{texts:?}");
}

#[test]
fn no_more_connections_are_made_than_are_needed() {
    let server = Server::start();
    let network = Proxy::to(server.port);
    let store = open(RedisOptions::new().url(network.url()));
    for _ in 0..50 {
        works(&store);
    }
    assert_eq!(network.accepted(), 1);
}

#[cfg(feature = "redis_tls")]
mod tls {
    use super::*;
    use crate::redis::server::certificates::Certificates;

    #[test]
    fn over_tls_with_the_certificates_one_names_and_with_no_others() {
        let certificates = Certificates::make();
        let port = crate::redis::server::free_port();
        let _server = Server::with(&certificates.arguments(port, false));
        let options = || RedisOptions::new().url(format!("rediss://127.0.0.1:{port}"));
        works(&open(options().ca_certificate(certificates.file("ca.crt"))));

        let text = refused(options(), "hunter2");
        assert!(text.contains("invalid peer certificate: UnknownIssuer"), "{text}");
        let text = refused(RedisOptions::new().url(format!("redis://127.0.0.1:{port}")).timeout("500ms"), "hunter2");
        assert!(text.starts_with("the store failed: redis at 127.0.0.1"), "{text}");

        let asks = crate::redis::server::free_port();
        let _asking = Server::with(&certificates.arguments(asks, true));
        let options = || {
            RedisOptions::new().url(format!("rediss://127.0.0.1:{asks}")).ca_certificate(certificates.file("ca.crt"))
        };
        works(&open(options().client_certificate(certificates.file("server.crt"), certificates.file("server.key"))));
        assert!(open(options()).ping().is_err());
    }

    #[test]
    fn a_certificate_for_somebody_else_is_refused() {
        let certificates = Certificates::make();
        let port = crate::redis::server::free_port();
        let _server = Server::with(&certificates.arguments(port, false));
        let options = RedisOptions::new().url(format!("rediss://localhost:{port}"));
        let text = refused(options.ca_certificate(certificates.file("ca.crt")), "@");
        assert!(text.contains("not valid for name"), "{text}");
    }
}

#[test]
fn debug_shows_where_and_nothing_secret() {
    let options = RedisOptions::new().url("redis://ada:hunter2@127.0.0.1:7/3").password("hunter3");
    assert_eq!(format!("{options:?}"), "RedisOptions { server: \"redis at 127.0.0.1:7\", .. }");
    let store = open(options);
    assert_eq!(format!("{store:?}"), "RedisStore { server: \"redis at 127.0.0.1:7\", prefix: \"lembro:\", .. }");
}
