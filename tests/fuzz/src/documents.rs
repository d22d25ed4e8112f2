//! What operators write: policies, people, keys, settings.

use chassis::{Settings, auth::KeysFile};
use governance::{Directory, Kind, Policy, drift, policy::InvalidPolicy};
use serde_json::Value;

/// A policy prints and reads again to the same, and can be checked; a refusal names fields.
pub fn policy(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match Policy::parse(text) {
        Ok(policy) => {
            let printed = serde_json::to_value(&policy).expect("a policy has a JSON form");
            assert_eq!(Policy::from_json(printed).expect("what we print can be read"), policy);
            let _ = policy.check(&Directory::default());
        }
        Err(InvalidPolicy::Fields(errors)) => {
            assert!(!errors.is_empty());
            errors.iter().for_each(|error| assert!(error.pointer.is_empty() || error.pointer.starts_with('/')));
        }
        Err(InvalidPolicy::Syntax(_)) => {}
    }
}

/// Nobody is two people.
pub fn directory(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(directory) = Directory::parse(text) else { return };
    for person in directory.people() {
        assert_eq!(directory.person(&person.id), Some(person));
    }
}

/// Keys print and read again to the same.
pub fn keys(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(keys) = KeysFile::from_yaml(text) else { return };
    let printed = keys.to_yaml().expect("keys have a YAML form");
    assert_eq!(KeysFile::from_yaml(&printed).expect("what we print can be read"), keys, "{printed}");
}

/// A configuration is taken or refused with a reason.
pub fn settings(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Err(refused) = Settings::from_yaml(text) {
        assert!(!refused.to_string().is_empty());
    }
}

/// A pointer of the policy language, then facts: what is sound can be looked up in anything.
pub fn pointer(data: &[u8]) {
    let (pointer, facts) = super::split(data);
    let (Ok(pointer), Ok(facts)) = (std::str::from_utf8(pointer), serde_json::from_slice::<Value>(facts)) else {
        return;
    };
    for kind in Kind::ALL {
        let _ = drift::check_pointer(pointer, kind);
    }
    let bound = serde_json::json!({"pointer": pointer, "approved": facts, "rise": "any", "fall": "20%"});
    if let Ok(bound) = serde_json::from_value::<drift::Bound>(bound) {
        let _ = drift::drift(&[bound], &facts);
    }
}
