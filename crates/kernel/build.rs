//! Compiles the one BPF object of this crate, which measures whether tracepoint programs can be preempted.

use std::{env, path::PathBuf, process::Command};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let source = "bpf/preempt.bpf.c";
    println!("cargo:rerun-if-changed={source}");
    println!("cargo:rerun-if-env-changed=CLANG");

    let object = PathBuf::from(env::var("OUT_DIR")?).join("preempt.bpf.o");
    let libbpf_headers = env::var("DEP_BPF_INCLUDE")?;
    let arch = match env::var("CARGO_CFG_TARGET_ARCH")?.as_str() {
        "x86_64" => "x86",
        "aarch64" => "arm64",
        other => return Err(format!("no BPF target for {other}").into()),
    };
    // clang 14 crashes on CO-RE type matching; 16 and newer do not. Distributions install versioned names.
    let candidates = match env::var("CLANG") {
        Ok(clang) => vec![clang],
        Err(_) => ["clang", "clang-21", "clang-20", "clang-19", "clang-18", "clang-17", "clang-16"]
            .map(String::from)
            .to_vec(),
    };
    let clang = candidates
        .iter()
        .find(|clang| Command::new(clang).arg("--version").output().is_ok_and(|run| run.status.success()))
        .ok_or("no clang found; set CLANG")?;

    let status = Command::new(clang)
        // -mcpu=v2: kernel 5.10 is the oldest we run on, and v3 buys this object nothing.
        .args(["-target", "bpf", "-mcpu=v2", "-O2", "-g", "-Wall", "-Werror", "-c"])
        .arg(format!("-D__TARGET_ARCH_{arch}"))
        .arg("-I")
        .arg(libbpf_headers)
        .arg(source)
        .arg("-o")
        .arg(&object)
        .status()?;
    if !status.success() {
        return Err(format!("{clang} {source}: {status}").into());
    }
    println!("cargo:rustc-env=PREEMPT_OBJECT={}", object.display());
    Ok(())
}
