//! containerd's own interface. Of its messages only what is used stands here; places are those of
//! `containerd/api/services/{containers,images,namespaces}/v1`.

use std::collections::HashMap;
use std::path::Path;

use context::Names;

use crate::transport::Grpc;
use crate::{Error, kubernetes, name};

/// Where containers are looked for first: Kubernetes', and those of `ctr` and nerdctl.
const USUAL: [&str; 2] = ["k8s.io", "default"];
/// Docker's: of these containerd knows no name.
const DOCKERS: &str = "moby";
/// How many namespaces are looked at.
const MOST_NAMESPACES: usize = 16;

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct GetRequest {
    /// A container's id, or an image's name.
    #[prost(string, tag = "1")]
    pub(crate) key: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct GetContainerResponse {
    #[prost(message, optional, tag = "1")]
    pub(crate) container: Option<Container>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Container {
    #[prost(map = "string, string", tag = "2")]
    pub(crate) labels: HashMap<String, String>,
    #[prost(string, tag = "3")]
    pub(crate) image: String,
    /// The container's specification, as JSON.
    #[prost(message, optional, tag = "5")]
    pub(crate) spec: Option<Any>,
}

/// `google.protobuf.Any`.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Any {
    #[prost(bytes = "vec", tag = "2")]
    pub(crate) value: Vec<u8>,
}

/// Of a container's specification (OCI) what Kubernetes' side of containerd notes in it.
#[derive(Default, serde::Deserialize)]
struct Spec {
    #[serde(default)]
    annotations: HashMap<String, String>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct GetImageResponse {
    #[prost(message, optional, tag = "1")]
    pub(crate) image: Option<Image>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Image {
    #[prost(message, optional, tag = "3")]
    pub(crate) target: Option<Descriptor>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Descriptor {
    #[prost(string, tag = "2")]
    pub(crate) digest: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct ListNamespacesRequest {}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct ListNamespacesResponse {
    #[prost(message, repeated, tag = "1")]
    pub(crate) namespaces: Vec<Namespace>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Namespace {
    #[prost(string, tag = "1")]
    pub(crate) name: String,
}

pub(crate) async fn names(socket: &Path, id: &str) -> Result<Option<Names>, Error> {
    let mut grpc = Grpc::connect(socket).await?;
    for namespace in USUAL {
        if let Some(names) = names_in(&mut grpc, namespace, id).await? {
            return Ok(Some(names));
        }
    }
    let all = "/containerd.services.namespaces.v1.Namespaces/List";
    let all: Option<ListNamespacesResponse> = grpc.call(all, None, &ListNamespacesRequest {}).await?;
    let others = all.unwrap_or_default().namespaces.into_iter().map(|n| n.name);
    for namespace in others.filter(|n| !USUAL.contains(&&**n) && n != DOCKERS).take(MOST_NAMESPACES) {
        if let Some(names) = names_in(&mut grpc, &namespace, id).await? {
            return Ok(Some(names));
        }
    }
    Ok(None)
}

async fn names_in(grpc: &mut Grpc, namespace: &str, id: &str) -> Result<Option<Names>, Error> {
    let header = Some(("containerd-namespace", namespace));
    let get = "/containerd.services.containers.v1.Containers/Get";
    let found: Option<GetContainerResponse> =
        grpc.call(get, header, &GetRequest { key: id.to_string() }).await?;
    let Some(container) = found.and_then(|f| f.container) else { return Ok(None) };
    let image: Option<GetImageResponse> = match &*container.image {
        "" => None,
        image => {
            let get = "/containerd.services.images.v1.Images/Get";
            grpc.call(get, header, &GetRequest { key: image.to_string() }).await?
        }
    };
    let labels = &container.labels;
    let sandbox = labels.get("io.cri-containerd.kind").is_some_and(|k| k == "sandbox");
    // In Kubernetes, what is written on the pod is with its sandbox.
    let spec: Spec = match &container.spec {
        Some(spec) if !sandbox => serde_json::from_slice(&spec.value).unwrap_or_default(),
        _ => Spec::default(),
    };
    let of_sandbox = match spec.annotations.get("io.kubernetes.cri.sandbox-id") {
        Some(id) => {
            let found: Option<GetContainerResponse> =
                grpc.call(get, header, &GetRequest { key: id.clone() }).await?;
            found.and_then(|f| f.container).map(|c| c.labels).unwrap_or_default()
        }
        None => HashMap::new(),
    };
    Ok(Some(Names {
        name: kubernetes::container(labels).or_else(|| labels.get("nerdctl/name").and_then(name)),
        image: name(&container.image),
        image_digest: image.and_then(|i| i.image?.target).and_then(|t| name(t.digest)),
        pod: kubernetes::pod(labels, sandbox, &of_sandbox),
        labels: kubernetes::labels(labels),
    }))
}
