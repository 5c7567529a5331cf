//! The acts that change what memory may do, and what is told of each.

use std::fs::{self, File};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::ptr;

use serde_json::json;

use super::Trigger;
use crate::acts::check;

pub(super) const TRIGGERS: &[Trigger] = &[
    Trigger {
        event: "mem_prot_alert",
        act: |_| {
            let page = map(libc::PROT_READ | libc::PROT_WRITE, None);
            protect(page, libc::PROT_READ | libc::PROT_EXEC);
            protect(page, libc::PROT_READ | libc::PROT_WRITE | libc::PROT_EXEC);
            protect(page, libc::PROT_READ);
            protect(page, libc::PROT_EXEC);
            map(libc::PROT_WRITE | libc::PROT_EXEC, None);
        },
        check: |told| {
            for (alert, before, prot) in [(4, 3, 5), (3, 5, 7), (2, 1, 4)] {
                told.one("alert", alert).assert(&[
                    ("prev_prot", json!(before)),
                    ("prot", json!(prot)),
                    ("len", json!(4096)),
                ]);
            }
            let mapped = told.one("alert", 1);
            mapped.assert(&[("prot", json!(6)), ("len", json!(4096))]);
            assert_eq!(mapped.parsed("alert"), "mapped-writable-and-executable");
            assert_eq!(mapped.parsed("prot"), "PROT_WRITE|PROT_EXEC");
        },
        ..Trigger::NONE
    },
    Trigger {
        event: "security_mmap_file",
        act: |_| {
            map(libc::PROT_READ, Some(&file()));
        },
        check: |told| {
            let line = told.one("pathname", told.path("mapped"));
            line.assert(&[("prot", json!(1)), ("mmap_flags", json!(2))]);
            assert_eq!((line.parsed("prot"), line.parsed("mmap_flags")), (json!("PROT_READ"), json!("MAP_PRIVATE")));
        },
        ..Trigger::NONE
    },
    Trigger {
        event: "do_mmap",
        act: |_| {
            map(libc::PROT_READ, Some(&file()));
        },
        check: |told| {
            told.one("pathname", told.path("mapped")).assert(&[
                ("prot", json!(1)),
                ("len", json!(4096)),
                ("pgoff", json!(0)),
                ("mmap_flags", json!(2)),
            ]);
        },
        ..Trigger::NONE
    },
    Trigger {
        event: "security_file_mprotect",
        act: |_| protect(map(libc::PROT_READ, Some(&file())), libc::PROT_NONE),
        check: |told| {
            told.one("pathname", told.path("mapped")).assert(&[("prot", json!(0)), ("prev_prot", json!(1))]);
        },
        ..Trigger::NONE
    },
    Trigger { event: "loaded_file_hash", elsewhere: Some("hashes_of_loaded_files"), ..Trigger::NONE },
    Trigger {
        event: "shared_object_loaded",
        act: |_| {
            let file = file();
            // A time that was asked for is marked so in the kernel.
            file.metadata().unwrap();
            map(libc::PROT_READ | libc::PROT_EXEC, Some(&file));
        },
        check: |told| {
            let file = fs::metadata(told.dir.join("mapped")).unwrap();
            let ctime = file.ctime() * 1_000_000_000 + file.ctime_nsec();
            told.one("pathname", told.path("mapped")).assert(&[("ctime", json!(ctime))]);
        },
        ..Trigger::NONE
    },
    #[cfg(target_arch = "x86_64")]
    Trigger {
        event: "suspicious_syscall_source",
        act: |_| {
            let page = map(libc::PROT_READ | libc::PROT_WRITE, None);
            // mov eax, edi; mov rdi, rsi; syscall; ret: a call of the number in the first argument.
            let code = [0x89, 0xf8, 0x48, 0x89, 0xf7, 0x0f, 0x05, 0xc3];
            // SAFETY: the page is ours, and holds a whole function of that type once the code is there.
            let call: extern "C" fn(i64, i64) -> i64 = unsafe {
                ptr::copy_nonoverlapping(code.as_ptr(), page, code.len());
                protect(page, libc::PROT_READ | libc::PROT_EXEC);
                std::mem::transmute(page)
            };
            check(call(libc::SYS_unshare, 0));
        },
        check: |told| {
            told.one("syscall", libc::SYS_unshare)
                .assert(&[("vma_type", json!("anonymous")), ("vma_size", json!(4096))]);
        },
        ..Trigger::NONE
    },
    #[cfg(target_arch = "x86_64")]
    Trigger {
        event: "stack_pivot",
        act: |_| {
            let page = map(libc::PROT_READ | libc::PROT_WRITE, None);
            // To a page of its own, and to where nothing is: the kernel does not look.
            // SAFETY: the page is as long as that.
            for stack in [unsafe { page.add(2048) }, std::ptr::without_provenance_mut(16)] {
                let mut result = libc::SYS_unshare;
                // SAFETY: the stack pointer is put back before anything uses it; unshare of nothing does nothing.
                unsafe {
                    std::arch::asm!(
                        "xchg rsp, {stack}",
                        "syscall",
                        "xchg rsp, {stack}",
                        stack = inout(reg) stack => _,
                        inout("rax") result,
                        in("rdi") 0,
                        out("rcx") _,
                        out("r11") _,
                    );
                }
                check(result);
            }
            // What is no pivot: a call on a thread's own stack.
            // SAFETY: unshare of nothing does nothing.
            std::thread::spawn(|| check(unsafe { libc::unshare(0) }.into())).join().unwrap();
        },
        check: |told| {
            let page = told.one("vma_type", "anonymous");
            page.assert(&[("syscall", json!(libc::SYS_unshare)), ("vma_size", json!(4096))]);
            told.one("vma_type", "unmapped").assert(&[("syscall", json!(libc::SYS_unshare)), ("sp", json!(16))]);
            assert_eq!(told.lines.0.len(), 2, "{:?}", told.lines);
        },
        ..Trigger::NONE
    },
];

/// A file of one page, in the working directory.
fn file() -> File {
    fs::write("mapped", [0; 4096]).unwrap();
    File::open("mapped").unwrap()
}

/// Maps a page. Between two others that nothing may touch, so that it does not melt into a neighbour.
fn map(prot: i32, file: Option<&File>) -> *mut u8 {
    let private = libc::MAP_PRIVATE;
    // SAFETY: a new mapping, and one page of it that is mapped anew.
    unsafe {
        if let Some(file) = file {
            let page = libc::mmap(ptr::null_mut(), 4096, prot, private, file.as_raw_fd(), 0);
            assert_ne!(page, libc::MAP_FAILED);
            return page.cast();
        }
        let around =
            libc::mmap(ptr::null_mut(), 3 * 4096, libc::PROT_NONE, private | libc::MAP_ANONYMOUS, -1, 0);
        assert_ne!(around, libc::MAP_FAILED);
        let flags = private | libc::MAP_ANONYMOUS | libc::MAP_FIXED;
        let page = libc::mmap(around.byte_add(4096), 4096, prot, flags, -1, 0);
        assert_ne!(page, libc::MAP_FAILED);
        page.cast()
    }
}

fn protect(page: *mut u8, prot: i32) {
    // SAFETY: a page of ours that nothing else uses.
    check(unsafe { libc::mprotect(page.cast(), 4096, prot) }.into());
}
