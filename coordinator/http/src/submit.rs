//! Jobs that are queued by a manifest, as text in the body; or, if it names files, by a submission that says which these are.

use std::collections::BTreeMap;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use wanfarm_client::{DiskShortage, Forecast, Submitted};
use wanfarm_manifest::{Draw, Syntax, Taken};
use wanfarm_server::farm::FarmService;
use wanfarm_types::{Digest, JobId, JobSummary};

use crate::arrival::Arrivals;
use crate::input::{self, Asked, Caller};
use crate::problem::{Answer, Problem};

/// Most bytes of a manifest: as many as the command line reads.
const MAX_MANIFEST: usize = 16 << 20;
/// Manifests that are in memory at the same time.
const MAX_READ: usize = 4;

static READING: Arrivals = Arrivals::new(MAX_READ, "the manifest does not arrive, or others are read before it");

/// The route of submissions.
pub(crate) fn routes() -> Router<FarmService> {
    Router::new().route("/jobs", post(submit))
}

/// What is to become of a manifest.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct How {
    /// Queue nothing; say what it would take.
    #[serde(default, deserialize_with = "input::flag")]
    dry_run: bool,
    /// What becomes of videos whose names are taken.
    #[serde(default)]
    taken: Taken,
}

/// A manifest with the files that it names, which the coordinator has been given.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct WithFiles {
    /// The manifest, as text.
    manifest: String,
    syntax: Written,
    /// The BLAKE3 digests of its files, by the names that it has for them.
    #[serde(default)]
    #[schema(value_type = BTreeMap<String, String>)]
    files: BTreeMap<String, Digest>,
}

/// How a manifest is written.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = ManifestSyntax)]
enum Written {
    Toml,
    Yaml,
    Json,
}

impl From<Written> for Syntax {
    fn from(written: Written) -> Self {
        match written {
            Written::Toml => Self::Toml,
            Written::Yaml => Self::Yaml,
            Written::Json => Self::Json,
        }
    }
}

/// A queued job: its line, and what `submit --json` says with it.
#[derive(Serialize, ToSchema)]
pub(crate) struct Queued {
    /// As `job`.
    pub(crate) id: JobId,
    #[serde(flatten)]
    pub(crate) line: JobSummary,
    pub(crate) renamed: u32,
    pub(crate) left_out: u32,
    /// Disks that are probably too small for it.
    pub(crate) shortages: Vec<DiskShortage>,
}

/// Nothing was left to render.
#[derive(Serialize, ToSchema)]
// Tells it from the others, which say more.
#[serde(deny_unknown_fields)]
struct Nothing {
    job: Option<JobId>,
    renamed: u32,
    left_out: u32,
}

/// What comes of a manifest that does not become a new job.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
enum Accepted {
    DryRun(DryRun),
    Queued(Queued),
    Nothing(Nothing),
}

/// What a job would take, as `submit --dry-run --json` says.
#[derive(Serialize, ToSchema)]
struct DryRun {
    name: String,
    model: String,
    asked: bool,
    why_not: Option<String>,
    notes: Vec<String>,
    chains: Vec<String>,
    #[serde(flatten)]
    forecast: Forecast,
}

/// Queues a job by its manifest.
#[utoipa::path(
    post,
    path = "/api/v1/jobs",
    tag = "jobs",
    params(
        How,
        ("idempotency-key" = Option<String>, Header, max_length = 100, description = "The client's own key: the same one again is the same job"),
    ),
    request_body(
        description = "A manifest, as the guide has it; with the digests of the files that it names, if it names some",
        content(
            (Object = "application/json"),
            (String = "application/toml"),
            (String = "application/yaml"),
            (WithFiles = "application/vnd.wanfarm.submission+json"),
        ),
    ),
    responses(
        (status = 200, description = "With `dry_run`: what it would take. Else the key was used before, for the same job; or nothing was \
            left to render", body = Accepted),
        (status = 201, description = "The job is queued", body = Queued, headers(("location" = String, description = "Its path"))),
        (status = 408, description = "The manifest does not arrive in time"),
        (status = 422, description = "The manifest has faults"),
        (status = 507, description = "A disk has no room"),
    ),
)]
async fn submit(
    State(farm): State<FarmService>,
    Asked(how): Asked<How>,
    Caller(by): Caller,
    request: Request,
) -> Answer<Response> {
    let kind = kind(request.headers())?;
    let key = key(request.headers())?;
    let _turn = READING.turn().await?;
    let body = READING.receive(input::whole(request.into_body(), MAX_MANIFEST)).await??;
    let text =
        String::from_utf8(body).map_err(|why| Problem::bad_request(format!("the manifest is not UTF-8: {why}")))?;
    let (syntax, text, files) = match kind {
        Kind::Text(syntax) => (syntax, text, BTreeMap::new()),
        Kind::WithFiles => {
            let WithFiles { manifest, syntax, files } = input::json(text.as_bytes())?;
            (syntax.into(), manifest, files)
        }
    };
    let checked =
        farm.check_manifest(syntax, text.trim_start_matches('\u{feff}').to_owned(), files, Draw::of_key(&key)).await?;
    let submission = checked.submission(key, how.taken)?;
    if how.dry_run {
        let forecast = farm.forecast(submission).await?;
        let (name, model) = (checked.name().to_owned(), checked.model().to_owned());
        let chains = checked.chains();
        let answer = DryRun { name, model, asked: true, why_not: None, notes: checked.notes, chains, forecast };
        return Ok(Json(Accepted::DryRun(answer)).into_response());
    }
    let (Submitted { job, already, renamed, left_out }, shortages) =
        farm.submit_job(submission, checked.about().clone(), &by).await?;
    let Some(id) = job else {
        return Ok(Json(Accepted::Nothing(Nothing { job: None, renamed, left_out })).into_response());
    };
    let status = if already { StatusCode::OK } else { StatusCode::CREATED };
    let queued = Accepted::Queued(Queued { id, line: farm.line(id).await?, renamed, left_out, shortages });
    Ok((status, [(header::LOCATION, format!("/api/v1/jobs/{id}"))], Json(queued)).into_response())
}

/// What a body is.
enum Kind {
    Text(Syntax),
    WithFiles,
}

/// How the manifest comes.
fn kind(headers: &HeaderMap) -> Answer<Kind> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    match kind.split(';').next().map(str::trim).unwrap_or_default() {
        "application/toml" => Ok(Kind::Text(Syntax::Toml)),
        "application/yaml" | "application/x-yaml" => Ok(Kind::Text(Syntax::Yaml)),
        "application/json" => Ok(Kind::Text(Syntax::Json)),
        "application/vnd.wanfarm.submission+json" => Ok(Kind::WithFiles),
        _ => {
            let why = format!("a manifest is application/toml, application/yaml or application/json, not {kind:?}");
            Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, why))
        }
    }
}

/// The client's own key; without one, the same request twice is two jobs.
pub(crate) fn key(headers: &HeaderMap) -> Answer<String> {
    let Some(key) = headers.get("idempotency-key") else { return Ok(String::new()) };
    let key = key.to_str().map_err(|_| Problem::bad_request("Idempotency-Key: only visible ASCII letters"))?;
    Ok(key.to_owned())
}
