//! Examining a device and a model before a night is spent on them: the checks of `wanfarm_tools::doctor`, then the
//! quality gate on the frames of their small render.

mod quality;
mod report;

pub use quality::judge;
pub use report::{Report, line};

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use wanfarm_model::ops::device::DeviceKind;
    use wanfarm_tools::doctor::{Examination, Outcome};

    use super::{Report, judge};
    use crate::exit::Exit;

    fn examine(model: &Path) -> Report {
        let mut checks = Vec::new();
        let examination = Examination { model, device: DeviceKind::Cpu, bf16: false, length: None, budget: None };
        let rendered = examination.run(&mut |finding| checks.push(finding)).unwrap();
        checks.extend(rendered.iter().flat_map(|rendered| judge(rendered).unwrap()));
        Report::new(model.to_owned(), DeviceKind::Cpu, checks)
    }

    #[test]
    fn the_demo_passes_and_its_experts_exchanged_render_noise() {
        let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/demo/wan-tiny-t2v");
        let report = examine(&demo);
        assert!(report.checks.iter().all(|finding| finding.outcome == Outcome::Pass), "{report:?}");
        assert_eq!(report.exit(), Exit::Ok);

        let broken = tempfile::tempdir().unwrap();
        for (from, to) in [("transformer", "transformer_2"), ("transformer_2", "transformer"), ("vae", "vae")]
            .into_iter()
            .chain([("text_encoder", "text_encoder"), ("tokenizer", "tokenizer"), ("scheduler", "scheduler")])
        {
            fs::create_dir(broken.path().join(to)).unwrap();
            for file in fs::read_dir(demo.join(from)).unwrap() {
                let file = file.unwrap();
                fs::copy(file.path(), broken.path().join(to).join(file.file_name())).unwrap();
            }
        }
        for file in ["model_index.json", "demo_settings.json"] {
            fs::copy(demo.join(file), broken.path().join(file)).unwrap();
        }
        let report = examine(broken.path());
        let failed = report.checks.iter().filter(|finding| finding.outcome == Outcome::Fail);
        let failed: Vec<&str> = failed.map(|finding| finding.name.as_ref()).collect();
        for name in ["experts at high noise", "experts at low noise", "noise"] {
            assert!(failed.contains(&name), "{failed:?}");
        }
        assert_eq!(report.exit(), Exit::SomeFailed, "the files themselves are sound");
    }
}
