//! What a worker and its coordinator say to one another, as it is sent: JSON in a frame of the control plane.
//!
//! A worker says [`Hello`] first and then [`WorkerMessage`]s; the coordinator answers with [`CoordinatorMessage`]s.
//! Receivers call a message's `check` before they act on it. Deliberately not here: the
//! frames and the connection (`wanfarm-proto`), and what follows from a message.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::bounds::{self, BadMessage, at_most};
use crate::{
    AttemptId, Checkpoint, Digest, Failure, Footprint, Incarnation, ItemInputs, LoadProgress, LogEntry, ModelFile,
    ModelInfo, ModelRole, Role, StepTiming, TensorRef, VideoSpec, WorkItem, WorkerId,
};

/// Models of one worker.
const MAX_MODELS: usize = 16;
/// Files behind one role.
const MAX_FILES: usize = 256;
/// Attempts that a worker may have something of: a text encoder keeps many small results.
const MAX_ATTEMPTS: usize = 1 << 16;
/// Lines of a log in one message.
const MAX_ENTRIES: usize = 64;
/// Tensors of one result.
const MAX_TENSORS: usize = 1 << 10;

/// The first message of a worker on a connection.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Hello {
    /// Its persistent identity.
    pub worker: WorkerId,
    /// This boot of it.
    pub incarnation: Incarnation,
    /// For people: host name and roles.
    pub name: String,
    /// For people: what its machine calls itself; empty when it does not say.
    #[serde(default)]
    pub host: String,
    /// For people: what it computes on.
    pub device: String,
    /// Main memory of its machine, in bytes.
    pub memory_bytes: u64,
    /// Bytes of its device's memory that weights and items may take together; absent for a worker that holds all it
    /// serves, whatever that takes.
    #[serde(default)]
    pub budget_bytes: Option<u64>,
    /// Roles whose weights are in memory.
    #[serde(default)]
    pub loaded: Vec<ModelRole>,
    /// Where its tensors are read: `http://host:port`; empty when it does not say.
    pub tensor_address: String,
    /// What it serves.
    pub models: Vec<ServedModel>,
    /// "May I keep these?": attempts computing, queued, or finished with an unanswered report.
    pub running: Vec<AttemptId>,
    /// Acknowledged attempts whose results are still in its memory.
    pub holding: Vec<AttemptId>,
}

/// A model as one worker serves it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ServedModel {
    /// What the folder was recognised as.
    pub info: ModelInfo,
    /// The roles that the worker serves of it.
    pub roles: Vec<ServedRole>,
    /// Files beside those of the roles that say what it is, for whoever fetches it.
    #[serde(default)]
    pub beside: Vec<ModelFile>,
}

/// A role that a worker serves of a model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServedRole {
    /// The role within the model.
    pub role: Role,
    /// The files behind it.
    pub files: Vec<ModelFile>,
    /// How most of its numbers are stored: `bf16`, `q8_0`, `f8_e4m3`, …
    pub encoding: String,
    /// Bytes of its tensors as they are stored.
    pub bytes: u64,
    /// What it takes of the device's memory.
    #[serde(default)]
    pub footprint: Footprint,
}

/// What a worker says after its hello.
///
/// Reports are kept by the worker until their attempt is answered by `Acknowledge` or `Drop`, and sent again, in order,
/// after a reconnect. Of several `StepDone` only the newest has to be kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WorkerMessage {
    /// It lives.
    Heartbeat,
    /// News of an attempt.
    Report(AttemptId, Report),
    /// What it has logged. Said only to who wants it, and again after a reconnect.
    Log {
        /// The number of the first entry, counted from the start of the process. Numbers that are left out were never said.
        first: u64,
        /// Oldest first.
        entries: Vec<LogEntry>,
    },
    /// It leaves on purpose.
    Goodbye {
        /// Why, for people.
        reason: String,
    },
}

/// What a worker says about one attempt. `ItemDone`, `Failed` and `Revoked` are final.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Report {
    /// Inputs are at hand, the device has begun. From here on the attempt cannot be revoked, only stopped.
    Started,
    /// Weights that the item needs are being read, before anything is computed with them; at the end with all bytes read.
    Loading(LoadProgress),
    /// A step has run; the state after it lies in the worker's memory.
    StepDone {
        /// The state after the step.
        checkpoint: Checkpoint,
        /// Seconds the step took.
        seconds: f64,
    },
    /// The item is finished, or stopped early: then the checkpoint has fewer steps than were asked for.
    ItemDone {
        /// What came out.
        outputs: ItemOutputs,
        /// How long it took.
        timing: StepTiming,
    },
    /// The item failed. Checkpoints reported before still lie in the worker's memory.
    Failed(Failure),
    /// The item had not started and will not: the answer to a `Revoke`.
    /// A worker that had already started ignores the revocation.
    Revoked,
}

/// The results of an item, by stage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ItemOutputs {
    /// `encode_text`: the context.
    Text(TensorRef),
    /// `encode_image`: the conditioning tensors.
    Image(Vec<TensorRef>),
    /// A denoising stage: the state after the last step that ran.
    Checkpoint(Checkpoint),
    /// `decode`: the frames.
    Frames(TensorRef),
}

/// What the coordinator says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CoordinatorMessage {
    /// The hello is accepted.
    Welcome {
        /// Milliseconds between heartbeats.
        heartbeat_milliseconds: u32,
        /// Milliseconds after which a silent worker loses its work.
        lease_milliseconds: u32,
        /// The coordinator wants to hear what the worker logs.
        #[serde(default)]
        wants_log: bool,
        /// By which others of the farm know the worker, as PEM; where nothing is encrypted there is none.
        #[serde(default)]
        certificate: Option<String>,
    },
    /// The same as of the welcome, for longer.
    Certificate(String),
    /// The coordinator will not work with this worker as it is; dialling again changes nothing. Of the same form in all
    /// versions of the protocol.
    Refused {
        /// Why, for people.
        reason: String,
        /// Another process that lives has this worker's id, from a copied data folder: draw a new one, and dial again.
        take_new_identity: bool,
    },
    /// Run this item, or hold it as the next one.
    Assign(Box<Assignment>),
    /// Give back an item that has not started. Answered by `Revoked`, or by the reports of the running item.
    Revoke(AttemptId),
    /// Finish the current step and report what there is.
    StopAfterStep(AttemptId),
    /// This attempt is no longer needed: stop it, forget its reports, free its tensors.
    Drop(AttemptId),
    /// The final report of this attempt is recorded: forget the report, keep the tensors until `Drop`.
    Acknowledge(AttemptId),
    /// Drained: nothing that only this worker has is needed any more. Say goodbye and end.
    Leave,
    /// Deliver this tensor.
    Send(Errand),
}

/// One attempt, with everything it needs by reference.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Assignment {
    /// The fencing number.
    pub attempt: AttemptId,
    /// What to run.
    pub item: WorkItem,
    /// The video it is of.
    pub spec: VideoSpec,
    /// What to encode, for `encode_text`.
    pub text: String,
    /// What to start from.
    pub inputs: ItemInputs,
    /// Where each input is read, best first: `http://host:port`.
    pub locations: BTreeMap<Digest, Vec<String>>,
    /// Roles that stay in memory beside the item's own. When the item starts, the weights of all others are let go, before
    /// any are loaded. Without meaning for a worker that holds all it serves.
    #[serde(default)]
    pub keep: Vec<ModelRole>,
}

/// A tensor to be delivered to the coordinator, for those who cannot reach the worker's own service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Errand {
    /// Random, so that a number of an earlier coordinator matches nothing.
    pub number: u64,
    /// Digest of the tensor.
    pub digest: Digest,
    /// From this byte to its end.
    pub offset: u64,
}

impl Hello {
    /// Checks size and form; meaning is checked where the message is acted on.
    ///
    /// # Errors
    /// The first field that cannot be worked with.
    pub fn check(&self) -> Result<(), BadMessage> {
        bounds::check_label("device", &self.device)?;
        bounds::check_label("name", &self.name)?;
        bounds::check_label("host", &self.host)?;
        bounds::path("tensor_address", &self.tensor_address)?;
        at_most("models", self.models.len(), MAX_MODELS, "models")?;
        at_most("running", self.running.len(), MAX_ATTEMPTS, "attempts")?;
        at_most("holding", self.holding.len(), MAX_ATTEMPTS, "attempts")?;
        check_roles("loaded", &self.loaded)?;
        for model in &self.models {
            model.info.check()?;
            at_most("beside", model.beside.len(), MAX_FILES, "files")?;
            model.beside.iter().try_for_each(|file| bounds::path("file path", &file.path))?;
            at_most("roles", model.roles.len(), Role::ALL.len(), "roles")?;
            for role in &model.roles {
                bounds::check_label("encoding", &role.encoding)?;
                at_most("files", role.files.len(), MAX_FILES, "files")?;
                role.files.iter().try_for_each(|file| bounds::path("file path", &file.path))?;
            }
        }
        Ok(())
    }
}

impl WorkerMessage {
    /// Checks the form of the report.
    ///
    /// # Errors
    /// The first thing that means nothing.
    pub fn check(&self) -> Result<(), BadMessage> {
        match self {
            Self::Report(_, Report::StepDone { checkpoint, seconds }) => {
                bounds::seconds("seconds", *seconds)?;
                check_tensors(&checkpoint.tensors)
            }
            Self::Report(_, Report::ItemDone { outputs, timing }) => {
                let whole = [timing.seconds, timing.load_seconds, timing.input_wait_seconds];
                whole.iter().chain(&timing.step_seconds).try_for_each(|time| bounds::seconds("seconds", *time))?;
                check_tensors(outputs.tensors())
            }
            Self::Report(_, Report::Loading(progress)) => bounds::seconds("seconds", progress.seconds),
            Self::Log { entries, .. } => at_most("entries", entries.len(), MAX_ENTRIES, "lines"),
            _ => Ok(()),
        }
    }
}

impl Report {
    /// True when the worker says nothing more about the attempt after it.
    pub fn is_final(&self) -> bool {
        matches!(self, Report::ItemDone { .. } | Report::Failed(_) | Report::Revoked)
    }
}

impl ItemOutputs {
    /// All of them.
    pub fn tensors(&self) -> &[TensorRef] {
        match self {
            Self::Text(tensor) | Self::Frames(tensor) => std::slice::from_ref(tensor),
            Self::Image(tensors) => tensors,
            Self::Checkpoint(checkpoint) => &checkpoint.tensors,
        }
    }
}

impl Assignment {
    /// Checks the form of the assignment; the worker checks whether it can be run.
    ///
    /// # Errors
    /// The first thing that means nothing.
    pub fn check(&self) -> Result<(), BadMessage> {
        let steps = self.item.steps;
        if steps.first > steps.end {
            return Err(BadMessage::new("steps", format!("are {}..{}", steps.first, steps.end)));
        }
        check_roles("keep", &self.keep)?;
        check_tensors(self.inputs.tensors())
    }
}

fn check_roles(field: &'static str, roles: &[ModelRole]) -> Result<(), BadMessage> {
    at_most(field, roles.len(), MAX_MODELS * Role::ALL.len(), "roles")?;
    roles.iter().try_for_each(|role| bounds::check_label(field, &role.model))
}

fn check_tensors<'t>(tensors: impl IntoIterator<Item = &'t TensorRef>) -> Result<(), BadMessage> {
    tensors.into_iter().zip(1..).try_for_each(|(tensor, number)| {
        at_most("tensors", number, MAX_TENSORS, "tensors")?;
        tensor.check()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{DType, Experts, JobId, LogLevel, Stage, StepRange, VideoId, fixtures};
    use uuid::Uuid;

    fn tensor(shape: &[u64]) -> TensorRef {
        TensorRef { digest: Digest([1; 32]), dtype: DType::F32, shape: shape.to_vec() }
    }

    fn role(files: usize) -> ServedRole {
        let file = ModelFile { path: "vae.pth".into(), blake3: Digest([2; 32]) };
        ServedRole {
            role: Role::Vae,
            files: vec![file; files],
            encoding: "bf16".into(),
            bytes: 7,
            footprint: Footprint::default(),
        }
    }

    fn loaded() -> ModelRole {
        ModelRole { model: "wan".into(), role: Role::Vae }
    }

    fn hello() -> Hello {
        let info = fixtures::info(Experts::Dual { boundary: 0.875 });
        Hello {
            worker: WorkerId(Uuid::from_u128(1)),
            incarnation: Incarnation(Uuid::from_u128(2)),
            name: "Studio – 3 (Büro)/vae".into(),
            host: "studio-3.local".into(),
            device: "cpu".into(),
            memory_bytes: 1 << 36,
            budget_bytes: Some(3 << 34),
            loaded: vec![loaded()],
            tensor_address: "[::]:7001".into(),
            models: vec![ServedModel { info, roles: vec![role(MAX_FILES); 5], beside: Vec::new() }; MAX_MODELS],
            running: vec![AttemptId(1); 100],
            holding: Vec::new(),
        }
    }

    fn assignment() -> Assignment {
        let info = fixtures::info(Experts::Single);
        let video = VideoId { job: JobId(3), index: 1 };
        let checkpoint = Some(Checkpoint { steps_done: 4, tensors: vec![tensor(&[16, 2])] });
        Assignment {
            attempt: AttemptId(7),
            item: WorkItem { video, stage: Stage::Denoise, steps: StepRange { first: 4, end: 40 } },
            spec: fixtures::request().resolve(&info).unwrap(),
            text: String::new(),
            inputs: ItemInputs { text: vec![tensor(&[3, 8])], image: Vec::new(), checkpoint },
            locations: [(Digest([1; 32]), vec!["http://10.0.0.7:7001".to_owned()])].into(),
            keep: vec![loaded()],
        }
    }

    fn again<T: Serialize + for<'de> Deserialize<'de>>(value: &T) -> T {
        serde_json::from_slice(&serde_json::to_vec(value).unwrap()).unwrap()
    }

    #[test]
    fn messages_are_read_as_they_were_said() {
        assert_eq!(again(&hello()), hello());
        let checkpoint = Checkpoint { steps_done: 1, tensors: vec![tensor(&[2]); 3] };
        let timing = StepTiming { seconds: 0.1, step_seconds: vec![1.0 / 3.0], ..StepTiming::default() };
        let reports = [
            Report::Started,
            Report::Loading(LoadProgress { read: 1 << 33, of: 1 << 34, seconds: 0.5 }),
            Report::StepDone { checkpoint: checkpoint.clone(), seconds: 0.3 },
            Report::ItemDone { outputs: ItemOutputs::Checkpoint(checkpoint), timing: timing.clone() },
            Report::ItemDone { outputs: ItemOutputs::Text(tensor(&[1])), timing: timing.clone() },
            Report::ItemDone { outputs: ItemOutputs::Image(vec![tensor(&[1]); 2]), timing: timing.clone() },
            Report::ItemDone { outputs: ItemOutputs::Frames(tensor(&[1])), timing },
            Report::Failed(Failure::transient("a\nb")),
            Report::Revoked,
        ];
        for report in reports {
            let message = WorkerMessage::Report(AttemptId(9), report);
            assert_eq!(again(&message), message);
            assert_eq!(message.check(), Ok(()));
        }
        let step =
            |seconds| Report::StepDone { checkpoint: Checkpoint { steps_done: 1, tensors: Vec::new() }, seconds };
        let ended = |step_seconds| Report::ItemDone {
            outputs: ItemOutputs::Text(tensor(&[1])),
            timing: StepTiming { step_seconds, ..StepTiming::default() },
        };
        for endless in [step(1e300), ended(vec![1.0, f64::INFINITY])] {
            assert!(WorkerMessage::Report(AttemptId(9), endless).check().is_err());
        }
        let entry = LogEntry { age_milliseconds: 250, level: LogLevel::Warn, text: "it slipped".into() };
        let log = |lines| WorkerMessage::Log { first: 7, entries: vec![entry.clone(); lines] };
        assert!(log(MAX_ENTRIES + 1).check().is_err());
        for message in [WorkerMessage::Heartbeat, WorkerMessage::Goodbye { reason: "drained".into() }, log(MAX_ENTRIES)]
        {
            assert_eq!(again(&message), message);
            assert_eq!(message.check(), Ok(()));
        }
        for message in [
            CoordinatorMessage::Welcome {
                heartbeat_milliseconds: 1,
                lease_milliseconds: 4,
                wants_log: true,
                certificate: Some("pem".into()),
            },
            CoordinatorMessage::Refused { reason: "r".into(), take_new_identity: true },
            CoordinatorMessage::Assign(Box::new(assignment())),
            CoordinatorMessage::Revoke(AttemptId(1)),
            CoordinatorMessage::StopAfterStep(AttemptId(1)),
            CoordinatorMessage::Drop(AttemptId(1)),
            CoordinatorMessage::Acknowledge(AttemptId(1)),
            CoordinatorMessage::Leave,
            CoordinatorMessage::Send(Errand { number: u64::MAX, digest: Digest([3; 32]), offset: 5 }),
        ] {
            assert_eq!(again(&message), message);
        }
    }

    #[test]
    fn a_worker_and_a_coordinator_that_know_no_budgets_and_no_hosts_are_understood() {
        let without = |value: serde_json::Value, names: &[&str]| {
            let serde_json::Value::Object(mut fields) = value else { panic!("{value}") };
            names.iter().for_each(|name| assert!(fields.remove(*name).is_some(), "{name}"));
            serde_json::Value::Object(fields)
        };
        let hello = without(serde_json::to_value(hello()).unwrap(), &["budget_bytes", "loaded", "host"]);
        let hello: Hello = serde_json::from_value(hello).unwrap();
        assert_eq!((hello.budget_bytes, hello.loaded.len(), hello.host.as_str()), (None, 0, ""));
        let role = without(serde_json::to_value(role(1)).unwrap(), &["footprint"]);
        assert_eq!(serde_json::from_value::<ServedRole>(role).unwrap().footprint, Footprint::default());
        let welcome = r#"{"welcome":{"heartbeat_milliseconds":1,"lease_milliseconds":4}}"#;
        let quiet = CoordinatorMessage::Welcome {
            heartbeat_milliseconds: 1,
            lease_milliseconds: 4,
            wants_log: false,
            certificate: None,
        };
        assert_eq!(serde_json::from_str::<CoordinatorMessage>(welcome).unwrap(), quiet);
        let assignment = without(serde_json::to_value(assignment()).unwrap(), &["keep"]);
        assert_eq!(serde_json::from_value::<Assignment>(assignment).unwrap().keep, Vec::new());
    }

    #[test]
    fn what_means_nothing_is_not_read() {
        for text in [
            "{}",
            "\"shout\"",
            "{\"report\":[1,\"shout\"]}",
            "{\"report\":[-1,\"started\"]}",
            "{\"report\":[1,{\"step_done\":{\"checkpoint\":{\"steps_done\":1,\"tensors\":[]},\"seconds\":null}}]}",
            "{\"report\":[1,{\"step_done\":{\"checkpoint\":{\"steps_done\":1,\"tensors\":[]},\"seconds\":1e999}}]}",
            "{\"report\":[1,{\"item_done\":{\"outputs\":{\"text\":{\"digest\":\"00\",\"dtype\":\"f32\",\"shape\":[]}},\
             \"timing\":{\"seconds\":1,\"step_seconds\":[],\"input_wait_seconds\":0}}}]}",
        ] {
            assert!(serde_json::from_str::<WorkerMessage>(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_hello_has_its_limits() {
        assert_eq!(hello().check(), Ok(()));
        let with = |change: fn(&mut Hello)| {
            let mut hello = hello();
            change(&mut hello);
            hello.check().unwrap_err().to_string()
        };
        for (error, field) in [
            (with(|hello| hello.name = "n".repeat(201)), "name"),
            (with(|hello| hello.name = "a\nINFO forged".into()), "name"),
            (with(|hello| hello.host = "h".repeat(201)), "host"),
            (with(|hello| hello.host = "a\nb".into()), "host"),
            (with(|hello| hello.device = "\u{1b}[2J".into()), "device"),
            (with(|hello| hello.tensor_address = "u".repeat(2000)), "tensor_address"),
            (with(|hello| hello.models.push(hello.models[0].clone())), "models"),
            (with(|hello| hello.models[3].roles.push(role(0))), "roles"),
            (with(|hello| hello.models[3].roles[2] = role(MAX_FILES + 1)), "files"),
            (with(|hello| hello.models[3].roles[2].files[0].path = "p".repeat(2000)), "file path"),
            (with(|hello| hello.models[3].roles[2].encoding = "\u{7}".into()), "encoding"),
            (with(|hello| hello.models[3].info.name = String::new()), "model name"),
            (with(|hello| hello.loaded = vec![loaded(); 5 * MAX_MODELS + 1]), "loaded"),
            (with(|hello| hello.loaded[0].model = "\n".into()), "loaded"),
            (with(|hello| hello.holding = vec![AttemptId(1); MAX_ATTEMPTS + 1]), "holding"),
        ] {
            assert!(error.starts_with(field), "{error}");
        }
    }

    #[test]
    fn results_and_inputs_have_the_form_of_tensors() {
        let report = |shape: &[u64]| {
            let outputs = ItemOutputs::Frames(tensor(shape));
            WorkerMessage::Report(AttemptId(1), Report::ItemDone { outputs, timing: StepTiming::default() }).check()
        };
        assert_eq!(report(&[2, 3]), Ok(()));
        assert!(report(&[u64::MAX, u64::MAX]).is_err() && report(&[1; 9]).is_err());
        assert_eq!(assignment().check(), Ok(()));
        let mut backwards = assignment();
        backwards.item.steps = StepRange { first: 5, end: 4 };
        assert!(backwards.check().unwrap_err().to_string().contains("5..4"));
        let mut endless = assignment();
        endless.inputs.text[0].shape = vec![u64::MAX, 2];
        assert!(endless.check().is_err());
    }
}
