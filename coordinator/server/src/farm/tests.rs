//! First frames and LoRA files against the jobs that name them, as a client gives them and as a stranger might.

use std::path::Path;

use tonic::Code;
use tonic::transport::Channel;
use wanfarm_client::{Client, ClientError, JobVerb, Target, Way};
use wanfarm_manifest::first_frame::Image;
use wanfarm_manifest::{LocalFile, LoraFile, Submission};
use wanfarm_proto::v1::{self, farm_client::FarmClient};
use wanfarm_types::fixtures::request;
use wanfarm_types::{About, Digest, ImageSource, JobId, LoraRef, VideoRequest};

use crate::jobs::tests::submission;
use crate::server::{self, Coordinator};

/// What says anything that the wire can.
async fn raw(coordinator: &Coordinator) -> FarmClient<Channel> {
    FarmClient::connect(format!("http://{}", coordinator.address)).await.unwrap()
}

async fn coordinator(folder: &Path) -> (Coordinator, Client) {
    let coordinator =
        server::start(server::tests::config(folder), |_| tonic::service::Routes::default()).await.unwrap();
    let client = Client::connect(&Target::new(&coordinator.address.to_string(), Way::plain())).await.unwrap();
    (coordinator, client)
}

#[tokio::test]
async fn images_come_before_the_job_that_names_them() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let (coordinator, mut client) = coordinator(folder.path()).await;
    let mut raw = raw(&coordinator).await;

    let path = folder.path().join("first.png");
    image::RgbImage::new(8, 6).save(&path).unwrap();
    let image = Image::read(&std::fs::read(&path).unwrap()).unwrap();
    let digest = image.digest;
    let file = LocalFile { path: path.clone(), blake3: digest, bytes: image.bytes };
    let submission = submission("", vec![VideoRequest { image: Some(ImageSource::File(digest)), ..request() }]);
    let refused = client.submit(submission.clone(), About::default()).await.unwrap_err();
    assert!(matches!(&refused, ClientError::Refused(why) if why.contains(&digest.to_string())), "{refused}");

    client.put_files(std::slice::from_ref(&file)).await.unwrap();
    let name = digest.to_string();
    let stored = data.join("artifacts").join(&name[..2]).join(&name);
    assert_eq!(std::fs::read(&stored).unwrap(), std::fs::read(&path).unwrap());
    client.submit(submission, About::default()).await.unwrap();

    std::fs::write(&path, "other bytes").unwrap();
    client.put_files(std::slice::from_ref(&file)).await.expect("what is there is not read again");
    let mut other = file.clone();
    other.blake3.0[0] ^= 1;
    let changed = client.put_files(&[other]).await.unwrap_err();
    assert!(changed.to_string().contains("it has changed"), "{changed}");
    let lost = raw.missing_files(v1::MissingFilesRequest { digests: vec![vec![0; 3]] }).await;
    assert_eq!(lost.unwrap_err().code(), Code::InvalidArgument);
    coordinator.stop().await;
}

fn submission_with(lora: &LoraFile, strength: f64) -> Submission {
    let LoraFile { name, blake3, bytes, .. } = lora.clone();
    let loras = vec![LoraRef { name, blake3, bytes, strength, expert: None }];
    submission("", vec![VideoRequest { loras, output: format!("cat-{strength}"), ..request() }])
}

#[tokio::test]
async fn files_come_before_the_job_that_names_them_and_stay_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("film.safetensors");
    // Several chunks, the last of them short.
    let bytes: Vec<u8> = (0..(3 << 20) + 5).map(|at: u32| (at % 251) as u8).collect();
    std::fs::write(&path, &bytes).unwrap();
    let blake3 = Digest(*blake3::hash(&bytes).as_bytes());
    let lora = LoraFile { name: "film.safetensors".into(), blake3, bytes: bytes.len() as u64, path: path.clone() };
    let name = blake3.to_string();
    let stored = folder.path().join("data/artifacts").join(&name[..2]).join(&name);

    let (first, mut client) = coordinator(folder.path()).await;
    let refused = client.submit(submission_with(&lora, 1.0), About::default()).await.unwrap_err();
    assert!(matches!(&refused, ClientError::Refused(why) if why.contains(&name)), "{refused}");
    client.submit(submission_with(&lora, 0.0), About::default()).await.expect("of strength 0 nobody needs it");

    let file = LocalFile { path: path.clone(), blake3, bytes: lora.bytes };
    let other = LocalFile { bytes: lora.bytes - 1, ..file.clone() };
    let changed = client.put_files(&[other]).await.unwrap_err();
    assert!(changed.to_string().contains("it has changed"), "{changed}");
    assert!(!stored.exists(), "nothing is left of it");
    client.put_files(std::slice::from_ref(&file)).await.unwrap();
    assert_eq!(std::fs::read(&stored).unwrap(), bytes);
    client.submit(submission_with(&lora, 1.0), About::default()).await.unwrap();
    std::fs::remove_file(&path).unwrap();
    client.put_files(std::slice::from_ref(&file)).await.expect("what is there is not read again");
    first.stop().await;

    let (second, mut client) = coordinator(folder.path()).await;
    assert!(stored.exists(), "a job names it");
    client.submit(submission_with(&lora, 0.5), About::default()).await.unwrap();
    second.stop().await;
}

#[tokio::test]
async fn a_file_that_no_job_names_goes_at_the_next_start() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("film.safetensors");
    std::fs::write(&path, "film").unwrap();
    let blake3 = Digest(*blake3::hash(b"film").as_bytes());
    let file = LocalFile { path: path.clone(), blake3, bytes: 4 };
    let lora = LoraFile { name: "film.safetensors".into(), blake3, bytes: 4, path };
    let (first, mut client) = coordinator(folder.path()).await;
    client.put_files(std::slice::from_ref(&file)).await.unwrap();
    first.stop().await;
    let (second, mut client) = coordinator(folder.path()).await;
    assert!(client.submit(submission_with(&lora, 1.0), About::default()).await.is_err());
    second.stop().await;
}

#[tokio::test]
async fn forged_bytes_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (coordinator, _) = coordinator(folder.path()).await;
    let mut raw = raw(&coordinator).await;
    let chunk = |bytes, data: &[u8]| v1::GivenChunk { blake3: vec![7; 32], bytes, data: data.to_vec() };
    for (chunks, why) in [
        (vec![chunk(4, b"film")], "other bytes"),
        (vec![chunk(3, b"film")], "more came"),
        (vec![chunk(9, b"film")], "other bytes"),
        (vec![chunk(1 << 50, b"film")], "at most 8 GiB"),
        (vec![], "no chunk"),
    ] {
        let refused = raw.put_file(futures::stream::iter(chunks)).await.unwrap_err();
        assert!(refused.code() == tonic::Code::InvalidArgument && refused.message().contains(why), "{refused}");
    }
    coordinator.stop().await;
}

const NIGHT: &str = "[job]\nname = 'night'\nmodel = 'm'\n[[video]]\nprompt = 'a fox'\nsweep = { seed = [1, 2] }\n";

fn toml(manifest: &str) -> v1::SubmitManifestRequest {
    v1::SubmitManifestRequest { manifest: manifest.to_owned(), ..Default::default() }
}

#[tokio::test]
async fn a_manifest_by_grpc_is_tried_queued_once_and_refused_with_the_place_of_each_fault() {
    let folder = tempfile::tempdir().unwrap();
    let (coordinator, _) = coordinator(folder.path()).await;
    let mut raw = raw(&coordinator).await;
    let tried = raw.submit_manifest(v1::SubmitManifestRequest { dry_run: true, ..toml(NIGHT) }).await.unwrap();
    let tried = tried.into_inner();
    assert_eq!((tried.estimate.unwrap().videos, tried.submitted), (2, None));
    let keyed = v1::SubmitManifestRequest { client_key: "tonight".into(), ..toml(NIGHT) };
    for already in [false, true] {
        let submitted = raw.submit_manifest(keyed.clone()).await.unwrap().into_inner().submitted.unwrap();
        assert_eq!((submitted.job, submitted.already), (Some(1), already));
    }
    let faulty = NIGHT.replace("prompt =", "promptt =").replace("'m'", "7");
    let refused = raw.submit_manifest(toml(&faulty)).await.unwrap().into_inner();
    let places: Vec<_> = refused.faults.iter().map(|fault| (fault.line, fault.key.as_str())).collect();
    assert!(places.contains(&(Some(3), "job.model")) && places.iter().any(|(line, _)| *line == Some(5)), "{places:?}");
    assert_eq!(refused.submitted, None);
    let named = NIGHT.replace("sweep", "image = 'shots/*.png'\nsweep");
    let refused = raw.submit_manifest(toml(&named)).await.unwrap().into_inner();
    assert_eq!(refused.missing_files, ["shots/*.png"]);
    for bad in [
        v1::SubmitManifestRequest { syntax: 9, ..toml(NIGHT) },
        v1::SubmitManifestRequest { files: [("a.png".into(), vec![1])].into(), ..toml(NIGHT) },
        toml(&"#".repeat((16 << 20) + 1)),
    ] {
        assert_eq!(raw.submit_manifest(bad).await.unwrap_err().code(), Code::InvalidArgument);
    }
    coordinator.stop().await;
}

#[tokio::test]
async fn the_farm_is_watched_as_a_whole_and_what_happened_is_listed() {
    let folder = tempfile::tempdir().unwrap();
    let (coordinator, mut client) = coordinator(folder.path()).await;
    let mut raw = raw(&coordinator).await;
    raw.submit_manifest(toml(NIGHT)).await.unwrap();
    let mut updates = raw.watch_farm(v1::WatchFarmRequest {}).await.unwrap().into_inner();
    let first = updates.message().await.unwrap().unwrap();
    assert_eq!((first.jobs.len(), first.jobs[0].videos, first.videos.len()), (1, 2, 0));

    let (again, _) = client.render_again(JobId(1), vec![1], Some(9)).await.unwrap();
    assert_eq!(again.job, Some(JobId(2)));
    let next = updates.message().await.unwrap().unwrap();
    assert_eq!(next.jobs.iter().map(|job| job.job).collect::<Vec<_>>(), [2], "only what is new");
    client.control_job(JobId(1), None, JobVerb::Forget { cancel: true }).await.unwrap();
    let mut forgotten = Vec::new();
    while forgotten.is_empty() {
        forgotten = updates.message().await.unwrap().unwrap().forgotten_jobs;
    }
    assert_eq!(forgotten, [1]);

    let mut events = async |after, job, limit| {
        let asked = v1::ListEventsRequest { after, job, limit };
        let events = raw.list_events(asked).await.unwrap().into_inner().events;
        events.into_iter().map(|event| (event.id, event.r#type, event.job)).collect::<Vec<_>>()
    };
    let all = events(0, None, 0).await;
    assert_eq!((all[0].1.as_str(), all[0].2), ("job.submitted", Some(1)));
    assert_eq!(events(0, None, 1).await, all[..1]);
    assert_eq!(events(all[0].0, None, 0).await, all[1..]);
    assert!(events(0, Some(2), 0).await.iter().all(|(.., job)| *job == Some(2)));

    for (videos, seed) in [(vec![], None), (vec![0, 0], None), (vec![0], Some(1))] {
        // Only the first names no video; the job is gone for the others.
        let code =
            raw.render_again(v1::RenderAgainRequest { job: 1, videos: videos.clone(), seed }).await.unwrap_err().code();
        assert_eq!(code, if videos.is_empty() { Code::InvalidArgument } else { Code::NotFound });
    }
    let refused = raw.render_again(v1::RenderAgainRequest { job: 2, videos: vec![0, 1], seed: Some(1) }).await;
    assert_eq!(refused.unwrap_err().code(), Code::InvalidArgument, "one seed for two videos");
    // A stream that nobody reads holds up nobody, and ends with the coordinator.
    coordinator.stop().await;
    while updates.message().await.is_ok_and(|update| update.is_some()) {}
}

#[tokio::test]
async fn only_so_many_watch_the_farm_as_a_whole() {
    let folder = tempfile::tempdir().unwrap();
    let (coordinator, _) = coordinator(folder.path()).await;
    let mut raw = raw(&coordinator).await;
    let mut watching = Vec::new();
    for _ in 0..crate::limits::WATCHERS {
        let mut updates = raw.watch_farm(v1::WatchFarmRequest {}).await.unwrap().into_inner();
        updates.message().await.unwrap().unwrap();
        watching.push(updates);
    }
    let refused = raw.watch_farm(v1::WatchFarmRequest {}).await.unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted, "{refused}");
    watching.pop();
    // One that has left is noticed when something is to be sent to it.
    let freed = async { while raw.watch_farm(v1::WatchFarmRequest {}).await.is_err() {} };
    tokio::time::timeout(std::time::Duration::from_secs(30), freed).await.unwrap();
    coordinator.stop().await;
}

#[tokio::test]
async fn long_lists_come_in_pages_to_who_asks_for_them_so() {
    let folder = tempfile::tempdir().unwrap();
    let (coordinator, mut client) = coordinator(folder.path()).await;
    for name in ["a", "b", "c"] {
        let video = |seed: u32| VideoRequest { seed: seed.into(), output: format!("{name}/{seed}"), ..request() };
        client.submit(submission(name, (0..3).map(video).collect()), About::default()).await.unwrap();
    }
    let mut raw = raw(&coordinator).await;
    let mut jobs = async |page_size, page_token: &str| {
        let asked = v1::ListJobsRequest { page_size, page_token: page_token.to_owned() };
        let v1::ListJobsReply { jobs, next_page_token } = raw.list_jobs(asked).await.unwrap().into_inner();
        (jobs.into_iter().map(|job| job.job).collect::<Vec<_>>(), next_page_token)
    };
    assert_eq!(jobs(0, "").await, (vec![1, 2, 3], String::new()));
    assert_eq!(jobs(2, "").await, (vec![1, 2], "2".to_owned()));
    assert_eq!(jobs(2, "2").await, (vec![3], String::new()));
    let asked = v1::GetReportRequest { job: 1, page_size: 2, page_token: "0".to_owned() };
    let report = raw.get_report(asked).await.unwrap().into_inner();
    let videos: Vec<u32> = report.videos.iter().map(|video| video.index).collect();
    assert_eq!((videos, report.next_page_token.as_str()), (vec![1, 2], ""));
    let asked = v1::ListWorkersRequest { page_size: 1, page_token: "nobody".to_owned() };
    assert_eq!(raw.list_workers(asked).await.unwrap_err().code(), Code::InvalidArgument);
    coordinator.stop().await;
}
