use std::fmt;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::{Error, wire::Http};

/// Version of a server, as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    pub major: u16,
    pub minor: u16,
}

impl Version {
    /// The first with JSON-2.
    pub const JSON2: Self = Self { major: 19, minor: 0 };
    /// The first where the planned date of a receipt follows its purchase line.
    pub(crate) const PLAN_FOLLOWS: Self = Self { major: 19, minor: 1 };
    /// The oldest that this client was written for.
    pub const OLDEST: Self = Self { major: 17, minor: 0 };

    /// Asks the server, without credentials.
    ///
    /// `/web/version` exists from 19 on; older servers answer it with a page or a redirect to the login, and are
    /// asked through `common.version`.
    pub(crate) async fn detect(http: &Http) -> Result<Self, Error> {
        #[derive(Deserialize)]
        struct WebVersion {
            version_info: Value,
        }
        let answer = http.get("/web/version").await?;
        if answer.status == 200
            && let Ok(found) = serde_json::from_slice::<WebVersion>(&answer.body)
        {
            return Self::from_info(&found.version_info);
        }
        answer.refuse_unavailable()?;
        let info = http.json_rpc("common", "version", json!([])).await?;
        Self::from_info(&info["server_version_info"])
    }

    /// From `[19, 0, 0, "final", 0, ""]`; Odoo's own hosting says `["saas~18", 2, ...]`.
    fn from_info(info: &Value) -> Result<Self, Error> {
        let number = |value: &Value| match value {
            Value::String(text) => text.rsplit('~').next().and_then(|digits| digits.parse().ok()),
            other => other.as_u64().and_then(|n| u16::try_from(n).ok()),
        };
        let (Some(major), Some(minor)) = (number(&info[0]), number(&info[1])) else {
            return Err(Error::unexpected("version", "no version_info"));
        };
        Ok(Self { major, minor })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_in_both_spellings() {
        let read = |value: Value| Version::from_info(&value).unwrap().to_string();
        assert_eq!(read(json!([19, 0, 0, "final", 0, ""])), "19.0");
        assert_eq!(read(json!(["saas~18", 2, 0, "final", 0, "e"])), "18.2");
        assert!(Version::from_info(&json!([])).is_err());
        assert!(Version { major: 18, minor: 4 } < Version::JSON2);
    }
}
