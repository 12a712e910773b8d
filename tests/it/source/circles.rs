//! Imports between files: no two files of `src` or of a package in `benches` use each other, not
//! even by way of others.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::architecture::{code, files};

/// A path in code, from the crate's root.
type Names = Vec<String>;

/// The files of one crate, and what each of them imports.
struct Crate {
    /// Module to file.
    files: BTreeMap<Names, PathBuf>,
    /// For each module: what a `use` makes known in it, and all paths that its code names.
    known: BTreeMap<Names, BTreeMap<String, Names>>,
    named: BTreeMap<Names, Vec<Names>>,
}

fn words(text: &str) -> Vec<&str> {
    let mut words = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let is_word = |c: char| c.is_alphanumeric() || c == '_';
        let length = match first {
            c if is_word(c) => rest.find(|c| !is_word(c)).unwrap_or(rest.len()),
            ':' if rest.starts_with("::") => 2,
            c => c.len_utf8(),
        };
        if !first.is_whitespace() {
            words.push(&rest[..length]);
        }
        rest = &rest[length..];
    }
    words
}

/// The paths of one tree as `use` has it, `a::{b, c as d}`, each with the name that it gets.
fn tree(
    words: &mut std::iter::Peekable<std::slice::Iter<'_, &str>>,
    before: &[String],
    paths: &mut Vec<(String, Names)>,
) {
    let mut path = before.to_vec();
    while let Some(word) = words.next() {
        match *word {
            "{" => loop {
                tree(words, &path, paths);
                if words.next().is_none_or(|word| *word == "}") || words.next_if(|word| **word == "}").is_some() {
                    return;
                }
            },
            word if word.starts_with(|c: char| c.is_alphabetic() || c == '_') && word != "as" => {
                if word != "self" || path.is_empty() {
                    path.push(word.to_owned());
                }
                if words.next_if(|word| **word == "::").is_none() {
                    let alias = words.next_if(|word| **word == "as").and_then(|_| words.next());
                    let name = alias.map_or_else(|| path.last().cloned(), |alias| Some((*alias).to_owned()));
                    paths.push((name.unwrap_or_default(), path));
                    return;
                }
            }
            _ => return,
        }
    }
}

impl Crate {
    fn read(root: &Path) -> Self {
        let mut files_of = BTreeMap::new();
        let mut codes = Vec::new();
        for (path, text) in files(root, "rs") {
            let inside = path.strip_prefix(root).unwrap().with_extension("");
            let mut module: Names = inside.iter().map(|name| name.to_str().unwrap().to_owned()).collect();
            if module.last().is_some_and(|last| ["mod", "lib", "main"].contains(&last.as_str())) {
                module.pop();
            }
            codes.push((module.clone(), code(&text)));
            files_of.insert(module, path);
        }
        let mut made = Self { files: files_of, known: BTreeMap::new(), named: BTreeMap::new() };
        for (module, code) in codes {
            made.read_code(module, &code);
        }
        made
    }

    fn read_code(&mut self, module: Names, code: &str) {
        let words = words(code);
        let (mut known, mut named) = (BTreeMap::new(), Vec::new());
        for start in 0..words.len() {
            let before = start.checked_sub(1).map_or("", |before| words[before]);
            let is_use = before == "use";
            let is_path = words.get(start + 1) == Some(&"::") && before != "::";
            // `pub(in path)` is no use of the path.
            let is_visibility = before == "in" && words[start - 2] == "(";
            if is_visibility || !is_use && !is_path {
                continue;
            }
            let mut paths = Vec::new();
            tree(&mut words[start..].iter().peekable(), &[], &mut paths);
            // `pub use` hands an item on, which is no use of it.
            let is_door = is_use && start > 1 && [")", "pub"].contains(&words[start - 2]);
            for (name, path) in paths {
                let path = self.absolute(&module, path);
                if is_use {
                    known.insert(name, path.clone());
                }
                if !is_door {
                    named.push(path);
                }
            }
        }
        self.known.insert(module.clone(), known);
        self.named.insert(module, named);
    }

    /// `super::a` and `child::a` as paths from the root; paths into other crates stay as they are.
    fn absolute(&self, module: &[String], path: Names) -> Names {
        let mut base = module.to_vec();
        let mut rest = path.as_slice();
        match rest.first().map(String::as_str) {
            Some("crate") => (base, rest) = (Vec::new(), &rest[1..]),
            Some("self") => rest = &rest[1..],
            Some("super") => {
                while rest.first().is_some_and(|word| word == "super") {
                    base.pop();
                    rest = &rest[1..];
                }
            }
            Some(child) => {
                base.push(child.to_owned());
                if !self.files.contains_key(&base) {
                    return [vec!["::".to_owned()], path].concat();
                }
                rest = &rest[1..];
            }
            None => {}
        }
        [base.as_slice(), rest].concat()
    }

    /// The module whose file has the item of this path.
    fn home(&self, path: &[String], steps: usize) -> Option<Names> {
        let depth = (0..=path.len()).rev().find(|depth| self.files.contains_key(&path[..*depth]))?;
        let (module, rest) = path.split_at(depth);
        let known = rest.first().and_then(|item| self.known.get(module)?.get(item));
        match known.filter(|_| steps > 0) {
            Some(from) => self.home(&[from.as_slice(), &rest[1..]].concat(), steps - 1),
            None if rest.is_empty() && depth > 0 && steps == 0 => None,
            None => Some(module.to_vec()),
        }
    }

    /// For each file, the files that it uses. The root only gathers.
    fn arrows(&self) -> BTreeMap<Names, BTreeSet<Names>> {
        let used = |module: &Names, paths: &Vec<Names>| {
            let homes = paths.iter().filter_map(|path| self.home(path, 8));
            (module.clone(), homes.filter(|home| home != module && !home.is_empty()).collect())
        };
        self.named.iter().filter(|(module, _)| !module.is_empty()).map(|(module, paths)| used(module, paths)).collect()
    }
}

/// All files that a file uses, by way of others too.
fn reach<'a>(arrows: &'a BTreeMap<Names, BTreeSet<Names>>, from: &Names) -> BTreeSet<&'a Names> {
    let mut reached = BTreeSet::new();
    let mut open: Vec<_> = arrows.get(from).into_iter().flatten().collect();
    while let Some(next) = open.pop() {
        if reached.insert(next) {
            open.extend(arrows.get(next).into_iter().flatten());
        }
    }
    reached
}

#[test]
fn no_files_import_each_other() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for source in ["src", "benches/peers/src", "benches/servers/src"] {
        // The package has no benchmarks beside peers.
        if !root.join(source).exists() {
            continue;
        }
        let arrows = Crate::read(&root.join(source)).arrows();
        assert!(
            source != "src" || arrows.values().map(BTreeSet::len).sum::<usize>() > 200,
            "too few imports: {arrows:?}"
        );
        let reached: BTreeMap<_, _> = arrows.keys().map(|module| (module, reach(&arrows, module))).collect();
        let circles: BTreeSet<Vec<_>> = arrows
            .keys()
            .filter(|module| reached[module].contains(module))
            .map(|module| {
                reached[module]
                    .iter()
                    .filter(|other| reached[*other].contains(module))
                    .map(|other| other.join("/"))
                    .collect()
            })
            .collect();
        assert!(circles.is_empty(), "{source}: files that import each other: {circles:#?}");
    }
}
