//! Colours.

use std::io::Write;

use anstyle::AnsiColor;

/// What is coloured, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    Time,
    Key,
    Error,
    Container,
    Process,
    File,
    Net,
    Privilege,
    Loss,
}

impl Style {
    /// The style of the name of an event.
    pub(super) fn of_family(family: &str) -> Style {
        match family {
            "process" => Style::Process,
            "file" => Style::File,
            "net" | "dns" => Style::Net,
            "ledger" => Style::Loss,
            _ => Style::Privilege,
        }
    }

    const fn get(self) -> anstyle::Style {
        match self {
            Style::Time | Style::Key => anstyle::Style::new().dimmed(),
            Style::Error => AnsiColor::Red.on_default(),
            Style::Container => AnsiColor::Cyan.on_default(),
            Style::Process => AnsiColor::Green.on_default(),
            Style::File => AnsiColor::Blue.on_default(),
            Style::Net => AnsiColor::Magenta.on_default(),
            Style::Privilege => AnsiColor::Yellow.on_default(),
            Style::Loss => AnsiColor::Red.on_default().bold(),
        }
    }

    /// What `write` writes, in this style.
    pub(super) fn paint(self, out: &mut Vec<u8>, colour: bool, write: impl FnOnce(&mut Vec<u8>)) {
        if !colour {
            return write(out);
        }
        let style = self.get();
        // Writing to a vector can not fail.
        let _ = write!(out, "{style}");
        write(out);
        let _ = write!(out, "{style:#}");
    }

    /// A column in this style; see [`super::column`].
    pub(super) fn column(
        self,
        out: &mut Vec<u8>,
        colour: bool,
        width: usize,
        write: impl FnOnce(&mut Vec<u8>),
    ) {
        super::column(out, width, |out| self.paint(out, colour, write));
    }
}
