//! The security rules and the threats name their tests: every one of them exists, and no rule is
//! missing.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use super::architecture::root;

const PAGE: &str = include_str!("../../../src/web/security.md");
const THREATS: &str = include_str!("../../../src/web/threats.md");

/// The page's rules, and the flaws of others: each is a row, and its tests are in this column.
const RULES: (&str, usize) = ("| ", 4);
const FLAWS: (&str, usize) = ("| CVE-", 3);

fn cells(line: &str) -> Vec<&str> {
    line.trim().trim_start_matches('|').trim_end_matches('|').split('|').map(str::trim).collect()
}

/// Number and cells of every rule.
fn rules() -> Vec<(u32, Vec<&'static str>)> {
    let rows = PAGE.lines().filter(|line| line.starts_with(RULES.0)).map(cells);
    rows.filter_map(|cells| Some((cells[0].parse().ok()?, cells))).collect()
}

fn flaws() -> Vec<Vec<&'static str>> {
    PAGE.lines().filter(|line| line.starts_with(FLAWS.0)).map(cells).collect()
}

/// The rows of the threat model: who (the heading above them), what they try, what stops it, and
/// its tests.
fn threats() -> Vec<(&'static str, Vec<&'static str>)> {
    let mut attacker = "";
    let mut threats = Vec::new();
    for line in THREATS.lines() {
        if let Some(heading) = line.strip_prefix("# ") {
            attacker = heading;
        } else if line.starts_with("| ") && line != "| they try | what stops it | shown by |" {
            threats.push((attacker, cells(line)));
        }
    }
    threats
}

/// "`file`: *a test*, *another*; contract: *a rule*" as pairs of file and function.
fn tests_named(cell: &str) -> Vec<(String, String)> {
    let mut named = Vec::new();
    for group in cell.split("; ") {
        let (file, tests) = group.split_once(": ").unwrap_or_else(|| panic!("no file is named in {group:?}"));
        let known = file == "contract" || file.len() > 2 && file.starts_with('`') && file.ends_with('`');
        assert!(known, "{file:?} is neither a test file nor the contract, in {cell:?}");
        let tests = tests.strip_prefix('*').and_then(|tests| tests.strip_suffix('*'));
        let tests = tests.unwrap_or_else(|| panic!("a test is not written as *its words*, in {group:?}"));
        // A rule of the contract may have a comma in it.
        for test in tests.split("*, *") {
            named.push((file.trim_matches('`').to_owned(), test.replace(' ', "_")));
        }
    }
    named
}

fn read(path: PathBuf) -> Option<String> {
    fs::read_to_string(path).ok()
}

/// Whether there is a test, not just a function, of this name.
fn is_test(source: &str, name: &str) -> bool {
    let lines: Vec<_> = source.lines().map(str::trim).collect();
    let start = format!("fn {name}(");
    let function = lines.iter().position(|line| line.starts_with(&start));
    function.is_some_and(|place| {
        let above = lines[..place].iter().rev().take_while(|line| line.starts_with("#[") || line.starts_with("//"));
        above.into_iter().any(|line| *line == "#[test]")
    })
}

/// Whether the contract suite has this rule: a line of its script, or the name of a function in its
/// tables.
fn is_rule_of_the_contract(name: &str) -> bool {
    let files = fs::read_dir(root().join("src/testing")).unwrap();
    files.filter_map(|file| read(file.unwrap().path())).any(|source| {
        let mut lines = source.lines().map(|line| line.replace(' ', "_"));
        lines.any(|line| line == name || line.contains("Rule::new(") && line.contains(&format!("\"{name}\"")))
    })
}

fn exists(file: &str, name: &str) -> bool {
    if file == "contract" {
        return is_rule_of_the_contract(name);
    }
    let tests = root().join("tests");
    let places = [format!("it/{file}.rs"), format!("it/{file}/mod.rs"), format!("{file}.rs")];
    let source = places.iter().find_map(|place| read(tests.join(place)));
    source.is_some_and(|source| is_test(&source, name))
}

#[test]
fn all_24_rules_are_complete() {
    let rules = rules();
    let numbers: BTreeSet<_> = rules.iter().map(|(number, _)| *number).collect();
    assert_eq!(rules.len(), 24);
    assert_eq!(numbers, (1..=24).collect());
    for (number, cells) in rules {
        assert_eq!(cells.len(), 6, "rule {number} has a `|` too many or too few: {cells:?}");
        // Only what is left to the application may be nothing.
        assert!(cells[..5].iter().all(|cell| !cell.is_empty()), "rule {number} has an empty cell");
        assert!(!cells[RULES.1].contains("TODO"), "rule {number} is not finished");
    }
}

#[test]
fn tests_of_every_rule_exist() {
    let mut missing = Vec::new();
    for (number, cells) in rules() {
        let named = tests_named(cells[RULES.1]);
        assert!(!named.is_empty(), "rule {number} has no test");
        missing.extend(named.into_iter().filter(|(file, name)| !exists(file, name)).map(|test| (number, test)));
    }
    let lines: Vec<_> = missing.iter().map(|(rule, (file, name))| format!("rule {rule}: {file}, {name}\n")).collect();
    assert!(missing.is_empty(), "tests that do not exist:\n{}", lines.concat());
}

#[test]
fn every_flaw_names_a_rule_and_a_test() {
    let flaws = flaws();
    assert_eq!(flaws.len(), 5);
    let numbers: BTreeSet<_> = rules().into_iter().map(|(number, _)| number).collect();
    for cells in flaws {
        let rule = cells[2].strip_prefix("rule ").and_then(|number| number.parse().ok());
        assert!(rule.is_some_and(|rule| numbers.contains(&rule)), "{cells:?}");
        for (file, name) in tests_named(cells[FLAWS.1]) {
            assert!(exists(&file, &name), "{}: there is no test {name} in {file}", cells[0]);
        }
    }
}

#[test]
fn every_threat_is_answered_and_tested() {
    let threats = threats();
    let attackers: BTreeSet<_> = threats.iter().map(|(attacker, _)| *attacker).collect();
    assert_eq!((attackers.len(), threats.len()), (6, 32));
    let mut missing = Vec::new();
    for (attacker, cells) in &threats {
        assert!(cells.len() == 3 && cells.iter().all(|cell| !cell.is_empty()), "{attacker}: {cells:?}");
        missing.extend(tests_named(cells[2]).into_iter().filter(|(file, name)| !exists(file, name)));
    }
    assert!(missing.is_empty(), "tests that do not exist: {missing:#?}");
}

#[test]
fn duties_of_the_application_are_listed() {
    let (_, rest) = THREATS.split_once("# What stays with the application\n").unwrap();
    for risk in [
        "XSS",
        "CSRF",
        "TLS",
        "A stolen device",
        "A stolen password",
        "Memory dumps",
        "The folder of the sessions' files",
    ] {
        assert!(rest.contains(&format!("- **{risk}")), "{risk}");
    }
}

#[test]
fn missing_test_is_noticed() {
    assert!(exists("source/security_rules", "missing_test_is_noticed"));
    assert!(exists("contract", "the_right_handle_with_a_wrong_secret_opens_nothing"));
    assert!(!exists("source/security_rules", "a_test_that_does_not_exist"));
    assert!(!exists("source/security_rules", "is_test"), "a function, and no test");
    assert!(!exists("contract", "broken") && !exists("no_such_file", "is_test"));
    let named = tests_named("`id`: *one test*, *another*; contract: *a rule*");
    let expected = [("id", "one_test"), ("id", "another"), ("contract", "a_rule")];
    assert_eq!(named, expected.map(|(file, name)| (file.to_owned(), name.to_owned())));
}
