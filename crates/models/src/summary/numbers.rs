//! Numbers as people write them: how a fact's number may be told, and which words are numbers.

use std::{collections::HashMap, sync::LazyLock};

use super::Language;

/// The unit of a number between 0 and 1 that is told in percent.
pub(super) const SHARE: &str = "share";

const SMALL: [&str; 20] = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
];
const TENS: [&str; 10] = ["", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"];
const KLEIN: [&str; 20] = [
    "null",
    "eins",
    "zwei",
    "drei",
    "vier",
    "fünf",
    "sechs",
    "sieben",
    "acht",
    "neun",
    "zehn",
    "elf",
    "zwölf",
    "dreizehn",
    "vierzehn",
    "fünfzehn",
    "sechzehn",
    "siebzehn",
    "achtzehn",
    "neunzehn",
];
const ZEHNER: [&str; 10] =
    ["", "", "zwanzig", "dreißig", "vierzig", "fünfzig", "sechzig", "siebzig", "achtzig", "neunzig"];
/// Words of English and German that say a number in a way that is never taken for a fact: ordinals, fractions,
/// multiples, round numbers. Also the first numbers of languages that nobody asked for.
const NEVER: &str = "first second third fourth sixth tenth once twice thrice half halves quarter quarters thirds double \
    doubled triple tripled quadruple couple pair pairs both single sole tens twofold sixfold tenfold score myriad \
    hälfte halb halbe halber halbes drittel viertel doppelt doppelte dutzend paar einmal einzige einziger einziges \
    deux trois quatre cinq huit neuf dix mille dos tres cuatro cinco seis siete ocho nueve diez quattro cinque sette \
    otto nove dieci cento twee drie vijf zes zeven negen tien honderd duizend dwa trzy cztery";
/// How longer words of that kind begin.
const NEVER_BEGINS: [&str; 45] = [
    "three", "four", "five", "fift", "seven", "eight", "nine", "ninth", "eleven", "twel", "thirt", "forti", "fortn",
    "sixt", "ninet", "twent", "hundred", "thousand", "million", "billion", "trillion", "dozen", "zwei", "drei",
    "dritt", "vier", "fünf", "fuenf", "sechs", "siebe", "siebt", "achte", "achtf", "achtm", "neunt", "neunm", "zehn",
    "zwölf", "zwoelf", "zwanzig", "hundert", "tausend", "milliard", "erste", "elft",
];

/// What a word says of a number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum WordNumber {
    /// A part of an English number, which may go on in the next word.
    English,
    /// A whole number in one German word.
    Value(f64),
    /// A number that can stand for no fact.
    Never,
}

/// Whether a lower-case word is a number.
pub(super) fn word(word: &str) -> Option<WordNumber> {
    if SMALL.contains(&word) || TENS.contains(&word) || ["hundred", "thousand", "million"].contains(&word) {
        return Some(WordNumber::English);
    }
    if matches!(word, "no" | "none" | "nil") || word.strip_prefix("kein").is_some_and(|rest| rest.len() <= 2) {
        return Some(WordNumber::Value(0.0));
    }
    if let Some(value) = GERMAN.get(word) {
        return Some(WordNumber::Value(f64::from(*value)));
    }
    let never =
        NEVER.split_ascii_whitespace().any(|one| one == word) || NEVER_BEGINS.iter().any(|one| word.starts_with(one));
    never.then_some(WordNumber::Never)
}

/// The value of English words, if they are how it is written: "two three" is no 5.
pub(super) fn english_value(words: &[&str]) -> Option<f64> {
    let (mut total, mut current) = (0_u64, 0_u64);
    for word in words {
        let position = |list: &[&str]| list.iter().position(|one| one == word).map(|index| index as u64);
        match (position(&SMALL), position(&TENS), *word) {
            (Some(value), ..) => current += value,
            (None, Some(tens), _) => current += tens * 10,
            (None, None, "hundred") => current = current.max(1) * 100,
            (None, None, "thousand") => total += std::mem::take(&mut current).max(1) * 1_000,
            _ => total += std::mem::take(&mut current).max(1) * 1_000_000,
        }
    }
    let value = total + current;
    let mut written = english(value);
    if written.len() == words.len() + 1 && written.first() == Some(&"one") {
        written.remove(0);
    }
    (written == words).then_some(value as f64)
}

/// How a number below 1,000,000,000 is written, word by word.
fn english(value: u64) -> Vec<&'static str> {
    let part = |value: u64, scale: u64, name: &'static str| {
        let mut words = english(value / scale);
        words.push(name);
        if !value.is_multiple_of(scale) {
            words.extend(english(value % scale));
        }
        words
    };
    match value {
        0..20 => vec![SMALL[value as usize]],
        20..100 if value.is_multiple_of(10) => vec![TENS[value as usize / 10]],
        20..100 => vec![TENS[value as usize / 10], SMALL[value as usize % 10]],
        100..1_000 => part(value, 100, "hundred"),
        1_000..1_000_000 => part(value, 1_000, "thousand"),
        _ => part(value, 1_000_000, "million"),
    }
}

/// German writes a number as one word. Larger ones than these begin or go on with a word that is never taken for a fact.
static GERMAN: LazyLock<HashMap<String, u32>> =
    LazyLock::new(|| (0..10_000).map(|value| (german(value), value)).collect());

fn german(value: u32) -> String {
    let one = |value: u32| if value == 1 { "ein".to_owned() } else { german(value) };
    let rest = |value: u32| if value == 0 { String::new() } else { german(value) };
    match value {
        0..20 => KLEIN[value as usize].to_owned(),
        20..100 if value.is_multiple_of(10) => ZEHNER[value as usize / 10].to_owned(),
        20..100 => format!("{}und{}", one(value % 10), ZEHNER[value as usize / 10]),
        100..1_000 => format!("{}hundert{}", one(value / 100), rest(value % 100)),
        _ => format!("{}tausend{}", one(value / 1_000), rest(value % 1_000)),
    }
}

/// How the template tells a number and its unit.
pub(super) fn told(value: f64, unit: Option<&str>, language: Language) -> String {
    match unit {
        Some(SHARE) => format!("{} %", digits(percent(value, 1), language, true)),
        Some(unit) => format!("{} {unit}", digits(value, language, true)),
        None => digits(value, language, true),
    }
}

/// Every way in which the digits of a fact's number may be written in that language; a comma in the other language's
/// place would make another number of it.
pub(super) fn spellings(value: f64, unit: Option<&str>, language: Language) -> Vec<String> {
    let values = match unit {
        Some(SHARE) => vec![value, value * 100.0, percent(value, 0), percent(value, 1)],
        _ => vec![value],
    };
    values.into_iter().flat_map(|value| [true, false].map(|grouped| digits(value, language, grouped))).collect()
}

fn percent(share: f64, decimals: i32) -> f64 {
    let scale = 10_f64.powi(decimals);
    (share * 100.0 * scale).round() / scale
}

fn digits(value: f64, language: Language, grouped: bool) -> String {
    let (group, point) = match language {
        Language::En => (',', '.'),
        Language::De => ('.', ','),
    };
    // Adding zero makes the negative zero a zero.
    let plain = format!("{}", value.abs() + 0.0);
    let (whole, decimals) = plain.split_once('.').unwrap_or((&plain, ""));
    let mut text = String::from(if value < 0.0 { "-" } else { "" });
    for (index, digit) in whole.chars().enumerate() {
        if grouped && index > 0 && (whole.len() - index).is_multiple_of(3) {
            text.push(group);
        }
        text.push(digit);
    }
    if !decimals.is_empty() {
        text.push(point);
        text.push_str(decimals);
    }
    text
}
