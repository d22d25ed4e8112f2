//! HTTP Basic (RFC 7617), which is all that Odoo's webhooks can do: user-info in the URL becomes the header.

use base64::{Engine, engine::general_purpose::STANDARD};
use secrecy::{ExposeSecret, SecretString};
use subtle::{Choice, ConstantTimeEq};

/// Whether the header names that user and one of the passwords. All passwords are compared to the end, so the time
/// taken tells nothing but lengths.
pub(crate) fn opens(header: Option<&str>, user: &str, passwords: &[SecretString]) -> bool {
    let Some(given) = header.and_then(credentials) else { return false };
    let matches = passwords.iter().fold(Choice::from(0), |found, password| {
        let expected = format!("{user}:{}", password.expose_secret());
        found | given.as_slice().ct_eq(expected.as_bytes())
    });
    matches.into()
}

fn credentials(header: &str) -> Option<Vec<u8>> {
    let (scheme, encoded) = header.split_once(' ')?;
    scheme.eq_ignore_ascii_case("basic").then(|| STANDARD.decode(encoded.trim()).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_passwords_of_a_rotation_open_and_nothing_else_does() {
        let passwords = [SecretString::from("new"), SecretString::from("old")];
        let header = |text: &str| format!("Basic {}", STANDARD.encode(text));
        for (text, open) in
            [("odoo:new", true), ("odoo:old", true), ("odoo:", false), ("admin:new", false), ("odoo:newer", false)]
        {
            assert_eq!(opens(Some(&header(text)), "odoo", &passwords), open, "{text}");
        }
        assert!(!opens(None, "odoo", &passwords));
        assert!(!opens(Some("Bearer x"), "odoo", &passwords));
        assert!(!opens(Some("Basic %%%"), "odoo", &passwords));
        assert!(!opens(Some(&header("odoo:")), "odoo", &[]), "no secret configured opens nothing");
    }
}
