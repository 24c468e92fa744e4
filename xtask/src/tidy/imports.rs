//! Import loops between the files of one crate.
//!
//! A file uses another when it names it in a path from `crate`, `super` or `self`, or declares it as a
//! part. A part may use the file it is a part of: both are one thing told in several files. Any other
//! way back is a loop, and the files in it can only be understood together.

use std::collections::{BTreeMap, BTreeSet};

use super::Finding;
use super::source::{Source, find_word};

type Graph = BTreeMap<String, BTreeSet<String>>;

/// Findings of the files of one crate, all below its `src`.
pub(super) fn check(files: &[&Source]) -> Vec<Finding> {
    let modules: BTreeMap<_, _> = files.iter().map(|file| (module_of(&file.path), *file)).collect();
    let graph: Graph = modules
        .iter()
        .map(|(module, file)| (module.clone(), used_by(module, file, &modules)))
        .collect();
    loops(&graph).into_iter().map(|members| finding(&members, &graph, &modules)).collect()
}

/// `crates/x/src/a/b.rs` is `a::b`; the root of a crate is the empty path.
fn module_of(path: &str) -> String {
    let inner = path.split_once("/src/").map_or(path, |(_, inner)| inner);
    let stem = inner.trim_end_matches(".rs");
    if matches!(stem, "lib" | "main") { String::new() } else { stem.replace('/', "::") }
}

fn used_by(module: &str, file: &Source, modules: &BTreeMap<String, &Source>) -> BTreeSet<String> {
    let imports = file.imports().into_iter().map(|(_, path)| path);
    imports
        .chain(paths_in(&file.code))
        .filter_map(|path| absolute(module, &path))
        .filter_map(|path| nearest_module(&path, modules))
        .filter(|used| !is_part_of(module, used))
        .collect()
}

/// Paths written in the code itself, and `self::x` for each part declared with `mod x;`.
fn paths_in(code: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (start, is_declaration) in [("crate::", false), ("super::", false), ("mod", true)] {
        let mut from = 0;
        while let Some(at) = find_word(code, start, from) {
            from = at + start.len();
            let rest = code[at..].trim_start_matches("mod").trim_start();
            let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != ':');
            let path = rest[..end.unwrap_or(rest.len())].trim_end_matches(':');
            found.push(if is_declaration { format!("self::{path}") } else { path.to_owned() });
        }
    }
    found
}

/// `path` from the root of the crate; nothing if it leads out of it.
fn absolute(module: &str, path: &str) -> Option<String> {
    let mut here: Vec<&str> = module.split("::").filter(|part| !part.is_empty()).collect();
    let mut rest = path;
    if let Some(from_root) = rest.strip_prefix("crate::") {
        return Some(from_root.to_owned());
    }
    if !rest.starts_with("super::") && !rest.starts_with("self::") {
        return None;
    }
    while let Some(above) = rest.strip_prefix("super::") {
        here.pop();
        rest = above;
    }
    here.push(rest.trim_start_matches("self::"));
    Some(here.join("::"))
}

/// The longest beginning of `path` that is a file.
fn nearest_module(path: &str, modules: &BTreeMap<String, &Source>) -> Option<String> {
    let mut path = path;
    loop {
        if modules.contains_key(path) {
            return Some(path.to_owned());
        }
        path = match path.rsplit_once("::") {
            Some((head, _)) => head,
            None if path.is_empty() => return None,
            None => "",
        };
    }
}

fn is_part_of(module: &str, whole: &str) -> bool {
    whole.is_empty() || module == whole || module.starts_with(&format!("{whole}::"))
}

/// Groups of files that all reach each other.
fn loops(graph: &Graph) -> Vec<BTreeSet<String>> {
    let reach: BTreeMap<_, _> = graph.keys().map(|from| (from, reachable(graph, from))).collect();
    let groups: BTreeSet<BTreeSet<String>> = graph
        .keys()
        .map(|one| reach[one].iter().filter(|other| reach[other].contains(one)).cloned().collect())
        .filter(|group: &BTreeSet<_>| !group.is_empty())
        .collect();
    groups.into_iter().collect()
}

fn reachable(graph: &Graph, from: &str) -> BTreeSet<String> {
    let mut seen = BTreeSet::new();
    let mut open = vec![from];
    while let Some(next) = open.pop() {
        for used in graph.get(next).into_iter().flatten() {
            if seen.insert(used.clone()) {
                open.push(used);
            }
        }
    }
    seen
}

fn finding(
    members: &BTreeSet<String>,
    graph: &Graph,
    modules: &BTreeMap<String, &Source>,
) -> Finding {
    let arrows: Vec<_> = members
        .iter()
        .map(|member| {
            let used: Vec<_> = graph[member].intersection(members).cloned().collect();
            format!("{member} uses {}", used.join(" and "))
        })
        .collect();
    let first = members.first().and_then(|member| modules.get(member));
    Finding {
        place: first.map_or_else(String::new, |file| file.path.clone()),
        what: format!("files import each other in a loop: {}", arrows.join("; ")),
        why: "files in a loop can only be understood and changed together",
        remedy: "move what both need into a file below them, or merge them",
    }
}
