//! `coordinator submit`.

use super::follow::{self, Outcome};
use super::{Failed, SubmitArgs, block_on, client_failed, faulty, read_manifest};
use crate::client::Client;
use crate::exit::Exit;
use crate::jobs::Submission;
use crate::logging;

pub(super) fn submit(args: SubmitArgs) -> Result<Exit, Failed> {
    logging::quiet();
    let manifest = read_manifest(&args.manifest, args.json)?;
    // What depends on the model is checked by the coordinator, which may know models that this machine does not.
    let videos = manifest.check(None).map_err(|faults| faulty(&faults, args.json))?;
    let submission = Submission {
        client_key: args.key.unwrap_or_default(),
        name: manifest.name.clone(),
        model: manifest.model.clone(),
        priority: manifest.priority,
        videos,
    };
    block_on(async {
        let mut client = Client::connect(&args.coordinator.coordinator).await.map_err(client_failed)?;
        client.put_images(&manifest.images).await.map_err(client_failed)?;
        let job = client.submit(submission).await.map_err(client_failed)?;
        if !args.follow {
            println!("{job}");
            return Ok(Exit::Ok);
        }
        let updates = client.watch(job).await.map_err(client_failed)?;
        match follow::follow(updates, std::path::Path::new("")).await.map_err(client_failed)? {
            Outcome { failed: 0, .. } => Ok(Exit::Ok),
            Outcome { .. } => Ok(Exit::SomeFailed),
        }
    })
}
