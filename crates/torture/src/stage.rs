//! The stage: where the workers act, apart from what else the machine does, and gone without a trace afterwards.

use std::fs;
use std::io;
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};

use kernel::Features;

use crate::{Error, worker};

/// What is prepared. Namespaces end with the process; the rest when this is dropped.
#[derive(Debug)]
pub(crate) struct Stage {
    _dir: tempfile::TempDir,
    pub(crate) path: String,
    pub(crate) cgroup: Option<Cgroup>,
    /// The load can use the real-time class.
    pub(crate) realtime: bool,
    /// What the load lacks here.
    pub(crate) notes: Vec<String>,
}

/// A cgroup of our own.
#[derive(Debug)]
pub(crate) struct Cgroup(pub(crate) PathBuf);

impl Drop for Cgroup {
    fn drop(&mut self) {
        // What a killed worker left, then itself. Nothing to do about an error.
        for child in fs::read_dir(&self.0).into_iter().flatten().flatten() {
            let _ = fs::remove_dir(child.path());
        }
        let _ = fs::remove_dir(&self.0);
    }
}

impl Stage {
    /// Prepares it; `busy` is the CPU to which packets are to be steered. This process gets a network of its own: call it in the only
    /// thread, after all that needs the machine's.
    pub(crate) fn new(features: &Features, busy: u32) -> Result<Self, Error> {
        let mut notes = vec![];
        let dir = tempfile::Builder::new()
            .prefix("tarsius-torture-")
            .tempdir()
            .map_err(Error::system("making a folder for the workers"))?;
        let path = dir.path().canonicalize().map_err(Error::system("finding the folder"))?;
        let path = path.to_string_lossy().into_owned();
        worker::write_program(&path)?;
        if let Err(e) = own_network(Path::new(&path), busy) {
            notes.push(format!("packets are not steered to the busy CPU: {e}"));
        }
        let cgroup = match own_cgroup(features) {
            Ok(cgroup) => Some(cgroup),
            Err(e) => {
                notes.push(format!("no cgroups come and go: {e}"));
                None
            }
        };
        let realtime = worker::set_realtime(Some(worker::READER)) && worker::set_realtime(None);
        if !realtime {
            notes.push("no real-time tasks preempt the others: the kernel refuses SCHED_FIFO".into());
        }
        Ok(Self { _dir: dir, path, cgroup, realtime, notes })
    }
}

fn own_cgroup(features: &Features) -> Result<Cgroup, Error> {
    let none = || Error::system("making a cgroup")(io::Error::other("cgroup v2 is not mounted"));
    let root = features.cgroup2.mount.as_ref().ok_or_else(none)?;
    let path = root.join(format!("tarsius-torture-{}", std::process::id()));
    fs::create_dir(&path).map_err(Error::system(format!("making {}", path.display())))?;
    Ok(Cgroup(path))
}

/// A network namespace with nothing but loopback, whose packets are processed on the busy CPU (receive packet steering): so a packet that
/// was sent on another interrupts what runs there. All ports are free in it, and the machine's network sees nothing of it.
fn own_network(dir: &Path, busy: u32) -> Result<(), Error> {
    let check = |result: i32, what: &str| if result < 0 { Err(Error::last(what)) } else { Ok(result) };
    // SAFETY: plain system calls; the strings and structures live through them.
    unsafe {
        check(libc::unshare(libc::CLONE_NEWNET | libc::CLONE_NEWNS), "a network of our own")?;
        let private = libc::MS_REC | libc::MS_PRIVATE;
        let none = std::ptr::null();
        check(libc::mount(none, c"/".as_ptr(), none, private, none.cast()), "keeping mounts to ourselves")?;
        let socket = std::net::UdpSocket::bind("0.0.0.0:0").map_err(Error::system("a socket"))?;
        let mut request: libc::ifreq = std::mem::zeroed();
        for (to, from) in request.ifr_name.iter_mut().zip(c"lo".to_bytes()) {
            *to = from.cast_signed();
        }
        request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as i16;
        check(libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &raw mut request), "starting loopback")?;
    }
    // sysfs shows the devices of the network in which it was mounted.
    let sys = dir.join("sys");
    fs::create_dir(&sys).map_err(Error::system("a place for sysfs"))?;
    let target = std::ffi::CString::new(sys.as_os_str().as_encoded_bytes())
        .map_err(|e| Error::system("a place for sysfs")(e.into()))?;
    // SAFETY: as above.
    unsafe {
        let kind = c"sysfs".as_ptr();
        check(libc::mount(kind, target.as_ptr(), kind, 0, std::ptr::null()), "mounting sysfs")?;
    }
    let file = sys.join("class/net/lo/queues/rx-0/rps_cpus");
    let steered = fs::write(&file, mask(busy))
        .map_err(Error::system(format!("steering packets to CPU {busy} (rps_cpus)")));
    // SAFETY: as above.
    unsafe { libc::umount2(target.as_ptr(), libc::MNT_DETACH) };
    steered
}

/// A mask of one CPU as sysfs takes it: words of 32 bits in hexadecimal, the highest first.
fn mask(cpu: u32) -> String {
    let mut text = format!("{:x}", 1u32 << (cpu % 32));
    text.push_str(&",00000000".repeat((cpu / 32) as usize));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks() {
        assert_eq!(mask(0), "1");
        assert_eq!(mask(5), "20");
        assert_eq!(mask(32), "1,00000000");
        assert_eq!(mask(65), "2,00000000,00000000");
    }
}
