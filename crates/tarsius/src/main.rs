//! Tarsius: runtime security for Linux. Every event is delivered intact, or reported lost.

mod artifacts;
mod baselines;
mod cli;
mod container;
mod control;
mod detectors;
mod doctor;
mod enforce;
mod events;
mod executable;
mod helpers;
mod keep;
mod lost;
mod policies;
mod policy;
mod ps;
mod query;
mod replay;
mod resolved;
mod scope;
mod sigma;
mod torture;
mod watch;

use std::process::ExitCode;

use clap::Parser as _;

use cli::{Cli, Command};

fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = match &cli.command {
        None => watch::run(&cli.watch),
        Some(Command::Watch(options)) => watch::run(options),
        Some(Command::Events(options)) => events::run(options),
        Some(Command::Doctor(options)) => doctor::run(options),
        Some(Command::Ps(options)) => ps::run(options),
        Some(Command::Policy(command)) => policy::run(command),
        Some(Command::Detectors(options)) => detectors::run(options),
        Some(Command::Rules(command)) => detectors::rules(command),
        Some(Command::Sigma(command)) => sigma::run(command),
        Some(Command::Replay(options)) => replay::run(options),
        Some(Command::Query(options)) => query::run(options),
        Some(Command::Schema) => schema(),
        Some(Command::Torture(options)) => torture::run(options),
    };
    match done {
        Ok(code) => code,
        Err(error) if is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("tarsius: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn schema() -> anyhow::Result<ExitCode> {
    use std::io::Write as _;
    writeln!(std::io::stdout(), "{}", serde_json::to_string_pretty(&event::json::schema())?)?;
    Ok(ExitCode::SUCCESS)
}

/// The reader of our output went away, as `head` does.
fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<std::io::Error>().is_some_and(|e| e.kind() == std::io::ErrorKind::BrokenPipe)
}
