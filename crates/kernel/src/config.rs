//! The configuration the kernel was built with.

use std::{
    ffi::{CString, c_char, c_int, c_void},
    ptr::NonNull,
};

// libbpf needs zlib, so it is linked in any case.
unsafe extern "C" {
    fn gzopen(path: *const c_char, mode: *const c_char) -> *mut c_void;
    fn gzread(file: *mut c_void, buffer: *mut c_void, length: u32) -> c_int;
    fn gzclose(file: *mut c_void) -> c_int;
}

/// The configuration's text and the file it came from: what the kernel itself tells, else what lies beside its image.
pub(crate) fn read(release: &str) -> Result<(String, String), String> {
    let paths = [
        "/proc/config.gz".to_owned(),
        format!("/boot/config-{release}"),
        format!("/lib/modules/{release}/config"),
        format!("/usr/lib/modules/{release}/config"),
    ];
    paths
        .into_iter()
        .find_map(|path| Some((inflate(&path)?, path)))
        .ok_or_else(|| "debugfs is not readable and the kernel's configuration is nowhere to be found".into())
}

/// Reads a file that may be compressed.
fn inflate(path: &str) -> Option<String> {
    // No kernel's configuration is near this: a bound for a file that is none.
    const LIMIT: usize = 4 << 20;
    let path = CString::new(path).ok()?;
    // SAFETY: both strings are NUL-terminated; the result is null or a file of zlib's.
    let file = NonNull::new(unsafe { gzopen(path.as_ptr(), c"r".as_ptr()) })?;
    let mut text = Vec::new();
    let mut buffer = vec![0u8; 64 << 10];
    let complete = loop {
        // SAFETY: the file is open and the length is the buffer's.
        let length = unsafe { gzread(file.as_ptr(), buffer.as_mut_ptr().cast(), buffer.len() as u32) };
        match usize::try_from(length) {
            Err(_) => break false,
            Ok(0) => break true,
            Ok(length) => text.extend_from_slice(&buffer[..length]),
        }
        if text.len() > LIMIT {
            break false;
        }
    };
    // SAFETY: the file is open, and closed only here.
    unsafe { gzclose(file.as_ptr()) };
    String::from_utf8(text).ok().filter(|_| complete)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_files_are_read_as_they_are() {
        assert!(inflate("/proc/self/status").is_some_and(|text| text.contains("CapEff")));
        assert_eq!(inflate("/nonexistent"), None);
    }
}
