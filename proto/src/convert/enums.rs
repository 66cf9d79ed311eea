//! Enumerations. Zero is "unspecified" on the wire and an error here.

use wanfarm_types as domain;

use super::WireError;
use crate::v1;

/// Declares both directions of an enumeration from one table, so that they cannot differ.
macro_rules! enumeration {
    ($field:literal, $wire:ident, $domain:ty, { $($w:ident = $d:path),+ $(,)? }) => {
        impl From<$domain> for v1::$wire {
            fn from(value: $domain) -> Self {
                match value { $($d => v1::$wire::$w),+ }
            }
        }

        impl TryFrom<v1::$wire> for $domain {
            type Error = WireError;

            fn try_from(value: v1::$wire) -> Result<Self, WireError> {
                #[allow(unreachable_patterns, reason = "where unspecified means something")]
                match value {
                    $(v1::$wire::$w => Ok($d),)+
                    v1::$wire::Unspecified => Err(WireError::Missing($field)),
                }
            }
        }

        impl $crate::convert::enums::FromWireNumber for $domain {
            fn from_wire_number(number: i32) -> Result<Self, WireError> {
                v1::$wire::try_from(number).map_err(|_| WireError::unknown($field, number))?.try_into()
            }
        }
    };
}

/// prost keeps enumerations as numbers; this reads them.
pub(crate) trait FromWireNumber: Sized {
    fn from_wire_number(number: i32) -> Result<Self, WireError>;
}

enumeration!("role", Role, domain::Role, {
    TextEncoder = domain::Role::TextEncoder,
    DitHigh = domain::Role::DitHigh,
    DitLow = domain::Role::DitLow,
    Dit = domain::Role::Dit,
    Vae = domain::Role::Vae,
});

enumeration!("right", Right, domain::Access, {
    Viewer = domain::Access::Viewer,
    Submitter = domain::Access::Submitter,
    Operator = domain::Access::Operator,
    Worker = domain::Access::Worker,
});

enumeration!("stage", Stage, domain::Stage, {
    EncodeText = domain::Stage::EncodeText,
    EncodeImage = domain::Stage::EncodeImage,
    DenoiseHigh = domain::Stage::DenoiseHigh,
    DenoiseLow = domain::Stage::DenoiseLow,
    Denoise = domain::Stage::Denoise,
    Decode = domain::Stage::Decode,
});

enumeration!("solver", SolverKind, domain::SolverKind, {
    Unipc = domain::SolverKind::UniPc,
    DpmPlusPlus = domain::SolverKind::DpmPlusPlus,
    Euler = domain::SolverKind::Euler,
    Lightning = domain::SolverKind::Lightning,
    Dmd = domain::SolverKind::Dmd,
    Rcm = domain::SolverKind::Rcm,
});

enumeration!("expert", Expert, domain::Expert, {
    High = domain::Expert::High,
    Low = domain::Expert::Low,
    Single = domain::Expert::Single,
});

enumeration!("zones", Retention, domain::Retention, {
    EachPhase = domain::Retention::EachPhase,
    FirstPhase = domain::Retention::FirstPhase,
});

enumeration!("polynomial", TeaModel, domain::TeaModel, {
    T2v13b = domain::TeaModel::T2v1_3b,
    T2v14b = domain::TeaModel::T2v14b,
    I2v480p = domain::TeaModel::I2v480p,
    I2v720p = domain::TeaModel::I2v720p,
    Linear = domain::TeaModel::Linear,
});

enumeration!("format", Format, domain::Format, {
    Mp4 = domain::Format::Mp4,
    Png = domain::Format::Png,
    Gif = domain::Format::Gif,
    Contact = domain::Format::Contact,
});

enumeration!("decode", Decode, domain::Decode, {
    Full = domain::Decode::Full,
    Tiny = domain::Decode::Tiny,
});

enumeration!("job state", JobState, domain::JobState, {
    Active = domain::JobState::Active,
    Paused = domain::JobState::Paused,
    Done = domain::JobState::Done,
    Cancelled = domain::JobState::Cancelled,
    Failed = domain::JobState::Failed,
    Unspecified = domain::JobState::Unknown,
});

enumeration!("video state", VideoState, domain::VideoState, {
    Waiting = domain::VideoState::Waiting,
    Running = domain::VideoState::Running,
    Writing = domain::VideoState::Writing,
    Done = domain::VideoState::Done,
    Failed = domain::VideoState::Failed,
    Cancelled = domain::VideoState::Cancelled,
    Unspecified = domain::VideoState::Unknown,
});

enumeration!("file state", FileState, domain::FileState, {
    Whole = domain::FileState::Whole,
    Damaged = domain::FileState::Damaged,
    Missing = domain::FileState::Missing,
    Unreadable = domain::FileState::Unreadable,
    Replaced = domain::FileState::Replaced,
    Unspecified = domain::FileState::Unknown,
});

enumeration!("log level", LogLevel, domain::LogLevel, {
    Error = domain::LogLevel::Error,
    Warn = domain::LogLevel::Warn,
    Info = domain::LogLevel::Info,
    Debug = domain::LogLevel::Debug,
    Trace = domain::LogLevel::Trace,
});

/// Reads a list of enumeration numbers.
pub(crate) fn numbers<D: FromWireNumber>(wire: Vec<i32>) -> Result<Vec<D>, WireError> {
    wire.into_iter().map(D::from_wire_number).collect()
}
