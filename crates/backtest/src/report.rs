//! What a backtest found: the figures of several versions of a model over the same cases, as a table and as a page.

use anyhow::Context;
use minijinja::{Environment, value::Serde};
use models::{ModelRef, catalogue::Entry, metrics::Figures};
use serde::Serialize;
use serde_json::json;

/// Sides of a plot in the page, in its own units.
const SIDE: f64 = 300.0;

/// One version and what it reached.
#[derive(Clone, Debug, Serialize)]
pub struct Measured {
    pub model: ModelRef,
    pub figures: Figures,
}

/// Several versions over the same cases; the first is the one that the others are compared with.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    pub versions: Vec<Measured>,
}

/// A figure of every version, beside its name.
#[derive(Serialize)]
struct Row<'a> {
    name: &'a str,
    aim: String,
    /// One value per version; a version that lacks the figure shows a dash.
    values: Vec<String>,
    /// Lengths of the bars, as shares of the longest.
    bars: Vec<f64>,
}

/// A point of a calibration curve in the plot's units.
#[derive(Serialize)]
struct Point {
    x: f64,
    y: f64,
    radius: f64,
    about: String,
}

impl Report {
    /// Measures parameter files over cases, both as JSON.
    ///
    /// # Errors
    /// When parameters or a case are not of their form.
    pub fn measure(entry: &Entry, versions: &[&str], cases: &[&str]) -> anyhow::Result<Self> {
        let models = versions.iter().map(|text| entry.reference(text)).collect::<Result<Vec<_>, _>>()?;
        let figures = entry.backtest(versions, cases)?;
        let versions = models.into_iter().zip(figures).map(|(model, figures)| Measured { model, figures });
        Ok(Self { versions: versions.collect() })
    }

    /// The figures as lines of text, one column per version.
    #[must_use]
    pub fn table(&self) -> String {
        let mut rows = vec![self.head()];
        rows.extend(self.rows().into_iter().map(|row| [vec![row.name.to_owned(), row.aim], row.values].concat()));
        let columns = rows.first().map_or(0, Vec::len);
        let widths: Vec<usize> = (0..columns)
            .map(|column| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default())
            .collect();
        let line = |row: &Vec<String>| {
            let cells = row.iter().zip(&widths).enumerate().map(|(column, (cell, width))| match column {
                0 | 1 => format!("{cell:<width$}"),
                _ => format!("{cell:>width$}"),
            });
            cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
        };
        rows.iter().map(line).collect::<Vec<_>>().join("\n")
    }

    fn head(&self) -> Vec<String> {
        let version = |one: &Measured| format!("version {}", one.model.version);
        ["figure", "better"].map(str::to_owned).into_iter().chain(self.versions.iter().map(version)).collect()
    }

    /// One self-contained page: the table with bars, and the calibration curves.
    ///
    /// # Errors
    /// When the embedded template is malformed, which a test rules out.
    pub fn page(&self) -> anyhow::Result<String> {
        let mut environment = Environment::new();
        environment.add_template("report.html", include_str!("../templates/report.html"))?;
        let curves: Vec<_> = self.versions.iter().map(|one| curve(&one.figures)).collect();
        let name = self.versions.first().map(|one| one.model.name.as_str()).unwrap_or_default();
        let shown = json!({
            "name": name,
            "side": SIDE,
            "rows": self.rows(),
            "versions": self.versions,
            "calibrated": curves.iter().any(|curve| !curve.is_empty()),
            "curves": curves,
        });
        let page = environment.get_template("report.html")?.render(Serde(&shown));
        page.context("cannot write the report")
    }

    fn rows(&self) -> Vec<Row<'_>> {
        let first = self.versions.first().map(|one| one.figures.figures.as_slice()).unwrap_or_default();
        let row = |wanted: &'_ models::metrics::Figure| {
            let found = |one: &Measured| {
                one.figures.figures.iter().find(|figure| figure.name == wanted.name).map(|figure| figure.value)
            };
            let values: Vec<Option<f64>> = self.versions.iter().map(found).collect();
            let length = |value: Option<f64>| value.filter(|value| value.is_finite()).map_or(0.0, f64::abs);
            let longest = values.iter().map(|value| length(*value)).fold(f64::MIN_POSITIVE, f64::max);
            let aim = match (wanted.better, wanted.target) {
                (models::metrics::Better::Higher, _) => "higher".to_owned(),
                (models::metrics::Better::Lower, _) => "lower".to_owned(),
                (models::metrics::Better::Nearest, target) => format!("near {}", target.unwrap_or_default()),
            };
            (
                aim,
                values.iter().map(|value| text(*value)).collect(),
                values.iter().map(|one| length(*one) / longest).collect(),
            )
        };
        let rows = first.iter().map(|wanted| {
            let (aim, values, bars) = row(wanted);
            Row { name: &wanted.name, aim, values, bars }
        });
        rows.collect()
    }
}

fn text(value: Option<f64>) -> String {
    match value {
        Some(value) if value.is_finite() => format!("{value:.4}"),
        Some(_) => "undefined".to_owned(),
        None => "-".to_owned(),
    }
}

/// The calibration curve in the plot's units; a larger dot holds more cases.
fn curve(figures: &Figures) -> Vec<Point> {
    let point = |&(forecast, observed, weight): &(f64, f64, f64)| Point {
        x: forecast * SIDE,
        y: (1.0 - observed) * SIDE,
        radius: 3.0 + 12.0 * weight.sqrt(),
        about: format!("forecast {forecast:.3}, observed {observed:.3}, {:.1} % of cases", weight * 100.0),
    };
    figures.calibration.iter().map(point).collect()
}

#[cfg(test)]
mod tests {
    use contracts::Digest;
    use models::metrics::Figure;

    use super::*;

    fn report() -> Report {
        let measured = |version: &str, auc: f64| Measured {
            model: ModelRef {
                name: "<late>".to_owned(),
                version: version.to_owned(),
                parameters: Digest::of_bytes(version.as_bytes()),
            },
            figures: Figures {
                cases: 10,
                insufficient: 1,
                figures: vec![Figure::higher("roc_auc", auc), Figure::nearest("coverage", 0.9, 0.95)],
                calibration: vec![(0.25, 0.5, 1.0)],
                ..Figures::default()
            },
        };
        Report { versions: vec![measured("1", 0.5), measured("2", f64::NAN)] }
    }

    #[test]
    fn the_table_has_a_column_per_version() {
        let table = report().table();
        let lines: Vec<&str> = table.lines().collect();
        assert_eq!(lines[0], "figure    better     version 1  version 2");
        assert_eq!(lines[1], "roc_auc   higher        0.5000  undefined");
        assert_eq!(lines[2], "coverage  near 0.95     0.9000     0.9000");
    }

    #[test]
    fn the_page_stands_alone_and_escapes_what_it_is_given() {
        let page = report().page().unwrap();
        assert!(page.contains("&lt;late&gt;") && !page.contains("<late>"), "{page}");
        assert!(page.contains("<circle cx=\"75.0\" cy=\"150.0\""), "{page}");
        assert!(!page.contains("src=") && !page.contains("href="), "a page that loads something is not self-contained");
    }
}
