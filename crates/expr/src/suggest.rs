//! What may have been meant.

/// The candidate nearest to `word`, if one is near enough: a third of its letters wrong, or it is a part of the candidate.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let score = |c: &str| {
        let d = distance(word.as_bytes(), c.as_bytes());
        if d * 3 <= word.len().max(3) {
            Some((0, d))
        } else {
            (word.len() >= 3 && c.contains(word)).then_some((1, c.len()))
        }
    };
    candidates.into_iter().filter_map(|c| Some((score(c)?, c))).min().map(|(_, c)| c.to_string())
}

/// How many letters must be put in, taken out, changed, or swapped with their neighbour.
fn distance(a: &[u8], b: &[u8]) -> usize {
    let mut before = vec![0; b.len() + 1];
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, y) in b.iter().enumerate() {
            let mut best = (last[j] + usize::from(x != y)).min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *x == b[j - 1] && a[i - 1] == *y {
                best = best.min(before[j - 1] + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut last, row);
    }
    last.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances() {
        for (a, b, d) in [
            ("", "", 0),
            ("a", "", 1),
            ("", "ab", 2),
            ("ab", "ba", 1),
            ("fork", "frok", 1),
            ("abc", "axd", 2),
        ] {
            assert_eq!(distance(a.as_bytes(), b.as_bytes()), d, "{a} {b}");
        }
    }

    #[test]
    fn near_and_far() {
        let all = ["sched_process_exec", "sched_process_exit", "fork"];
        let near = |w| nearest(w, all.iter().copied());
        assert_eq!(near("sched_proces_exec").as_deref(), Some("sched_process_exec"));
        assert_eq!(near("frok").as_deref(), Some("fork"));
        assert_eq!(near("process_exit").as_deref(), Some("sched_process_exit"));
        assert_eq!(near("zzzzzz"), None);
        assert_eq!(near(""), None);
    }
}
