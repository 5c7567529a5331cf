//! Prints what this kernel can do, as JSON.

fn main() -> Result<(), serde_json::Error> {
    println!("{}", serde_json::to_string_pretty(&kernel::Features::probe())?);
    Ok(())
}
