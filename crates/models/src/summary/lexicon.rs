//! Words with a role of their own: what may be capitalised without being a name, units, the calendar.

use std::{collections::HashSet, sync::LazyLock};

use jiff::civil::Date;

use super::Language;

/// Words that are no names although they begin a sentence or, in German, are nouns. The list is closed: a word that is
/// not in it, capitalised, is taken for a name.
static ORDINARY: LazyLock<HashSet<&'static str>> = LazyLock::new(|| {
    include_str!("words/en.txt")
        .split_ascii_whitespace()
        .chain(include_str!("words/de.txt").split_whitespace())
        .collect()
});

/// Spellings of one unit each; a number beside one of them must be a fact of that unit.
const UNITS: [&[&str]; 18] = [
    &["share", "%", "percent", "pct", "prozent", "v.h"],
    &["‰", "permille", "promille"],
    &["units", "unit", "pieces", "piece", "pcs", "items", "item", "stück", "stk", "einheiten", "einheit"],
    &["days", "day", "d", "tage", "tag", "tagen"],
    &["hours", "hour", "h", "hrs", "stunden", "stunde", "std"],
    &["minutes", "minute", "min", "mins", "minuten"],
    &["seconds", "s", "sec", "sekunden", "sekunde"],
    &["weeks", "week", "wochen", "woche"],
    &["months", "month", "monate", "monat", "monaten"],
    &["years", "year", "jahre", "jahr", "jahren"],
    &["eur", "€", "euro", "euros"],
    &["usd", "$", "dollar", "dollars", "us$"],
    &["gbp", "£", "pounds"],
    &["chf", "franken", "francs"],
    &["kg", "kilograms", "kilogramm"],
    &["g", "grams", "gramm"],
    &["l", "litres", "liters", "liter"],
    &["cents", "cent", "¢"],
];
/// What makes another number of the one beside it.
const FACTORS: [&str; 30] = [
    "k", "m", "mn", "bn", "mio", "mrd", "tsd", "million", "millions", "billion", "thousand", "hundred", "dozen",
    "fold", "times", "x", "×", "*", "/", "^", "e", "point", "comma", "dot", "komma", "punkt", "mal", "hoch", "minus",
    "negative",
];
/// Words that say when. Those that are also ordinary words (may, march) are found by their capital.
const CALENDAR: &str = "january february april june july august september october november december monday tuesday \
    wednesday thursday friday saturday sunday today tomorrow yesterday tonight januar februar märz mai juni juli oktober \
    dezember montag dienstag mittwoch donnerstag freitag samstag sonntag sonnabend heute gestern übermorgen vorgestern";
const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const MONATE: [&str; 12] = [
    "Januar",
    "Februar",
    "März",
    "April",
    "Mai",
    "Juni",
    "Juli",
    "August",
    "September",
    "Oktober",
    "November",
    "Dezember",
];

pub(super) fn is_ordinary(word: &str) -> bool {
    ORDINARY.contains(word)
}

pub(super) fn is_factor(word: &str) -> bool {
    FACTORS.contains(&word)
}

pub(super) fn is_calendar(word: &str) -> bool {
    CALENDAR.split_whitespace().any(|one| one == word)
}

/// The first spelling of a unit; `None` for a word that is none.
pub(super) fn unit(word: &str) -> Option<&'static str> {
    UNITS.iter().find(|spellings| spellings.contains(&word)).map(|spellings| spellings[0])
}

/// How a date may be written out.
pub(super) fn dates(text: &str, language: Language) -> Vec<String> {
    let Ok(date) = text.parse::<Date>() else { return Vec::new() };
    let (year, month, day) = (date.year(), date.month(), date.day());
    let index = usize::from(month.unsigned_abs()) - 1;
    match language {
        Language::En => vec![
            format!("{day} {} {year}", MONTHS[index]),
            format!("{} {day}, {year}", MONTHS[index]),
            format!("{} {day} {year}", MONTHS[index]),
        ],
        Language::De => vec![
            format!("{day:02}.{month:02}.{year}"),
            format!("{day}.{month}.{year}"),
            format!("{day}. {} {year}", MONATE[index]),
        ],
    }
}
