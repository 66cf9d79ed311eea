//! Models of which the farm has the files, with its workers or kept by the coordinator itself.

use bytes::Bytes;
use futures::{Stream, StreamExt};
use tonic::Status;
use wanfarm_client::HeldModel;
use wanfarm_client::held::{model, wire};
use wanfarm_proto::convert::digest_field;
use wanfarm_proto::v1;

use super::{FarmService, on_a_thread};
use crate::requests::Request;

impl FarmService {
    /// Of each role what most connected workers have, or else what is kept here.
    pub(super) async fn list(&self) -> Result<Vec<v1::HeldModel>, Status> {
        let held = self.ask(|reply| Request::HeldModels { reply }).await?;
        let store = self.aside.models.clone();
        let kept = on_a_thread(move || store.models()).await?;
        let kept = kept.map_err(|error| Status::internal(format!("cannot read what models are kept: {error}")))?;
        Ok(together(held, kept).iter().map(wire).collect())
    }

    pub(super) async fn file_here(&self, request: v1::ModelFileHereRequest) -> Result<v1::ModelFileHereReply, Status> {
        let (file, store) = (digest_field(&request.blake3)?, self.aside.models.clone());
        let (bytes, whole) = on_a_thread(move || store.here(&file)).await?;
        Ok(v1::ModelFileHereReply { bytes, whole })
    }

    pub(super) async fn take_file(
        &self,
        mut chunks: impl Stream<Item = Result<v1::ModelChunk, Status>> + Unpin,
    ) -> Result<v1::PutFileReply, Status> {
        let first = chunks.next().await.ok_or_else(|| Status::invalid_argument("no chunk of a file came"))??;
        let file = digest_field(&first.blake3)?;
        let rest = chunks.map(|chunk| chunk.map(|chunk| Bytes::from(chunk.data)));
        let all = futures::stream::iter([Ok(Bytes::from(first.data))]).chain(rest);
        self.aside.models.receive((file, first.bytes), first.offset, all).await?;
        Ok(v1::PutFileReply { digest: file.0.to_vec() })
    }

    pub(super) async fn keep_model(&self, request: v1::KeepModelRequest) -> Result<v1::KeepModelReply, Status> {
        let wanted = request.model.ok_or_else(|| Status::invalid_argument("the message lacks the model"))?;
        let wanted = model(wanted).map_err(|error| Status::invalid_argument(error.to_string()))?;
        let store = self.aside.models.clone();
        on_a_thread(move || store.keep(wanted)).await??;
        Ok(v1::KeepModelReply {})
    }

    pub(super) async fn forget_model(&self, request: v1::ForgetModelRequest) -> Result<v1::ForgetModelReply, Status> {
        let store = self.aside.models.clone();
        let bytes = on_a_thread(move || store.forget(&request.name)).await??;
        Ok(v1::ForgetModelReply { bytes })
    }
}

/// A role that workers have is theirs: it is what jobs are rendered with. Whether the same files are kept is told with it.
fn together(mut held: Vec<HeldModel>, kept: Vec<HeldModel>) -> Vec<HeldModel> {
    for kept in kept {
        let Some(known) = held.iter_mut().find(|model| model.name == kept.name) else {
            held.push(kept);
            continue;
        };
        for role in kept.roles {
            match known.roles.iter_mut().find(|held| held.role == role.role) {
                Some(held) => held.kept = held.files == role.files,
                None => known.roles.push(role),
            }
        }
        let new = kept.beside.into_iter().filter(|file| known.beside.iter().all(|known| known.path != file.path));
        known.beside.extend(new.collect::<Vec<_>>());
    }
    held.sort_by(|a, b| a.name.cmp(&b.name));
    held
}

#[cfg(test)]
mod tests {
    use wanfarm_client::HeldRole;
    use wanfarm_types::{Digest, ModelFile, Role};

    use super::*;

    #[test]
    fn what_workers_have_comes_before_what_is_kept() {
        let role = |role, n, workers, kept| {
            let files = vec![ModelFile { path: "a".to_owned(), blake3: Digest([n; 32]) }];
            HeldRole { role, workers, files, kept }
        };
        let model = |name: &str, roles| HeldModel {
            name: name.to_owned(),
            preset: "t2v".to_owned(),
            roles,
            beside: Vec::new(),
        };
        let held = vec![model("wan", vec![role(Role::Vae, 1, 3, false), role(Role::Dit, 2, 1, false)])];
        let kept = vec![
            model(
                "wan",
                vec![role(Role::Vae, 1, 0, true), role(Role::Dit, 9, 0, true), role(Role::TextEncoder, 4, 0, true)],
            ),
            model("art", vec![role(Role::Vae, 5, 0, true)]),
        ];
        let all = together(held, kept);
        assert_eq!(all.iter().map(|model| model.name.as_str()).collect::<Vec<_>>(), ["art", "wan"]);
        let told = |role: &HeldRole| (role.role, role.files[0].blake3.0[0], role.workers, role.kept);
        let roles: Vec<_> = all[1].roles.iter().map(told).collect();
        assert_eq!(roles, [(Role::Vae, 1, 3, true), (Role::Dit, 2, 1, false), (Role::TextEncoder, 4, 0, true)]);
    }
}
