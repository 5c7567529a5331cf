//! All sinks together.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;

use event::json::Who;
use event::{Event, Finding};

use crate::sink::{Formatter, Sink, Told};
use crate::table::Table;
use crate::writer::Descriptor;
use crate::{Error, Format, SinkCounts, Spec, State, Target};

/// Whether there is colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Colour {
    /// On a terminal, unless `NO_COLOR` or `TERM=dumb` says no.
    #[default]
    Auto,
    /// Everywhere.
    Always,
    /// Nowhere.
    Never,
}

/// How the sinks are to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Options {
    /// Whether there is colour in the table.
    pub colour: Colour,
    /// On a terminal, lines of the table are not cut at its width.
    pub wide: bool,
}

/// The sinks.
pub struct Outputs {
    sinks: Vec<Sink>,
    messages: Vec<String>,
}

impl Outputs {
    /// Opens them; for no spec, the [default](Spec::DEFAULT).
    ///
    /// # Errors
    ///
    /// A file can not be opened, or two outputs are one. Files that were there are emptied only after that is known.
    pub fn open(specs: &[Spec], options: Options) -> Result<Outputs, Error> {
        let specs = if specs.is_empty() { &[Spec::DEFAULT] } else { specs };
        let mut opened: Vec<(&Spec, Format, &Target, Descriptor)> = Vec::new();
        for spec in specs {
            let Spec::Sink { format, target } = spec else { continue };
            let descriptor = open(spec, target)?;
            let same = opened.iter().find(|(.., other, existing)| {
                *other == target || descriptor.regular().is_some_and(|file| existing.regular() == Some(file))
            });
            if let Some((first, ..)) = same {
                return Err(Error::Twice {
                    first: first.to_string(),
                    second: spec.to_string(),
                    place: place(target),
                });
            }
            opened.push((spec, *format, target, descriptor));
        }
        let mut sinks = Vec::new();
        for (spec, format, target, mut descriptor) in opened {
            if matches!(target, Target::File(_)) {
                descriptor.empty().map_err(|e| error(spec, format!("can not empty {target}"), e))?;
            }
            let formatter = match format {
                Format::Json => Formatter::Json,
                Format::Table => {
                    Formatter::Table(Box::new(Table::new(colour(options, &descriptor), options.wide)))
                }
            };
            let ends = *target == Target::Stdout;
            sinks.push(Sink::new(spec.to_string(), formatter, Box::new(descriptor), ends));
        }
        Ok(Outputs::of(sinks))
    }

    pub(crate) const fn of(sinks: Vec<Sink>) -> Outputs {
        Outputs { sinks, messages: Vec::new() }
    }

    /// Whether there is none (`--output none`).
    pub const fn is_empty(&self) -> bool {
        self.sinks.is_empty()
    }

    /// Gives an event to every sink. It is written at the next flush, or earlier where the buffer is full.
    #[inline]
    pub fn write(&mut self, event: &Event<'_>, who: &dyn Who) {
        for sink in &mut self.sinks {
            sink.write(Told::Event(event), who, &mut self.messages);
        }
    }

    /// The same of what a detector has found.
    pub fn write_finding(&mut self, finding: &Finding<'_>, who: &dyn Who) {
        for sink in &mut self.sinks {
            sink.write(Told::Finding(finding), who, &mut self.messages);
        }
    }

    /// Writes what the buffers hold. A sink that fails is tried again each time.
    pub fn flush(&mut self) {
        for sink in &mut self.sinks {
            sink.flush(&mut self.messages);
        }
    }

    /// The last flush: after it, every event delivered to a sink is counted as written or as dropped.
    pub fn finish(&mut self) {
        for sink in &mut self.sinks {
            sink.finish(&mut self.messages);
        }
    }

    /// What the user should know, a message for each change of a sink's state, and forgets it.
    pub fn messages(&mut self) -> impl Iterator<Item = String> + '_ {
        self.messages.drain(..)
    }

    /// Nobody reads standard output any more: time to end quietly.
    pub fn closed(&self) -> bool {
        self.sinks.iter().any(|sink| sink.state == State::Closed)
    }

    /// What became of the events, for each sink.
    pub fn counts(&self) -> Vec<SinkCounts> {
        self.sinks.iter().map(|sink| sink.counts.clone()).collect()
    }

    /// How each sink does.
    pub fn states(&self) -> impl Iterator<Item = (&str, &State)> {
        self.sinks.iter().map(|sink| (sink.counts.name.as_str(), &sink.state))
    }
}

fn open(spec: &Spec, target: &Target) -> Result<Descriptor, Error> {
    let path = match target {
        Target::Stdout => {
            return Descriptor::of_stream(rustix::stdio::stdout())
                .map_err(|e| error(spec, "can not use standard output".into(), e));
        }
        Target::Stderr => {
            return Descriptor::of_stream(rustix::stdio::stderr())
                .map_err(|e| error(spec, "can not use standard error".into(), e));
        }
        Target::File(path) => path,
    };
    if let Some(parent) = path.parent().filter(|p| !p.as_os_str().is_empty()) {
        std::fs::create_dir_all(parent)
            .map_err(|e| error(spec, format!("can not make the directory {}", parent.display()), e))?;
    }
    // Not emptied yet. For its owner only: arguments of programs carry secrets.
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .and_then(Descriptor::new)
        .map_err(|e| error(spec, format!("can not open {}", path.display()), e))
}

fn error(spec: &Spec, what: String, source: std::io::Error) -> Error {
    Error::Open { given: spec.to_string(), what, source }
}

fn place(target: &Target) -> String {
    match target {
        Target::Stdout => "standard output".into(),
        Target::Stderr => "standard error".into(),
        Target::File(path) => path.display().to_string(),
    }
}

fn colour(options: Options, descriptor: &Descriptor) -> bool {
    match options.colour {
        Colour::Always => true,
        Colour::Never => false,
        Colour::Auto => anstream::AutoStream::choice(descriptor.file()) != anstream::ColorChoice::Never,
    }
}
