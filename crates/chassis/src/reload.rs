//! What is read from files that may change while the process runs: API keys, people, policies, contacts, signing keys.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
    time::SystemTime,
};

use crate::config::ConfigError;

type Load<T> = Box<dyn Fn() -> Result<T, ConfigError> + Send + Sync>;
/// When and how large: enough to see that a mounted file was replaced.
type Stamp = Vec<(PathBuf, Option<SystemTime>, u64)>;

/// A value that is read again when one of its files has changed. A change that cannot be read is logged and the
/// last good value stays: a slip in an editor must not stop the work.
pub struct Reloaded<T> {
    /// Files, or folders whose files count; none for a value that never changes.
    paths: Vec<PathBuf>,
    load: Load<T>,
    current: RwLock<(Stamp, Arc<T>)>,
}

impl<T> Reloaded<T> {
    /// Reads it for the first time.
    ///
    /// # Errors
    /// What `load` says.
    pub fn new(
        paths: impl IntoIterator<Item = PathBuf>,
        load: impl Fn() -> Result<T, ConfigError> + Send + Sync + 'static,
    ) -> Result<Self, ConfigError> {
        let paths: Vec<PathBuf> = paths.into_iter().collect();
        // The stamp before the content: a change in between is then seen at the next look.
        let stamp = stamp(&paths);
        let first = Arc::new(load()?);
        Ok(Self { paths, load: Box::new(load), current: RwLock::new((stamp, first)) })
    }

    /// The value of now. Looks at the files each time, which is a few microseconds.
    pub fn get(&self) -> Arc<T> {
        let now = stamp(&self.paths);
        {
            let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
            if current.0 == now {
                return Arc::clone(&current.1);
            }
        }
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        match (self.load)() {
            Ok(fresh) => current.1 = Arc::new(fresh),
            Err(error) => tracing::error!(%error, "a changed file cannot be used; the last good content stays"),
        }
        current.0 = now;
        Arc::clone(&current.1)
    }
}

fn stamp(paths: &[PathBuf]) -> Stamp {
    paths.iter().flat_map(|path| files(path)).map(|path| look(&path)).collect()
}

/// The file itself, or the files of a folder by name.
#[must_use]
pub fn files(path: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(path) else { return vec![path.to_owned()] };
    let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).filter(|path| path.is_file()).collect();
    files.sort();
    files
}

fn look(path: &Path) -> (PathBuf, Option<SystemTime>, u64) {
    // Follows links, because a mounted secret is replaced by turning a link.
    let found = std::fs::metadata(path).ok();
    let (changed, size) = found.map_or((None, 0), |found| (found.modified().ok(), found.len()));
    (path.to_owned(), changed, size)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(path: &Path) -> Result<u32, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|error| ConfigError::one(error.to_string()))?;
        text.parse().map_err(|_| ConfigError::one(format!("{text:?} is no number")))
    }

    #[test]
    fn a_changed_file_counts_at_the_next_look_and_a_broken_one_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("number");
        std::fs::write(&path, "1").unwrap();
        let reloaded = Reloaded::new([path.clone()], {
            let path = path.clone();
            move || number(&path)
        })
        .unwrap();
        assert_eq!(*reloaded.get(), 1);
        std::fs::write(&path, "22").unwrap();
        assert_eq!(*reloaded.get(), 22);
        std::fs::write(&path, "oops").unwrap();
        assert_eq!(*reloaded.get(), 22);
        std::fs::write(&path, "33333").unwrap();
        assert_eq!(*reloaded.get(), 33_333);
    }
}
