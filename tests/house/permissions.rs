//! Default deny: whoever brings no credential gets nowhere, on every operation of every document.

use std::net::TcpListener;

use chassis::{
    Settings,
    host::{self, HostOptions},
};
use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};

/// Open on purpose, with what an empty-handed caller gets: the published keys, and the pages behind signed links, whose
/// link is the credential.
const PUBLIC: [(&str, &str, u16); 7] = [
    ("get", "/approvals/.well-known/jwks.json", 200),
    ("get", "/scoring/v1/audit/keys", 200),
    ("get", "/approvals/v1/audit/keys", 200),
    ("get", "/supply/v1/audit/keys", 200),
    ("get", "/notify/v1/audit/keys", 200),
    ("get", "/approvals/decide/{token}", 403),
    ("post", "/approvals/decide/{token}", 403),
];
/// At the root, for probes, scrapers and readers of documents.
const OPEN_PAGES: [&str; 3] = ["/healthz", "/readyz", "/metrics"];

fn settings(folder: &str) -> Settings {
    let own = json!({
        "store": {"data_dir": folder},
        // The webhook of Odoo is served only when there is an Odoo; nobody answers at this address.
        "supply": {"odoo": {"url": "http://127.0.0.1:9", "database": "none", "api_key": "none", "hook_secret": "secret"}},
    });
    Settings::from_yaml(&own.to_string()).expect("settings")
}

/// Each path parameter filled with something.
fn filled(path: &str) -> String {
    let part = |part: &str| if part.starts_with('{') { "x".to_owned() } else { part.to_owned() };
    path.split('/').map(part).collect::<Vec<_>>().join("/")
}

async fn status(http: &Client, method: &str, url: &str) -> StatusCode {
    let method = Method::from_bytes(method.to_uppercase().as_bytes()).expect("a method");
    let request = http.request(method.clone(), url);
    let request = if method == Method::POST { request.json(&json!({})) } else { request };
    request.send().await.unwrap_or_else(|error| panic!("{url}: {error}")).status()
}

#[tokio::test]
async fn nobody_gets_in_without_a_credential() {
    testkit::install_tls_provider();
    let folder = testkit::Scratch::new("permissions").expect("a folder");
    let settings = settings(&folder.path().display().to_string());
    let services = steward::fleet::services(&settings).expect("the services");
    let documents: Vec<Value> =
        services.iter().map(|one| serde_json::to_value(host::openapi(one)).expect("JSON")).collect();
    let prefixes: Vec<&str> = services.iter().map(chassis::Service::name).collect();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let options = HostOptions { listener: Some(listener), ..HostOptions::default() };
    let running = host::start(services, &settings, options).await.expect("the fleet starts");
    let (http, base) = (Client::new(), running.base_url().to_owned());

    let (mut walked, mut open, mut public) = (0, Vec::new(), Vec::from(PUBLIC));
    for (path, item) in documents.iter().flat_map(|document| document["paths"].as_object().into_iter().flatten()) {
        for method in item.as_object().into_iter().flatten().map(|(method, _)| method.as_str()) {
            if matches!(method, "parameters" | "summary" | "description") {
                continue;
            }
            walked += 1;
            let found = status(&http, method, &format!("{base}{}", filled(path))).await.as_u16();
            match public.iter().position(|(verb, place, _)| (*verb, *place) == (method, path.as_str())) {
                Some(at) if public[at].2 == found => drop(public.remove(at)),
                Some(_) => open.push(format!("{method} {path}: {found}, though it is public")),
                None if matches!(found, 401 | 403) => {}
                None => open.push(format!("{method} {path}: {found}")),
            }
        }
    }
    assert!(walked > 30, "only {walked} operations in the documents");
    assert!(open.is_empty(), "answered without a credential: {open:#?}");
    assert!(public.is_empty(), "public, but in no document: {public:?}");
    for page in
        OPEN_PAGES.map(str::to_owned).into_iter().chain(prefixes.iter().map(|one| format!("/{one}/openapi.json")))
    {
        assert_eq!(status(&http, "get", &format!("{base}{page}")).await, 200, "{page}");
    }
    running.shutdown().await;
}
