use actix_web::test::TestRequest;
use jiff::Timestamp;

use super::*;
use crate::config::Settings;

struct Site {
    folder: tempfile::TempDir,
    clock: Clock,
    auth: Auth,
}

fn key(id: &str) -> KeyId {
    id.to_owned().try_into().unwrap()
}

fn start() -> Timestamp {
    "2026-11-23T08:00:00Z".parse().unwrap()
}

fn entry(id: &str, role: Role) -> (String, KeyEntry) {
    let (plain, mut entry) = generate_key(&Ids::default(), &key(id));
    entry.roles = vec![Grantee::everywhere(role)];
    (plain, entry)
}

impl Site {
    fn start(keys: Vec<KeyEntry>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("keys.yaml"), KeysFile { keys }.to_yaml().unwrap()).unwrap();
        let clock = Clock::manual(start());
        let yaml = format!("auth: {{keys_file: {:?}}}", folder.path().join("keys.yaml"));
        let settings = Settings::from_yaml(&yaml).unwrap().common.auth;
        let auth = Auth::new(&settings, clock.clone(), Shared::in_process(&clock)).unwrap();
        Self { folder, clock, auth }
    }

    fn bearer(&self, credential: &str) -> Result<Principal, Denied> {
        let request = TestRequest::default().insert_header(("Authorization", format!("Bearer {credential}")));
        self.auth.identify(&request.to_http_request())
    }

    fn rewrite(&self, text: &str) {
        std::fs::write(self.folder.path().join("keys.yaml"), text).unwrap();
        self.clock.advance(std::time::Duration::from_secs(2));
    }
}

#[test]
fn a_key_is_known_by_its_secret_alone_and_the_file_does_not_hold_it() {
    let (plain, one) = entry("n8n", Role::Service);
    let site = Site::start(vec![one.clone()]);
    let principal = site.bearer(&plain).unwrap();
    assert_eq!((principal.actor().as_str(), principal.session), ("key:n8n", false));
    assert!(principal.has(Role::Service) && !principal.has(Role::Admin));
    let (_, secret) = plain.strip_prefix("stw_").unwrap().split_once('_').unwrap();
    assert_eq!(secret.len(), 64);
    assert!(!KeysFile { keys: vec![one] }.to_yaml().unwrap().contains(secret));
    assert_eq!(site.bearer(&format!("{plain}0")), Err(Denied::Unknown));
    assert_eq!(site.bearer(&plain.replace("n8n", "n9n")), Err(Denied::Unknown));
    assert_eq!(site.bearer("something"), Err(Denied::Malformed));
}

#[test]
fn two_secrets_of_one_key_live_side_by_side_until_one_expires() {
    let ((old, mut first), (new, second)) = (entry("n8n", Role::Service), entry("n8n", Role::Service));
    first.expires = Some(start() + std::time::Duration::from_secs(60));
    let site = Site::start(vec![first, second]);
    assert_eq!(site.bearer(&old).unwrap().actor(), site.bearer(&new).unwrap().actor());
    site.clock.advance(std::time::Duration::from_secs(60));
    assert_eq!(site.bearer(&old), Err(Denied::Expired));
    assert!(site.bearer(&new).is_ok());
}

#[test]
fn a_changed_file_counts_within_two_seconds_and_a_broken_one_changes_nothing() {
    let ((first, one), (second, two)) = (entry("one", Role::Service), entry("two", Role::Admin));
    let site = Site::start(vec![one]);
    site.rewrite("keys: [nonsense");
    assert!(site.bearer(&first).is_ok());
    site.rewrite(&KeysFile { keys: vec![two] }.to_yaml().unwrap());
    assert_eq!(site.bearer(&first), Err(Denied::Unknown));
    assert!(site.bearer(&second).unwrap().has(Role::Admin));
}

#[test]
fn a_wrong_keys_file_stops_the_start_and_says_where() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.yaml");
    for bad in ["keys: [{id: UPPER, hash: x, name: x, roles: []}]", "kees: []"] {
        std::fs::write(&path, bad).unwrap();
        let yaml = format!("auth: {{keys_file: {path:?}}}");
        let settings = Settings::from_yaml(&yaml).unwrap().common.auth;
        let clock = Clock::manual(start());
        let error = Auth::new(&settings, clock.clone(), Shared::in_process(&clock)).err().unwrap();
        assert!(error.to_string().contains("auth.keys_file"), "{error}");
    }
}

#[test]
fn a_role_holds_where_it_was_given() {
    let region = |text: &str| RegionId::new(text).unwrap();
    let location = |text: &str| LocationId::new(text).unwrap();
    let (_, mut entry) = entry("boss", Role::Admin);
    entry.roles = vec![
        Grantee { role: Role::RegionalOps, regions: vec![region("north")], locations: vec![location("store-9")] },
        Grantee::everywhere(Role::Auditor),
    ];
    let principal = entry.principal(false);
    assert!(principal.may_at(Role::RegionalOps, Some(&region("north")), None));
    assert!(principal.may_at(Role::RegionalOps, Some(&region("south")), Some(&location("store-9"))));
    assert!(!principal.may_at(Role::RegionalOps, Some(&region("south")), Some(&location("store-1"))));
    assert!(!principal.may_at(Role::RegionalOps, None, None), "a scoped role does not hold everywhere");
    assert!(principal.may_at(Role::Auditor, None, None) && principal.may_at(Role::Auditor, Some(&region("x")), None));
    assert!(!principal.may_at(Role::Admin, None, None));
}

#[tokio::test]
async fn a_sign_in_link_works_once_and_its_session_ends_with_time_or_key() {
    let (_, one) = entry("console", Role::Operator);
    let site = Site::start(vec![one]);
    let olga = PersonId::new("olga").unwrap();
    let ttl = std::time::Duration::from_secs(600);
    let token = site.auth.sign_in_token(&key("console"), Some(&olga), ttl).unwrap();
    let cookie = site.auth.redeem(&token).await.unwrap();
    assert_eq!(site.auth.redeem(&token).await.err(), Some(Denied::SignIn), "used");
    assert!(cookie.http_only().unwrap() && cookie.same_site() == Some(actix_web::cookie::SameSite::Strict));

    let request = || TestRequest::default().cookie(cookie.clone()).to_http_request();
    let principal = site.auth.identify(&request()).unwrap();
    assert_eq!((principal.actor().as_str(), principal.session), ("person:olga", true));
    assert!(principal.has(Role::Operator));
    let csrf = site.auth.csrf_token(&request()).unwrap();
    assert!(site.auth.csrf_matches(&request(), &csrf) && !site.auth.csrf_matches(&request(), "guess"));

    site.clock.advance(std::time::Duration::from_secs(12 * 3600));
    assert_eq!(site.auth.identify(&request()), Err(Denied::Session), "expired");
    let late = site.auth.sign_in_token(&key("console"), None, ttl).unwrap();
    site.clock.advance(ttl);
    assert_eq!(site.auth.redeem(&late).await.err(), Some(Denied::SignIn), "expired");
    let cookie = site.auth.issue_session(&key("console"), None).unwrap();
    site.rewrite("keys: []");
    let request = TestRequest::default().cookie(cookie).to_http_request();
    assert_eq!(site.auth.identify(&request), Err(Denied::Session), "its key is gone");
}

#[tokio::test]
async fn a_sign_in_token_is_no_session_and_a_forged_session_is_refused() {
    let (_, one) = entry("console", Role::Operator);
    let site = Site::start(vec![one]);
    let token = site.auth.sign_in_token(&key("console"), None, std::time::Duration::from_secs(60)).unwrap();
    let good = site.auth.issue_session(&key("console"), None).unwrap().value().to_owned();
    assert_eq!(site.auth.redeem(&good).await.err(), Some(Denied::SignIn));
    let (claims, tag) = good.split_once('.').unwrap();
    for forged in [token.as_str(), "x", &format!("{claims}x.{tag}"), &format!("{claims}.AAAA"), claims] {
        let cookie = actix_web::cookie::Cookie::new(SESSION_COOKIE, forged.to_owned());
        let request = TestRequest::default().cookie(cookie).to_http_request();
        assert_eq!(site.auth.identify(&request), Err(Denied::Session), "{forged}");
    }
}

#[test]
fn a_correlation_id_is_taken_along_when_it_is_sound() {
    let (plain, one) = entry("n8n", Role::Service);
    let site = Site::start(vec![one]);
    let with = |value: &str| {
        let request = TestRequest::default()
            .insert_header(("Authorization", format!("Bearer {plain}")))
            .insert_header(("Correlation-Id", value.to_owned()));
        site.auth.identify(&request.to_http_request()).unwrap().correlation_id().map(ToOwned::to_owned)
    };
    assert_eq!(with("0192-abc").as_deref(), Some("0192-abc"));
    assert_eq!(with("a b"), None);
    assert_eq!(with(&"x".repeat(129)), None);
}
