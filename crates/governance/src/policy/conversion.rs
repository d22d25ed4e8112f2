//! Amounts in other currencies, by the rates that the policy states: an auditor must be able to repeat the conversion
//! years later, so it uses neither a rate of the day nor floating point.

use std::{borrow::Cow, collections::BTreeMap};

use contracts::{Money, money::Currency};
use jiff::civil::Date;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Most digits of a rate: its integer fits into 63 bits.
const MAX_DIGITS: usize = 18;

/// The currency in which a policy thinks, and what others are worth in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Conversion {
    /// All conditions on values are in this currency.
    pub base: Currency,
    /// The day of the rates.
    #[schema(value_type = String, format = Date, example = "2026-11-02")]
    pub as_of: Date,
    /// What one unit of another currency is worth in the base currency. A currency that is not here has no known
    /// value.
    #[serde(default)]
    #[schema(example = json!({"USD": "0.9214", "JPY": "0.0061"}))]
    pub rates: BTreeMap<Currency, Rate>,
}

impl Conversion {
    /// The amount in the base currency, rounded up so that no value slips under a limit; `None` without a rate, and
    /// beyond what an amount can hold.
    #[must_use]
    pub fn convert(&self, money: Money) -> Option<Money> {
        if money.currency == self.base {
            return Some(money);
        }
        let rate = self.rates.get(&money.currency)?;
        let up = 10_i128.checked_pow(self.base.exponent())?;
        let down = 10_i128.checked_pow(money.currency.exponent() + rate.scale)?;
        let exact = i128::from(money.minor).checked_mul(i128::from(rate.digits))?.checked_mul(up)?;
        let whole = exact.div_euclid(down) + i128::from(exact.rem_euclid(down) != 0);
        Some(Money::new(i64::try_from(whole).ok()?, self.base))
    }
}

/// A positive decimal such as `0.9214`, kept as it is written and counted in integers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rate {
    text: String,
    digits: i64,
    /// How many of the digits are behind the point.
    scale: u32,
}

impl Rate {
    /// # Errors
    /// When the text is no positive decimal of at most 18 digits.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        const WRONG: &str = "a rate is a positive decimal of at most 18 digits, in quotes, such as \"0.9214\"";
        let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
        let plain = |digits: &str| !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit());
        if !plain(whole) || !plain(part) || whole.len() + part.len() > MAX_DIGITS {
            return Err(WRONG);
        }
        let digits: i64 = format!("{whole}{part}").parse().map_err(|_| WRONG)?;
        let scale = u32::try_from(part.len()).map_err(|_| WRONG)?;
        if digits == 0 { Err(WRONG) } else { Ok(Self { text: text.to_owned(), digits, scale }) }
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl Serialize for Rate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for Rate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

impl utoipa::PartialSchema for Rate {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        use utoipa::openapi::schema::{ObjectBuilder, Type};
        let text = ObjectBuilder::new().schema_type(Type::String).pattern(Some("^[0-9]+(\\.[0-9]+)?$"));
        text.max_length(Some(MAX_DIGITS + 1)).examples(["0.9214"]).into()
    }
}
impl utoipa::ToSchema for Rate {}

/// How a value in another currency was read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Converted {
    /// In the policy's currency. Absent: the policy has no rate, so the value is unknown and no condition on it holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<Money>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<Rate>,
    /// The day of the rate.
    #[schema(value_type = String, format = Date)]
    pub as_of: Date,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn money(minor: i64, code: &str) -> Money {
        Money::new(minor, Currency::new(code).unwrap())
    }

    #[test]
    fn amounts_are_converted_exactly_and_rounded_up_across_decimals() {
        let text = r#"{"base": "EUR", "as_of": "2026-11-02", "rates": {"USD": "0.9214", "JPY": "0.0061", "KWD": "3"}}"#;
        let conversion: Conversion = serde_json::from_str(text).unwrap();
        assert_eq!(conversion.convert(money(500, "EUR")), Some(money(500, "EUR")));
        assert_eq!(conversion.convert(money(10_000, "USD")), Some(money(9214, "EUR")));
        assert_eq!(conversion.convert(money(1, "USD")), Some(money(1, "EUR")), "0.9214 cents are a cent");
        assert_eq!(conversion.convert(money(10_000, "JPY")), Some(money(6100, "EUR")), "yen have no decimals");
        assert_eq!(
            conversion.convert(money(1001, "KWD")),
            Some(money(301, "EUR")),
            "3.003 rounded up; dinars have three"
        );
        assert_eq!(conversion.convert(money(1, "SEK")), None);
        assert_eq!(
            conversion.convert(money(i64::MAX, "KWD")).map(|money| money.minor),
            None.or(Some(2767011611056432743))
        );
    }

    #[test]
    fn a_rate_is_a_positive_decimal() {
        for text in ["", "0", "0.000", "-1", "1.", ".5", "1e3", "1,5", "1234567890123456789"] {
            assert!(Rate::parse(text).is_err(), "{text}");
        }
        assert_eq!(Rate::parse("0.9214").unwrap().as_str(), "0.9214");
        assert!(serde_json::from_str::<Rate>("0.92").is_err(), "a number would be a float");
    }
}
