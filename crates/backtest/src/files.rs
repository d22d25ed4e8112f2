//! Files of data sets: CSV (also gzip) by typed rows, NDJSON by lines, predictions out.

use std::{
    fs::File,
    io::{BufRead, BufReader, Read},
    path::{Path, PathBuf},
    str::FromStr,
};

use anyhow::{Context, bail};
use flate2::read::MultiGzDecoder;
use serde::de::DeserializeOwned;

/// Opens a file, unpacking it when its name ends in `.gz`.
///
/// # Errors
/// When it cannot be opened; names it.
pub fn open(path: &Path) -> anyhow::Result<Box<dyn BufRead>> {
    let file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    let reader: Box<dyn Read> = if path.extension().is_some_and(|end| end == "gz") {
        Box::new(MultiGzDecoder::new(file))
    } else {
        Box::new(file)
    };
    Ok(Box::new(BufReader::with_capacity(1 << 16, reader)))
}

/// Rows of a CSV with a header row, each as `T` by column name.
///
/// # Errors
/// When the file cannot be opened. A bad row is an error in its place that names file and line.
pub fn rows<T: DeserializeOwned>(path: &Path) -> anyhow::Result<impl Iterator<Item = anyhow::Result<T>> + use<T>> {
    let name = path.display().to_string();
    let reader = csv::ReaderBuilder::new().from_reader(open(path)?);
    // The error of the csv crate says line and column.
    Ok(reader.into_deserialize().map(move |row| row.with_context(|| format!("cannot read {name}"))))
}

/// Lines of NDJSON, each as `T`; empty lines are passed over.
///
/// # Errors
/// As [`rows`].
pub fn lines<T: DeserializeOwned>(path: &Path) -> anyhow::Result<impl Iterator<Item = anyhow::Result<T>> + use<T>> {
    let name = path.display().to_string();
    let numbered = open(path)?.lines().enumerate();
    let filled = numbered.filter(|(_, line)| line.as_ref().map_or(true, |line| !line.trim().is_empty()));
    Ok(filled.map(move |(index, line)| {
        let place = || format!("cannot read {name}, line {}", index + 1);
        serde_json::from_str(&line.with_context(place)?).with_context(place)
    }))
}

/// Names of the columns of a CSV.
///
/// # Errors
/// When the file cannot be opened or has no header row.
pub fn columns(path: &Path) -> anyhow::Result<Vec<String>> {
    let mut reader = csv::ReaderBuilder::new().from_reader(open(path)?);
    let headers = reader.headers().with_context(|| format!("cannot read {}", path.display()))?;
    Ok(headers.iter().map(str::to_owned).collect())
}

/// The one of several files that has all these columns.
///
/// # Errors
/// When none has; names the columns.
pub fn with_columns<'a>(files: &'a [PathBuf], wanted: &[&str]) -> anyhow::Result<&'a Path> {
    for file in files {
        let columns = columns(file)?;
        if wanted.iter().all(|one| columns.iter().any(|column| column == one)) {
            return Ok(file);
        }
    }
    bail!("none of the inputs has the columns {}", wanted.join(", "))
}

/// A cell that holds a list, separated by spaces.
///
/// # Errors
/// Names the element that is not a `T`.
pub fn list<T: FromStr>(cell: &str) -> anyhow::Result<Vec<T>> {
    let element =
        |one: &str| one.parse().map_err(|_| anyhow::anyhow!("{one:?} is not a {}", std::any::type_name::<T>()));
    cell.split_ascii_whitespace().map(element).collect()
}

/// Writes predictions as CSV, `header` first.
///
/// # Errors
/// When the file cannot be written.
pub fn write<const N: usize>(
    path: &Path,
    header: [&str; N],
    rows: impl IntoIterator<Item = [String; N]>,
) -> anyhow::Result<()> {
    let place = || format!("cannot write {}", path.display());
    let mut writer = csv::Writer::from_path(path).with_context(place)?;
    writer.write_record(header).with_context(place)?;
    for row in rows {
        writer.write_record(&row).with_context(place)?;
    }
    writer.flush().with_context(place)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use serde::Deserialize;

    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    struct Row {
        sku: String,
        units: f64,
    }

    fn file(name: &str, bytes: &[u8]) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        (folder, path)
    }

    #[test]
    fn a_packed_file_reads_as_a_plain_one() {
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packed.write_all(b"sku,units\na,1.5\n").unwrap();
        let (_folder, path) = file("x.csv.gz", &packed.finish().unwrap());
        let read: Vec<Row> = rows(&path).unwrap().map(Result::unwrap).collect();
        assert_eq!(read, [Row { sku: "a".to_owned(), units: 1.5 }]);
    }

    #[test]
    fn a_bad_row_is_named_by_file_and_line_and_harms_no_other() {
        let (_folder, path) = file("x.csv", b"sku,units\na,many\nb,2\n");
        let read: Vec<anyhow::Result<Row>> = rows(&path).unwrap().collect();
        let message = format!("{:#}", read[0].as_ref().unwrap_err());
        assert!(message.contains("x.csv") && message.contains("line: 2"), "{message}");
        assert_eq!(read[1].as_ref().unwrap().sku, "b");
    }

    #[test]
    fn files_are_told_apart_by_their_columns() {
        let (_folder, path) = file("x.csv", b"sku,units\n");
        let files = [path];
        assert_eq!(with_columns(&files, &["units"]).unwrap(), files[0]);
        assert!(with_columns(&files, &["day"]).unwrap_err().to_string().contains("day"));
    }

    #[test]
    fn an_element_that_is_no_number_is_named() {
        assert_eq!(list::<u32>("1 2 3").unwrap(), [1, 2, 3]);
        assert!(list::<u32>("1 x").unwrap_err().to_string().contains("\"x\""));
    }
}
