//! `openapi/` is what the code says.

use std::{collections::BTreeMap, fs};

use chassis::Settings;

#[test]
fn the_checked_in_documents_are_those_of_the_code() {
    let settings = Settings::from_yaml("").expect("the embedded defaults are a configuration");
    let services = steward::fleet::services(&settings).expect("the services take the defaults");
    let generated = steward::documents::all(&services).expect("the documents can be written");
    let folder = crate::root().join("openapi");
    let entries = fs::read_dir(&folder).expect("openapi/ is there").flatten();
    let checked_in: BTreeMap<String, String> = entries
        .map(|entry| {
            let text = fs::read_to_string(entry.path()).unwrap_or_default();
            (entry.file_name().to_string_lossy().into_owned(), text)
        })
        .collect();
    let names = |documents: &BTreeMap<String, String>| documents.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&checked_in), names(&generated), "files of openapi/; `make openapi` writes them anew");
    for (name, text) in &generated {
        let line = text.lines().zip(checked_in[name].lines()).position(|(new, old)| new != old);
        let same = *text == checked_in[name];
        assert!(same, "openapi/{name} differs from the code, first at line {line:?}: run `make openapi` and commit it");
    }
}

/// Only their path says what to do.
const BODYLESS: [&str; 2] = ["/approvals/v1/delegations/{id}/revocation", "/notify/v1/subscriptions/{id}/activation"];

/// What takes a body says which, or a caller has to guess.
#[test]
fn every_post_says_what_it_takes() {
    let settings = Settings::from_yaml("").expect("the embedded defaults are a configuration");
    let services = steward::fleet::services(&settings).expect("the services take the defaults");
    let mut silent = Vec::new();
    for service in &services {
        let document = serde_json::to_value(chassis::host::openapi(service)).expect("a document is JSON");
        for (path, item) in document["paths"].as_object().into_iter().flatten() {
            let known = BODYLESS.contains(&path.as_str());
            if item["post"].is_object() && item["post"]["requestBody"].is_null() && !known {
                silent.push(path.clone());
            }
        }
    }
    assert!(silent.is_empty(), "add `request_body` to the utoipa attribute of: {silent:?}");
}

/// A reference into nowhere makes generators of clients fail, and testers leave out what holds it.
#[test]
fn every_reference_of_a_document_leads_somewhere() {
    let settings = Settings::from_yaml("").expect("the embedded defaults are a configuration");
    let services = steward::fleet::services(&settings).expect("the services take the defaults");
    let generated = steward::documents::all(&services).expect("the documents can be written");
    let mut lost = Vec::new();
    let mut count = 0;
    for (name, text) in generated.iter().filter(|(name, _)| name.ends_with(".json")) {
        let document: serde_json::Value = serde_json::from_str(text).expect("a document is JSON");
        for reference in text.split("\"$ref\": \"#").skip(1).filter_map(|rest| rest.split('"').next()) {
            count += 1;
            if document.pointer(reference).is_none() {
                lost.push(format!("{name}{reference}"));
            }
        }
    }
    assert!(count > 1000, "{count} references: how they are written has changed");
    assert!(lost.is_empty(), "a schema is referred to and not there: {lost:?}");
}
