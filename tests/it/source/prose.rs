//! Comments and pages: their width, their words, the first line of each file, and its length.

use std::path::PathBuf;

use super::architecture::{files, root};

/// Columns of a line of prose. Tables, links and code may be wider.
const WIDTH: usize = 100;
/// Lines of a file in `src`, `examples` and `benches`: beyond that it holds two ideas.
const LINES: usize = 350;
/// Words that stand for a technical thing without naming it, or that have a plainer one.
const BANNED: [&str; 8] = ["whoever", "nobody", "somebody", "someone", "anybody", "anew", "meanwhile", "be it"];
/// A file and a word that it may use.
const ALLOWED: [(&str, &str); 1] = [
    // It lists them.
    ("tests/it/source/prose.rs", ""),
];
/// A first line that begins so is no noun phrase.
const NO_NOUNS: [&str; 14] =
    ["What", "Who", "Which", "How", "Where", "Whether", "When", "Why", "That", "This", "It", "There", "If", "Whatever"];

/// The files below these folders, with paths from the root.
fn below(folders: &[&str], extension: &str) -> Vec<(PathBuf, String)> {
    let found = folders.iter().flat_map(|folder| files(&root().join(folder), extension));
    found.map(|(path, text)| (path.strip_prefix(root()).unwrap().to_owned(), text)).collect()
}

/// Each line of prose with its file and number: comments, and pages outside of their code.
fn prose() -> Vec<(PathBuf, usize, String)> {
    let mut lines = Vec::new();
    let all = ["src", "tests", "examples", "benches"];
    for (path, text) in below(&all, "rs").into_iter().chain(below(&all, "md")).chain(pages()) {
        let is_page = path.extension().is_some_and(|extension| extension == "md");
        let mut in_code = false;
        for (number, line) in text.lines().enumerate() {
            let words = line.trim_start().trim_start_matches("//!").trim_start_matches('/').trim_start();
            if !is_page && !line.trim_start().starts_with("//") {
                in_code = false;
                continue;
            }
            if words.starts_with("```") {
                in_code = !in_code;
            } else if !in_code {
                lines.push((path.clone(), number + 1, line.to_owned()));
            }
        }
    }
    assert!(lines.len() > 5_000, "{} lines of prose", lines.len());
    lines
}

/// The pages beside `Cargo.toml`.
fn pages() -> Vec<(PathBuf, String)> {
    let names = ["README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"];
    names.map(|name| (name.into(), std::fs::read_to_string(root().join(name)).unwrap())).into()
}

#[test]
fn prose_is_100_columns_wide() {
    let is_free = |line: &str| {
        let words = line.trim_start().trim_start_matches("//!").trim_start_matches('/').trim_start();
        let is_indented_code = line.trim_start_matches("//!").trim_start_matches("///").starts_with("     ");
        is_indented_code
            || words.starts_with(['|', '<'])
            || (words.starts_with('[') && words.contains("]: "))
            || !words.trim().contains(' ')
    };
    let wide: Vec<_> = prose()
        .into_iter()
        .filter(|(_, _, line)| line.chars().count() > WIDTH && !is_free(line))
        .map(|(path, number, _)| format!("{}:{number}", path.display()))
        .collect();
    assert!(wide.is_empty(), "{} lines of prose over {WIDTH} columns: {wide:#?}", wide.len());
}

#[test]
fn prose_names_its_subjects() {
    let mut found = Vec::new();
    for (path, number, line) in prose() {
        let line = line.to_lowercase();
        for word in BANNED {
            let is_allowed = ALLOWED.iter().any(|(file, allowed)| path.ends_with(file) && [word, ""].contains(allowed));
            let is_whole = |start: usize| {
                let around = [line[..start].chars().next_back(), line[start + word.len()..].chars().next()];
                around.iter().flatten().all(|c| !c.is_alphanumeric() && !['_', '-'].contains(c))
            };
            if !is_allowed && line.match_indices(word).any(|(start, _)| is_whole(start)) {
                found.push(format!("{}:{number}: {word}", path.display()));
            }
        }
    }
    assert!(found.is_empty(), "{} words to replace by the thing they stand for: {found:#?}", found.len());
}

#[test]
fn first_lines_are_noun_phrases() {
    let mut wrong = Vec::new();
    for (path, text) in below(&["src", "tests", "examples", "benches"], "rs") {
        let first = text.lines().next().unwrap_or_default();
        let words = first.strip_prefix("//! ").unwrap_or_default();
        let word: String = words.chars().take_while(|c| c.is_alphanumeric()).collect();
        let is_noun = !NO_NOUNS.contains(&word.as_str());
        if words.len() < 17 || !is_noun {
            wrong.push(format!("{}: {first}", path.display()));
        }
    }
    assert!(wrong.is_empty(), "{} files do not open with what they are: {wrong:#?}", wrong.len());
}

#[test]
fn files_hold_one_idea() {
    let long = below(&["src", "examples", "benches"], "rs").into_iter().filter_map(|(path, text)| {
        let lines = text.lines().count();
        (lines > LINES).then(|| format!("{}: {lines}", path.display()))
    });
    let long: Vec<_> = long.collect();
    assert!(long.is_empty(), "files of more than {LINES} lines: {long:#?}");
}
