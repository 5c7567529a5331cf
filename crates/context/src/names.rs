//! What a container is called.

/// Bytes of the longest name that is kept. The longest that Kubernetes and registries allow are half of it.
pub const NAME_BYTES: usize = 512;

/// What a container's runtime calls it. What it has no name for, or did not tell, is not there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Names {
    /// Its name.
    pub name: Option<Box<str>>,
    /// Name of its image, as it was asked for.
    pub image: Option<Box<str>>,
    /// Digest of its image's manifest: `sha256:` and 64 digits.
    pub image_digest: Option<Box<str>>,
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
}
