//! Options of `RedisStore`: valid ones, and the errors about the others.

use std::time::Duration;

use lembro::Result;
use lembro::redis::{RedisOptions, RedisStore};

/// The store of a configuration as `Debug` shows it, or the error.
fn configured(text: &str) -> Result<String, String> {
    // serde_json may add the position.
    let message = |error: serde_json::Error| error.to_string().split(" at line ").next().unwrap_or_default().to_owned();
    let options: RedisOptions = serde_json::from_str(text).map_err(message)?;
    Ok(format!("{:?}", RedisStore::with_options(options).unwrap()))
}

#[track_caller]
fn refused(options: RedisOptions, expected: &str) {
    let error = RedisStore::with_options(options).unwrap_err();
    assert!(error.is_option());
    assert_eq!(error.to_string(), expected);
}

#[test]
fn default_is_the_local_server() {
    let here = "RedisStore { server: \"redis at 127.0.0.1:6379\", prefix: \"lembro:\", .. }";
    assert_eq!(configured("{}").unwrap(), here);
    assert_eq!(format!("{:?}", RedisStore::with_options(RedisOptions::new()).unwrap()), here);
}

#[test]
fn options_are_read_from_a_file() {
    for (text, server, prefix) in [
        (r#"{"url": "redis://h:7"}"#, "redis at h:7", "lembro:"),
        (r#"{"url": "redis://h"}"#, "redis at h:6379", "lembro:"),
        (r#"{"url": "redis://u:p@h:7/2"}"#, "redis at h:7", "lembro:"),
        (r#"{"url": "redis://[::1]:7"}"#, "redis at ::1:7", "lembro:"),
        (r#"{"url": "valkey://h"}"#, "redis at h:6379", "lembro:"),
        (r#"{"url": "unix:///run/redis.sock"}"#, "redis at /run/redis.sock", "lembro:"),
        (r#"{"url": "redis+unix:///run/r.sock?db=2&user=u&pass=p"}"#, "redis at /run/r.sock", "lembro:"),
        (r#"{"cluster": ["redis://h:1", "redis://i:2"]}"#, "redis cluster at h:1, i:2", "lembro:"),
        (r#"{"sentinels": ["redis://h:1", "redis://:p@i"]}"#, "redis mymaster by sentinels at h:1, i:6379", "lembro:"),
        (r#"{"sentinels": ["redis://h:1"], "primary": "shop"}"#, "redis shop by sentinels at h:1", "lembro:"),
        (r#"{"url": "redis://h", "username": "u", "password": "p"}"#, "redis at h:6379", "lembro:"),
        (r#"{"prefix": "shop:", "password": "p"}"#, "redis at 127.0.0.1:6379", "shop:"),
        (r#"{"prefix": "", "connections": 4}"#, "redis at 127.0.0.1:6379", ""),
        (r#"{"timeout": 250, "retry_after": "2s", "max_session_size": "16K"}"#, "redis at 127.0.0.1:6379", "lembro:"),
        (r#"{"timeout": "1h", "retryAfter": 5.0, "maxSessionSize": 9}"#, "redis at 127.0.0.1:6379", "lembro:"),
    ] {
        let expected = format!("RedisStore {{ server: {server:?}, prefix: {prefix:?}, .. }}");
        assert_eq!(configured(text).unwrap(), expected, "{text}");
    }
}

#[test]
fn unknown_options_are_refused() {
    let error = configured(r#"{"time_out": 5}"#).unwrap_err();
    assert!(error.starts_with("unknown field `time_out`, expected one of `url`, `cluster`, "), "{error}");
    assert!(configured(r#"{"pool": 5}"#).is_err());
    assert!(configured(r#"{"url": 5}"#).is_err());
    assert!(configured(r#"{"cluster": "redis://h"}"#).is_err());
}

#[test]
fn error_names_the_option_of_a_wrong_value() {
    let timeout = |text: &str| format!("timeout: {text:?} is not a duration such as \"5m\" or \"1h 30m\"");
    for (text, expected) in [
        (r#"{"timeout": "soon"}"#, timeout("soon")),
        (r#"{"timeout": 0}"#, "timeout: 0 is no time at all".to_owned()),
        (r#"{"timeout": "61m"}"#, "timeout: more than an hour".to_owned()),
        (r#"{"timeout": true}"#, "timeout: neither a number of milliseconds nor a text such as \"5m\"".to_owned()),
        (r#"{"retry_after": "0s"}"#, "retry_after: 0 is no time at all".to_owned()),
        (r#"{"retry_after": 18446744073709551615}"#, "retry_after: more than an hour".to_owned()),
        (r#"{"connections": 0}"#, "connections: not a number from 1 to 10000".to_owned()),
        (r#"{"connections": 10001}"#, "connections: not a number from 1 to 10000".to_owned()),
        (r#"{"connections": 1.5}"#, "connections: 1.5 is not a whole number".to_owned()),
        (r#"{"max_session_size": 0}"#, "max_session_size: 0 bytes is no size to work with".to_owned()),
        (r#"{"max_session_size": "65M"}"#, "max_session_size: more than 64M".to_owned()),
        (r#"{"prefix": "a{b"}"#, "prefix: \"a{b\" has a brace, and those are for what follows it".to_owned()),
        (
            r#"{"url": "redis://h", "cluster": ["redis://i"]}"#,
            "cluster: there is a url too, and only one of them can be meant".to_owned(),
        ),
        (
            r#"{"url": "redis://h", "sentinels": ["redis://i"]}"#,
            "sentinels: there is a url too, and only one of them can be meant".to_owned(),
        ),
        (
            r#"{"cluster": ["redis://h"], "sentinels": ["redis://i"]}"#,
            "sentinels: there is a cluster too, and only one of them can be meant".to_owned(),
        ),
        (
            r#"{"sentinels": ["redis://i/2"]}"#,
            "sentinels: a Sentinel has no databases: leave the number out".to_owned(),
        ),
        (r#"{"primary": "shop"}"#, "primary: there are no sentinels to ask for it".to_owned()),
        (r#"{"username": "u"}"#, "username: there is no password to it; for a user without one any will do".to_owned()),
        (
            r#"{"url": "redis://u@h"}"#,
            "username: there is no password to it; for a user without one any will do".to_owned(),
        ),
        (r#"{"ca_certificate": "/ca.crt"}"#, "ca_certificate: only a rediss:// URL has a use for it".to_owned()),
    ] {
        assert_eq!(configured(text).unwrap_err(), expected, "{text}");
    }
    refused(RedisOptions::new().timeout(Duration::MAX), "timeout: more than an hour");
    refused(RedisOptions::new().prefix("x".repeat(256)), "prefix: longer than 255 bytes");
}

#[test]
fn error_about_a_url_hides_the_password() {
    for (url, problem) in [
        ("", "Redis URL did not parse"),
        ("hunter2", "Redis URL did not parse"),
        ("http://u:hunter2@h", "Redis URL did not parse"),
        ("redis://u:hunter2@h:port", "Redis URL did not parse"),
        ("redis://u:hunter2@h/hunter2", "Invalid database number"),
        ("redis://u:hunter2@0.0.0.0", "Cannot connect to a wildcard address"),
    ] {
        for (option, options) in
            [("url", RedisOptions::new().url(url)), ("cluster", RedisOptions::new().cluster([url]))]
        {
            let error = RedisStore::with_options(options.clone()).unwrap_err();
            assert!(error.is_option());
            let text = error.to_string();
            assert!(text.starts_with(&format!("{option}: {problem}")), "{text}");
            assert!(!format!("{text} {error:?} {options:?}").contains("hunter2"), "{text}");
        }
    }
}

#[test]
#[cfg(not(feature = "redis_tls"))]
fn tls_without_its_feature_is_refused() {
    for url in ["rediss://h", "valkeys://h"] {
        refused(RedisOptions::new().url(url), "url: TLS needs the feature redis_tls");
    }
}

#[test]
#[cfg(feature = "redis_tls")]
fn wrong_certificates_are_refused_with_the_options() {
    let options = || RedisOptions::new().url("rediss://h");
    RedisStore::with_options(options()).unwrap();
    refused(options().ca_certificate("/nowhere"), "ca_certificate: /nowhere: No such file or directory (os error 2)");
    refused(options().ca_certificate("Cargo.toml"), "ca_certificate: Cargo.toml: no certificate in PEM format");
    refused(
        RedisOptions::new().url("rediss://h/#insecure"),
        "url: #insecure is not supported: name the certificate with ca_certificate",
    );
    let half = configured(r#"{"url": "rediss://h", "client_key": "Cargo.toml"}"#).unwrap_err();
    assert_eq!(half, "client_key: there is no client_certificate to it");
    let half = configured(r#"{"url": "rediss://h", "client_certificate": "Cargo.toml"}"#).unwrap_err();
    assert_eq!(half, "client_certificate: there is no client_key to it");
}
