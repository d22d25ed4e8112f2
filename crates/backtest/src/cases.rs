//! Cases of a model from a file: what a fit learns from and a backtest measures against.

use std::path::Path;

use anyhow::{Context, bail};
use serde_json::{Map, Value, value::RawValue};

use crate::files;

/// Cases as JSON texts, each `{"request": ..., "outcome": ...}`, in the order of the file.
#[derive(Debug)]
pub struct Cases(Vec<String>);

impl Cases {
    /// Reads NDJSON, or a CSV whose columns are JSON pointers into a case (`/request/facts/product`) and whose cells are
    /// JSON, or text where they are none. Either may be packed (`.gz`).
    ///
    /// # Errors
    /// Names the file and the line that cannot be read, or says that there is none.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
        let plain = name.trim_end_matches(".gz");
        let cases = if plain.ends_with(".csv") {
            by_pointers(path)?
        } else {
            let lines = files::lines::<Box<RawValue>>(path)?;
            lines.map(|line| line.map(|raw| raw.get().to_owned())).collect::<anyhow::Result<Vec<_>>>()?
        };
        if cases.is_empty() {
            bail!("{} holds no case", path.display());
        }
        Ok(Self(cases))
    }

    #[must_use]
    pub fn texts(&self) -> Vec<&str> {
        self.0.iter().map(String::as_str).collect()
    }
}

fn by_pointers(path: &Path) -> anyhow::Result<Vec<String>> {
    let columns = files::columns(path)?;
    let mut reader = csv::ReaderBuilder::new().from_reader(files::open(path)?);
    let mut cases = Vec::new();
    for (index, row) in reader.records().enumerate() {
        let place = || format!("cannot read {}, row {}", path.display(), index + 1);
        let row = row.with_context(place)?;
        let mut case = Value::Object(Map::new());
        for (column, cell) in columns.iter().zip(&row).filter(|(_, cell)| !cell.is_empty()) {
            let value = serde_json::from_str(cell).unwrap_or_else(|_| Value::String(cell.to_owned()));
            put(&mut case, column, value).with_context(|| format!("column {column:?}")).with_context(place)?;
        }
        cases.push(case.to_string());
    }
    Ok(cases)
}

/// Sets the place that the pointer names, making the objects on the way to it.
fn put(case: &mut Value, pointer: &str, value: Value) -> anyhow::Result<()> {
    let Some(path) = pointer.strip_prefix('/') else { bail!("is no JSON pointer: it must begin with /") };
    let mut place = case;
    for key in path.split('/') {
        let Value::Object(fields) = place else { bail!("leads through something that is no object") };
        place = fields.entry(key.replace("~1", "/").replace("~0", "~")).or_insert_with(|| Value::Object(Map::new()));
    }
    *place = value;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(name: &str, text: &str) -> anyhow::Result<Vec<Value>> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        let cases = Cases::read(&path)?;
        Ok(cases.texts().into_iter().map(|text| serde_json::from_str(text).unwrap()).collect())
    }

    #[test]
    fn a_csv_of_pointers_is_the_same_as_its_ndjson() {
        let csv = "/request/sku,/request/units,/request/note,/outcome\na,\"[1, 2]\",,true\n";
        let ndjson = "{\"request\": {\"sku\": \"a\", \"units\": [1, 2]}, \"outcome\": true}\n\n";
        assert_eq!(read("x.csv", csv).unwrap(), read("x.ndjson", ndjson).unwrap());
    }

    #[test]
    fn what_cannot_be_read_is_named_by_its_place() {
        let error = format!("{:#}", read("x.csv", "/request,/request/sku\n7,a\n").unwrap_err());
        assert!(error.contains("row 1") && error.contains("/request/sku"), "{error}");
        assert!(format!("{:#}", read("x.csv", "sku\na\n").unwrap_err()).contains("must begin with /"));
        assert!(format!("{:#}", read("x.ndjson", "{}\n{\n").unwrap_err()).contains("line 2"));
        assert!(read("x.ndjson", "\n").unwrap_err().to_string().contains("no case"));
    }
}
