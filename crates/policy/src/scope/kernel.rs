//! The trees of processes that the kernel looks for.

use super::condition::Condition;

/// The trees that a process must be in, and must not be in: bits of its word in the map `scope_tree`.
///
/// With `follow`, `tree!=` is not among them: a process outside may be followed into the tree. `tree=` is, as descendants of a process in the
/// tree are in it too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Trees {
    /// Bits that the word must all have.
    pub all: u64,
    /// Bits of which it must have none.
    pub none: u64,
}

impl Trees {
    pub(super) fn new(conditions: &[Condition], follow: bool) -> Trees {
        let mut trees = Trees::default();
        for condition in conditions {
            match condition {
                Condition::Tree { mark: Some(mark), negate: false, .. } => trees.all |= mark.word(),
                Condition::Tree { mark: Some(mark), negate: true, .. } if !follow => {
                    trees.none |= mark.word()
                }
                _ => {}
            }
        }
        trees
    }

    /// Lets pass what either did: only trees for which both ask stay.
    #[must_use]
    pub(crate) fn or(self, other: Trees) -> Trees {
        Trees { all: self.all & other.all, none: self.none & other.none }
    }
}
