//! Tables in files: columns between tabs, `#` before a remark.

use std::fs;
use std::path::Path;

/// The lines of a file: where each stands, and its columns, which must be as many.
pub(crate) fn read(path: &Path, columns: usize) -> Result<Vec<(String, Vec<String>)>, String> {
    println!("cargo::rerun-if-changed={}", path.display());
    let text = fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?;
    text.lines()
        .enumerate()
        .filter(|(_, line)| !line.starts_with("name\t") && !line.starts_with('#') && !line.is_empty())
        .map(|(n, line)| {
            let at = format!("{}:{}", path.display(), n + 1);
            let mut found: Vec<String> = line.split('\t').map(Into::into).collect();
            if found.len() + 1 == columns {
                // The last column may be empty, and an editor may have taken its tab.
                found.push(String::new());
            }
            if found.len() != columns {
                return Err(format!("{at}: {columns} columns expected, {} found", found.len()));
            }
            Ok((at, found))
        })
        .collect()
}
