//! Texts of options: durations in code, and enums to text and back.

use std::fmt::{Debug, Display};
use std::str::FromStr;
use std::time::Duration;

use lembro::{
    AtLimit, Clock, EndReason, Error, FileSync, LembroOptions, LembroStore, OnDamage, OnWriteError, Policy, Saved,
    Sessions, StoreDown, WhenFull,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

const MINUTE: Duration = Duration::from_secs(60);

type Set = fn(Policy, &'static str) -> Policy;

/// The options of a policy that take a duration.
const DURATIONS: [(&str, Set); 7] = [
    ("timeout", |policy, text| policy.timeout(text)),
    ("lifetime", |policy, text| policy.lifetime(text)),
    ("touch_after", |policy, text| policy.touch_after(text)),
    ("renew_after", |policy, text| policy.renew_after(text)),
    ("grace", |policy, text| policy.grace(text)),
    ("remember", |policy, text| policy.remember(text, None)),
    ("remember", |policy, text| policy.remember("2h", text)),
];

#[test]
fn duration_is_text_span_or_millis() {
    let text = Policy::new().timeout("30m").touch_after("1m").renew_after("5m").grace("1m").remember("1h", "2h");
    let span = Policy::new()
        .timeout(30 * MINUTE)
        .touch_after(MINUTE)
        .renew_after(5 * MINUTE)
        .grace(MINUTE)
        .remember(60 * MINUTE, 120 * MINUTE);
    let millis = Policy::new()
        .timeout(1_800_000)
        .touch_after(60_000)
        .renew_after(300_000)
        .grace(60_000)
        .remember(3_600_000, 7_200_000);
    assert_eq!(text, span);
    assert_eq!(text, millis);
    assert_eq!(text.get_timeout(), 30 * MINUTE);
    assert_eq!(text.get_remember(), Some((60 * MINUTE, Some(120 * MINUTE))));
    assert_eq!(Policy::new().lifetime(None).get_lifetime(), None);

    let mut session = Sessions::new(LembroStore::new().unwrap()).generate().unwrap();
    session.set_timeout("90s").unwrap();
    assert_eq!(session.timeout().unwrap(), Duration::from_secs(90));
    session.set_timeout(None).unwrap();
    assert_eq!(session.timeout().unwrap(), 60 * MINUTE);
    let error = session.set_timeout("soon").unwrap_err();
    assert_eq!(error.to_string(), r#"timeout: "soon" is not a duration such as "5m" or "1h 30m""#);
    assert_eq!(session.timeout().unwrap(), 60 * MINUTE);
}

#[test]
fn wrong_text_is_an_error_of_the_check() {
    for (option, set) in DURATIONS {
        let policy = set(Policy::new(), "soon");
        assert_ne!(policy, Policy::new());
        let error = Sessions::with_policy(LembroStore::new().unwrap(), policy).unwrap_err();
        assert!(error.is_option());
        assert_eq!(error.to_string(), format!(r#"{option}: "soon" is not a duration such as "5m" or "1h 30m""#));
    }
    // The getters have the default until then.
    assert_eq!(Policy::new().timeout("soon").get_timeout(), 60 * MINUTE);
    let error = Sessions::with_policy(LembroStore::new().unwrap(), Policy::new().timeout(None)).unwrap_err();
    assert_eq!(error.to_string(), r#"timeout: neither a number of milliseconds nor a text such as "5m""#);
}

/// The words are the same for `Display`, `FromStr` and both directions of serde, and are read in
/// other spellings, too.
fn round_trip<T>(choices: &[(T, &str)])
where
    T: Copy + Debug + Display + DeserializeOwned + FromStr<Err = Error> + PartialEq + Serialize,
{
    for (choice, text) in choices {
        assert_eq!(choice.to_string(), *text);
        assert_eq!(serde_json::to_value(choice).unwrap(), *text);
        assert_eq!(serde_json::from_value::<T>((*text).into()).unwrap(), *choice);
        for spelling in [(*text).to_owned(), text.to_uppercase(), text.replace('_', "-"), text.replace('_', "")] {
            assert_eq!(spelling.parse::<T>().unwrap(), *choice, "{spelling}");
        }
        // The name of the variant is a spelling, too.
        assert_eq!(format!("{choice:?}").parse::<T>().unwrap(), *choice);
    }
    for wrong in ["", "maybe", "refuse evict"] {
        let error = wrong.parse::<T>().unwrap_err();
        assert!(error.is_option() && error.to_string().contains("is none of"), "{error}");
        let (_, last) = choices[choices.len() - 1];
        assert!(error.to_string().ends_with(&format!("{last:?}")), "{error}");
    }
}

#[test]
fn choices_are_text_and_back() {
    round_trip(&[(StoreDown::FailClosed, "fail_closed"), (StoreDown::Anonymous, "anonymous")]);
    round_trip(&[(AtLimit::EndOldest, "end_oldest"), (AtLimit::RefuseNewest, "refuse_newest")]);
    round_trip(&[(WhenFull::Evict, "evict"), (WhenFull::RefuseAnonymous, "refuse_anonymous")]);
    round_trip(&[(OnDamage::Refuse, "refuse"), (OnDamage::Salvage, "salvage")]);
    round_trip(&[(OnWriteError::Refuse, "refuse"), (OnWriteError::Continue, "continue")]);
    round_trip(&[(FileSync::Never, "never"), (FileSync::EverySecond, "every_second"), (FileSync::Always, "always")]);
    round_trip(&[
        (EndReason::LoggedOutEverywhere, "logged_out_everywhere"),
        (EndReason::Revoked, "revoked"),
        (EndReason::Limit, "limit"),
    ]);
    round_trip(&[
        (Saved::Written, "written"),
        (Saved::Unchanged, "unchanged"),
        (Saved::Gone, "gone"),
        (Saved::Skipped, "skipped"),
    ]);
}

#[cfg(feature = "web")]
#[test]
fn choices_of_the_cookie_are_text_and_back() {
    use lembro::web::{CookieLifetime, LostChange, Priority, SameSite, Secure, SiteData};

    round_trip(&[(Secure::Always, "always"), (Secure::Auto, "auto"), (Secure::Never, "never")]);
    round_trip(&[(SameSite::Strict, "strict"), (SameSite::Lax, "lax"), (SameSite::None, "none")]);
    round_trip(&[
        (CookieLifetime::BrowserSession, "browser_session"),
        (CookieLifetime::Persistent, "persistent"),
        (CookieLifetime::Remembered, "remembered"),
    ]);
    round_trip(&[(Priority::Low, "low"), (Priority::Medium, "medium"), (Priority::High, "high")]);
    round_trip(&[(SiteData::Cache, "cache"), (SiteData::Cookies, "cookies"), (SiteData::Storage, "storage")]);
    round_trip(&[(LostChange::Serve, "serve"), (LostChange::Refuse, "refuse")]);
}

#[test]
fn getters_return_options_and_defaults() {
    let (policy, options) = (Policy::new(), LembroOptions::new());
    assert_eq!((policy.get_touch_after(), policy.get_grace(), policy.get_renew_after()), (MINUTE, MINUTE, None));
    assert_eq!((policy.get_lifetime(), policy.get_remember()), (Some(24 * 60 * MINUTE), None));
    assert_eq!((policy.get_max_per_owner(), policy.get_at_limit()), (None, AtLimit::EndOldest));
    assert_eq!(policy.max_per_owner(3).get_max_per_owner(), Some(3));
    assert_eq!((options.get_interval(), options.get_max_size(), options.get_shards()), (Some(MINUTE), 1 << 20, 4));
    assert_eq!((options.get_max_session_size(), options.get_anonymous_share()), (64 << 10, 10));
    assert_eq!((options.get_persist(), options.get_sync()), (None, FileSync::EverySecond));
    assert_eq!(*options.get_clock(), Clock::system());
    let options = LembroOptions::new().max_size("64M").interval(0).shards(8).clock(&Clock::manual());
    assert_eq!((options.get_interval(), options.get_max_size(), options.get_shards()), (None, 64 << 20, 8));
    assert_eq!(LembroOptions::new().max_size("8K").get_max_session_size(), 8 << 10);
    assert_ne!(*options.get_clock(), Clock::from(&Clock::manual()));
}

#[cfg(feature = "web")]
#[test]
fn getters_of_config_return_parts_or_the_error() {
    use lembro::Config;
    use lembro::web::{CookieOptions, TokenOptions};

    let config = Config::new().policy(Policy::new().timeout("5m")).token(TokenOptions::new().header("X-Token"));
    assert_eq!(config.get_policy().unwrap().get_timeout(), 5 * MINUTE);
    assert_eq!(config.get_cookie().unwrap(), &CookieOptions::new());
    assert_eq!(config.get_token().unwrap().unwrap().get_header(), Some("X-Token"));
    assert_eq!(config.get_memory().unwrap(), Some(&LembroOptions::new()));
    let wrong: Config = serde_json::from_str(r#"{"policy": {"timeout": "soon"}}"#).unwrap();
    assert!(wrong.get_policy().unwrap_err().to_string().starts_with("policy.timeout: "));
    assert_ne!(wrong, config);
}

#[cfg(feature = "redis")]
#[test]
fn getters_of_redis_options_hide_what_is_secret() {
    use lembro::redis::RedisOptions;

    let options = RedisOptions::new().url("redis://:hunter2@redis.example").timeout("250ms").connections(4);
    assert_eq!((options.get_timeout(), options.get_retry_after()), (MINUTE / 240, MINUTE / 60));
    assert_eq!((options.get_connections(), options.get_prefix(), options.get_primary()), (4, "lembro:", "mymaster"));
    assert_eq!((options.get_username(), options.get_max_session_size()), (None, 64 << 10));
    assert!(!format!("{options:?}").contains("hunter2"));
    assert_ne!(options, RedisOptions::new().url("redis://redis.example").timeout("250ms").connections(4));
}
