//! `coordinator compare`.

use std::path::{Path, PathBuf};

use serde::Serialize;
use wanfarm_media::{Clip, Similarity};

use crate::cli::error::CliError;
use crate::cli::say::out;
use crate::cli::say::print_json;
use crate::cli::table::table;
use crate::compare::{Pair, pairs};
use crate::exit::Exit;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "A and B are each an mp4 file, a folder of PNG files, a video's sidecar, or a folder of videos, \
which are matched by their names. PNG frames are exact and preferred; mp4 files are compared as players show them.

SSIM is that of Wang et al. (2004): Gaussian window 11x11, sigma 1.5, on the luma 0.299 R + 0.587 G + 0.114 B; a \
video's is the mean over its frames. PSNR is in dB over all 8-bit RGB samples.

Examples:
  coordinator compare dense/ cached/     what a step cache cost, video by video
  coordinator compare a/00.mp4 b/00.mp4 --json | jq '.videos[0].frames[].ssim'
  coordinator compare dense/ cached/ --min-ssim 0.95

Exits with 0 when everything was compared, 1 when a video's SSIM is below --min-ssim, and 2 when nothing could be \
compared or two videos differ in size or length."
)]
pub(in crate::cli) struct CompareArgs {
    /// A render.
    #[arg(value_parser = crate::cli::path::existing())]
    a: PathBuf,
    /// Another.
    #[arg(value_parser = crate::cli::path::existing())]
    b: PathBuf,
    /// Fail if the mean SSIM of a video is below this.
    #[arg(long, value_name = "SSIM")]
    min_ssim: Option<f64>,
    /// Print JSON, with every frame.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Serialize)]
struct ComparisonReport {
    videos: Vec<Video>,
    /// Mean over the videos.
    ssim: f64,
    /// The lowest of all frames.
    ssim_min: f64,
    /// Mean over the videos in dB; absent where one is equal.
    psnr: Option<f64>,
    /// Videos without a counterpart.
    only_a: Vec<String>,
    /// Videos without a counterpart.
    only_b: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Video {
    name: String,
    a: PathBuf,
    b: PathBuf,
    #[serde(flatten)]
    similarity: Similarity,
}

pub(super) fn compare(args: CompareArgs) -> Result<Exit, CliError> {
    let report = report(&args.a, &args.b)?;
    if args.json {
        print_json(&report)?;
    } else {
        out!("{}", text(&report));
    }
    let low = |video: &Video| args.min_ssim.is_some_and(|least| video.similarity.ssim < least);
    Ok(if report.videos.iter().any(low) { Exit::SomeFailed } else { Exit::Ok })
}

fn report(a: &Path, b: &Path) -> Result<ComparisonReport, CliError> {
    let pairs = pairs(a, b).map_err(|why| CliError::new(Exit::Usage, why))?;
    if pairs.pairs.is_empty() {
        let why = format!("no video of {} has the name of one of {}", a.display(), b.display());
        return Err(CliError::new(Exit::Usage, why));
    }
    let videos = pairs.pairs.into_iter().map(video).collect::<Result<Vec<_>, _>>()?;
    let mean = |values: &mut dyn Iterator<Item = Option<f64>>| {
        let values: Option<Vec<f64>> = values.collect();
        values.map(|values| values.iter().sum::<f64>() / values.len() as f64)
    };
    Ok(ComparisonReport {
        ssim: mean(&mut videos.iter().map(|video| Some(video.similarity.ssim))).unwrap_or_default(),
        ssim_min: videos.iter().map(|video| video.similarity.ssim_min).fold(f64::INFINITY, f64::min),
        psnr: mean(&mut videos.iter().map(|video| video.similarity.psnr)),
        videos,
        only_a: pairs.only_left,
        only_b: pairs.only_right,
    })
}

fn video(Pair { name, left: a, right: b }: Pair) -> Result<Video, CliError> {
    let similarity = Clip::open(&a)
        .and_then(|mut left| Similarity::between(&mut left, &mut Clip::open(&b)?))
        .map_err(|error| CliError::new(Exit::Usage, format!("{name}: {error}")))?;
    Ok(Video { name, a, b, similarity })
}

fn text(report: &ComparisonReport) -> String {
    let decibels = |psnr: Option<f64>| psnr.map_or("equal".to_owned(), |psnr| format!("{psnr:.2}"));
    let row = |name: &str, frames: String, ssim: [f64; 2], psnr: [String; 2]| {
        let ([mean, least], [clip, worst]) = (ssim, psnr);
        [name.to_owned(), frames, format!("{mean:.5}"), format!("{least:.5}"), clip, worst]
    };
    let rows = report.videos.iter().map(|video| {
        let Similarity { ssim, ssim_min, psnr, psnr_min, frames } = &video.similarity;
        row(&video.name, frames.len().to_string(), [*ssim, *ssim_min], [decibels(*psnr), decibels(*psnr_min)])
    });
    let mut rows: Vec<_> = rows.collect();
    if rows.len() > 1 {
        let mean = report.psnr.map_or("-".to_owned(), |psnr| format!("{psnr:.2}"));
        rows.push(row("mean", String::new(), [report.ssim, report.ssim_min], [mean, String::new()]));
    }
    let mut text = table(["VIDEO", "FRAMES", "SSIM", "WORST", "PSNR", "WORST"], rows);
    for (what, names) in [("A", &report.only_a), ("B", &report.only_b)] {
        if !names.is_empty() {
            text += &format!("only in {what}: {}\n", names.join(", "));
        }
    }
    text
}
