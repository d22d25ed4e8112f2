//! What a to-do in Odoo says, and what its owner says by closing it.

use contracts::events::Said;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// What the owner is told to write. Words of other languages are understood too.
pub(crate) const HOW: &str = "To answer here, mark this as done and begin your feedback with one word: \
    approve, or reject: and why, or question: and what you need to know.";

/// Longest comment that is passed on, in characters: what an approval takes.
const MAX_COMMENT: usize = 2000;

/// First words by which people decide, in the languages of the mails.
const WORDS: [(Said, &[&str]); 3] = [
    (Said::Approve, &["approve", "approved", "yes", "genehmigt", "genehmigen", "ja"]),
    (Said::Reject, &["reject", "rejected", "deny", "denied", "no", "abgelehnt", "ablehnen", "nein"]),
    (Said::SendBack, &["question", "questions", "ask", "frage", "fragen", "rückfrage"]),
];

/// A to-do as it was read back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Seen {
    pub open: bool,
    pub feedback: Option<String>,
    /// Odoo's user who wrote it last.
    pub by: i64,
    pub by_name: String,
    pub at: Timestamp,
}

/// What that comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    /// Still open.
    Nothing,
    /// Deleted: its owner wants no to-do, and has answered nothing.
    Gone,
    Word {
        said: Said,
        comment: Option<String>,
    },
    /// It does not count, for this reason.
    Unclear(String),
}

/// Only its owner's word counts, whoever else may close a to-do in Odoo.
pub(crate) fn hear(seen: Option<&Seen>, owner: i64) -> Heard {
    let Some(seen) = seen else { return Heard::Gone };
    if seen.open {
        return Heard::Nothing;
    }
    if seen.by != owner {
        return Heard::Unclear(format!("{} closed this, who was not asked", seen.by_name));
    }
    let text = seen.feedback.as_deref().unwrap_or_default().trim();
    let end = text.find(|c: char| !c.is_alphabetic()).unwrap_or(text.len());
    let (first, rest) = text.split_at(end);
    let first = first.to_lowercase();
    let Some((said, _)) = WORDS.iter().find(|(_, words)| words.contains(&first.as_str())) else {
        return Heard::Unclear("The feedback did not begin with one of the words".to_owned());
    };
    let comment = rest.trim_start_matches(|c: char| !c.is_alphanumeric()).trim_end();
    if *said == Said::SendBack && comment.is_empty() {
        return Heard::Unclear("A question was meant, but not asked".to_owned());
    }
    let comment: String = comment.chars().take(MAX_COMMENT).collect();
    Heard::Word { said: *said, comment: Some(comment).filter(|comment| !comment.is_empty()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn closed(feedback: &str) -> Heard {
        let seen = Seen {
            open: false,
            feedback: Some(feedback.to_owned()).filter(|text| !text.is_empty()),
            by: 6,
            by_name: "Olga".into(),
            at: Timestamp::UNIX_EPOCH,
        };
        hear(Some(&seen), 6)
    }

    fn word(said: Said, comment: Option<&str>) -> Heard {
        Heard::Word { said, comment: comment.map(str::to_owned) }
    }

    #[test]
    fn the_first_word_decides_and_the_rest_is_the_comment() {
        assert_eq!(closed("approve"), word(Said::Approve, None));
        assert_eq!(closed("  Approved, but hurry. "), word(Said::Approve, Some("but hurry.")));
        assert_eq!(closed("REJECT: too dear"), word(Said::Reject, Some("too dear")));
        assert_eq!(closed("Rückfrage: wie viele?"), word(Said::SendBack, Some("wie viele?")));
    }

    #[test]
    fn what_is_no_word_is_no_answer() {
        for text in ["", "done", "approvement", "I approve", "question", "question: ", "👍"] {
            assert!(matches!(closed(text), Heard::Unclear(_)), "{text:?}");
        }
    }

    #[test]
    fn only_the_owner_answers() {
        let by_admin = Seen {
            open: false,
            feedback: Some("approve".into()),
            by: 2,
            by_name: "Administrator".into(),
            at: Timestamp::UNIX_EPOCH,
        };
        assert!(matches!(hear(Some(&by_admin), 6), Heard::Unclear(why) if why.contains("Administrator")));
        assert_eq!(hear(None, 6), Heard::Gone);
        assert_eq!(hear(Some(&Seen { open: true, ..by_admin }), 6), Heard::Nothing);
    }

    #[test]
    fn a_long_comment_is_cut_to_what_an_approval_takes() {
        let Heard::Word { comment: Some(comment), .. } = closed(&format!("reject {}", "ü".repeat(5000))) else {
            panic!("a word")
        };
        assert_eq!(comment.chars().count(), MAX_COMMENT);
    }
}
