//! Compiles the families' BPF programs into one object, twice: with what kernels from 5.17 on have, and without (`LEGACY`).
//! Stops the build when a program reaches memory that it must not reach.

#[path = "proof.rs"]
mod proof;
#[path = "strays.rs"]
mod strays;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

type Failure = Box<dyn std::error::Error>;

fn main() {
    if let Err(e) = run() {
        // A build script has no better way to stop the build with a message.
        eprintln!("sensor: {e}");
        std::process::exit(1);
    }
}

fn run() -> Result<(), Failure> {
    let root = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?).join("../..").canonicalize()?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    println!("cargo::rerun-if-changed={}", root.join("bpf").display());
    println!("cargo::rerun-if-changed={}", root.join("families").display());
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=proof.rs");
    println!("cargo::rerun-if-changed=strays.rs");
    println!("cargo::rerun-if-env-changed=CLANG");

    fs::write(out.join("catalogue.h"), catalogue::HEADER)?;
    let source = out.join("tarsius.bpf.c");
    fs::write(&source, translation_unit(&root)?)?;
    let clang = clang()?;
    for (name, flags) in [("modern", &["-mcpu=v3"][..]), ("legacy", &["-mcpu=v3", "-DLEGACY"][..])] {
        let object = out.join(format!("{name}.bpf.o"));
        compile(&clang, &root, &out, &source, flags, &object)?;
        drop_stray_loads(&object)?;
        prove(name, &fs::read(&object)?)?;
        let object = out.join(format!("{name}.sift.bpf.o"));
        compile(&clang, &root, &out, &root.join("bpf/sift.bpf.c"), flags, &object)?;
    }
    Ok(())
}

/// One file that includes the programs of every family.
fn translation_unit(root: &Path) -> Result<String, Failure> {
    let mut files: Vec<PathBuf> = fs::read_dir(root.join("families"))?
        .filter_map(|d| d.ok())
        .flat_map(|d| fs::read_dir(d.path()).into_iter().flatten().filter_map(|f| f.ok()).map(|f| f.path()))
        .filter(|p| p.to_string_lossy().ends_with(".bpf.c"))
        .collect();
    files.sort();
    files.insert(0, root.join("bpf/dispatch.bpf.c"));
    let mut text = String::from("#include \"probe.h\"\n");
    for file in files {
        text.push_str(&format!("#include \"{}\"\n", file.display()));
    }
    text.push_str("char LICENSE[] SEC(\"license\") = \"Dual BSD/GPL\";\n");
    Ok(text)
}

/// The first clang that is new enough: 14 crashes on relocations that tell types apart.
fn clang() -> Result<String, Failure> {
    let named = env::var("CLANG").ok();
    let candidates = named.into_iter().chain(
        ["clang-19", "clang-18", "clang-17", "clang-16", "clang-20", "clang-21", "clang"].map(String::from),
    );
    for candidate in candidates {
        let Ok(output) = Command::new(&candidate).arg("-dumpversion").output() else { continue };
        let version = String::from_utf8_lossy(&output.stdout);
        if version.split('.').next().and_then(|v| v.trim().parse::<u32>().ok()).is_some_and(|v| v >= 16) {
            return Ok(candidate);
        }
    }
    Err("no clang of version 16 or newer; install one (./x install-deps) or name it in CLANG".into())
}

fn compile(
    clang: &str,
    root: &Path,
    out: &Path,
    source: &Path,
    flags: &[&str],
    object: &Path,
) -> Result<(), Failure> {
    let arch = env::var("CARGO_CFG_TARGET_ARCH")?;
    let target = match arch.as_str() {
        "x86_64" => "-D__TARGET_ARCH_x86",
        "aarch64" => "-D__TARGET_ARCH_arm64",
        other => return Err(format!("no BPF side for the architecture {other}").into()),
    };
    let headers = env::var("DEP_BPF_INCLUDE").map_err(|_| "libbpf-sys gave no path of its headers")?;
    let status = Command::new(clang)
        .args(["-target", "bpf", "-O2", "-g", "-Wall", "-Werror", "-Wno-unused-function", target])
        .args(flags)
        .arg(format!("-ffile-prefix-map={}=.", root.display()))
        .arg("-I")
        .arg(root.join("bpf/lib"))
        .arg("-I")
        .arg(root.join("bpf/arch").join(&arch))
        .arg("-I")
        .arg(out)
        .arg("-I")
        .arg(headers)
        .arg("-c")
        .arg(source)
        .arg("-o")
        .arg(object)
        .status()?;
    if status.success() { Ok(()) } else { Err(format!("{clang} failed on the BPF programs").into()) }
}

/// See `strays.rs`.
fn drop_stray_loads(path: &Path) -> Result<(), Failure> {
    const SHF_EXECINSTR: u64 = 4;
    let mut bytes = fs::read(path)?;
    let number = |bytes: &[u8], at: u64, size: usize| -> Result<u64, Failure> {
        let at = usize::try_from(at)?;
        let field = bytes.get(at..at + size).ok_or("the object ends too soon")?;
        Ok(field.iter().rev().fold(0, |n, b| n << 8 | u64::from(*b)))
    };
    let (headers, size, count) =
        (number(&bytes, 0x28, 8)?, number(&bytes, 0x3a, 2)?, number(&bytes, 0x3c, 2)?);
    for header in (0..count).map(|n| headers + n * size) {
        if number(&bytes, header + 8, 8)? & SHF_EXECINSTR == 0 {
            continue;
        }
        let start = usize::try_from(number(&bytes, header + 0x18, 8)?)?;
        let end = start + usize::try_from(number(&bytes, header + 0x20, 8)?)?;
        let code = bytes.get_mut(start..end).ok_or("the object ends too soon")?;
        strays::mend(code);
    }
    Ok(fs::write(path, bytes)?)
}

/// Stops the build if a program reaches memory that it must not reach.
fn prove(name: &str, object: &[u8]) -> Result<(), Failure> {
    let report = proof::check(object, |_, lane| lane)?;
    if report.is_clean() {
        Ok(())
    } else {
        Err(format!("the {name} object is not isolated:\n{report}").into())
    }
}
