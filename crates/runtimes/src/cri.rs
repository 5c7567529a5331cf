//! The interface that Kubernetes has with its runtimes, spoken by CRI-O (and by containerd, which is asked in its own way). Of its
//! messages only what is used stands here; places are those of `cri-api/pkg/apis/runtime/v1`.

use std::collections::HashMap;
use std::path::Path;

use context::{Names, Pod};

use crate::transport::Grpc;
use crate::{Error, kubernetes, name};

/// Of a container, or of a pod's sandbox.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct StatusRequest {
    #[prost(string, tag = "1")]
    pub(crate) id: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct ContainerStatusResponse {
    #[prost(message, optional, tag = "1")]
    pub(crate) status: Option<ContainerStatus>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct ContainerStatus {
    #[prost(message, optional, tag = "2")]
    pub(crate) metadata: Option<Metadata>,
    #[prost(message, optional, tag = "8")]
    pub(crate) image: Option<ImageSpec>,
    /// `NAME@sha256:...`, or an image's id.
    #[prost(string, tag = "9")]
    pub(crate) image_ref: String,
    #[prost(map = "string, string", tag = "12")]
    pub(crate) labels: HashMap<String, String>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct ImageSpec {
    /// A name, or an image's id.
    #[prost(string, tag = "1")]
    pub(crate) image: String,
    /// As the pod has it; of newer runtimes.
    #[prost(string, tag = "18")]
    pub(crate) user_specified_image: String,
}

/// Of a container only the name.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Metadata {
    #[prost(string, tag = "1")]
    pub(crate) name: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct PodSandboxStatusResponse {
    #[prost(message, optional, tag = "1")]
    pub(crate) status: Option<PodSandboxStatus>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct PodSandboxStatus {
    #[prost(message, optional, tag = "2")]
    pub(crate) metadata: Option<PodMetadata>,
    #[prost(map = "string, string", tag = "7")]
    pub(crate) labels: HashMap<String, String>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct ListContainersRequest {
    #[prost(message, optional, tag = "1")]
    pub(crate) filter: Option<ContainerFilter>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct ContainerFilter {
    #[prost(string, tag = "1")]
    pub(crate) id: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct ListContainersResponse {
    #[prost(message, repeated, tag = "1")]
    pub(crate) containers: Vec<Listed>,
}

/// A container's status does not say in which sandbox it is, but the list does.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Listed {
    #[prost(string, tag = "2")]
    pub(crate) pod_sandbox_id: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct PodMetadata {
    #[prost(string, tag = "1")]
    pub(crate) name: String,
    #[prost(string, tag = "2")]
    pub(crate) uid: String,
    #[prost(string, tag = "3")]
    pub(crate) namespace: String,
}

pub(crate) async fn names(socket: &Path, id: &str) -> Result<Option<Names>, Error> {
    let mut grpc = Grpc::connect(socket).await?;
    let question = StatusRequest { id: id.to_string() };
    let container = "/runtime.v1.RuntimeService/ContainerStatus";
    let container: Option<ContainerStatusResponse> = grpc.call(container, None, &question).await?;
    if let Some(status) = container.and_then(|c| c.status) {
        let list = "/runtime.v1.RuntimeService/ListContainers";
        let filter = Some(ContainerFilter { id: id.to_string() });
        let listed: Option<ListContainersResponse> =
            grpc.call(list, None, &ListContainersRequest { filter }).await?;
        let id = listed.and_then(|l| l.containers.into_iter().next()).map(|c| c.pod_sandbox_id);
        let pod = match id.filter(|id| !id.is_empty()) {
            Some(id) => sandbox(&mut grpc, &StatusRequest { id }).await?,
            None => None,
        };
        return Ok(Some(of_container(status, &pod.unwrap_or_default().labels)));
    }
    Ok(sandbox(&mut grpc, &question).await?.and_then(of_sandbox))
}

async fn sandbox(grpc: &mut Grpc, question: &StatusRequest) -> Result<Option<PodSandboxStatus>, Error> {
    let status = "/runtime.v1.RuntimeService/PodSandboxStatus";
    let sandbox: Option<PodSandboxStatusResponse> = grpc.call(status, None, question).await?;
    Ok(sandbox.and_then(|s| s.status))
}

fn of_container(status: ContainerStatus, of_sandbox: &HashMap<String, String>) -> Names {
    let image = status.image.unwrap_or_default();
    Names {
        name: status.metadata.and_then(|m| name(m.name)),
        image: name(image.user_specified_image).or_else(|| name(image.image)),
        image_digest: status.image_ref.rsplit_once('@').and_then(|(_, digest)| name(digest)),
        pod: kubernetes::pod(&status.labels, false, of_sandbox),
        labels: kubernetes::labels(&status.labels),
    }
}

fn of_sandbox(status: PodSandboxStatus) -> Option<Names> {
    let pod = status.metadata?;
    let pod = Pod {
        name: name(pod.name)?,
        namespace: name(pod.namespace),
        uid: name(pod.uid),
        sandbox: true,
        labels: kubernetes::of_pod(&status.labels),
    };
    Some(Names { pod: Some(pod), ..Names::default() })
}
