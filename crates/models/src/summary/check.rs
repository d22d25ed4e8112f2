//! The check of a text against facts: closed-world, so that a spelling nobody thought of is dropped and not believed.
//!
//! What it cannot see, and does not claim to: a lie without a number or a name ("stock is not low"), a true number told
//! of the wrong thing in the same unit, and a name written without any capital.

use serde::{Deserialize, Serialize};

use super::{
    Fact, FactValue, Language, Request,
    lexicon::{dates, is_calendar, is_factor, is_ordinary, unit},
    numbers::{self, WordNumber},
};

/// Why a sentence was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = SummaryDropReason)]
pub enum Why {
    /// A number that is in no fact.
    Number,
    /// A fact's number beside another unit.
    Unit,
    /// A day, month or relative date that is in no fact.
    Date,
    /// A name or an id that is in no fact.
    Name,
    /// Letters that look like others, or characters that cannot be seen.
    Characters,
}

/// A sentence that was dropped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = SummaryDropped)]
pub struct Dropped {
    #[schema(inline)]
    pub why: Why,
    /// The token that stands in no fact.
    pub token: String,
}

/// What is left of a text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checked {
    /// The sentences that say nothing beyond the facts.
    pub kept: Vec<String>,
    pub dropped: Vec<Dropped>,
}

/// Drops every sentence with a number, a date or a name that is in no fact.
#[must_use]
pub fn check(text: &str, request: &Request) -> Checked {
    let known = Known::of(request);
    let mut checked = Checked::default();
    for sentence in sentences(text, &known) {
        match known.objection(&sentence.tokens) {
            Some((why, token)) => checked.dropped.push(Dropped { why, token: token.to_owned() }),
            None => checked.kept.push(sentence.text.split_whitespace().collect::<Vec<_>>().join(" ")),
        }
    }
    checked
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Token<'t> {
    /// A text that stands in the facts, as a whole.
    Phrase(&'t str),
    Word(&'t str),
    /// A sign that keeps what stands before it apart from what follows.
    Pause,
}

impl<'t> Token<'t> {
    fn text(self) -> &'t str {
        match self {
            Self::Phrase(text) | Self::Word(text) => text,
            Self::Pause => "",
        }
    }
}

struct Sentence<'t> {
    text: &'t str,
    tokens: Vec<Token<'t>>,
}

/// What a sentence may speak of.
struct Known<'r> {
    facts: &'r [Fact],
    severity: f64,
    language: Language,
    /// Lower case, the longest first.
    phrases: Vec<Vec<char>>,
    /// Single words of the facts' names, lower case.
    words: Vec<String>,
}

impl<'r> Known<'r> {
    fn of(request: &'r Request) -> Self {
        let mut phrases = vec![request.class_in_words(), request.class.clone()];
        phrases.extend(request.about.clone());
        let mut words = Vec::new();
        for fact in &request.facts {
            phrases.push(fact.name.clone());
            phrases.extend(fact.unit.clone());
            if let FactValue::Text(text) = &fact.value {
                phrases.push(text.clone());
                phrases.extend(dates(text, request.language));
            }
            let plain = |word: &&str| word.chars().all(char::is_alphabetic);
            words.extend(fact.name.split_whitespace().filter(plain).map(str::to_lowercase));
        }
        let mut phrases: Vec<Vec<char>> =
            phrases.iter().map(|phrase| phrase.trim().chars().map(lower).collect()).collect();
        phrases.sort_by_key(|phrase| std::cmp::Reverse(phrase.len()));
        let (severity, language) = (f64::from(request.severity), request.language);
        Self { facts: &request.facts, severity, language, phrases, words }
    }

    /// The first thing in a sentence that stands in no fact.
    fn objection<'t>(&self, tokens: &[Token<'t>]) -> Option<(Why, &'t str)> {
        let mut index = 0;
        while let Some(token) = tokens.get(index) {
            let Token::Word(word) = *token else {
                index += 1;
                continue;
            };
            if let Some(why) = strange(word) {
                return Some((why, word));
            }
            let small = word.to_lowercase();
            if word.chars().any(char::is_numeric) {
                if let Some(why) = self.number(tokens, index) {
                    return Some((why, word));
                }
            } else if let Some(taken) = self.number_words(tokens, index) {
                match taken {
                    Ok(taken) => index += taken - 1,
                    Err(why) => return Some((why, word)),
                }
            } else if is_calendar(&small) || (word == "May" && index > 0) {
                return Some((Why::Date, word));
            } else if self.is_name(word) {
                return Some((Why::Name, word));
            }
            index += 1;
        }
        None
    }

    /// Why a token with digits is not a fact's number in its unit.
    fn number(&self, tokens: &[Token<'_>], index: usize) -> Option<Why> {
        let (bare, own_unit) = unpacked(tokens[index].text());
        let bare = bare.replace('\u{2212}', "-");
        let matching: Vec<&Fact> = self.facts.iter().filter(|fact| self.tells(fact, &bare)).collect();
        let severe = bare.parse() == Ok(self.severity);
        if matching.is_empty() && !severe {
            return Some(Why::Number);
        }
        self.beside(tokens, index, index + 1, &matching, own_unit)
    }

    /// Why a number of these facts cannot stand between its neighbours.
    fn beside(
        &self,
        tokens: &[Token<'_>],
        first: usize,
        after: usize,
        matching: &[&Fact],
        own_unit: Option<String>,
    ) -> Option<Why> {
        let near =
            |index: Option<usize>| index.and_then(|index| tokens.get(index)).map(|token| token.text().to_lowercase());
        let (before, next) = (near(first.checked_sub(1)), near(Some(after)));
        let joined = |other: &Option<String>| {
            other.as_ref().is_some_and(|word| {
                is_factor(word) || word.starts_with(|c: char| c.is_numeric() || "+-\u{2212}*/^".contains(c))
            })
        };
        // "1 234" is no 1 and no 234, "3 thousand" no 3, "minus 3" no 3.
        if joined(&before) || joined(&next) {
            return Some(Why::Number);
        }
        let own = |fact: &Fact| fact.unit.as_ref().map(|unit| unit.to_lowercase());
        let is_unit =
            |word: &String| unit(word).is_some() || self.facts.iter().any(|fact| own(fact).as_ref() == Some(word));
        let same = |fact: &Fact, word: &String| {
            own(fact).is_some_and(|own| own == *word || (unit(&own).is_some() && unit(&own) == unit(word)))
        };
        let mut seen =
            [own_unit, next, before.filter(|word| !word.starts_with(char::is_alphabetic))].into_iter().flatten();
        let wrong = seen.any(|word| is_unit(&word) && !matching.iter().any(|fact| same(fact, &word)));
        wrong.then_some(Why::Unit)
    }

    /// How many tokens from here on are one number in words that is a fact's; `None` when there is no number in words.
    fn number_words(&self, tokens: &[Token<'_>], index: usize) -> Option<Result<usize, Why>> {
        let parts = |token: &Token<'_>| match token {
            Token::Word(word) => word.to_lowercase().split('-').map(str::to_owned).collect::<Vec<_>>(),
            Token::Phrase(_) | Token::Pause => Vec::new(),
        };
        let here = parts(&tokens[index]);
        let kinds: Vec<_> = here.iter().map(|part| numbers::word(part)).collect();
        if kinds.iter().all(Option::is_none) {
            return None;
        }
        let mut taken = 1;
        let value = match kinds.as_slice() {
            [Some(WordNumber::Value(value))] => Some(*value),
            _ if kinds.iter().all(|kind| *kind == Some(WordNumber::English)) => {
                let mut words = here.clone();
                while let Some(next) = tokens.get(index + taken) {
                    let more = parts(next);
                    let goes_on =
                        !more.is_empty() && more.iter().all(|part| numbers::word(part) == Some(WordNumber::English));
                    if !goes_on {
                        break;
                    }
                    words.extend(more);
                    taken += 1;
                }
                numbers::english_value(&words.iter().map(String::as_str).collect::<Vec<_>>())
            }
            _ => None,
        };
        let matching: Vec<&Fact> = self
            .facts
            .iter()
            .filter(|fact| matches!(fact.value, FactValue::Number(own) if Some(own) == value))
            .collect();
        if matching.is_empty() {
            return Some(Err(Why::Number));
        }
        Some(self.beside(tokens, index, index + taken, &matching, None).map_or(Ok(taken), Err))
    }

    fn tells(&self, fact: &Fact, digits: &str) -> bool {
        let FactValue::Number(value) = fact.value else { return false };
        numbers::spellings(value, fact.unit.as_deref(), self.language).iter().any(|one| one == digits)
    }

    /// Whether a word could be a name or an id: it has a capital or a sign that no word has, and is not ordinary.
    fn is_name(&self, word: &str) -> bool {
        let ordinary = |part: &str| {
            let small = part.to_lowercase();
            is_ordinary(&small) || unit(&small).is_some() || self.words.contains(&small)
        };
        if ordinary(word) {
            return false;
        }
        let stem = word.strip_suffix("'s").or_else(|| word.strip_suffix("’s")).unwrap_or(word);
        let letters = |c: char| c.is_alphabetic() || matches!(c, '-' | '\'' | '’');
        if !stem.chars().all(letters) {
            return stem.chars().any(char::is_alphanumeric);
        }
        stem.split('-').any(|part| part.chars().any(char::is_uppercase) && !ordinary(part))
    }
}

/// Letters of other scripts can look like Latin ones, and some characters are not seen at all.
fn strange(word: &str) -> Option<Why> {
    let latin = |c: char| c.is_ascii() || matches!(c, '\u{c0}'..='\u{24f}');
    let sign = |c: char| {
        matches!(
            c,
            '€' | '£'
                | '¢'
                | '‰'
                | '\u{2212}'
                | '–'
                | '—'
                | '’'
                | '‘'
                | '“'
                | '”'
                | '„'
                | '«'
                | '»'
                | '…'
                | '°'
                | '×'
                | '•'
        )
    };
    let digit = |c: char| c.is_ascii_digit() || !c.is_numeric();
    let plain = |c: char| (latin(c) || sign(c)) && digit(c) && !c.is_control();
    (!word.chars().all(plain)).then_some(Why::Characters)
}

/// A number without the currency before it and the percent sign or currency behind it.
fn unpacked(word: &str) -> (&str, Option<String>) {
    const SIGNS: [&str; 6] = ["€", "$", "£", "¢", "%", "‰"];
    for sign in SIGNS {
        let bare = word.strip_prefix(sign).filter(|_| !matches!(sign, "%" | "‰")).or_else(|| word.strip_suffix(sign));
        if let Some(bare) = bare {
            return (bare, Some(sign.to_owned()));
        }
    }
    (word, None)
}

fn lower(c: char) -> char {
    // Only letters whose small form is one letter are compared without case, so that lengths agree.
    let mut small = c.to_lowercase();
    match (small.next(), small.next()) {
        (Some(one), None) => one,
        _ => c,
    }
}

/// Cuts a text into sentences and those into words and phrases of the facts.
fn sentences<'t>(text: &'t str, known: &Known<'_>) -> Vec<Sentence<'t>> {
    let chars: Vec<(usize, char)> = text.char_indices().collect();
    let place = |index: usize| chars.get(index).map_or(text.len(), |(at, _)| *at);
    let (mut sentences, mut tokens, mut start, mut index) = (Vec::new(), Vec::new(), 0, 0);
    let mut end = |tokens: &mut Vec<Token<'t>>, start: usize, stop: usize| {
        let text = text[start..stop].trim();
        if tokens.iter().any(|token| *token != Token::Pause) {
            sentences.push(Sentence { text, tokens: std::mem::take(tokens) });
        }
        tokens.clear();
    };
    while let Some(&(at, c)) = chars.get(index) {
        if let Some(length) = phrase_at(&chars, index, known) {
            tokens.push(Token::Phrase(&text[at..place(index + length)]));
            index += length;
        } else if c == '\n' || (is_stop(c) && chars.get(index + 1).is_none_or(|(_, next)| next.is_whitespace())) {
            index += 1;
            end(&mut tokens, start, place(index));
            start = place(index);
        } else if c.is_whitespace() {
            index += 1;
        } else if is_punctuation(c) && !begins_number(&chars, index) {
            tokens.push(Token::Pause);
            index += 1;
        } else {
            let length = chars[index..].iter().position(|(_, c)| c.is_whitespace()).unwrap_or(chars.len() - index);
            let trailing = chars[index..index + length].iter().rev().take_while(|(_, c)| is_punctuation(*c)).count();
            // Never nothing: the word holds something that is no punctuation.
            let length = length - trailing;
            tokens.push(Token::Word(&text[at..place(index + length)]));
            index += length;
        }
    }
    end(&mut tokens, start, text.len());
    sentences
}

/// Whether a sign belongs to the number behind it: ".5" is no 5, and "–5" is no 5 either.
fn begins_number(chars: &[(usize, char)], index: usize) -> bool {
    matches!(chars[index].1, '.' | ',' | '\'' | '’' | ':' | '–' | '—')
        && chars.get(index + 1).is_some_and(|(_, next)| next.is_numeric())
}

fn is_stop(c: char) -> bool {
    matches!(c, '.' | '!' | '?' | '…')
}

fn is_punctuation(c: char) -> bool {
    is_stop(c)
        || matches!(
            c,
            ',' | ';'
                | ':'
                | '('
                | ')'
                | '['
                | ']'
                | '"'
                | '\''
                | '’'
                | '‘'
                | '“'
                | '”'
                | '„'
                | '«'
                | '»'
                | '–'
                | '—'
                | '•'
        )
}

/// Length of the longest phrase that stands here as a whole: what goes on behind it is another word.
fn phrase_at(chars: &[(usize, char)], index: usize, known: &Known<'_>) -> Option<usize> {
    let apart = index == 0 || !joins(chars[index - 1].1);
    let fits = |phrase: &&Vec<char>| {
        let here = chars.get(index..index + phrase.len());
        here.is_some_and(|here| here.iter().zip(phrase.iter()).all(|((_, c), wanted)| lower(*c) == *wanted))
            && whole(chars, index + phrase.len())
    };
    apart.then(|| known.phrases.iter().find(|phrase| !phrase.is_empty() && fits(phrase)).map(Vec::len)).flatten()
}

/// Whether nothing that belongs to the same word follows: not another letter or digit, nor one behind a sign.
fn whole(chars: &[(usize, char)], after: usize) -> bool {
    let at = |index: usize| chars.get(index).map(|(_, c)| *c);
    match (at(after), at(after + 1)) {
        (None, _) => true,
        (Some('\'' | '’'), Some('s')) => {
            at(after + 2).is_none_or(|next| next.is_whitespace() || is_punctuation(next))
        }
        (Some(c), _) if c.is_whitespace() => true,
        (Some(c), _) if joins(c) && !is_punctuation(c) => false,
        (Some(_), next) => next.is_none_or(|next| next.is_whitespace() || is_punctuation(next)),
    }
}

fn joins(c: char) -> bool {
    !c.is_whitespace() && !matches!(c, ',' | ';' | '(' | ')' | '[' | ']' | '"' | '“' | '”' | '„' | '«' | '»')
}
