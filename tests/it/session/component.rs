//! Components of a session: keys of their own, and an end with the session.

use crate::support::session::{load_again, manual_session, manual_sessions, validate};
use lembro::{MAX_KEY_BYTES, Saved, Store};

#[test]
fn same_key_in_two_components_is_two_keys() {
    let (sessions, mut session, ..) = manual_session();
    for name in ["cart", "wishlist", "car", "cart "] {
        session.component(name).insert("user", name).unwrap();
    }
    session.save().unwrap();
    let mut again = load_again(&sessions, &session);
    assert_eq!(again.get_str("user").unwrap().as_deref(), Some("ada"));
    for name in ["cart", "wishlist", "car", "cart "] {
        assert_eq!(again.component(name).get_str("user").unwrap().as_deref(), Some(name));
        assert_eq!(again.component(name).len().unwrap(), 1);
    }
    assert_eq!(again.len().unwrap(), 1);
    assert!(again.component("other").is_empty().unwrap());
}

#[test]
fn empty_component_name_is_the_session() {
    let (_, mut session, ..) = manual_session();
    assert_eq!(session.component("").get_str("user").unwrap().as_deref(), Some("ada"));
    session.component("").insert("own", &1).unwrap();
    assert_eq!(session.keys().unwrap().collect::<Vec<_>>(), ["own", "user"]);
}

#[test]
fn component_and_key_are_not_joined() {
    // Joined, all of these would be the same text.
    let (sessions, _, _) = manual_sessions();
    let mut session = sessions.generate().unwrap();
    let names = [("", "abc"), ("a", "bc"), ("ab", "c"), ("abc", "")];
    for (number, (component, key)) in names.iter().enumerate() {
        session.component(component).insert(key, &number).unwrap();
    }
    session.save().unwrap();
    let mut again = load_again(&sessions, &session);
    for (number, (component, key)) in names.iter().enumerate() {
        assert_eq!(again.component(component).get::<usize>(key).unwrap(), Some(number));
    }
}

#[test]
fn methods_see_the_components_keys_alone() {
    let (sessions, mut session, store, ..) = manual_session();
    let mut cart = session.component("cart");
    cart.insert("b", &2).unwrap();
    cart.insert("a", "x").unwrap();
    cart.insert("c", &[1]).unwrap();
    assert_eq!(cart.keys().unwrap().collect::<Vec<_>>(), ["a", "b", "c"]);
    assert_eq!(cart.iter().unwrap().map(|(_, value)| value.get()).collect::<Vec<_>>(), ["\"x\"", "2", "[1]"]);
    assert!(cart.contains_key("a").unwrap() && !cart.contains_key("user").unwrap());
    assert_eq!(cart.take::<String>("a").unwrap().as_deref(), Some("x"));
    assert!(cart.take::<String>("b").unwrap_err().is_value());
    assert!(cart.remove("c").unwrap() && !cart.remove("c").unwrap());
    let total = cart.modify("b", |b: &mut Option<u32>| {
        *b = b.map(|b| b + 1);
        *b
    });
    assert_eq!(total.unwrap(), Some(Some(3)));
    assert_eq!((cart.len().unwrap(), cart.is_empty().unwrap()), (1, false));
    let mut again = load_again(&sessions, &session);
    assert_eq!(again.component("cart").get::<u32>("b").unwrap(), Some(3));
    assert_eq!(again.get_str("user").unwrap().as_deref(), Some("ada"));
    validate(&store);
}

#[test]
fn clear_spares_other_components_and_later_keys() {
    let (sessions, mut session, ..) = manual_session();
    session.component("cart").insert("a", &1).unwrap();
    session.component("carts").insert("a", &1).unwrap();
    session.save().unwrap();
    let mut other = load_again(&sessions, &session);
    other.component("cart").insert("unseen", &1).unwrap();
    other.save().unwrap();

    session.component("cart").clear().unwrap();
    session.component("cart").insert("b", &2).unwrap();
    assert_eq!(session.component("cart").keys().unwrap().collect::<Vec<_>>(), ["b"]);
    assert_eq!(session.save().unwrap(), Saved::Written);
    let mut again = load_again(&sessions, &session);
    assert_eq!(again.component("cart").keys().unwrap().collect::<Vec<_>>(), ["b"]);
    assert_eq!(again.component("carts").len().unwrap(), 1);
    assert_eq!(again.len().unwrap(), 1);
}

#[test]
fn parallel_requests_in_two_components_merge() {
    let (sessions, mut one, ..) = manual_session();
    let mut two = load_again(&sessions, &one);
    one.component("cart").insert("a", &1).unwrap();
    two.component("wishlist").insert("a", &2).unwrap();
    assert_eq!(one.save().unwrap(), Saved::Written);
    assert_eq!(two.save().unwrap(), Saved::Written);
    let mut again = load_again(&sessions, &one);
    assert_eq!(again.component("cart").get::<u8>("a").unwrap(), Some(1));
    assert_eq!(again.component("wishlist").get::<u8>("a").unwrap(), Some(2));
}

#[test]
fn component_ends_with_its_session() {
    let (sessions, store, _) = manual_sessions();
    let mut session = sessions.generate().unwrap();
    session.component("cart").insert("a", &1).unwrap();
    assert_eq!(session.save().unwrap(), Saved::Written, "a component's keys are data");
    session.log_out().unwrap();
    assert!(session.component("cart").is_empty().unwrap());
    assert_eq!(session.component("cart").get::<u8>("a").unwrap(), None);
    assert_eq!(store.len().unwrap(), 0);
}

#[test]
fn component_name_has_the_limit_of_a_key() {
    let (sessions, _, _) = manual_sessions();
    let mut session = sessions.generate().unwrap();
    session.component(&"n".repeat(MAX_KEY_BYTES)).insert("a", &1).unwrap();
    let name = "n".repeat(MAX_KEY_BYTES + 1);
    let mut component = session.component(&name);
    let error = component.insert("a", &1).unwrap_err();
    assert_eq!(error.to_string(), "component \"nnnnnnnnnnnnnnnnnnnn\"... has 256 bytes, at most 255 are allowed");
    assert_eq!(component.get::<u8>("a").unwrap(), None);
}
