//! The isolation proof on our own objects: for the build script, and for the test that shows that it can fail.

/// Judges an object by what the catalogue declares. `lane_of` may claim another lane for a program than the catalogue does.
pub(crate) fn check(
    object: &[u8],
    lane_of: impl Fn(&catalogue::Program, isolation::Lane) -> isolation::Lane,
) -> Result<isolation::Report, isolation::Error> {
    let functions: Vec<(String, &catalogue::Program)> =
        catalogue::PROGRAMS.iter().flat_map(|p| p.functions().into_iter().map(move |f| (f, p))).collect();
    let contexts: Vec<Vec<isolation::Context>> =
        functions.iter().map(|(_, p)| p.contexts.iter().map(|c| context(*c)).collect()).collect();
    let declared: Vec<isolation::Program<'_>> = functions
        .iter()
        .zip(&contexts)
        .map(|((function, program), contexts)| isolation::Program {
            name: function,
            lane: lane_of(program, lane(program.lane)),
            contexts,
            needs_slot: program.slot,
            writes_scope: program.writes_scope,
        })
        .collect();
    isolation::check(object, &declared)
}

fn lane(lane: catalogue::Lane) -> isolation::Lane {
    match lane {
        catalogue::Lane::Life => isolation::Lane::Life,
        catalogue::Lane::Task => isolation::Lane::Task,
        catalogue::Lane::Net => isolation::Lane::Net,
        catalogue::Lane::Bulk => isolation::Lane::Bulk,
    }
}

fn context(context: catalogue::Context) -> isolation::Context {
    match context {
        catalogue::Context::Task => isolation::Context::Task,
        catalogue::Context::Softirq => isolation::Context::Softirq,
        catalogue::Context::Hardirq => isolation::Context::Hardirq,
        catalogue::Context::Nmi => isolation::Context::Nmi,
        catalogue::Context::Any => isolation::Context::Any,
    }
}
