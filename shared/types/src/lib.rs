//! The words of wanfarm as plain data: ids, stages, specs, geometry, tensors by digest, work items.
//!
//! Deliberately not here: IO, clocks, randomness, wire formats (`wanfarm-proto`) and any arithmetic on tensors.

pub mod about;
mod access;
mod attempt_line;
mod backoff;
mod bounds;
mod cache;
mod cache_request;
pub mod calibration;
mod clip_length;
mod decode;
mod digest;
pub mod distilled;
mod failure;
mod first_frame_size;
#[cfg(any(test, feature = "fixtures"))]
pub mod fixtures;
mod format;
mod frame_rate;
mod geometry;
mod history;
mod ids;
mod image_source;
mod item;
mod log_line;
mod lora;
mod memory;
pub mod messages;
mod model_file;
mod model_info;
mod nag;
mod order;
mod report;
mod size;
mod solver;
mod spec;
mod stage;
pub mod status;
mod swept;
mod tensor;
mod text;
mod vae;
mod worker_status;

pub use about::{About, BadAbout};
pub use access::{Access, BadRights, GrantId, KeyId, Rights};
pub use attempt_line::{AttemptLine, AttemptResult};
pub use backoff::Backoff;
pub use bounds::{BadMessage, check_label};
pub use cache::{BadCache, CacheSettings, CfgCache, MagCache, MagCurve, Retention, SenCache, TeaCache, TeaModel};
pub use cache_request::{
    CacheContext, CacheError, CacheRequest, CfgCacheRequest, MagCacheRequest, SenCacheRequest, TeaCacheRequest,
};
pub use calibration::{BadCalibration, CalibratedStage, Calibration, OwnCurve};
pub use clip_length::{ClipLength, MAX_CLIP_BYTES, shown};
pub use decode::{Decode, Decoder, NoTinyVae};
pub use digest::Digest;
pub use distilled::Distilled;
pub use failure::{Failure, FailureKind};
pub use first_frame_size::{i2v_size, ti2v_size};
pub use format::{Format, FormatError, frame_name, is_frame_name};
pub use frame_rate::{BadFrameRate, FrameRate};
pub use geometry::{Geometry, GeometryError};
pub use history::{EventKind, FarmEvent};
pub use ids::{AttemptId, Incarnation, JobId, VideoId, WebhookId, WorkerId};
pub use image_source::{ClipSource, Excerpt, FrameOf, ImageSource, Need, WholeOf};
pub use item::{Checkpoint, ItemInputs, StepRange, StepTiming, WorkItem};
pub use log_line::{LogEntry, LogLevel, LogLine, log_text};
pub use lora::{LoraError, LoraRef, MAX_LORA_BYTES, MAX_STRENGTH};
pub use memory::{Footprint, ItemSize, LoadProgress, ModelRole};
pub use messages::{
    Assignment, CoordinatorMessage, Errand, Hello, ItemOutputs, Report, ServedModel, ServedRole, WorkerMessage,
};
pub use model_file::ModelFile;
pub use model_info::{Defaults, Experts, FixedLora, ModelInfo, Transformer};
pub use nag::{BadNag, Nag};
pub use order::in_order;
pub use report::{Effort, EffortLine, FileState, Forecast, JobReport, LostFile, Machine, StoredWeights, bottleneck};
pub use size::{BadSize, Size};
pub use solver::{FewSteps, Guidance, SolverKind};
pub use spec::{DEFAULT_STRENGTH, SpecError, VideoRequest, VideoSpec, method, pace, steps_run};
pub use stage::{Expert, Role, Stage};
pub use status::{JobState, JobStatus, JobSummary, VideoState, VideoStatus};
pub use swept::Swept;
pub use tensor::{DType, TensorRef};
pub use text::{TEXT_LEN, cut_off};
pub use vae::{TinyVae, VaeKind};
pub use worker_status::{Loading, Pace, RunningItem, WorkerMemory, WorkerStatus};
