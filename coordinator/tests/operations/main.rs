//! What operators copy: daemon files, units and the command lines of the guides. All of it must parse.

mod command_line;
mod guides;
mod launchd;
mod systemd;
