//! Who writes a line of syslog's.

/// The program that a line names: `sshd` of `Nov 28 23:00:01 host sshd[7]: Accepted ...`.
///
/// A line begins with a priority, or not; then there is the time, by RFC 3164 (`Nov 28 23:00:01`) or by RFC 3339, before which RFC 5424 has
/// its version; the host's name; the program.
pub(crate) fn program(line: &[u8]) -> Option<&[u8]> {
    let rest = behind_priority(line);
    let rest = match (behind_date(rest), behind_timestamp(rest)) {
        (Some(rest), _) | (None, Some(rest)) => rest,
        (None, None) => return None,
    };
    let (host, rest) = word(rest)?;
    let (tag, _) = word(rest).unwrap_or((rest, b""));
    let end = tag.iter().position(|b| matches!(b, b'[' | b':')).unwrap_or(tag.len());
    let program = tag.get(..end)?;
    (!host.is_empty() && !program.is_empty()).then_some(program)
}

/// What stands before a space, and what behind it.
fn word(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = text.iter().position(|&b| b == b' ')?;
    Some((text.get(..at)?, text.get(at + 1..)?))
}

fn behind_priority(line: &[u8]) -> &[u8] {
    let end = line.iter().position(|&b| b == b'>');
    match (line.first(), end) {
        (Some(b'<'), Some(end @ 2..=4)) if line[1..end].iter().all(u8::is_ascii_digit) => &line[end + 1..],
        _ => line,
    }
}

/// `Nov 28 23:00:01 `: with the day in two places, the first of which may be empty.
fn behind_date(line: &[u8]) -> Option<&[u8]> {
    let (date, rest) = line.split_at_checked(16)?;
    let fits = date.iter().zip(b"Aaa 99 99:99:99 ").all(|(byte, like)| match like {
        b'A' => byte.is_ascii_uppercase(),
        b'a' => byte.is_ascii_lowercase(),
        b'9' => byte.is_ascii_digit() || *byte == b' ',
        like => byte == like,
    });
    fits.then_some(rest)
}

/// `2026-11-28T23:00:01.5+01:00 `, with or without a version before it.
fn behind_timestamp(line: &[u8]) -> Option<&[u8]> {
    let (mut time, mut rest) = word(line)?;
    if time == b"1" {
        (time, rest) = word(rest)?;
    }
    let like = b"9999-99-99T99:99:99";
    let fits = time.len() >= like.len()
        && time.iter().zip(like).all(
            |(byte, like)| {
                if *like == b'9' { byte.is_ascii_digit() } else { byte == like }
            },
        );
    fits.then_some(rest)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn programs() {
        for (line, expected) in [
            ("Nov 28 23:00:01 host sshd[7]: Accepted publickey", Some("sshd")),
            ("Nov  3 23:00:01 host kernel: x", Some("kernel")),
            ("<34>Oct 11 22:14:15 mymachine su: 'su root' failed", Some("su")),
            ("2026-11-28T23:00:01.123456+01:00 host CRON[12]: (root) CMD (x)", Some("CRON")),
            ("<165>1 2003-10-11T22:14:15.003Z host evntslog - ID47 - x", Some("evntslog")),
            ("Nov 28 23:00:01 host systemd-logind: x", Some("systemd-logind")),
            ("Nov 28 23:00:01 host", None),
            ("a line of its own making", None),
            ("28/Nov/2026:23:00:01 GET /", None),
            ("Nov 28 23:00:01 host : x", None),
            ("<>", None),
            ("", None),
        ] {
            assert_eq!(program(line.as_bytes()), expected.map(str::as_bytes), "{line}");
        }
    }

    proptest! {
        #[test]
        fn no_line_makes_it_panic(line in proptest::collection::vec(any::<u8>(), 0..60)) {
            program(&line);
        }

        #[test]
        fn nor_does_one_that_is_nearly_right(line in "(<[0-9]{0,4}>)?(1 )?[A-Z0-9a-z :T-]{0,40}") {
            program(line.as_bytes());
        }
    }
}
