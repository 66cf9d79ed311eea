//! Videos of one job that would show the same pictures: what is called differently need not be different.

use std::collections::HashMap;

use serde::Serialize;
use wanfarm_types::{Digest, ModelInfo, Swept, VideoRequest};

/// The videos of a job by everything that decides their pictures and how fast they are shown.
#[derive(Debug, Default)]
pub struct Twins {
    first: HashMap<Digest, u32>,
}

impl Twins {
    /// Records a video with its size, and names the earlier one that is the same. With the model known, what it would
    /// fill in counts as said; a video that it cannot render is like no other.
    pub fn find(&mut self, index: u32, request: &VideoRequest, info: Option<&ModelInfo>) -> Option<u32> {
        let unnamed = VideoRequest {
            name: None,
            output: String::new(),
            join: None,
            formats: Vec::new(),
            swept: Swept::default(),
            ..request.clone()
        };
        let key = match info {
            None => digest(&unnamed)?,
            // A LoRA file that is left out by its strength was said all the same.
            Some(info) => digest(&(unnamed.resolve(info).ok()?, &request.loras))?,
        };
        let first = *self.first.entry(key).or_insert(index);
        (first != index).then_some(first)
    }
}

fn digest(asked: &impl Serialize) -> Option<Digest> {
    let bytes = serde_json::to_vec(asked).ok()?;
    Some(Digest(*blake3::hash(&bytes).as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use wanfarm_types::fixtures::{info, request};
    use wanfarm_types::{Experts, Format, FrameRate};

    fn swept() -> Swept {
        [("animal", "cat")].into_iter().collect()
    }

    #[test]
    fn names_and_formats_make_no_difference_and_all_else_does() {
        let info = info(Experts::Single);
        let named = VideoRequest { output: "other".into(), formats: vec![Format::Gif], swept: swept(), ..request() };
        let said = VideoRequest { width: Some(1280), fps: Some(FrameRate::whole(16)), ..request() };
        let mut twins = Twins::default();
        assert_eq!(twins.find(0, &request(), None), None);
        assert_eq!(twins.find(1, &named, None), Some(0));
        assert_eq!(twins.find(2, &said, None), None, "nobody knows what the model fills in");
        let mut twins = Twins::default();
        assert_eq!(twins.find(0, &request(), Some(&info)), None);
        assert_eq!(twins.find(1, &named, Some(&info)), Some(0));
        assert_eq!(twins.find(2, &said, Some(&info)), Some(0));
        for (index, other) in (3..).zip([
            VideoRequest { seed: 8, ..request() },
            VideoRequest { prompt: "a cat ".into(), ..request() },
            VideoRequest { negative: Some(String::new()), ..request() },
            VideoRequest { fps: Some(FrameRate::whole(24)), ..request() },
            VideoRequest { width: Some(64), ..request() },
        ]) {
            assert_eq!(twins.find(index, &other, Some(&info)), None, "{other:?}");
        }
        let unfit = VideoRequest { width: Some(65), ..request() };
        assert_eq!([10, 11].map(|index| twins.find(index, &unfit, Some(&info))), [None, None]);
    }
}
