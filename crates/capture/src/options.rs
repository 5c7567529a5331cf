//! The values of `--artifacts`, called as Tracee calls them, and some of our own for rotation.

use std::path::PathBuf;
use std::time::Duration;

use crate::Error;

/// What is captured, and where it goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// The folder. Files are made in `out` below it.
    pub folder: PathBuf,
    /// What `out` held before is removed first.
    pub clear: bool,
    /// Packets are captured. Files are, where policies want it.
    pub network: bool,
    /// Which packets share a file.
    pub splits: Vec<Split>,
    /// Only packets of the kinds that the selected events are about.
    pub filtered: bool,
    /// Bytes of what a packet carries, behind its headers.
    pub payload: u16,
    /// When a file is put aside for a new one.
    pub rotation: Rotation,
}

/// Which packets share a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Split {
    /// All.
    Single,
    /// Those of a process.
    Process,
    /// Those of a container; those of none in another.
    Container,
    /// Those of all processes of that name, in a container or in none.
    Command,
}

/// When a file is put aside for a new one, and what is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rotation {
    /// With so many bytes.
    pub size: Option<u64>,
    /// When it is so old.
    pub age: Option<Duration>,
    /// So many files that were put aside are kept of each, the newest.
    pub keep: Option<usize>,
}

/// As much of a payload as is captured unless told otherwise, as in Tracee.
const DEFAULT_PAYLOAD: u16 = 96;
/// What Tracee captures besides.
const OTHERS: [&str; 6] =
    ["file-write", "file-read", "executable", "kernel-modules", "bpf-programs", "memory-regions"];

impl Default for Options {
    fn default() -> Self {
        Options {
            folder: "/var/lib/tarsius".into(),
            clear: false,
            network: false,
            splits: vec![Split::Single],
            filtered: false,
            payload: DEFAULT_PAYLOAD,
            rotation: Rotation::default(),
        }
    }
}

impl Options {
    /// Reads the values of `--artifacts`, one option each.
    ///
    /// # Errors
    ///
    /// Options that there are not, and values that they do not take.
    pub fn parse<S: AsRef<str>>(flags: &[S]) -> Result<Options, Error> {
        let mut options = Options::default();
        for flag in flags.iter().map(|f| f.as_ref().trim()) {
            let wrong = |what| Error::Option { option: flag.into(), what };
            let (key, value) = flag.split_once('=').map_or((flag, None), |(k, v)| (k, Some(v)));
            options.network |= key == "network" || key.starts_with("network.");
            match (key, value) {
                ("network" | "network.enabled", None | Some("true")) => {}
                ("network.pcap.split", Some(value)) => {
                    options.splits = splits(value).ok_or_else(|| {
                        wrong(
                            "network.pcap.split is single, process, container, command, or several by comma",
                        )
                    })?;
                }
                ("network.pcap.options", Some("none")) => options.filtered = false,
                ("network.pcap.options", Some("filtered")) => options.filtered = true,
                ("network.pcap.options", _) => return Err(wrong("network.pcap.options is none or filtered")),
                ("network.pcap.snaplen", Some(value)) => {
                    options.payload = payload(value).ok_or_else(|| {
                        wrong(
                            "network.pcap.snaplen is default, headers, max, or bytes up to 65535: 512b, 4kb",
                        )
                    })?;
                }
                ("network.pcap.rotate.size", Some(value)) => {
                    let size = bytes(value).filter(|&n| n >= 4096);
                    options.rotation.size =
                        Some(size.ok_or_else(|| wrong("network.pcap.rotate.size is 4kb or more: 64mb"))?);
                }
                ("network.pcap.rotate.time", Some(value)) => {
                    options.rotation.age = Some(
                        age(value)
                            .ok_or_else(|| wrong("network.pcap.rotate.time is a time: 30s, 10m, 1h"))?,
                    );
                }
                ("network.pcap.rotate.files", Some(value)) => {
                    let keep = value.parse().map_err(|_| wrong("network.pcap.rotate.files is a number"))?;
                    options.rotation.keep = Some(keep);
                }
                ("dir.path", Some(path)) if path.starts_with('/') => options.folder = path.into(),
                ("dir.path", _) => return Err(wrong("dir.path is an absolute path")),
                ("dir.clear", None | Some("true")) => options.clear = true,
                _ if OTHERS.iter().any(|o| key.split('.').next() == Some(o)) => {
                    return Err(wrong(
                        "of artifacts only network is captured, and files by policies with the action capture",
                    ));
                }
                _ => {
                    return Err(wrong(
                        "network, network.pcap.split=, network.pcap.options=, network.pcap.snaplen=, \
                         network.pcap.rotate.size=, network.pcap.rotate.time=, network.pcap.rotate.files=, \
                         dir.path= or dir.clear",
                    ));
                }
            }
        }
        Ok(options)
    }

    /// Removes what earlier captures have left, if that is asked for.
    ///
    /// # Errors
    ///
    /// It can not be removed.
    pub fn clear(&self) -> Result<(), Error> {
        if !self.clear {
            return Ok(());
        }
        let path = self.folder.join("out");
        match std::fs::remove_dir_all(&path) {
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                Err(Error::Folder { what: "clearing", path, source })
            }
            _ => Ok(()),
        }
    }
}

fn splits(value: &str) -> Option<Vec<Split>> {
    let mut splits = vec![];
    for name in value.split(',') {
        let split = match name {
            "single" => Split::Single,
            "process" => Split::Process,
            "container" => Split::Container,
            "command" => Split::Command,
            _ => return None,
        };
        if !splits.contains(&split) {
            splits.push(split);
        }
    }
    Some(splits)
}

fn payload(value: &str) -> Option<u16> {
    match value {
        "default" => Some(DEFAULT_PAYLOAD),
        "headers" => Some(0),
        "max" => Some(u16::MAX),
        _ => u16::try_from(bytes(value)?).ok(),
    }
}

/// A number with b, kb, mb or gb behind it, or nothing.
fn bytes(value: &str) -> Option<u64> {
    let value = value.to_ascii_lowercase();
    let digits = value.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match value.get(digits.len()..)? {
        "" | "b" => 0,
        "k" | "kb" => 10,
        "m" | "mb" => 20,
        "g" | "gb" => 30,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(1 << unit)
}

/// A number with s, m or h behind it; one second at least.
fn age(value: &str) -> Option<Duration> {
    let unit = match value.chars().last()? {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        _ => return None,
    };
    let number: u64 = value.get(..value.len() - 1)?.parse().ok()?;
    number.checked_mul(unit).filter(|&s| s > 0).map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tracees_options() {
        let parse = |flags: &[&str]| Options::parse(flags).unwrap();
        assert_eq!(parse(&[]), Options::default());
        let plain = parse(&["network"]);
        assert_eq!((plain.payload, plain.filtered, plain.clear), (96, false, false));
        assert_eq!(plain.splits, [Split::Single]);
        let all = parse(&[
            "network.pcap.split=process,container,process",
            "network.pcap.options=filtered",
            "network.pcap.snaplen=1kb",
            "dir.path=/tmp/x",
            "dir.clear",
            "network.pcap.rotate.size=1mb",
            "network.pcap.rotate.time=2m",
            "network.pcap.rotate.files=3",
        ]);
        assert_eq!(all.splits, [Split::Process, Split::Container]);
        assert_eq!((all.payload, all.filtered, all.clear), (1024, true, true));
        let rotation = Rotation { size: Some(1 << 20), age: Some(Duration::from_secs(120)), keep: Some(3) };
        assert_eq!((all.rotation, all.folder), (rotation, PathBuf::from("/tmp/x")));
        let payload = |size: &str| parse(&[&format!("network.pcap.snaplen={size}")]).payload;
        assert_eq!(["headers", "max", "default", "7", "7b"].map(payload), [0, 65535, 96, 7, 7]);
    }

    #[test]
    fn wrong_options() {
        for wrong in [
            "",
            "networks",
            "network=no",
            "network.pcap.split=",
            "network.pcap.split=single,x",
            "network.pcap.options=all",
            "network.pcap.snaplen=64kb",
            "network.pcap.snaplen=-1",
            "network.pcap.snaplen=b",
            "network.pcap.rotate.size=1",
            "network.pcap.rotate.size=99999999999gb",
            "network.pcap.rotate.time=5",
            "network.pcap.rotate.time=0s",
            "network.pcap.rotate.time=é",
            "network.pcap.rotate.files=x",
            "file-write.filters=path=/etc/*",
            "dir.path=x",
        ] {
            assert!(Options::parse(&["network", wrong]).is_err(), "{wrong}");
        }
        let network = |flag: &str| Options::parse(&[flag]).unwrap().network;
        assert!(network("network.pcap.snaplen=max") && !network("dir.clear"));
    }
}
