//! Puts the rules that come with Tarsius into the program.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

fn main() -> io::Result<()> {
    let variable = |name: &str| env::var_os(name).map(PathBuf::from).ok_or(io::ErrorKind::NotFound);
    let rules = variable("CARGO_MANIFEST_DIR")?.join("../../rules");
    println!("cargo:rerun-if-changed={}", rules.display());
    let mut files: Vec<PathBuf> =
        fs::read_dir(&rules)?.map(|entry| entry.map(|e| e.path())).collect::<Result<_, _>>()?;
    files.retain(|f| f.extension().is_some_and(|e| e == "yaml"));
    files.sort();
    let mut text =
        String::from("/// The rules that come with Tarsius: the name of each file, and what is in it.\n");
    text.push_str("static SHIPPED: &[(&str, &str)] = &[\n");
    for file in &files {
        let name = file.file_name().map(Path::new).unwrap_or(file);
        // Writing to a string can not fail.
        let _ = writeln!(
            text,
            "({:?}, include_str!({:?})),",
            Path::new("rules").join(name),
            fs::canonicalize(file)?
        );
    }
    text.push_str("];\n");
    fs::write(variable("OUT_DIR")?.join("shipped.rs"), text)
}
