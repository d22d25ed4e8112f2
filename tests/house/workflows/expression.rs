//! As much of n8n's expressions as the rules need: which item fields they read, and the keys of a JSON literal.

/// An access to a field of an item.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Read<'a> {
    /// The node whose item is read; `None` for `$json`.
    pub(super) node: Option<&'a str>,
    /// The first field; `None` when the whole item is taken.
    pub(super) field: Option<&'a str>,
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// The field after an item: `.field`, `?.field`; anything else takes the whole item.
fn first_field(rest: &str) -> Option<&str> {
    let rest = rest.strip_prefix('?').unwrap_or(rest).strip_prefix('.')?;
    let end = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
    (end > 0).then(|| &rest[..end])
}

/// Every `$json...` and `$('Node').item.json...` of a text.
pub(super) fn reads(text: &str) -> Vec<Read<'_>> {
    let own = text.match_indices("$json").map(|(at, found)| &text[at + found.len()..]);
    let own = own.filter(|rest| !rest.starts_with(is_word)).map(|rest| Read { node: None, field: first_field(rest) });
    let named = text.match_indices("$('").filter_map(|(at, found)| {
        let (node, rest) = text[at + found.len()..].split_once("')")?;
        Some(Read { node: Some(node), field: rest.strip_prefix(".item.json").and_then(first_field) })
    });
    own.chain(named).collect()
}

/// The top-level keys of `={{ JSON.stringify({ ... }) }}`, or why they cannot be told.
pub(super) fn literal_keys(text: &str) -> Result<Vec<String>, String> {
    let inner = text.strip_prefix("={{ JSON.stringify({").and_then(|rest| rest.strip_suffix("}) }}"));
    let inner = inner.ok_or("the body is not of the form ={{ JSON.stringify({ ... }) }}")?;
    let mut keys = Vec::new();
    for part in split_top_level(inner) {
        let part = part.trim();
        let end = part.find(|c| !is_word(c)).unwrap_or(part.len());
        let (key, rest) = part.split_at(end);
        if key.is_empty() || !(rest.is_empty() || rest.trim_start().starts_with(':')) {
            return Err(format!("cannot tell the key of {part:?}"));
        }
        keys.push(key.to_owned());
    }
    Ok(keys)
}

/// Splits at the commas that are in no bracket and no text.
fn split_top_level(text: &str) -> Vec<&str> {
    let (mut parts, mut start, mut depth, mut quote) = (Vec::new(), 0, 0_usize, None);
    for (at, c) in text.char_indices() {
        match (quote, c) {
            (Some(open), _) => quote = (c != open).then_some(open),
            (None, '\'' | '"' | '`') => quote = Some(c),
            (None, '{' | '[' | '(') => depth += 1,
            (None, '}' | ']' | ')') => depth = depth.saturating_sub(1),
            (None, ',') if depth == 0 => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts.retain(|part| !part.trim().is_empty());
    parts
}

#[test]
fn reads_are_found_in_all_their_forms() {
    let text = "={{ $json.a.b ?? $json?.c + $('Low stock').item.json.body.id + f($json) + $('X').first() + $jsonx }}";
    let read = |node, field| Read { node, field };
    let expected = [
        read(None, Some("a")),
        read(None, Some("c")),
        read(None, None),
        read(Some("Low stock"), Some("body")),
        read(Some("X"), None),
    ];
    assert_eq!(reads(text), expected);
}

#[test]
fn keys_of_a_literal_are_the_outer_ones() {
    let text = "={{ JSON.stringify({ a: 'x, y: z', b: { c: [1, 2], d: f(1, 2) }, e }) }}";
    assert_eq!(literal_keys(text).expect("readable"), ["a", "b", "e"]);
    assert!(literal_keys("={{ JSON.stringify({ ...$json }) }}").is_err());
    assert!(literal_keys("={{ $json }}").is_err());
}
