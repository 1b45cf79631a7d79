//! The house rules that a compiler does not check: imports run downstream, files stay readable.

use std::{
    fs,
    path::{Path, PathBuf},
};

const LONGEST: usize = 400;

/// Every Rust file under `src`, as its path from there and its text.
fn sources() -> Vec<(PathBuf, String)> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let (mut folders, mut files) = (vec![src.clone()], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                files.push((path.strip_prefix(&src).unwrap().to_owned(), text));
            }
        }
    }
    files.sort();
    files
}

/// The modules of `lib.rs`, from spring to sea.
fn river(lib: &str) -> Vec<String> {
    let module = |line: &str| {
        Some(line.trim().trim_start_matches("pub ").strip_prefix("mod ")?.strip_suffix(';')?.to_owned())
    };
    lib.lines().filter_map(module).collect()
}

/// The top-level module a file belongs to: `api/guard.rs` to `api`, `routing.rs` to `routing`.
fn module_of(path: &Path) -> String {
    let first = path.components().next().unwrap().as_os_str().to_str().unwrap();
    first.trim_end_matches(".rs").to_owned()
}

/// The top-level modules a text names: after `crate::`, and at the first level of `crate::{…}`.
fn named(text: &str) -> Vec<String> {
    let code: String =
        text.lines().map(|line| line.split("//").next().unwrap_or("").to_owned() + "\n").collect();
    let identifier = |text: &str| {
        let text = text.trim_start();
        text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>()
    };
    let mut names = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        if code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == '$') {
            continue;
        }
        let rest = code[at + "crate::".len()..].trim_start();
        let Some(group) = rest.strip_prefix('{') else {
            names.push(identifier(rest));
            continue;
        };
        names.push(identifier(group));
        let mut depth = 1;
        for (at, c) in group.char_indices() {
            match c {
                '{' => depth += 1,
                '}' => depth -= 1,
                ',' if depth == 1 => names.push(identifier(&group[at + 1..])),
                _ => {}
            }
            if depth == 0 {
                break;
            }
        }
    }
    names.retain(|name| !name.is_empty());
    names
}

#[test]
fn imports_run_downstream() {
    let files = sources();
    let lib = &files.iter().find(|(path, _)| path == Path::new("lib.rs")).unwrap().1;
    let river = river(lib);
    assert!(!river.is_empty(), "lib.rs lists no modules");
    let place = |name: &str| river.iter().position(|module| module == name);
    let mut wrong = Vec::new();
    for (path, text) in
        files.iter().filter(|(path, _)| !["lib.rs", "main.rs"].contains(&path.to_str().unwrap()))
    {
        let module = module_of(path);
        let Some(here) = place(&module) else {
            wrong.push(format!("{}: module {module} is not listed in lib.rs", path.display()));
            continue;
        };
        // A name that is no module (a macro, a re-export at the root) has no place in the river.
        for name in named(text) {
            if place(&name).is_some_and(|there| there < here) {
                wrong.push(format!(
                    "{}: {module} may not use {name}, which stands above it in lib.rs",
                    path.display()
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "nothing flows back up:\n{}", wrong.join("\n"));
}

#[test]
fn files_are_short_and_say_their_job() {
    let mut wrong = Vec::new();
    for (path, text) in sources() {
        let lines = text.lines().count();
        if lines > LONGEST {
            wrong.push(format!("{}: {lines} lines, at most {LONGEST}: split it by its jobs", path.display()));
        }
        if !text.starts_with("//! ") {
            wrong.push(format!("{}: does not begin with a `//!` line that names its job", path.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Where a text compares something secret by `==`, which ends at the first difference and so tells where it is.
fn secrets_compared(text: &str) -> Vec<String> {
    let code: String = text
        .lines()
        .map(|line| line.split("//").next().unwrap_or(""))
        .flat_map(|line| line.chars().filter(|c| !c.is_whitespace()))
        .collect();
    let part = |c: char| c.is_alphanumeric() || "_.:()[]?".contains(c);
    let mut found = Vec::new();
    // What a `SecretString` gives away, and what a MAC comes to.
    for word in ["expose_secret()", "finalize().into_bytes()"] {
        for (at, _) in code.match_indices(word) {
            let mut after = &code[at + word.len()..];
            for view in [".as_bytes()", ".as_str()", ".as_slice()", ".to_owned()", ")"] {
                after = after.strip_prefix(view).unwrap_or(after);
            }
            let before = code[..at].trim_end_matches(part);
            // Whether it is borrowed; `&&` is something else.
            let before = before.strip_suffix('&').filter(|b| !b.ends_with('&')).unwrap_or(before);
            let compared = |code: &str| code.starts_with("==") || code.starts_with("!=");
            if compared(after) || before.ends_with("==") || before.ends_with("!=") {
                found.push(
                    code[..at + word.len()]
                        .chars()
                        .rev()
                        .take(60)
                        .collect::<String>()
                        .chars()
                        .rev()
                        .collect(),
                );
            }
        }
    }
    found
}

/// By construction instead of by a clock: secrets are `SecretString`s, which know no `==`; MACs are verified by their own
/// `verify_slice`; and what is taken out of either is compared by `secret::equal` alone.
#[test]
fn secrets_are_compared_in_one_place() {
    let mut wrong = Vec::new();
    for (path, text) in sources().iter().filter(|(path, _)| !path.ends_with("tests.rs")) {
        let name = path.display();
        if (text.contains("subtle::") || text.contains("ct_eq")) && path != Path::new("secret.rs") {
            wrong.push(format!("{name}: compares by itself: secret::equal does that"));
        }
        let text = text.split("#[cfg(test)]").next().unwrap_or_default();
        wrong.extend(secrets_compared(text).iter().map(|code| format!("{name}: …{code} is compared by ==")));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    for (text, count) in [
        ("if a.expose_secret() == b {}", 1),
        ("if b != a\n    .expose_secret().as_bytes() {}", 1),
        ("given == &self.key.expose_secret()", 1),
        ("hex::encode(mac.finalize().into_bytes()) == given", 1),
        ("len == 3 && a.expose_secret().is_empty() // a.expose_secret() == b", 0),
        ("secret::equal(a.expose_secret(), b) == c", 0),
    ] {
        assert_eq!(secrets_compared(text).len(), count, "{text}");
    }
}

/// The checks above are only as good as what they read.
#[test]
fn names_are_found_however_they_are_written() {
    let text = "
        use crate::{store::{self, lease}, ids::TenantId, message};
        use crate::{
            runtime::Clock,
            secret,
        };
        use crate::graph;
        let x = crate::routing::find(); // and crate::comment::x is none
        //! crate::doc
        $crate::macros!(); other_crate::elsewhere();
    ";
    assert_eq!(named(text), ["store", "ids", "message", "runtime", "secret", "graph", "routing"]);
    assert_eq!(river("//! x\npub mod app;\nmod inbox;\n    pub mod ids;\nuse x;"), ["app", "inbox", "ids"]);
    assert_eq!(module_of(Path::new("api/guard.rs")), "api");
    assert_eq!(module_of(Path::new("routing.rs")), "routing");
}
