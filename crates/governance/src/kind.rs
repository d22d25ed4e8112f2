//! The kinds of action, as policies name them.

use contracts::Action;
use serde::{Deserialize, Serialize};

/// Kind of an [`Action`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    Transfer,
    Purchase,
    WriteOff,
    Substitution,
}

impl Kind {
    pub const ALL: [Self; 4] = [Self::Transfer, Self::Purchase, Self::WriteOff, Self::Substitution];

    #[must_use]
    pub fn of(action: &Action) -> Self {
        match action {
            Action::Transfer { .. } => Self::Transfer,
            Action::Purchase { .. } => Self::Purchase,
            Action::WriteOff { .. } => Self::WriteOff,
            Action::Substitution { .. } => Self::Substitution,
        }
    }

    /// The identifiers in an action of this kind, by their names in JSON.
    #[must_use]
    pub fn identifiers(self) -> &'static [&'static str] {
        match self {
            Self::Transfer => &["product", "from", "to"],
            Self::Purchase => &["product", "to", "supplier"],
            Self::WriteOff => &["product", "location"],
            Self::Substitution => &["product", "order", "supplier"],
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn kinds_name_the_identifiers_that_actions_have() {
        for kind in Kind::ALL {
            let mut action = json!({"type": kind, "quantity": 1.0});
            kind.identifiers().iter().for_each(|name| action[*name] = json!("x-1"));
            let action: Action = serde_json::from_value(action).expect("exactly these fields");
            assert_eq!((Kind::of(&action), json!(kind)), (kind, json!(action.kind())));
        }
    }
}
