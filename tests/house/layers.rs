//! The arrows of ARCHITECTURE.md: who may depend on whom. Kept by this test, not by good will.

use std::collections::{BTreeMap, BTreeSet};

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand};

/// Each of our crates and the crates of ours it may need in order to run. `steward` and the tests may need all.
const LAW: [(&str, &[&str]); 11] = [
    ("contracts", &[]),
    ("models", &["contracts"]),
    // The models over files; the command line carries it.
    ("backtest", &["contracts", "models"]),
    ("governance", &["contracts"]),
    ("odoo", &[]),
    ("chassis", &["contracts"]),
    ("scoring-svc", &["chassis", "contracts", "models"]),
    ("approval-svc", &["chassis", "contracts", "governance"]),
    // The only service that knows Odoo; it checks the grants that it uses up.
    ("supplier-sync-svc", &["chassis", "contracts", "odoo", "governance"]),
    ("notifier-svc", &["chassis", "contracts"]),
    // Servers for tests know nothing of what is tested with them.
    ("testkit", &[]),
];
/// Above the law: the program that puts everything together, the tests of everything together, and the fuzz targets.
const TOP: [&str; 3] = ["steward", "steward-e2e", "steward-fuzz"];

type Arrows = BTreeMap<String, BTreeSet<String>>;

/// Normal and build dependencies between workspace members. What only tests need is free.
fn arrows(metadata: &Metadata) -> Arrows {
    let ours: BTreeSet<String> = metadata.workspace_packages().iter().map(|one| one.name.to_string()).collect();
    let of = |package: &cargo_metadata::Package| {
        let needs = package.dependencies.iter().filter(|one| one.kind != DependencyKind::Development);
        needs.map(|one| one.name.clone()).filter(|name| ours.contains(name)).collect()
    };
    metadata.workspace_packages().iter().map(|one| (one.name.to_string(), of(one))).collect()
}

/// Every arrow that the law does not know, as `from -> to`, and every crate that it does not name.
fn violations(arrows: &Arrows) -> Vec<String> {
    let law = BTreeMap::from(LAW);
    let below = arrows.iter().filter(|(name, _)| !TOP.contains(&name.as_str()));
    let of = |(name, needs): (&String, &BTreeSet<String>)| match law.get(name.as_str()) {
        None => vec![format!("{name} has no place in the law")],
        Some(allowed) => {
            let bad = needs.iter().filter(|need| !allowed.contains(&need.as_str()));
            bad.map(|need| format!("{name} -> {need}")).collect()
        }
    };
    below.flat_map(of).collect()
}

fn of_this_workspace() -> Arrows {
    let manifest = crate::root().join("Cargo.toml");
    let metadata = MetadataCommand::new().manifest_path(manifest).no_deps().exec();
    arrows(&metadata.expect("cargo reads the workspace"))
}

#[test]
fn dependencies_follow_the_arrows() {
    let found = violations(&of_this_workspace());
    assert!(found.is_empty(), "arrows that ARCHITECTURE.md does not draw: {found:#?}");
}

#[test]
fn an_arrow_against_the_law_is_named() {
    let mut arrows = of_this_workspace();
    arrows.entry("notifier-svc".into()).or_default().insert("approval-svc".into());
    arrows.entry("scoring-svc".into()).or_default().insert("odoo".into());
    arrows.entry("models".into()).or_default().insert("chassis".into());
    arrows.insert("newcomer".into(), BTreeSet::new());
    let expected = [
        "models -> chassis",
        "newcomer has no place in the law",
        "notifier-svc -> approval-svc",
        "scoring-svc -> odoo",
    ];
    assert_eq!(violations(&arrows), expected);
}

#[test]
fn the_law_names_only_crates_that_exist() {
    let arrows = of_this_workspace();
    let named = LAW.iter().flat_map(|(name, needs)| needs.iter().chain([name])).chain(&TOP);
    let gone: Vec<_> = named.filter(|name| !arrows.contains_key(**name)).collect();
    assert!(gone.is_empty(), "not in the workspace: {gone:?}");
}
