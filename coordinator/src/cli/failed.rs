//! How a command fails: what a person is told, and the exit code.

use wanfarm_client::ClientError;

use crate::exit::Exit;

/// A command failed: what to tell the person, and how to exit.
#[derive(Debug)]
pub struct Failed {
    exit: Exit,
    message: String,
}

impl Failed {
    pub(super) fn new(exit: Exit, message: impl ToString) -> Self {
        Self { exit, message: message.to_string() }
    }

    /// How to exit.
    pub fn exit(&self) -> Exit {
        self.exit
    }
}

impl std::fmt::Display for Failed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

pub(super) fn client_failed(error: ClientError) -> Failed {
    let exit = match error {
        ClientError::NoConnection { .. } | ClientError::Broken(_) | ClientError::Stranger(_) => Exit::NoConnection,
        ClientError::Refused(_) | ClientError::File { .. } => Exit::Usage,
        ClientError::Failed(_) => Exit::SomeFailed,
    };
    Failed::new(exit, error)
}
