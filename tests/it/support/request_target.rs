//! An oracle for paths and domains of cookies: the URL standard's parser in the `url` crate, and
//! the characters that all clients treat alike.

use url::{Host, Url};

/// Returns true if a request's path can begin with it, and no other spelling means the same page.
pub(crate) fn has_one_spelling(path: &str) -> bool {
    let Ok(url) = Url::parse(&format!("https://a.example{path}")) else { return false };
    let is_untouched = path.starts_with('/') && url.path() == path && url.query().is_none() && url.fragment().is_none();
    is_untouched && !path.contains("//") && parts(path).iter().all(|part| is_single(part)) && path.len() <= 1024
}

/// The path, cut into characters and percent-encoded ones.
fn parts(path: &str) -> Vec<String> {
    let (mut parts, mut rest) = (Vec::new(), path);
    while let Some(first) = rest.chars().next() {
        let length = if first == '%' { 3.min(rest.len()) } else { first.len_utf8() };
        let part: String = rest.chars().take(if first == '%' { 3 } else { 1 }).collect();
        rest = rest.get(length..).unwrap_or_default();
        parts.push(part);
    }
    parts
}

fn is_single(part: &str) -> bool {
    match part.strip_prefix('%') {
        None => part.chars().all(|c| c.is_ascii_alphanumeric() || "-._~!$&'()*+,=:@/".contains(c)),
        Some(digits) => {
            let byte = u8::from_str_radix(digits, 16).ok().filter(|byte| format!("{byte:02X}") == digits);
            byte.is_some_and(|byte| byte > 0x7f || b" \"#%<>?`{}".contains(&byte))
        }
    }
}

/// Returns true if the URL standard reads it as a host name of at least two labels.
pub(crate) fn is_domain(domain: &str) -> bool {
    let host = domain.strip_prefix('.').unwrap_or(domain);
    let labels: Vec<&str> = host.split('.').collect();
    let is_label = |label: &&str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
    };
    let is_plain = host.len() <= 253 && labels.len() > 1 && labels.iter().all(is_label);
    // The letters after "xn--" are not checked.
    let plain = host.to_ascii_lowercase().replace("xn--", "xx-x");
    let is_name = Host::parse(&plain).is_ok_and(|parsed| parsed == Host::Domain(plain.clone()));
    is_plain && is_name
}
