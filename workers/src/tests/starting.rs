//! A worker from its settings on: models found, weights loaded, a first item computed.

use std::path::Path;

use tokio::sync::oneshot;
use wanfarm_model::ops::device::DeviceKind;
use wanfarm_proto::dial::{Target, Way};
use wanfarm_proto::tensors::Puller;
use wanfarm_types::{
    Assignment, CoordinatorMessage, ItemInputs, ItemOutputs, ItemSize, Report, Role, Size, Stage, StepRange, WorkItem,
};

use super::fixtures::{self, golden};
use super::harness::{Coordinator, soon};
use crate::{Dtype, ErrorKind, Log, WorkerConfig, WorkerError, run};

fn target(coordinator: &str) -> Target {
    Target::new(coordinator, Way::plain())
}

fn config(coordinator: &str, models: &Path, data: &Path) -> WorkerConfig {
    WorkerConfig {
        coordinator: target(coordinator),
        farm: None,
        roles: vec![Role::TextEncoder, Role::Dit],
        budget: None,
        models: vec![models.to_owned()],
        only: Vec::new(),
        data: data.to_owned(),
        device: DeviceKind::Cpu,
        dtype: Dtype::F32,
        name: "here".to_owned(),
        listen: None,
        advertise: None,
        log: Log::default(),
    }
}

fn models(case: &str) -> tempfile::TempDir {
    let models = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(golden(case), models.path().join("tiny")).unwrap();
    models
}

#[tokio::test]
async fn a_worker_finds_its_model_and_encodes_a_prompt() {
    let (models, data) = (models("repo_t2v_from_prompt/official_repo"), tempfile::tempdir().unwrap());
    let mut coordinator = Coordinator::start().await;
    let (shutdown, told) = oneshot::channel::<()>();
    let ended = tokio::spawn(run(config(&coordinator.url, models.path(), data.path()), async move {
        let _ = told.await;
    }));
    let mut connection = coordinator.welcome().await;
    let hello = &connection.hello;
    let roles: Vec<_> = hello.models[0].roles.iter().map(|served| served.role).collect();
    assert_eq!(roles, [Role::TextEncoder], "there is no such model for the role dit");
    let files: Vec<_> = hello.models[0].roles[0].files.iter().map(|file| file.path.as_str()).collect();
    assert_eq!(files, ["models_t5_umt5-xxl-enc-bf16.pth", "google/umt5-xxl/tokenizer.json"]);
    assert!(hello.memory_bytes > 0 && hello.device.starts_with("cpu"));

    let steps = StepRange { first: 0, end: 0 };
    let item = WorkItem { stage: Stage::EncodeText, steps, ..fixtures::item() };
    let (text, inputs) = ("a red circle".to_owned(), ItemInputs::default());
    let assignment = Assignment { item, text, inputs, ..fixtures::assignment(1) };
    connection.send(CoordinatorMessage::Assign(Box::new(assignment))).await;
    assert_eq!(connection.report().await, (1, Report::Started));
    let (1, Report::ItemDone { outputs: ItemOutputs::Text(context), .. }) = connection.report().await else { panic!() };
    assert_eq!(context.shape[1], 24);
    Puller::default().pull(&context, &[connection.tensors()]).await.unwrap();

    shutdown.send(()).unwrap();
    connection.goodbye().await;
    drop(connection);
    soon("the worker to leave", ended).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_worker_that_cannot_start_says_why() {
    let (models, data) = (models("repo_t2v_from_prompt/official_repo"), tempfile::tempdir().unwrap());
    let good = config("127.0.0.1:1", models.path(), data.path());
    let start =
        |config: WorkerConfig| async { soon("an error", run(config, std::future::pending())).await.unwrap_err() };

    let error = start(WorkerConfig { roles: vec![], ..good.clone() }).await;
    assert_eq!(error.kind(), ErrorKind::Usage, "{error}");
    let error = start(WorkerConfig { coordinator: target("a farm"), ..good.clone() }).await;
    assert_eq!(error.kind(), ErrorKind::Usage, "{error}");
    let error = start(WorkerConfig { roles: vec![Role::Dit], ..good.clone() }).await;
    assert_eq!(error.kind(), ErrorKind::ModelFiles, "{error}");
    if !cfg!(feature = "cuda") {
        let error = start(WorkerConfig { device: DeviceKind::Cuda, ..good.clone() }).await;
        assert_eq!(error.kind(), ErrorKind::Usage, "{error}");
    }
    let _other = crate::identity::Identity::claim(data.path()).unwrap();
    assert!(matches!(start(good).await, WorkerError::InUse { .. }));
}

#[tokio::test]
async fn a_budget_decides_what_is_served_and_nothing_is_loaded_before_it_is_needed() {
    let (models, data) = (models("repo_t2v_from_prompt/official_repo"), tempfile::tempdir().unwrap());
    let all = |budget| {
        let roles = Role::ALL.to_vec();
        WorkerConfig { roles, budget: Some(Size(budget)), ..config("127.0.0.1:1", models.path(), data.path()) }
    };
    let error = soon("an error", run(all(1 << 10), std::future::pending())).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Usage);
    for words in ["too small for every role", "dit-high of tiny needs more than", "--memory", "Q8_0"] {
        assert!(error.to_string().contains(words), "{error}");
    }
    let mut coordinator = Coordinator::start().await;
    let (shutdown, told) = oneshot::channel::<()>();
    let config = WorkerConfig { coordinator: target(&coordinator.url), ..all(1 << 36) };
    let ended = tokio::spawn(run(config, async move {
        let _ = told.await;
    }));
    let mut connection = coordinator.welcome().await;
    let hello = connection.hello.clone();
    assert_eq!((hello.budget_bytes, hello.loaded.len(), hello.models[0].roles.len()), (Some(1 << 36), 0, 4));
    for role in &hello.models[0].roles {
        let (footprint, is_text) = (role.footprint, role.role == Role::TextEncoder);
        let size = ItemSize { tokens: 8, frame: 4, kept: 0 };
        assert!(footprint.of_item(size) > 0 && (footprint.weights > 0) != is_text, "{role:?}");
    }

    let steps = StepRange { first: 0, end: 0 };
    let item = WorkItem { stage: Stage::EncodeText, steps, ..fixtures::item() };
    let assignment = Assignment { item, inputs: ItemInputs::default(), ..fixtures::assignment(1) };
    connection.send(CoordinatorMessage::Assign(Box::new(assignment))).await;
    assert_eq!(connection.report().await, (1, Report::Started));
    loop {
        let (1, Report::Loading(progress)) = connection.report().await else { panic!("no word of loading") };
        if progress.is_done() {
            break;
        }
    }
    let (1, Report::ItemDone { .. }) = connection.report().await else { panic!("not done") };

    // What is in memory is told at every connection.
    drop(connection);
    let connection = coordinator.welcome().await;
    let loaded: Vec<_> = connection.hello.loaded.iter().map(|loaded| loaded.role).collect();
    assert_eq!(loaded, [Role::TextEncoder]);
    shutdown.send(()).unwrap();
    drop(connection);
    soon("the worker to leave", ended).await.unwrap().unwrap();
}

#[tokio::test]
async fn weights_of_another_shape_are_refused_before_the_worker_says_hello() {
    let (models, data) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let model = models.path().join("tiny");
    std::fs::create_dir(&model).unwrap();
    let from = golden("e2e_t2v_1_3b/official_repo");
    std::fs::copy(from.join("diffusion_pytorch_model.safetensors"), model.join("diffusion_pytorch_model.safetensors"))
        .unwrap();
    let config_json = std::fs::read_to_string(from.join("config.json")).unwrap();
    let more_layers = config_json.replace("\"num_layers\": 2", "\"num_layers\": 3");
    assert_ne!(more_layers, config_json);
    std::fs::write(model.join("config.json"), more_layers).unwrap();
    let config = config("127.0.0.1:1", models.path(), data.path());
    let error = soon("an error", run(config, std::future::pending())).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ModelFiles);
    assert!(error.to_string().contains("blocks.2."), "{error}");
}

#[tokio::test]
async fn a_worker_leaves_without_ever_having_reached_a_coordinator() {
    let (models, data) = (models("repo_t2v_from_prompt/official_repo"), tempfile::tempdir().unwrap());
    let config = config("127.0.0.1:1", models.path(), data.path());
    soon("the worker to leave", run(config, std::future::ready(()))).await.unwrap();
}
