//! Errors of commands: a message and an exit code.

use wanfarm_client::ClientError;

use crate::exit::Exit;

/// Why a command failed, with its exit code.
#[derive(Debug)]
pub struct CliError {
    exit: Exit,
    message: String,
}

impl CliError {
    pub(super) fn new(exit: Exit, message: impl ToString) -> Self {
        Self { exit, message: message.to_string() }
    }

    /// The exit code.
    pub fn exit(&self) -> Exit {
        self.exit
    }
}

impl std::fmt::Display for CliError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl From<ClientError> for CliError {
    fn from(error: ClientError) -> Self {
        let exit = match error {
            ClientError::NoConnection { .. } | ClientError::Broken(_) | ClientError::Stranger(_) => Exit::NoConnection,
            ClientError::Refused(_) | ClientError::File { .. } => Exit::Usage,
            ClientError::Failed(_) => Exit::SomeFailed,
        };
        Self::new(exit, error)
    }
}
