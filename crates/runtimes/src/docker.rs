//! Docker's HTTP interface (`/containers/ID/json`, `/images/ID/json` of the Docker Engine API), which podman has too.

use std::collections::HashMap;
use std::path::Path;

use context::Names;
use serde::Deserialize;

use crate::transport::Http;
use crate::{Error, kubernetes, name};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Container {
    name: Option<String>,
    /// Id of its image.
    image: Option<String>,
    config: Option<Config>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Config {
    /// The image as it was asked for.
    image: Option<String>,
    labels: Option<HashMap<String, String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Image {
    /// `NAME@sha256:...`: none for an image that was neither pulled nor pushed.
    repo_digests: Option<Vec<String>>,
}

pub(crate) async fn names(socket: &Path, id: &str) -> Result<Option<Names>, Error> {
    let mut http = Http::connect(socket).await?;
    let Some(container) = http.get::<Container>(&format!("/containers/{id}/json")).await? else {
        return Ok(None);
    };
    let image = match container.image.filter(|i| !i.is_empty()) {
        Some(image) => http.get::<Image>(&format!("/images/{image}/json")).await?,
        None => None,
    };
    let digest = |d: &String| d.rsplit_once('@').and_then(|(_, digest)| name(digest));
    let (asked_for, labels) = container.config.map_or((None, None), |c| (c.image, c.labels));
    let labels = labels.unwrap_or_default();
    let sandbox = labels.get("io.kubernetes.docker.type").is_some_and(|t| t == "podsandbox");
    let of_sandbox = match labels.get("io.kubernetes.sandbox.id").filter(|id| crate::is_askable(id)) {
        Some(id) if !sandbox => {
            let sandbox = http.get::<Container>(&format!("/containers/{id}/json")).await?;
            sandbox.and_then(|s| s.config?.labels).unwrap_or_default()
        }
        _ => HashMap::new(),
    };
    Ok(Some(Names {
        name: kubernetes::container(&labels)
            .or_else(|| container.name.and_then(|n| name(n.strip_prefix('/').unwrap_or(&n)))),
        image: asked_for.and_then(name),
        image_digest: image.and_then(|i| i.repo_digests).and_then(|d| d.first().and_then(digest)),
        pod: kubernetes::pod(&labels, sandbox, &of_sandbox),
        labels: kubernetes::labels(&labels),
    }))
}
