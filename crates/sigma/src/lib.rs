//! Sigma rules for Linux, as conditions on Tarsius' events.
//!
//! [`load`] reads [Sigma](https://github.com/SigmaHQ/sigma-specification) rules as they are, and makes of each what an engine needs: the
//! events that it is about, and for each a condition in the expression language (crate `expr`). A rule that asks for what no kernel event
//! shows (the text of a log) is loaded, too, and says why it finds nothing: [`Kind::NoSource`].
//!
//! # What a rule becomes
//!
//! ```text
//! Image|endswith: ['/nc', '/ncat']         (data.pathname.lower().endsWith("/nc", "/ncat") || (has(data.cmdpath) && ...))
//! CommandLine|contains: ' -e '              && command_line.lower().contains(" -e ")
//! ```
//!
//! - Texts are compared in whatever case (of ASCII letters), but for `cased`, `re`, and values in base64, whose case is what they say.
//! - What a log would have in one field may stand in several of an event's: a program's path, and that by which it was called
//!   (`logsource`). Any may be as the rule asks.
//! - A field that an event has not is like nothing that is asked of it; each event says which these are ([`Event::absent`]).
//! - A keyword is looked for in the command line, or in the paths of an event about files.
//! - What auditd tells in several records is asked of each alone. Arguments of calls are numbers in hexadecimal, as auditd writes them.
//!
//! # Why not another's crate
//!
//! There are engines for Sigma on crates.io, of which two are maintained: sigma-rust (0.7) has its own evaluation of text fields by name, at a
//! microsecond for each rule and event, and rsigma needs a newer compiler than this workspace's. Neither gives conditions that are checked
//! against typed fields, nor knows values that are not known or were cut. What is left to share is the reading of YAML, which is the small part.

mod condition;
mod correlation;
mod detection;
mod error;
mod logsource;
mod pattern;
mod rule;
mod translate;
mod yaml;

#[cfg(test)]
mod tests;

pub use correlation::{Comparison, Correlation, Keys, Measure, Member};
pub use error::{Error, Unread};
pub use logsource::LogSource;
pub use rule::{Event, Kind, Level, Rule};

use std::path::{Path, PathBuf};
use std::sync::Arc;

use error::Source;
use rule::{Draft, Said};

/// Most bytes of a file.
const MAX_BYTES: u64 = 1 << 20;
/// Deepest that directories are looked into.
const MAX_DEPTH: usize = 16;

/// Reads rules: of files, and of all `.yml` and `.yaml` files in directories and those in these, sorted by name. What is wrong with a rule is
/// its [`Kind::Unsupported`], and the others are read all the same.
///
/// # Errors
///
/// A path that can not be read.
pub fn load<P: AsRef<Path>>(paths: &[P]) -> Result<Vec<Rule>, Unread> {
    let mut drafts = vec![];
    for path in paths {
        for file in files(path.as_ref(), 0)? {
            read(&file, &mut drafts)?;
        }
    }
    Ok(finish(drafts).into_iter().map(|draft| draft.rule).collect())
}

/// The rules in a text: one, or several with `---` between them.
pub fn parse(path: &Path, text: &str) -> Vec<Rule> {
    finish(drafts(path, text)).into_iter().map(|draft| draft.rule).collect()
}

/// The files that a path stands for.
fn files(path: &Path, depth: usize) -> Result<Vec<PathBuf>, Unread> {
    let unread = |why: String| Unread { path: path.to_owned(), why };
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    if depth > MAX_DEPTH {
        return Err(unread(format!("more than {MAX_DEPTH} directories in one another")));
    }
    let entries = std::fs::read_dir(path).map_err(|e| unread(e.to_string()))?;
    let mut names = vec![];
    for entry in entries {
        let entry = entry.map_err(|e| unread(e.to_string()))?;
        // Of links only those to files are followed: directories may lead back.
        let directory = entry.file_type().map_err(|e| unread(e.to_string()))?.is_dir();
        let name = entry.path();
        let rule = name.extension().is_some_and(|e| e == "yml" || e == "yaml") && name.is_file();
        if !entry.file_name().as_encoded_bytes().starts_with(b".") && (directory || rule) {
            names.push(name);
        }
    }
    names.sort();
    let mut found = vec![];
    for name in names {
        found.extend(files(&name, depth + 1)?);
    }
    Ok(found)
}

fn read(path: &Path, drafts: &mut Vec<Draft>) -> Result<(), Unread> {
    let unread = |why: String| Unread { path: path.to_owned(), why };
    let size = std::fs::metadata(path).map_err(|e| unread(e.to_string()))?.len();
    if size > MAX_BYTES {
        return Err(unread(format!("longer than {} MiB", MAX_BYTES >> 20)));
    }
    let bytes = std::fs::read(path).map_err(|e| unread(e.to_string()))?;
    let text = String::from_utf8(bytes).map_err(|_| unread("not UTF-8".into()))?;
    drafts.extend(self::drafts(path, &text));
    Ok(())
}

fn drafts(path: &Path, text: &str) -> Vec<Draft> {
    let source = Source(Arc::from(path));
    match rule::documents(&source, text) {
        Ok(documents) => documents.iter().map(|document| rule::read(&source, document)).collect(),
        Err(error) => vec![rule::wrong(&source, error)],
    }
}

/// Filters narrow, what is narrowed is translated, and correlations are joined to it.
fn finish(drafts: Vec<Draft>) -> Vec<Draft> {
    let (mut filters, mut drafts): (Vec<Draft>, Vec<Draft>) =
        drafts.into_iter().partition(|draft| matches!(draft.said, Said::Filter { .. }));
    filters.iter_mut().for_each(|filter| filter.filter(&mut drafts));
    drafts.append(&mut filters);
    drafts.iter_mut().for_each(Draft::translate);
    for at in 0..drafts.len() {
        if let Some(kind) = correlation::resolve(&drafts, at) {
            drafts[at].rule.kind = kind;
        }
    }
    drafts
}
