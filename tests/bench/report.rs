//! One table of what was measured, for people and as JSON.

use std::{fmt, fs, path::Path};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

/// What a measure should reach.
#[derive(Clone, Copy)]
pub(crate) enum Aim {
    /// Ours against the yardstick.
    RatioAtLeast(f64),
    RatioAtMost(f64),
    /// Our own figure.
    AtLeast(f64),
    AtMost(f64),
    /// Measured to be known.
    None,
}

/// A line of the table.
pub(crate) struct Line {
    pub(crate) measure: String,
    pub(crate) unit: &'static str,
    pub(crate) ours: f64,
    /// What it is held against, and how that did.
    pub(crate) yardstick: Option<(&'static str, f64)>,
    pub(crate) aim: Aim,
}

impl Line {
    fn ratio(&self) -> Option<f64> {
        self.yardstick.map(|(_, figure)| self.ours / figure)
    }

    fn met(&self) -> Option<bool> {
        match self.aim {
            Aim::RatioAtLeast(least) => self.ratio().map(|ratio| ratio >= least),
            Aim::RatioAtMost(most) => self.ratio().map(|ratio| ratio <= most),
            Aim::AtLeast(least) => Some(self.ours >= least),
            Aim::AtMost(most) => Some(self.ours <= most),
            Aim::None => None,
        }
    }

    fn cells(&self) -> [String; 6] {
        let figure = |figure: f64| format!("{} {}", round(figure), self.unit);
        let yardstick = self.yardstick.map(|(name, value)| format!("{} ({name})", figure(value)));
        let met = self.met().map_or("", |met| if met { "yes" } else { "NO" });
        [
            self.measure.clone(),
            figure(self.ours),
            yardstick.unwrap_or_default(),
            self.ratio().map(|ratio| format!("{ratio:.2}")).unwrap_or_default(),
            self.aim.to_string() + if matches!(self.aim, Aim::AtLeast(_) | Aim::AtMost(_)) { self.unit } else { "" },
            met.to_owned(),
        ]
    }

    fn json(&self) -> Value {
        let yardstick = self.yardstick.map(|(name, figure)| json!({"name": name, "figure": figure}));
        json!({"measure": self.measure, "unit": self.unit, "ours": self.ours, "yardstick": yardstick,
            "ratio": self.ratio(), "aim": self.aim.to_string(), "met": self.met()})
    }
}

impl fmt::Display for Aim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RatioAtLeast(least) => write!(f, ">= {least}x"),
            Self::RatioAtMost(most) => write!(f, "<= {most}x"),
            Self::AtLeast(least) => write!(f, ">= {least} "),
            Self::AtMost(most) => write!(f, "<= {most} "),
            Self::None => Ok(()),
        }
    }
}

/// Three digits matter, more would only pretend.
fn round(figure: f64) -> String {
    match figure.abs() {
        x if x >= 100.0 => format!("{figure:.0}"),
        x if x >= 10.0 => format!("{figure:.1}"),
        _ => format!("{figure:.2}"),
    }
}

/// The table as Markdown, aligned.
pub(crate) fn table(lines: &[Line]) -> String {
    let head = ["measure", "ours", "yardstick", "ratio", "aim", "met"].map(str::to_owned);
    let mut rows = vec![head];
    rows.extend(lines.iter().map(Line::cells));
    let widths: Vec<usize> =
        (0..6).map(|at| rows.iter().map(|row| row[at].chars().count()).max().unwrap_or(0)).collect();
    let mut text = String::new();
    for (n, row) in rows.iter().enumerate() {
        for (cell, width) in row.iter().zip(&widths) {
            text += &format!("| {cell:width$} ");
        }
        text += "|\n";
        if n == 0 {
            text += &widths.iter().map(|width| format!("|{}", "-".repeat(width + 2))).collect::<String>();
            text += "|\n";
        }
    }
    text
}

pub(crate) fn write_json(lines: &[Line], notes: &[String], file: &Path) -> Result<()> {
    let all: Vec<Value> = lines.iter().map(Line::json).collect();
    let text = serde_json::to_string_pretty(&json!({"measures": all, "notes": notes}))?;
    fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))
}
