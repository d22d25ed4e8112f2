use proptest::prelude::*;

use super::*;

fn fact(id: &str, name: &str, value: FactValue, unit: Option<&str>) -> Fact {
    Fact { id: id.to_owned(), name: name.to_owned(), value, unit: unit.map(str::to_owned) }
}

fn request(language: Language) -> Request {
    let text = |text: &str| FactValue::Text(text.to_owned());
    Request {
        class: "count_variance".to_owned(),
        severity: 3,
        about: Some("SKU-10233@store-017".to_owned()),
        facts: vec![
            fact("stock.on_hand", "units on hand", FactValue::Number(1234.5), Some("units")),
            fact("count", "units counted", FactValue::Number(23.0), Some("units")),
            fact("lost", "units lost", FactValue::Number(0.0), Some("units")),
            fact("risk", "probability of a stock-out", FactValue::Number(0.8231), Some("share")),
            fact("cost", "cost", FactValue::Number(120.0), Some("EUR")),
            fact("drift", "drift", FactValue::Number(-4.0), Some("units")),
            fact("who", "counted by", text("Anna Berg"), None),
            fact("boss", "owner", text("Olga Stein"), None),
            fact("when", "counted on", text("2026-11-23"), None),
        ],
        language,
    }
}

fn kept(language: Language, text: &str) -> bool {
    let checked = check(text, &request(language));
    assert!(checked.kept.len() + checked.dropped.len() == 1, "{text:?} is one sentence: {checked:?}");
    checked.dropped.is_empty()
}

#[test]
fn what_the_facts_say_is_kept_in_every_usual_spelling() {
    for text in [
        "Units on hand: 1,234.5 units.",
        "There are 1234.5 units on hand, but Anna Berg counted 23.",
        "Twenty-three units were counted by Anna Berg on 23 November 2026.",
        "On November 23, 2026 the count was 23 units.",
        "The risk is 82 %.",
        "The risk is 82.3% (0.8231).",
        "It cost €120, or 120 EUR.",
        "Of the counts, 23 and 0, the larger is likely.",
        "No units were lost.",
        "The drift is -4 units.",
        "SKU-10233@store-017 needs Olga Stein's attention.",
        "Please review the stock, severity 3.",
        "Count variance at \"SKU-10233@store-017\": please check.",
    ] {
        assert!(kept(Language::En, text), "{text}: {:?}", check(text, &request(Language::En)));
    }
    for text in [
        "Der Bestand ist 1.234,5 units.",
        "Es wurden 23 Stück gezählt, am 23.11.2026, von Anna Berg.",
        "Gezählt wurden dreiundzwanzig Stück.",
        "Das Risiko ist 82,3 Prozent.",
        "Keine Ware ging verloren.",
    ] {
        assert!(kept(Language::De, text), "{text}: {:?}", check(text, &request(Language::De)));
    }
}

const OTHER_NUMBERS: [&str; 53] = [
    "There are 24 units.",
    "There are 1234 units.",
    "There are 1.234,5 units.",
    "There are 1.234 units.",
    "There are 12,34.5 units.",
    "There are 1 234.5 units.",
    "There are 23,000 units.",
    "There are 23 000 units.",
    "There are 23 thousand units.",
    "There are 23k units.",
    "There are 23 k units.",
    "There are 2.3e1 units.",
    "There are 23e3 units.",
    "There are 0x17 units.",
    "There are 23-24 units.",
    "There are -23 units.",
    "There are minus 23 units.",
    "There are 4 units of drift.",
    "There are 23/2 units.",
    "There are 23 x 23 units.",
    "This is the 23rd time.",
    "This is the third time.",
    "There are twenty-four units.",
    "There are twenty four units.",
    "There are twenty three hundred units.",
    "There are twenty-three thousand units.",
    "There are twenty, thousand units.",
    "There are three and twenty units.",
    "There are two dozen units.",
    "There are a dozen units.",
    "Half of them are gone.",
    "Twice as many were sold.",
    "Demand tripled.",
    "A hundredfold increase.",
    "Millions were lost.",
    "None are counted, and one is open.",
    "There are ２３ units.",
    "There are ٢٣ units.",
    "There are 23½ units.",
    "There are ½ units.",
    "There are ²³ units.",
    "There are Ⅻ units.",
    "There are 2\u{200b}4 units.",
    "Drei units are left.",
    "Il y a trois units.",
    "The risk is 83 %.",
    "The risk is 8.231 %.",
    "There are .23 units.",
    "There are \u{2013}23 units.",
    "There are 0 .23 units.",
    "It is 23:00.",
    "See item #23.",
    "About v23 of it.",
];

#[test]
fn a_number_that_is_in_no_fact_is_dropped_however_it_is_spelt() {
    for lie in OTHER_NUMBERS {
        assert!(!kept(Language::En, lie), "{lie}");
    }
    for lie in [
        "Es sind vierundzwanzig Stück.",
        "Es sind 1,234.5 units.",
        "Es sind 23.000 Stück.",
        "Es sind 23 Tausend Stück.",
        "Es sind dreiundzwanzigtausend Stück.",
        "Ein Dutzend ist weg.",
        "Die Hälfte ist weg.",
        "Die Nachfrage ist dreifach.",
        "Das ist das zweite Ereignis.",
        "Eine Million ist weg.",
    ] {
        assert!(!kept(Language::De, lie), "{lie}");
    }
}

#[test]
fn a_true_number_in_another_unit_is_a_lie() {
    for lie in [
        "It took 23 days.",
        "It rose by 23 %.",
        "It rose by 23%.",
        "It rose by 23 percent.",
        "It cost €23.",
        "It cost 23 EUR.",
        "It cost $120.",
        "It lasted 120 hours.",
        "It took twenty-three weeks.",
    ] {
        let checked = check(lie, &request(Language::En));
        assert_eq!(checked.dropped.first().map(|one| one.why), Some(Why::Unit), "{lie}: {checked:?}");
    }
}

#[test]
fn a_name_that_is_in_no_fact_is_dropped() {
    for lie in [
        "Acme delivered late.",
        "It was delivered by Acme.",
        "It was delivered by ACME's driver.",
        "Anna Stein counted it.",
        "Anna counted it.",
        "Olga Berg counted it.",
        "Anna Berg-Schmidt counted it.",
        "SKU-10233@store-018 is short.",
        "SKU-10233@store-017-b is short.",
        "XSKU-10233@store-017 is short.",
        "Write to anna@example.",
        "See evil.example/pay.",
        "The user_name is gone.",
        "It was done in iOS.",
        "\u{410}nna Berg counted it.",
        "The c\u{43e}unt is wrong.",
        "McDonald counted it.",
        "It happened in Berlin-Mitte.",
    ] {
        assert!(!kept(Language::En, lie), "{lie}");
    }
}

#[test]
fn a_date_that_is_in_no_fact_is_dropped() {
    for lie in [
        "It was counted on 24 November 2026.",
        "It was counted on November 24, 2026.",
        "It was counted on 2026-11-24.",
        "It was counted on 2026-11-23T10.",
        "It was counted on 23/11/2026.",
        "It was counted in november.",
        "It was counted on Monday.",
        "It was counted yesterday.",
        "It will arrive tomorrow.",
        "It will arrive in May.",
        "It was counted in 2026.",
    ] {
        assert!(!kept(Language::En, lie), "{lie}");
    }
    assert!(!kept(Language::De, "Es wurde gestern gezählt."));
    assert!(!kept(Language::De, "Es wurde am 24.11.2026 gezählt."));
}

#[test]
fn a_lie_costs_its_own_sentence_only() {
    let text = "Stock is low. Acme lost 400 units! There are 23 units counted.\nPlease review.";
    let checked = check(text, &request(Language::En));
    assert_eq!(checked.kept, ["Stock is low.", "There are 23 units counted.", "Please review."]);
    assert_eq!(checked.dropped, [Dropped { why: Why::Name, token: "Acme".to_owned() }]);
}

#[test]
fn the_template_says_every_fact() {
    assert_eq!(
        template(&request(Language::De)),
        "Ausnahme: count variance, Schweregrad 3. Betrifft: SKU-10233@store-017. units on hand: 1.234,5 units. \
         units counted: 23 units. units lost: 0 units. probability of a stock-out: 82,3 %. cost: 120 EUR. \
         drift: -4 units. counted by: Anna Berg. owner: Olga Stein. counted on: 2026-11-23."
    );
    assert!(template(&request(Language::En)).starts_with("Exception: count variance, severity 3. About: SKU-10233"));
}

#[test]
fn what_is_no_fact_is_refused_by_its_pointer() {
    let mut bad = request(Language::En);
    bad.class = "Count".to_owned();
    bad.severity = 5;
    bad.facts[1].id = "stock.on_hand".to_owned();
    bad.facts[2].name = "a\nb".to_owned();
    bad.facts[3].value = FactValue::Number(f64::NAN);
    let pointers: Vec<_> = bad.violations().into_iter().map(|error| error.pointer).collect();
    assert_eq!(pointers, ["/class", "/severity", "/facts/1/id", "/facts/2/name", "/facts/3/value"]);
}

proptest! {
    /// Whatever the facts, the template says nothing that its own check would drop.
    #[test]
    fn the_template_passes_its_own_check(
        facts in prop::collection::vec((
            "[A-Za-z][A-Za-z0-9 ._-]{0,20}[a-z]",
            prop_oneof![
                (-1e9_f64..1e9).prop_map(FactValue::Number),
                (-1000_i32..1000).prop_map(|whole| FactValue::Number(f64::from(whole))),
                "[A-Za-z0-9][A-Za-z0-9 .,@_-]{0,20}[a-z0-9]".prop_map(FactValue::Text),
            ],
            prop::option::of(prop_oneof![Just("units".to_owned()), Just("EUR".to_owned()), Just("share".to_owned())]),
        ), 0..6),
        german in any::<bool>(),
    ) {
        let facts = facts.into_iter().enumerate().map(|(i, (name, value, unit))| {
            let unit = matches!(value, FactValue::Number(_)).then_some(unit).flatten();
            Fact { id: format!("f{i}"), name, value, unit }
        });
        let language = if german { Language::De } else { Language::En };
        let request = Request { facts: facts.collect(), about: None, ..request(language) };
        prop_assume!(request.violations().is_empty());
        let checked = check(&template(&request), &request);
        prop_assert!(checked.dropped.is_empty(), "{:?} of {:?}", checked, template(&request));
    }

    /// A whole number that is not among the facts never comes through, in digits or in words.
    #[test]
    fn no_other_number_comes_through(number in 0_u32..10_000) {
        prop_assume!(![0, 3, 23, 120].contains(&number));
        for text in [format!("There are {number} units."), format!("There are {number}.")] {
            prop_assert!(!kept(Language::En, &text), "{}", text);
        }
    }

    /// Nothing makes the check fail, and what it keeps is a part of the text.
    #[test]
    fn any_text_can_be_checked(text in "\\PC{0,80}") {
        for sentence in check(&text, &request(Language::En)).kept {
            let squeezed = text.split_whitespace().collect::<Vec<_>>().join(" ");
            prop_assert!(squeezed.contains(&sentence));
        }
    }
}
