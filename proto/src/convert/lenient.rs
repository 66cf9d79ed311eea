//! What is read leniently: what a later version says and this one does not know is unknown, or left out.

use std::sync::Arc;

use wanfarm_types as domain;

use super::enums::FromWireNumber;
use crate::v1;

/// A text that is there.
pub(super) fn some(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

/// A number that is known.
pub(super) fn positive(number: f64) -> Option<f64> {
    (number > 0.0).then_some(number)
}

/// A stage, if there is one.
pub(super) fn stage(stage: Option<domain::Stage>) -> i32 {
    stage.map_or(v1::Stage::Unspecified, Into::into).into()
}

/// What this version knows.
pub(super) fn known<D: FromWireNumber>(number: i32) -> Option<D> {
    D::from_wire_number(number).ok()
}

/// Each as its counterpart.
pub(super) fn all<W, D: From<W>>(each: Vec<W>) -> Vec<D> {
    each.into_iter().map(Into::into).collect()
}

/// Takes what is shared, copying it if it still is.
pub(super) fn shared<W: From<domain::VideoStatus>>(videos: Vec<Arc<domain::VideoStatus>>) -> Vec<W> {
    videos.into_iter().map(|video| Arc::unwrap_or_clone(video).into()).collect()
}

/// Shares what came.
pub(super) fn share(videos: Vec<v1::VideoStatus>) -> Vec<Arc<domain::VideoStatus>> {
    videos.into_iter().map(|video| Arc::new(video.into())).collect()
}
