//! The configuration in one file: every option of every part, and errors with the path of the
//! value.

use std::time::Duration;

use lembro::web::{CookieOptions, RequestHead, SessionLayer};
use lembro::{Config, ConfiguredStore, LembroOptions, Policy, Store};

/// The error about a configuration in TOML.
#[track_caller]
fn problem(toml: &str) -> String {
    let config: Config = toml::from_str(toml).unwrap();
    let error = SessionLayer::from_config(&config).unwrap_err();
    assert!(error.is_option(), "{error}");
    // `store` returns the same error, unless it is about a contradiction of two parts.
    let store = config.store().err().map_or_else(|| error.to_string(), |error| error.to_string());
    assert_eq!(store, error.to_string());
    store
}

fn as_debug(layer: &SessionLayer) -> String {
    format!("{layer:?}")
}

#[test]
fn missing_parts_have_defaults() {
    let nulls =
        r#"{"store": {"memory": null, "redis": null}, "policy": {"remember": null}, "cookie": {"domain": null}}"#;
    let nulls: Config = serde_json::from_str(nulls).unwrap();
    let tables = ["", "[store]", "[store.memory]", "[policy]\n[cookie]"].map(|text| toml::from_str(text).unwrap());
    for config in tables.into_iter().chain([nulls]) {
        let layer = SessionLayer::from_config(&config).unwrap();
        assert_eq!(layer.sessions().policy(), &Policy::new(), "{config:?}");
        assert_eq!(as_debug(&layer), as_debug(&SessionLayer::from_config(&Config::new()).unwrap()));
        let ConfiguredStore::Memory(store) = config.store().unwrap() else { panic!("{config:?}") };
        assert_eq!(store.stats().max_size, 1 << 20);
    }
}

#[test]
fn config_equals_options_in_code() {
    let text = r#"
        [store.memory]
        maxSize = "4M"
        interval = 0
        when_full = "refuse_anonymous"
        [policy]
        timeout = "15m"
        at_limit = "refuse_newest"
        max_per_owner = 3
        remember = { timeout = "14d", lifetime = "90d" }
        [cookie]
        name = "__Host-sid"
        sameSite = "strict"
        keys = ["0123456789abcdef0123456789abcdef"]
    "#;
    let (minute, day) = (Duration::from_secs(60), Duration::from_secs(24 * 60 * 60));
    let policy = Policy::new().timeout(15 * minute).max_per_owner(3).at_limit(lembro::AtLimit::RefuseNewest);
    let cookie = CookieOptions::new().name("__Host-sid").same_site(lembro::web::SameSite::Strict);
    let in_code = Config::new()
        .memory(LembroOptions::new().max_size("4M").interval(0).when_full(lembro::WhenFull::RefuseAnonymous))
        .policy(policy.remember(14 * day, 90 * day))
        .cookie(cookie.keys(["0123456789abcdef0123456789abcdef"]));
    let read: Config = toml::from_str(text).unwrap();
    let json = serde_json::to_string(&toml::from_str::<serde_json::Value>(text).unwrap()).unwrap();
    for config in [read, serde_json::from_str(&json).unwrap()] {
        assert_eq!(config, in_code);
        let layer = SessionLayer::from_config(&config).unwrap();
        assert_eq!(as_debug(&layer), as_debug(&SessionLayer::from_config(&in_code).unwrap()));
    }
}

#[test]
fn wrong_values_are_named_by_path() {
    for (text, expected) in [
        ("policy.timeout = 'soon'", "policy.timeout: \"soon\" is not a duration"),
        ("policy.timeout = true", "policy.timeout: neither a number of milliseconds nor a text such as \"5m\""),
        ("policy.timeout = 1979-05-27", "policy.timeout: neither a number of milliseconds nor a text"),
        ("policy = 5", "policy: not a table of options with their names"),
        ("policy = []", "policy: not a table of options with their names"),
        ("policy.remember = 'long'", "policy.remember: not a table of options with their names"),
        ("policy.remember.lifetime = '2d'", "policy.remember.timeout: missing"),
        ("policy.at_limit = 'panic'", "policy.at_limit: \"panic\" is none of \"end_oldest\", \"refuse_newest\""),
        ("policy.at_limit = 5", "policy.at_limit: neither of \"end_oldest\", \"refuse_newest\""),
        ("policy = {timeout = '2h', lifetime = '1h'}", "policy.lifetime: a lifetime of 1h is below the timeout of 2h"),
        ("store = 'memory'", "store: not a table of options with their names"),
        ("store.memory = true", "store.memory: not a table of options with their names"),
        ("store.memory.max_size = 'plenty'", "store.memory.max_size: \"plenty\" is not a size"),
        ("store.memory.persist = 5", "store.memory.persist: not path string"),
        (
            "store.memory.when_full = 'give up'",
            "store.memory.when_full: \"give up\" is none of \"evict\", \"refuse_anonymous\"",
        ),
        ("store.memory.persist = '/'", "store.memory.persist: the path does not end in a file's name"),
        ("cookie = false", "cookie: not a table of options with their names"),
        ("cookie.name = 5", "cookie.name: not a string"),
        ("cookie.name = ''", "cookie.name: \"\" "),
        ("cookie.sameSite = 'loose'", "cookie.same_site: \"loose\" is none of \"strict\", \"lax\", \"none\""),
        ("cookie.secure = 'perhaps'", "cookie.secure: \"perhaps\" is none of true, false, "),
        ("cookie.keys = {a = 'b'}", "cookie.keys: neither a text nor a list of texts"),
        ("cookie.secret = 'short'", "cookie.keys: number 1 has 5 bytes"),
        ("cookie.clear_site_data = ['all']", "cookie.clear_site_data: \"all\" is none of \"cache\""),
        ("cookie.http_only = 'yes'", "cookie.http_only: not a boolean"),
        // A contradiction of two parts.
        ("cookie.lifetime = 'persistent'\npolicy.timeout = '401d'\npolicy.lifetime = 0", "cookie.lifetime: "),
    ] {
        let told = problem(text);
        assert!(told.starts_with(expected), "{text}: {told}");
    }
    let long = format!("cookie.name = '{}'", "n".repeat(4090));
    assert!(problem(&long).starts_with("cookie: it would take "));
}

#[test]
fn unknown_options_are_named_by_path() {
    for (text, expected) in [
        ("stores = {}", "stores: there is no such option here, but store, policy, cookie"),
        ("store.sqlite = {}", "store.sqlite: there is no such option here, but memory, redis"),
        ("store.memory.size = 5", "store.memory.size: there is no such option here, but interval, "),
        ("policy.idle = '5m'", "policy.idle: there is no such option here, but timeout, lifetime, "),
        ("policy.remember.idle = '5m'", "policy.remember.idle: there is no such option here, but timeout, lifetime"),
        ("cookie.max_age = 5", "cookie.max_age: there is no such option here, but name, path, "),
        ("cookie.\"a\\nb\" = 5", "cookie.a\\nb: there is no such option here"),
    ] {
        let told = problem(text);
        assert!(told.starts_with(expected), "{text}: {told}");
    }
    for (json, expected) in [
        (r#"{"policy": {"timeout": 1, "timeout": 2}}"#, "policy.timeout: given twice"),
        (r#"{"store": {"memory": {"maxSize": 1, "max_size": 2}}}"#, "store.memory.max_size: given twice"),
        (r#"{"policy": {}, "policy": {}}"#, "policy: given twice"),
        (r#""memory""#, "config: not a table of options with their names"),
    ] {
        let config: Config = serde_json::from_str(json).unwrap();
        assert_eq!(config.store().unwrap_err().to_string(), expected);
    }
}

#[test]
fn config_keeps_its_problem() {
    let config: Config = toml::from_str("policy.timeout = 'soon'").unwrap();
    let config = config.policy(Policy::new()).cookie(CookieOptions::new());
    let store = Config::new().store().unwrap();
    assert!(config.layer(store).unwrap_err().to_string().starts_with("policy.timeout: "));
    // A configuration from code is checked, too.
    let error = SessionLayer::from_config(&Config::new().policy(Policy::new().timeout(Duration::ZERO))).unwrap_err();
    assert!(error.to_string().starts_with("policy.timeout: 0 would end"), "{error}");
    let error = Config::new().memory(LembroOptions::new().shards(3)).store().unwrap_err();
    assert_eq!(error.to_string(), "store.memory.shards: 3 is not a power of two from 1 to 64");
    let missing = Config::new().memory(LembroOptions::new().persist("/proc/self/mem/none"));
    assert!(missing.store().unwrap_err().is_persist());
}

#[test]
fn token_is_a_part_of_config() {
    let config: Config = toml::from_str("token.response_header = 'X-Session-Token'").unwrap();
    let layer = SessionLayer::from_config(&config).unwrap();
    let mut session = layer.load(RequestHead::default());
    session.log_in("ada").unwrap();
    let finished = layer.finish(&mut session).unwrap();
    assert!(finished.token().is_some() && finished.cookie().is_none());
    for (text, problem) in [
        ("token.header = 'Accept'", "token.header: \"Accept\" means something to browsers"),
        ("token.colour = 'red'", "token.colour: "),
        ("token.beside_cookie = 3", "token.beside_cookie: "),
    ] {
        assert!(self::problem(text).starts_with(problem), "{text}");
    }
}

#[test]
fn config_layer_uses_its_store() {
    let config: Config = toml::from_str("store.memory.interval = 0").unwrap();
    let store = config.store().unwrap();
    let layer = config.layer(store.clone()).unwrap();
    let mut session = layer.sessions().generate().unwrap();
    session.insert("user", "ada").unwrap();
    assert_eq!(session.save().unwrap(), lembro::Saved::Written);
    let ConfiguredStore::Memory(store) = store else { panic!("{store:?}") };
    assert_eq!(store.len().unwrap(), 1);
}

#[cfg(not(feature = "redis"))]
#[test]
fn redis_without_feature_is_an_error() {
    for text in ["[store.redis]", "store.redis.url = 'redis://:hunter2@host'", "store.redis = 5"] {
        assert_eq!(problem(text), "store.redis: this program was built without the feature \"redis\"");
    }
}

#[cfg(feature = "redis")]
#[test]
fn config_chooses_redis() {
    let config: Config = toml::from_str("[store.redis]\nurl = 'redis://h:1/2'\ntimeout = '250ms'").unwrap();
    let ConfiguredStore::Redis(store) = config.store().unwrap() else { panic!("{config:?}") };
    drop(config.layer(ConfiguredStore::Redis(store)).unwrap());
    for (text, expected) in [
        ("store.redis.url = 'ftp://h'", "store.redis.url: "),
        ("store.redis.url = 'redis://:hunter2/x@h'", "store.redis.url: the URL has a \"/\""),
        ("store.redis.cluster = 'redis://:hunter2@h'", "store.redis.cluster: not a list of texts"),
        ("store.redis.password = 4242", "store.redis.password: not a text: write it in quotes"),
        ("store.redis.clientKey = 5", "store.redis.client_key: not a text"),
        ("store.redis.host = 'h'", "store.redis.host: there is no such option here, but url, cluster, "),
        ("store.redis = 'redis://:hunter2@h'", "store.redis: not a table of options with their names"),
        ("[store.redis]\n[store.memory]", "store: memory and redis, and only one of them can be meant"),
        ("store.redis.timeout = '2h'", "store.redis.timeout: more than an hour"),
    ] {
        let told = problem(text);
        assert!(told.starts_with(expected), "{text}: {told}");
        assert!(!told.contains("hunter2") && !told.contains("4242"), "{told}");
    }
}
