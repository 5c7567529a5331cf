//! `tarsius events`: the catalogue, for people and for programs.

use std::io::Write as _;
use std::process::ExitCode;

use anstyle::{AnsiColor, Style};
use anyhow::bail;
use catalogue::{CALLS, Context, EVENTS, Event};
use comfy_table::{ContentArrangement, Table, presets};

use crate::cli::Events;

const NAME: Style = Style::new().bold();
const TITLE: Style = Style::new().fg_color(Some(anstyle::Color::Ansi(AnsiColor::Cyan)));

/// Lists the catalogue, or describes one event.
pub(crate) fn run(options: &Events) -> anyhow::Result<ExitCode> {
    let chosen: Vec<&'static Event> = match &options.name {
        None => EVENTS.iter().collect(),
        Some(name) => {
            policy::Selection::parse(&[name])?.iter().filter(|e| !e.always || e.name == name).collect()
        }
    };
    if chosen.is_empty() {
        bail!("no event is called so; `tarsius events` lists them");
    }
    let mut out = anstream::stdout().lock();
    if options.json {
        writeln!(out, "{}", serde_json::to_string_pretty(&chosen)?)?;
    } else if options.name.is_some() && chosen.len() == 1 {
        chosen.iter().try_for_each(|e| describe(&mut out, e))?;
    } else {
        list(&mut out, &chosen)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// A table without frames, as wide as the terminal, or as it needs to be where there is none.
pub(crate) fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_header(header.to_vec());
    if !table.is_tty() {
        table.set_content_arrangement(ContentArrangement::Disabled);
    }
    table
}

/// Writes a table without the blanks that pad its last column.
pub(crate) fn print(out: &mut impl std::io::Write, table: &Table) -> std::io::Result<()> {
    table.lines().try_for_each(|line| writeln!(out, "{}", line.trim_end()))
}

fn list(out: &mut impl std::io::Write, events: &[&'static Event]) -> std::io::Result<()> {
    let mut table = table(&["EVENT", "LANE", "TIERS", "TAGS", "WHAT HAPPENED"]);
    for event in events {
        let tiers: Vec<&str> = event.tiers.iter().map(|t| t.name).collect();
        let first =
            event.doc.split_inclusive(['.', ':']).next().unwrap_or(event.doc).trim_end_matches([':', '.']);
        table.add_row([event.name, event.lane.name(), &tiers.join(" "), &event.tags.join(" "), first]);
    }
    print(out, &table)?;
    writeln!(out, "\n{} events. `tarsius events NAME` describes one.", events.len())
}

fn describe(out: &mut impl std::io::Write, event: &'static Event) -> std::io::Result<()> {
    writeln!(
        out,
        "{NAME}{}{NAME:#}  (id {}, family {}, {} lane)",
        event.name,
        event.id,
        event.family,
        event.lane.name()
    )?;
    writeln!(out, "{}\n", event.doc)?;
    writeln!(out, "{TITLE}Tags{TITLE:#}: {}\n", event.tags.join(", "))?;
    writeln!(out, "{TITLE}Fields{TITLE:#}")?;
    let mut fields = table(&["NAME", "TYPE", "MEANING"]);
    for field in event.fields {
        let ty = serde_json::to_string(&field.ty).unwrap_or_default().replace('"', "");
        let ask = field.on_request.map_or(String::new(), |w| format!(" (with --enrichment {w})"));
        fields.add_row([field.name.to_string(), ty, format!("{}{ask}", field.doc)]);
    }
    if event.tiers.iter().flat_map(|t| t.programs).any(|p| !p.get().syscalls.is_empty()) {
        fields.add_row(["returnValue", "i64", "What the system call returned, at the tracepoint tier"]);
    }
    print(out, &fields)?;
    writeln!(out, "\n{TITLE}Tiers{TITLE:#}, in order of preference")?;
    for (n, tier) in event.tiers.iter().enumerate() {
        writeln!(out, "{}. {NAME}{}{NAME:#}: sees {}", n + 1, tier.name, tier.sees)?;
        if !tier.misses.is_empty() {
            writeln!(out, "   misses {}", tier.misses)?;
        }
        for program in tier.programs.iter().map(|p| p.get()) {
            let contexts: Vec<&str> = program.contexts.iter().map(|c| context_name(*c)).collect();
            let own = CALLS.iter().find(|c| EVENTS.get(c.event).is_some_and(|e| e.id == event.id));
            let calls = match own {
                Some(call) if program.handles_all_calls() => call.names,
                _ => program.syscalls,
            };
            let calls = if calls.is_empty() { String::new() } else { format!(": {}", calls.join(", ")) };
            writeln!(
                out,
                "   {} on {}{calls}, in context {}",
                program.name,
                program.hook,
                contexts.join(" or ")
            )?;
        }
    }
    Ok(())
}

fn context_name(context: Context) -> &'static str {
    match context {
        Context::Task => "task",
        Context::Softirq => "softirq",
        Context::Hardirq => "hardirq",
        Context::Nmi => "nmi",
        Context::Any => "any",
    }
}
