//! The layers of a configuration: files, environment, command line. They are checked for unknown keys here, and
//! remember where each value stands.

use std::path::{Path, PathBuf};

use toml_edit::{Document, Item, TableLike};

use super::{ConfigError, Origin, key};

/// One file, parsed, with the place of each key.
#[derive(Debug)]
pub(super) struct Layer {
    pub(super) path: PathBuf,
    pub(super) text: String,
    places: Vec<(String, usize)>,
}

impl Layer {
    pub(super) fn read(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })?;
        let document = Document::parse(text.clone()).map_err(|error| ConfigError::Syntax {
            path: path.to_owned(),
            line: error.span().map_or(1, |s| line_of(&text, s.start)),
            problem: error.message().lines().collect::<Vec<_>>().join(", "),
        })?;
        let mut places = Vec::new();
        collect(document.as_table(), "", &text, &mut places);
        for (found, line) in &places {
            if key::find(found).is_none() {
                let origin = Origin::File { path: path.to_owned(), line: *line };
                return Err(ConfigError::Unknown { origin, key: found.clone() });
            }
        }
        Ok(Self { path: path.to_owned(), text, places })
    }

    /// The line that sets a key.
    pub(super) fn line(&self, path: &str) -> Option<usize> {
        self.places.iter().find(|(p, _)| p == path).map(|&(_, line)| line)
    }
}

/// The files of a configuration in order: the file itself, which may be missing where it is not required, then
/// `conf.d/*.toml` beside it by name.
pub(super) fn files(main: &Path, required: bool) -> Result<Vec<PathBuf>, ConfigError> {
    let there =
        main.try_exists().map_err(|source| ConfigError::Unreadable { path: main.to_owned(), source })?;
    let mut all = if there || required { vec![main.to_owned()] } else { Vec::new() };
    let folder = main.parent().unwrap_or_else(|| Path::new(".")).join("conf.d");
    let unreadable = |source| ConfigError::Unreadable { path: folder.clone(), source };
    match std::fs::read_dir(&folder) {
        Ok(entries) => {
            let paths: Result<Vec<_>, _> = entries.map(|e| e.map(|e| e.path())).collect();
            let mut paths = paths.map_err(unreadable)?;
            paths.retain(|p| p.extension().is_some_and(|e| e == "toml"));
            paths.sort();
            all.extend(paths);
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(source) => return Err(unreadable(source)),
    }
    Ok(all)
}

/// All values below a table with their lines; an unknown section counts as a key.
fn collect(table: &dyn TableLike, above: &str, text: &str, places: &mut Vec<(String, usize)>) {
    for (name, item) in table.iter() {
        let path = if above.is_empty() { name.to_owned() } else { format!("{above}.{name}") };
        match item.as_table_like() {
            Some(inner) if key::is_section(&path) => collect(inner, &path, text, places),
            _ => {
                let span = table.key(name).and_then(|k| k.span()).or_else(|| item.span());
                let span = span.or_else(|| item.as_table_like().and_then(first_span));
                places.push((path, span.map_or(1, |s| line_of(text, s.start))));
            }
        }
    }
}

fn first_span(table: &dyn TableLike) -> Option<std::ops::Range<usize>> {
    table.iter().find_map(|(_, item): (&str, &Item)| item.span())
}

fn line_of(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|&b| b == b'\n').count() + 1
}
