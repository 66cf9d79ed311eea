//! `coordinator inspect`.

use super::{Failed, InspectArgs};
use crate::exit::Exit;

pub(super) fn inspect(args: InspectArgs) -> Result<Exit, Failed> {
    let report =
        wanfarm_model::inspect::inspect(&args.path).map_err(|error| Failed::new(Exit::BadModelFiles, error))?;
    if args.json {
        let json = serde_json::to_string_pretty(&report).map_err(|error| Failed::new(Exit::SomeFailed, error))?;
        println!("{json}");
    } else {
        print!("{report}");
    }
    Ok(Exit::Ok)
}
