//! What stays in memory, what goes, and what is told of loading.

use super::*;
use wanfarm_types::ModelRole;

fn role(role: Role) -> ModelRole {
    ModelRole { model: "cat".to_owned(), role }
}

fn keeping(keep: &[Role], item: PreparedItem) -> PreparedItem {
    PreparedItem { keep: keep.iter().copied().map(role).collect(), ..item }
}

fn elastic() -> Bench {
    let models = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(golden("repo_t2v_from_prompt/official_repo"), models.path().join("cat")).unwrap();
    Bench::holding(models, true)
}

#[test]
fn nothing_is_loaded_before_an_item_needs_it_and_only_what_it_keeps_stays() {
    let (mut bench, mut pinned) = (elastic(), Bench::new());
    let held = |bench: &Bench| bench.roles.resident().roles();
    assert_eq!(held(&bench), []);
    assert!(held(&pinned).len() == 4, "{:?}", held(&pinned));
    let contexts = bench.contexts();
    assert_eq!(held(&bench), [role(Role::TextEncoder)]);
    let mut observer = Observer::default();
    bench.roles.run(&keeping(&[Role::TextEncoder], high(&contexts)), &mut observer).unwrap();
    assert_eq!(held(&bench), [role(Role::TextEncoder), role(Role::DitHigh)]);
    let loads = observer.loads.lock().unwrap().clone();
    assert!(loads.last().is_some_and(|last| last.is_done() && last.of > 0), "{loads:?}");
    let state = observer.states[3].clone();
    // The encoder is not kept any more, and the other expert never was.
    bench.roles.run(&keeping(&[], low(&contexts, &state)), &mut observer).unwrap();
    assert_eq!(held(&bench), [role(Role::DitLow)]);
    // The same again loads nothing.
    let mut again = Observer::default();
    let items = keeping(&[Role::Vae], low(&contexts, &state));
    bench.roles.run(&items, &mut again).unwrap();
    assert!(again.loads.lock().unwrap().is_empty());
    assert_eq!(held(&bench), [role(Role::DitLow)], "what is kept need not be there");
    let mut want = Observer::default();
    pinned.roles.run(&low(&contexts, &state), &mut want).unwrap();
    assert_eq!(again.states, want.states, "the same bytes");
}

#[test]
fn weights_that_cannot_be_loaded_are_no_fault_of_the_video() {
    let models = tempfile::tempdir().unwrap();
    let (from, to) = (golden("repo_t2v_from_prompt/official_repo"), models.path().join("cat"));
    copy(&from, &to);
    let mut bench = Bench::holding(models, true);
    let contexts = bench.contexts();
    for file in std::fs::read_dir(to.join("high_noise_model")).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "safetensors") {
            std::fs::write(path, b"nothing of use").unwrap();
        }
    }
    let mut observer = Observer::default();
    let failure = bench.roles.run(&high(&contexts), &mut observer).unwrap_err();
    assert_eq!(failure.kind, FailureKind::NotLoaded);
    for words in ["dit-high of cat", "MiB in memory", "coordinator inspect"] {
        assert!(failure.message.contains(words), "{failure}");
    }
    assert!(!observer.loads.lock().unwrap().iter().any(LoadProgress::is_done));
}

fn copy(from: &std::path::Path, to: &std::path::Path) {
    std::fs::create_dir(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let to = to.join(path.file_name().unwrap());
        if path.is_dir() { copy(&path, &to) } else { assert!(std::fs::copy(&path, &to).is_ok()) }
    }
}
