use secrecy::ExposeSecret;

use super::*;

fn with_env(yaml: &str, env: &[(&str, &str)]) -> Result<Settings, ConfigError> {
    let env = env.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    Settings::of_text(yaml, env)
}

#[test]
fn the_embedded_defaults_are_valid_by_themselves() {
    let settings = Settings::from_yaml("").unwrap().common;
    assert_eq!(settings.http.body_limit_bytes, 1 << 20);
    assert!(settings.store.url().unwrap().is_none());
    assert_eq!(settings.telemetry.log_format, LogFormat::Json);
}

#[test]
fn the_environment_wins_over_text_and_nests_by_two_underscores() {
    let yaml = "http: {listen: 1.2.3.4:1}\noutgoing: {allow: [x]}";
    let env = [
        ("STEWARD__HTTP__LISTEN", "0.0.0.0:9"),
        ("STEWARD__HTTP__DRAIN_SECONDS", "5"),
        ("STEWARD__OUTGOING__ALLOW", "odoo,127.0.0.1:8069"),
        ("STEWARD_CONFIG", "not a key"),
    ];
    let settings = with_env(yaml, &env).unwrap().common;
    assert_eq!((settings.http.listen.as_str(), settings.http.drain_seconds), ("0.0.0.0:9", 5));
    assert_eq!(settings.outgoing.allow, ["odoo", "127.0.0.1:8069"]);
    let empty = with_env(yaml, &[("STEWARD__OUTGOING__ALLOW", "")]).unwrap().common;
    assert!(empty.outgoing.allow.is_empty());
}

#[test]
fn all_errors_are_reported_at_once_with_path_origin_and_the_nearest_key() {
    let yaml = "htp: {}\nhttp: {lisen: x, workers: many, drain_seconds: soon}\nstore: {url_file: /does/not/exist}\n\
                telemetry: {log_format: xml}\nbus: {prefetsch: 3}";
    let error = with_env(yaml, &[("STEWARD__AUTH__SESSION_HOURS", "long")]).unwrap_err();
    let text = error.to_string();
    for part in [
        "htp: unknown key, did you mean \"http\"?",
        "http.lisen: unknown key, did you mean \"listen\"?",
        "http.workers: invalid type: string \"many\"",
        "http.drain_seconds: invalid type: string \"soon\"",
        "store.url_file: cannot read secret file /does/not/exist",
        "telemetry.log_format: ",
        "bus.prefetsch: unknown key, did you mean \"prefetch\"?",
        "auth.session_hours: invalid type: string \"long\", expected an integer (in the environment)",
    ] {
        assert!(text.contains(part), "{part:?} is not in\n{text}");
    }
    assert_eq!(error.problems.len(), 8, "{text}");
}

#[test]
fn values_outside_their_limits_are_refused_together() {
    let error = Settings::from_yaml("http: {body_limit_bytes: 1}\ntelemetry: {sample_ratio: 2}").unwrap_err();
    assert_eq!(error.problems.len(), 2, "{error}");
}

#[test]
fn a_secret_file_is_read_again_and_never_printed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("url");
    std::fs::write(&path, "amqp://hidden-one\n").unwrap();
    let yaml = format!("bus: {{url_file: {path:?}, url: amqp://inline-secret}}");
    let settings = Settings::from_yaml(&yaml).unwrap();
    assert_eq!(settings.common.bus.url().unwrap().unwrap().expose_secret(), "amqp://hidden-one");
    std::fs::write(&path, "amqp://hidden-two").unwrap();
    assert_eq!(settings.common.bus.url().unwrap().unwrap().expose_secret(), "amqp://hidden-two");
    let printed = format!("{settings:?}");
    assert!(!printed.contains("hidden") && !printed.contains("inline-secret"), "{printed}");
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Approvals {
    #[serde(default)]
    link_hours: u32,
    must_be_given: Option<String>,
    /// The shipped settings of the section.
    #[serde(rename = "summary")]
    _summary: Option<serde::de::IgnoredAny>,
    #[serde(rename = "supplier_history_lines")]
    _supplier_history_lines: Option<serde::de::IgnoredAny>,
}

#[test]
fn a_service_reads_its_own_section_as_strictly() {
    let settings = with_env("scoring: {must_be_given: x}", &[("STEWARD__SCORING__LINK_HOURS", "7")]).unwrap();
    let section: Approvals = settings.section("scoring").unwrap();
    assert_eq!((section.link_hours, section.must_be_given.as_deref()), (7, Some("x")));
    let bad = Settings::from_yaml("scoring: {link_hour: 1}").unwrap();
    let error = bad.section::<Approvals>("scoring").unwrap_err();
    assert!(error.to_string().contains("scoring.link_hour: unknown key, did you mean \"link_hours\"?"), "{error}");
    assert!(bad.section::<Approvals>("nothing").is_err());
}

#[test]
fn a_missing_file_is_an_error_that_names_it() {
    let error = Settings::load_over(&[], &["/no/such/steward.yaml".into()]).unwrap_err();
    assert!(error.to_string().contains("cannot read /no/such/steward.yaml"), "{error}");
}

#[test]
fn an_unknown_key_hides_neither_a_value_outside_its_limits_nor_a_service_s_own_error() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "http: {worker: 3, drain_seconds: 0}").unwrap();
    let build = |_: &Settings| Err::<(), _>(ConfigError::one("notify.smtp.from: is no address"));
    let error = Settings::load_with(&[], &[file.path().to_owned()], build).unwrap_err();
    let told: Vec<&str> = error.problems.iter().filter_map(|problem| problem.split(':').next()).collect();
    assert_eq!(told, ["http.worker", "http.drain_seconds", "notify.smtp.from"]);
}
