//! apk's database: one file. A package begins with its lines `P:` (name) and `V:` (version); `F:` is a folder, `R:` a file in it.

use crate::error::Unread;
use crate::index::Index;
use crate::root::Root;

/// Where it is, up to version 2 and since version 3.
pub(crate) const INSTALLED: [&str; 2] = ["lib/apk/db/installed", "usr/lib/apk/db/installed"];

/// Reads the database into the index; false if there is none.
pub(crate) fn read(root: &Root, index: &mut Index) -> Result<bool, Unread> {
    let Some(text) = INSTALLED.iter().find_map(|path| root.read(path)) else { return Ok(false) };
    let (mut name, mut package, mut folder) = (String::new(), None, vec![]);
    for line in text.split(|&b| b == b'\n') {
        match line {
            [] => (package, folder) = (None, vec![]),
            [b'P', b':', rest @ ..] => name = String::from_utf8_lossy(rest).into_owned(),
            [b'V', b':', rest @ ..] => {
                package = Some(index.package(&name, &String::from_utf8_lossy(rest), None)?);
            }
            [b'F', b':', rest @ ..] => {
                folder = if rest.is_empty() { vec![] } else { [b"/", rest].concat() };
            }
            [b'R', b':', rest @ ..] => {
                if let Some(package) = package {
                    index.path(&[&*folder, b"/", rest].concat(), package, None)?;
                }
            }
            _ => {}
        }
    }
    Ok(true)
}
