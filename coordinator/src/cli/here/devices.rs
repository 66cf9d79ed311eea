//! `coordinator devices`.

use serde::Serialize;
use wanfarm_model::ops::device::DeviceKind;
use wanfarm_types::Size;
use wanfarm_workers::machine;

use crate::cli::error::CliError;
use crate::cli::say::{out, print_json};
use crate::cli::table::table;
use crate::exit::Exit;

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct DevicesArgs {
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// One kind of device, as it is here.
#[derive(Debug, Serialize)]
struct Line {
    device: &'static str,
    usable: bool,
    /// Where a command without `--device` computes.
    default: bool,
    name: Option<String>,
    memory_bytes: Option<u64>,
    /// Why it is not usable.
    why: Option<String>,
}

impl Line {
    fn of(kind: DeviceKind) -> Self {
        let (device, default) = (kind.name(), kind == DeviceKind::preferred());
        match kind.find() {
            Ok(found) => {
                let memory = found.memory_bytes.unwrap_or_else(machine::memory_bytes);
                let name = found.name.or_else(machine::processor);
                Self { device, usable: true, default, name, memory_bytes: Some(memory), why: None }
            }
            Err(error) => {
                let why = Some(error.to_string());
                Self { device, usable: false, default, name: None, memory_bytes: None, why }
            }
        }
    }

    fn cells(self) -> [String; 4] {
        let memory = self.memory_bytes.map(|bytes| Size(bytes).to_string());
        let usable = if self.default { "yes, by default" } else { "yes" };
        let usable = self.why.unwrap_or_else(|| usable.to_owned());
        [self.device.to_owned(), self.name.unwrap_or_default(), memory.unwrap_or_default(), usable]
    }
}

pub(super) fn devices(args: DevicesArgs) -> Result<Exit, CliError> {
    let lines = DeviceKind::ALL.map(Line::of);
    if args.json {
        print_json(&serde_json::json!({ "devices": lines }))?;
    } else {
        out!("{}", table(["DEVICE", "NAME", "MEMORY", "USABLE"], lines.map(Line::cells)));
    }
    Ok(Exit::Ok)
}
