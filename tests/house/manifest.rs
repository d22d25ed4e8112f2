//! Dependencies: each with its reason, and of some only one version.

use std::fs;

fn read(file: &str) -> String {
    fs::read_to_string(crate::root().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// The dependencies of `[workspace.dependencies]` without a comment above them. A group may share one comment, and our
/// own crates are explained by ARCHITECTURE.md.
fn unexplained(manifest: &str) -> Vec<&str> {
    let section = manifest.split("[workspace.dependencies]").nth(1).unwrap_or_default();
    let lines = section.lines().skip(1).take_while(|line| !line.starts_with('['));
    let (mut explained, mut found) = (false, Vec::new());
    for line in lines {
        // A heading groups; it explains nothing.
        let heading = line.starts_with("# ---");
        match line.split_once(" = ") {
            _ if line.starts_with('#') => explained = !heading,
            Some((name, rest)) if !explained && !rest.contains("path = ") => found.push(name),
            Some(_) => {}
            None => explained = false,
        }
    }
    found
}

/// The versions of a package in Cargo.lock.
fn versions<'a>(lock: &'a str, package: &str) -> Vec<&'a str> {
    let entries = lock.split("[[package]]").filter(|entry| entry.contains(&format!("\nname = \"{package}\"\n")));
    entries.filter_map(|entry| entry.split("\nversion = \"").nth(1)?.split('"').next()).collect()
}

#[test]
fn every_dependency_says_why_it_is_here() {
    let manifest = read("Cargo.toml");
    let found = unexplained(&manifest);
    assert!(found.is_empty(), "a line above each of these in Cargo.toml must say why it is here: {found:?}");
}

#[test]
fn a_dependency_without_a_reason_is_named() {
    let manifest = "[workspace.dependencies]\n# --- own ---\nours = { path = \"x\" }\n# --- others ---\nbare = \"1\"\n\n\
        # Because.\ngood = \"1\"\ngood-two = \"1\"\n\nalso-bare = \"1\"\n[workspace.lints.rust]\nx = \"y\"\n";
    assert_eq!(unexplained(manifest), ["bare", "also-bare"]);
}

/// Two versions of these in one binary compile and then fail quietly: trace ids are empty, clients do not share
/// settings, TLS finds no provider.
#[test]
fn what_must_agree_with_itself_has_one_version() {
    let lock = read("Cargo.lock");
    for package in ["opentelemetry", "opentelemetry_sdk", "reqwest", "rustls", "sqlx", "actix-web", "utoipa"] {
        let found = versions(&lock, package);
        assert_eq!(found.len(), 1, "{package} has versions {found:?} in Cargo.lock; see `cargo tree -i {package}`");
    }
    let two =
        "[[package]]\nname = \"rustls\"\nversion = \"1.0.0\"\n\n[[package]]\nname = \"rustls\"\nversion = \"2.0.0\"\n";
    assert_eq!(versions(two, "rustls"), ["1.0.0", "2.0.0"]);
}
