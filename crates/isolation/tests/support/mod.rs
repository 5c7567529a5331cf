//! Compiles the objects of `tests/objects`.

use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

fn clang() -> &'static str {
    static CLANG: OnceLock<String> = OnceLock::new();
    CLANG.get_or_init(|| {
        let chosen = std::env::var("CLANG").ok();
        let known = ["clang-19", "clang-18", "clang-17", "clang-16", "clang"].map(str::to_owned);
        let mut names = chosen.map_or_else(|| known.to_vec(), |name| vec![name]).into_iter();
        let works = |name: &String| {
            Command::new(name).arg("--version").output().is_ok_and(|out| out.status.success())
        };
        names.find(works).expect("no clang that runs; set CLANG")
    })
}

/// The object of `tests/objects/NAME.bpf.c`, compiled with `-D` for each of `defines`.
pub(crate) fn compile(name: &str, defines: &[&str]) -> Vec<u8> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/objects/{name}.bpf.c"));
    let directory = tempfile::tempdir().expect("a directory for the object");
    let object = directory.path().join("out.o");
    let out = Command::new(clang())
        .args(["-target", "bpf", "-O2", "-g", "-mcpu=v3", "-Wall", "-Werror", "-Wno-unused", "-c"])
        .args(defines.iter().map(|define| format!("-D{define}")))
        .arg(&source)
        .arg("-o")
        .arg(&object)
        .output()
        .expect("clang runs");
    assert!(out.status.success(), "{name} {defines:?}: {}", String::from_utf8_lossy(&out.stderr));
    std::fs::read(object).expect("clang wrote the object")
}
