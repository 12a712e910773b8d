//! Connections: by every kind of URL, over TLS, from a bounded pool; errors without the password.

use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use lembro::redis::{RedisOptions, RedisStore};
use lembro::{Result, SessionId, Store};

use crate::redis::server::proxy::Proxy;
use crate::redis::server::{Server, text_of};

const TTL: Duration = Duration::from_secs(60);

fn open(options: RedisOptions) -> RedisStore {
    RedisStore::with_options(options).unwrap()
}

/// Stores a session and finds it.
#[track_caller]
fn works(store: &RedisStore) -> SessionId {
    store.ping().unwrap();
    let id = SessionId::random().unwrap();
    store.set(&id, [("key", "value")].into_iter().collect(), TTL).unwrap();
    assert_eq!(store.get(&id).unwrap().unwrap().record.get_str("key").unwrap().as_deref(), Some("value"));
    id
}

/// Returns the error of a server that cannot be used. No text of the error contains the secret.
#[track_caller]
fn refused(options: RedisOptions, secret: &str) -> String {
    assert!(!format!("{options:?}").contains(secret), "{options:?}");
    let store = open(options.retry_after("1ms"));
    assert!(!format!("{store:?}").contains(secret), "{store:?}");
    let errors = store.errors();
    let error = store.ping().unwrap_err();
    assert!(error.is_store());
    for text in [text_of(&error), format!("{error:?}"), format!("{:?}", errors.try_recv().unwrap())] {
        assert!(!text.contains(secret), "{text}");
    }
    text_of(&error)
}

#[test]
fn connects_by_url_unix_socket_and_resp3() {
    let server = Server::start();
    let id = works(&RedisStore::new(&server.url()).unwrap());
    let socket = open(RedisOptions::new().url(format!("redis+unix://{}", server.socket().display())));
    assert!(socket.get(&id).unwrap().is_some(), "the same server");
    works(&socket);
    works(&open(RedisOptions::new().url(format!("valkey://127.0.0.1:{}?protocol=resp3", server.port))));
    works(&open(RedisOptions::new().url(server.url()).connections(1)));
}

#[test]
fn logs_in_by_url_or_options() {
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
fn databases_are_separate() {
    let server = Server::start();
    let by_url = |database| RedisOptions::new().url(format!("{}/{database}", server.url()));
    let (second, third) = (open(by_url(2)), open(by_url(3)));
    let id = works(&second);
    works(&third);
    assert!(third.get(&id).unwrap().is_none(), "another database");
    let unix = format!("unix://{}?db=2", server.socket().display());
    assert!(open(RedisOptions::new().url(unix)).get(&id).unwrap().is_some());
    let missing = refused(by_url(99), "@");
    assert!(missing.contains("refused to switch database"), "{missing}");
    assert!(missing.contains("DB index is out of range"), "{missing}");
}

#[test]
fn unreachable_server_is_named_in_the_error() {
    let port = crate::redis::server::free_port();
    let text = refused(RedisOptions::new().url(format!("redis://u:hunter2@127.0.0.1:{port}")), "hunter2");
    assert!(text.starts_with(&format!("the store failed: redis at 127.0.0.1:{port}: ")), "{text}");
    assert!(text.contains("Connection refused"), "{text}");
    let text = refused(RedisOptions::new().url("redis+unix:///nowhere/redis.sock?pass=hunter2"), "hunter2");
    assert!(text.starts_with("the store failed: redis at /nowhere/redis.sock: "), "{text}");
}

#[test]
fn exhausted_pool_fails_within_the_timeout() {
    let server = Server::start();
    let network = Proxy::to(server.port);
    let timeout = Duration::from_millis(400);
    let store = open(RedisOptions::new().url(network.url()).connections(2).timeout(timeout));
    let id = works(&store);
    // Open both connections before the network gets slow.
    network.delay(Duration::from_millis(100));
    thread::scope(|scope| drop([(); 2].map(|()| scope.spawn(|| store.ping().unwrap()))));
    assert_eq!(network.accepted(), 2);
    network.delay(Duration::from_millis(300));
    // Two at a time: the first two are answered after 300 ms, the next two time out, and the
    // others get no connection.
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
    let texts: Vec<String> = results.iter().filter_map(|(result, _)| result.as_ref().err().map(text_of)).collect();
    let busy = format!("redis at {}: all 2 connections were in use for 400ms", &network.url()["redis://".len()..]);
    assert!(!texts.is_empty() && texts.iter().all(|text| text.ends_with(&busy)), "{texts:?}");
    for (_, took) in &results {
        assert!(*took < timeout + timeout / 10 + Duration::from_millis(100), "{took:?}");
    }
    // Waiting for a connection is no failure of the server, so the breaker stays closed.
    assert!(store.get(&id).unwrap().is_some());
    assert!(texts.iter().all(|text| !text.contains("not tried")), "{texts:?}");
}

#[test]
fn only_needed_connections_are_opened() {
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
    fn tls_trusts_only_named_certificates() {
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
    fn tls_refuses_a_certificate_of_another_host() {
        let certificates = Certificates::make();
        let port = crate::redis::server::free_port();
        let _server = Server::with(&certificates.arguments(port, false));
        let options = RedisOptions::new().url(format!("rediss://localhost:{port}"));
        let text = refused(options.ca_certificate(certificates.file("ca.crt")), "@");
        assert!(text.contains("not valid for name"), "{text}");
    }
}

#[test]
fn debug_shows_the_server_and_no_secret() {
    let options = RedisOptions::new().url("redis://ada:hunter2@127.0.0.1:7/3").password("hunter3");
    assert_eq!(format!("{options:?}"), "RedisOptions { server: \"redis at 127.0.0.1:7\", .. }");
    let store = open(options);
    assert_eq!(format!("{store:?}"), "RedisStore { server: \"redis at 127.0.0.1:7\", prefix: \"lembro:\", .. }");
}
