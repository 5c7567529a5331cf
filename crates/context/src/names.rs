//! What a container is called.

/// Bytes of the longest name that is kept. The longest that Kubernetes and registries allow are half of it.
pub const NAME_BYTES: usize = 512;
/// Labels that are kept of one container or pod.
pub const LABELS: usize = 64;
/// Bytes of all of them, keys and values together.
pub const LABEL_BYTES: usize = 16 << 10;

/// What is written on a container or a pod: keys and values, by key. Not more than [`LABELS`], nor than [`LABEL_BYTES`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Labels {
    kept: Box<[(Box<str>, Box<str>)]>,
    left_out: usize,
}

impl Labels {
    /// As many of these as are kept, by key: so it is always the same that are left out.
    pub fn of<'a>(all: impl IntoIterator<Item = (&'a str, &'a str)>) -> Labels {
        let mut all: Vec<_> = all.into_iter().collect();
        all.sort_unstable();
        all.dedup_by_key(|(key, _)| *key);
        let count = all.len();
        let mut room = LABEL_BYTES;
        let kept: Box<[_]> = all
            .into_iter()
            .filter(|(key, value)| !key.is_empty() && key.len() <= NAME_BYTES && value.len() <= NAME_BYTES)
            .take(LABELS)
            .map_while(|(key, value)| {
                room = room.checked_sub(key.len() + value.len())?;
                Some((key.into(), value.into()))
            })
            .collect();
        Labels { left_out: count - kept.len(), kept }
    }

    /// Keys and values, by key.
    pub fn kept(&self) -> &[(Box<str>, Box<str>)] {
        &self.kept
    }

    /// How many there are more, that are too long or too many.
    pub fn left_out(&self) -> usize {
        self.left_out
    }
}

/// What a container's runtime calls it. What it has no name for, or did not tell, is not there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Names {
    /// Its name.
    pub name: Option<Box<str>>,
    /// Name of its image, as it was asked for.
    pub image: Option<Box<str>>,
    /// Digest of its image's manifest: `sha256:` and 64 digits.
    pub image_digest: Option<Box<str>>,
    /// What is written on it.
    pub labels: Labels,
    /// Its pod, in Kubernetes.
    pub pod: Option<Pod>,
}

/// A pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pod {
    /// Its name.
    pub name: Box<str>,
    /// Its namespace.
    pub namespace: Option<Box<str>>,
    /// Its UID.
    pub uid: Option<Box<str>>,
    /// The container is the one that holds the pod's namespaces.
    pub sandbox: bool,
    /// What is written on it.
    pub labels: Labels,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_bounded_and_say_so() {
        let few = Labels::of([("b", "2"), ("a", "1"), ("c", "")]);
        let pairs: Vec<(&str, &str)> = few.kept().iter().map(|(k, v)| (&**k, &**v)).collect();
        assert_eq!((pairs, few.left_out()), (vec![("a", "1"), ("b", "2"), ("c", "")], 0));
        let names: Vec<String> = (0..100).map(|n| format!("{n:03}")).collect();
        let many = Labels::of(names.iter().map(|n| (&**n, "x")));
        assert_eq!((many.kept().len(), many.left_out()), (LABELS, 36));
        let long = "x".repeat(NAME_BYTES);
        let longer = Labels::of([("a", &*(long.clone() + "x")), ("b", "2"), ("", "no key")]);
        assert_eq!((longer.kept().len(), longer.left_out()), (1, 2));
        let much = Labels::of(names.iter().map(|n| (&**n, &*long)));
        assert!(much.kept().len() * NAME_BYTES <= LABEL_BYTES && much.left_out() > 60);
    }
}
