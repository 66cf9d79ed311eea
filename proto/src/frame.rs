//! Messages of the control plane in the frames that carry them. What they say is `wanfarm_types::messages`.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{PROTOCOL, WireError, v1};

impl v1::Frame {
    /// Packs a message.
    pub fn of<M: Serialize>(message: &M) -> Self {
        let body = serde_json::to_vec(message).unwrap_or_else(|error| {
            // The reader closes the connection.
            tracing::error!(%error, "a message cannot be written");
            Vec::new()
        });
        Self { protocol: PROTOCOL, version: env!("CARGO_PKG_VERSION").to_owned(), body }
    }

    /// Reads a message.
    ///
    /// # Errors
    /// When this version knows none like it.
    pub fn read<M: DeserializeOwned>(&self) -> Result<M, WireError> {
        serde_json::from_slice(&self.body).map_err(|error| WireError::Unreadable(error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wanfarm_types::{AttemptId, WorkerMessage};

    #[test]
    fn a_frame_carries_one_message_of_one_protocol() {
        let frame = v1::Frame::of(&WorkerMessage::Report(AttemptId(3), wanfarm_types::Report::Started));
        assert_eq!(frame.protocol, PROTOCOL);
        assert_eq!(frame.read(), Ok(WorkerMessage::Report(AttemptId(3), wanfarm_types::Report::Started)));
        for body in ["", "{", "\"dance\"", "\"heartbeat\" \"heartbeat\""] {
            let frame = v1::Frame { body: body.into(), ..frame.clone() };
            let error = frame.read::<WorkerMessage>().unwrap_err().to_string();
            assert!(error.starts_with("the message is unreadable"), "{error}");
        }
    }
}
