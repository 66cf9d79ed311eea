//! Results that their items cannot have made.

use wanfarm_types::{Assignment, Checkpoint, ItemOutputs, Report, StepTiming, TensorRef, WorkerMessage};

use super::watching::{says, without_vae};
use super::*;

/// The assignments among the messages that are there.
fn assignments(messages: &mut Messages) -> Vec<Assignment> {
    let all = std::iter::from_fn(|| messages.try_recv().ok());
    all.filter_map(|message| if let CoordinatorMessage::Assign(one) = message { Some(*one) } else { None }).collect()
}

fn tensor(shape: &[u64]) -> TensorRef {
    TensorRef { digest: Digest([9; 32]), dtype: DType::F32, shape: shape.to_vec() }
}

fn done(driver: &mut Driver, attempt: wanfarm_types::AttemptId, outputs: ItemOutputs) {
    says(driver, WorkerMessage::Report(attempt, Report::Started));
    let timing = StepTiming { seconds: 1.0, ..StepTiming::default() };
    says(driver, WorkerMessage::Report(attempt, Report::ItemDone { outputs, timing }));
}

/// Whoever computes with it next would fail in its maker's place.
#[tokio::test]
async fn what_an_item_cannot_have_made_is_a_failure_of_its_maker() {
    let (mut driver, mut messages, _dir) = without_vae(1);
    driver.settle().await.unwrap();
    let told = |driver: &Driver| {
        let video = VideoId { job: JobId(1), index: 0 };
        let spec = driver.registry.jobs.spec(video).unwrap();
        let texts = [&spec.prompt, &spec.negative].map(|text| wanfarm_manifest::plan::text_key(&spec.model, text));
        let attempts = driver.registry.ledger.attempts(video, &texts);
        attempts.into_iter().map(|attempt| attempt.result).collect::<Vec<_>>()
    };
    let first = assignments(&mut messages).remove(0);
    assert_eq!(first.item.stage, Stage::EncodeText);
    done(&mut driver, first.attempt, ItemOutputs::Text(tensor(&[7])));
    driver.settle().await.unwrap();
    let errors = told(&driver);
    assert!(
        errors.iter().any(|error| error.contains("encode_text: what mac made of it is not that: [7] of F32")),
        "{errors:?}"
    );

    // It is given another try, and the other text; then comes the first step.
    let mut denoise = None;
    while denoise.is_none() {
        let assigned = assignments(&mut messages);
        assert!(!assigned.is_empty(), "nothing goes on");
        for assignment in assigned {
            match assignment.item.stage {
                Stage::EncodeText => {
                    done(&mut driver, assignment.attempt, ItemOutputs::Text(tensor(&[7, 4096])));
                    driver.settle().await.unwrap();
                }
                _ => denoise = Some(assignment),
            }
        }
    }
    let assignment = denoise.unwrap();
    let latents = driver.registry.jobs.spec(VideoId { job: JobId(1), index: 0 }).map(|spec| {
        info(Experts::Single).geometry.latent_shape(spec.width, spec.height, spec.frames).map(|side| side as u64)
    });
    let mut state = Checkpoint { steps_done: 1, tensors: vec![tensor(&latents.unwrap()), tensor(&[16])] };
    says(&mut driver, WorkerMessage::Report(assignment.attempt, Report::Started));
    let step = |checkpoint: &Checkpoint| Report::StepDone { checkpoint: checkpoint.clone(), seconds: 1.0 };
    says(&mut driver, WorkerMessage::Report(assignment.attempt, step(&state)));
    driver.settle().await.unwrap();
    let errors = told(&driver);
    assert!(errors.iter().any(|error| error.contains("as latents and solver history")), "{errors:?}");
    // And what it says of that attempt later is not heard.
    state.tensors.truncate(1);
    says(&mut driver, WorkerMessage::Report(assignment.attempt, step(&state)));
    assert_eq!(driver.registry.jobs.line(VideoId { job: JobId(1), index: 0 }).unwrap().steps_done, 0);
}

/// Its maker looked at it before, or does not do what it says; no reader gets into trouble for it.
#[tokio::test]
async fn whoever_passes_on_what_nothing_can_be_computed_with_is_set_aside() {
    let (mut driver, mut messages, _dir) = without_vae(1);
    driver.settle().await.unwrap();
    let first = assignments(&mut messages).remove(0);
    done(&mut driver, first.attempt, ItemOutputs::Text(tensor(&[7, 4096])));
    driver.settle().await.unwrap();
    let video = VideoId { job: JobId(1), index: 0 };
    let spec = driver.registry.jobs.spec(video).unwrap().clone();
    let key = wanfarm_manifest::plan::text_key(&spec.model, &first.text);
    let maker = WorkerId(uuid::Uuid::from_u128(1));
    let unsound = Copied::Unsound("its number 3 is NaN".to_owned());
    driver.on_event(Event::Copied { artifact: ArtifactId::Text(key), maker, copied: unsound });
    driver.settle().await.unwrap();
    let line = driver.worker_lines().remove(0);
    assert_eq!(line.state, "set aside", "{line:?}");
    assert!(line.detail.as_deref().is_some_and(|why| why.contains("its number 3 is NaN")), "{line:?}");
    assert!(driver.registry.jobs.line(video).unwrap().state != wanfarm_types::VideoState::Failed);
}
