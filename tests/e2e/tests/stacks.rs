//! User stacks: the very functions and lines by which a small program comes to an act.

use std::fs;
use std::path::Path;
use std::process::Command;

use e2e::{Account, Act, Watch, watch_act};
use serde_json::{Value, json};

use crate::Test;

pub(crate) const TESTS: &[Test] = &[
    ("user_stack", user_stack),
    ("user_stack_without_symbols", without_symbols),
    ("user_stack_of_who_is_gone", gone),
    ("user_stack_of_a_file_that_was_replaced", replaced),
    ("user_stack_of_code_without_a_file", anonymous),
    ("user_stack_in_other_tiers", tiers),
    ("user_stack_only_on_request", on_request),
];

/// Opens a file by the system call itself: the C library's wrapper need not keep frame pointers.
const SOURCE: &str = r#"#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

__attribute__((always_inline)) static inline long call(long number, long a, const char *b, long c)
{
#if defined(__x86_64__)
	register long r10 asm("r10") = 0;
	asm volatile("syscall" : "+a"(number) : "D"(a), "S"(b), "d"(c), "r"(r10) : "rcx", "r11", "memory");
	return number;
#else
	register long x8 asm("x8") = number, x0 asm("x0") = a, x2 asm("x2") = c, x3 asm("x3") = 0;
	register const char *x1 asm("x1") = b;
	asm volatile("svc #0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3) : "memory");
	return x0;
#endif
}

long b(const char *path)
{
	return call(SYS_openat, -100, path, 0); /* line 23 */
}

long a(const char *path)
{
	return b(path) + 1; /* line 28 */
}

/* The same from a copy of code in memory that is of no file: it has a frame and calls what it is given. */
static long from_memory(const char *path)
{
#if defined(__x86_64__)
	/* push rbp; mov rbp, rsp; call rsi; pop rbp; ret */
	static const unsigned char code[] = {0x55, 0x48, 0x89, 0xe5, 0xff, 0xd6, 0x5d, 0xc3};
#else
	/* stp x29, x30, [sp, #-16]!; mov x29, sp; blr x1; ldp x29, x30, [sp], #16; ret */
	static const unsigned char code[] = {0xfd, 0x7b, 0xbf, 0xa9, 0xfd, 0x03, 0x00, 0x91, 0x20, 0x00,
					     0x3f, 0xd6, 0xfd, 0x7b, 0xc1, 0xa8, 0xc0, 0x03, 0x5f, 0xd6};
#endif
	char *memory = mmap(0, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	memcpy(memory, code, sizeof(code));
	__builtin___clear_cache(memory, memory + sizeof(code));
	return ((long (*)(const char *, long (*)(const char *)))memory)(path, a);
}

int main(int argc, char **argv)
{
	long got = argc > 3 ? from_memory(argv[1]) : a(argv[1]); /* line 50 */
	usleep(1000 * (argc > 2 ? atoi(argv[2]) : 0));
	return got < 0;
}
"#;

/// As often the symbols of a program may come late, one after another.
const TRIES: u32 = 20;

/// The program, compiled.
fn program(dir: &Path, flags: &[&str]) -> String {
    let (source, program) = (dir.join("stack.c"), dir.join("stack"));
    fs::write(&source, SOURCE).unwrap();
    let status = Command::new("cc")
        .args(["-O0", "-fno-omit-frame-pointer"])
        .args(flags)
        .arg("-o")
        .args([&program, &source])
        .status();
    assert!(status.unwrap().success(), "cc failed");
    program.to_str().unwrap().into()
}

/// Watches the program, run with those arguments: again, if symbols came too late to be told, as on a busy machine they may.
fn watched(program: &str, mark: &str, arguments: &str, more: &[&str]) -> Account {
    let commands = [format!("{program} {mark} {arguments}")];
    let options = [&["--enrichment", "user-stack"], more].concat();
    let mut tries = (0..TRIES).map(|_| watch_act("commands", &commands, "security_file_open", &options).0);
    let is_late = |account: &Account| frames(account, mark).iter().any(|frame| frame["unresolved"] == "late");
    tries.find(|account| !is_late(account)).expect("symbols came late each time")
}

fn frames(account: &Account, mark: &str) -> Vec<Value> {
    let open = account.lines.one("security_file_open", "pathname", mark);
    let frames = open.process("/thread/user_stack_trace/addresses");
    frames.as_array().unwrap_or_else(|| panic!("no stack: {open:?}")).clone()
}

/// The frames of the program: whose name is that function's.
fn assert_frame(frame: &Value, function: &str, line: Option<u32>, program: &str) {
    let symbol = frame["symbol"].as_str().unwrap_or_else(|| panic!("no symbol: {frame}"));
    assert_eq!(symbol.split_once("+0x").unwrap().0, function, "{frame}");
    assert_eq!(frame["file"], program, "{frame}");
    let (inode, _) = e2e::inode_of(Path::new(program));
    assert_eq!(frame["inode"], inode, "{frame}");
    let at = line.map(|line| format!("stack.c:{line}"));
    match (frame["source"].as_str(), at) {
        (source, None) => assert_eq!(source, None, "{frame}"),
        (source, Some(at)) => assert!(source.is_some_and(|s| s.ends_with(&at)), "{frame} is not at {at}"),
    }
}

fn user_stack(_: &str) {
    let dir = tempfile::tempdir().unwrap();
    let program = program(dir.path(), &["-g"]);
    let mark = dir.path().join("mark");
    fs::write(&mark, "").unwrap();
    let mark = mark.to_str().unwrap();
    let account = watched(&program, mark, "500", &[]);
    let frames = frames(&account, mark);
    assert_frame(&frames[0], "b", Some(23), &program);
    let inlined = frames[0]["inlined"][0].as_str().unwrap();
    assert!(inlined.starts_with("call (") && inlined.contains("stack.c:"), "{inlined}");
    assert_frame(&frames[1], "a", Some(28), &program);
    assert_frame(&frames[2], "main", Some(50), &program);
    // Who called main is in the C library, and what stands there is in its file.
    assert!(frames[3]["file"].as_str().unwrap().contains("/libc"), "{:?}", frames[3]);
    let address = |n: usize| frames[n]["address"].as_u64().unwrap();
    let offset = |n: usize| frames[n]["offset"].as_u64().unwrap();
    assert_eq!(address(0) - offset(0), address(2) - offset(2), "one mapping");
    account.assert_clean();
}

fn without_symbols(_: &str) {
    let dir = tempfile::tempdir().unwrap();
    let program = program(dir.path(), &["-s"]);
    let mark = dir.path().join("mark");
    fs::write(&mark, "").unwrap();
    let mark = mark.to_str().unwrap();
    let account = watched(&program, mark, "500", &[]);
    for frame in &frames(&account, mark)[..3] {
        assert_eq!((&frame["symbol"], &frame["source"]), (&Value::Null, &Value::Null), "{frame}");
        assert_eq!((&frame["unresolved"], &frame["file"]), (&json!("no_symbol"), &json!(program)), "{frame}");
        assert!(frame["offset"].as_u64().unwrap() > 0, "{frame}");
    }
    assert!(account.said.contains("no_symbol"), "{}", account.said);
    account.assert_clean();
}

/// The process has ended long before anyone can look at its mappings: its program is found by its path, if it is still that one.
fn gone(_: &str) {
    let dir = tempfile::tempdir().unwrap();
    let program = program(dir.path(), &["-g"]);
    let mark = dir.path().join("mark");
    fs::write(&mark, "").unwrap();
    let mark = mark.to_str().unwrap();
    let account = watched(&program, mark, "0", &[]);
    let frames = frames(&account, mark);
    assert_frame(&frames[0], "b", Some(23), &program);
    assert_frame(&frames[2], "main", Some(50), &program);
    account.assert_clean();
}

/// Another program has the name by the time: its functions are not blamed, and which file it was stays known.
fn replaced(_: &str) {
    let dir = tempfile::tempdir().unwrap();
    let program = program(dir.path(), &["-g"]);
    let (inode, _) = e2e::inode_of(Path::new(&program));
    let mark = dir.path().join("mark");
    fs::write(&mark, "").unwrap();
    let mark = mark.to_str().unwrap();
    // The watch stands still while it happens.
    let script = dir.path().join("script");
    let one_after_another =
        format!("set -e\n{program} {mark}\ncp /bin/cat {program}.new\nmv {program}.new {program}\n");
    fs::write(&script, one_after_another).unwrap();
    let mut act = Act::new("commands", &[format!("/bin/sh {}", script.display())]);
    let scope = format!("tree={}", act.pid());
    let watch =
        Watch::start(&["--events", "security_file_open", "--scope", &scope, "--enrichment", "user-stack"]);
    e2e::signal(watch.pid(), libc::SIGSTOP);
    act.perform();
    e2e::signal(watch.pid(), libc::SIGCONT);
    let account = watch.stop();
    let frames = frames(&account, mark);
    for frame in &frames[..3] {
        assert_eq!((&frame["unresolved"], &frame["file"]), (&json!("file_gone"), &Value::Null), "{frame}");
        assert_eq!(frame["inode"], inode, "{frame}");
    }
    assert!(account.said.contains("file_gone"), "{}", account.said);
}

fn anonymous(_: &str) {
    let dir = tempfile::tempdir().unwrap();
    let program = program(dir.path(), &["-g"]);
    let mark = dir.path().join("mark");
    fs::write(&mark, "").unwrap();
    let mark = mark.to_str().unwrap();
    let account = watched(&program, mark, "500 memory", &[]);
    let frames = frames(&account, mark);
    assert_frame(&frames[1], "a", Some(28), &program);
    assert_eq!(frames[2]["unresolved"], "anonymous_memory", "{:?}", frames[2]);
    assert_eq!((&frames[2]["file"], &frames[2]["symbol"]), (&Value::Null, &Value::Null));
    assert_frame(&frames[3], "from_memory", Some(45), &program);
    assert_frame(&frames[4], "main", Some(50), &program);
}

fn tiers(_: &str) {
    let dir = tempfile::tempdir().unwrap();
    let program = program(dir.path(), &["-g"]);
    let mark = dir.path().join("mark");
    fs::write(&mark, "").unwrap();
    let mark = mark.to_str().unwrap();
    for avoid in ["lsm", "lsm,kprobe"] {
        let account = watched(&program, mark, "500", &["--avoid", avoid]);
        assert_frame(&frames(&account, mark)[1], "a", Some(28), &program);
        account.assert_clean();
    }
    // And by the system call itself.
    let commands = [format!("{program} {mark} 500")];
    let account = watch_act("commands", &commands, "openat", &["--enrichment", "user-stack"]).0;
    let frames =
        account.lines.one("openat", "pathname", mark).process("/thread/user_stack_trace/addresses").clone();
    assert_frame(&frames[0], "b", Some(23), &program);
    account.assert_clean();
}

/// The control: nothing of it without the option.
fn on_request(_: &str) {
    let dir = tempfile::tempdir().unwrap();
    let program = program(dir.path(), &["-g"]);
    let mark = dir.path().join("mark");
    fs::write(&mark, "").unwrap();
    let mark = mark.to_str().unwrap();
    let account = watch_act("commands", &[format!("{program} {mark}")], "security_file_open", &[]).0;
    let open = account.lines.one("security_file_open", "pathname", mark);
    assert_eq!(open.process("/thread/user_stack_trace"), &Value::Null);
    account.assert_clean();
}
